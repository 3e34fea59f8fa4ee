"""WebDataset: tars by webdataset itself, and by tarfile in the layouts that it does not write; read by webdataset's own iterator over members.

That iterator ends without a word at a header it cannot read, where headrace refuses the archive. Samples are put together here, since webdataset raises at the
first name that a sample has twice, which headrace calls one bad row.
"""

import io
import random
import struct
import tarfile
import warnings

import numpy as np
from formats import packed, served

warnings.filterwarnings("ignore")
from webdataset.tariterators import base_plus_ext, tar_file_iterator  # noqa: E402

import webdataset as wds  # noqa: E402

SAMPLES = 24
FIELDS = [
    ("jpg;png", None, "bytes"),
    ("txt",),
    ("cls",),
    ("emb.npy", 4),
    ("ids.npy", 3, "int64"),
    ("json.score", None, "float32"),
    ("json.n", None, "int64"),
    ("json.emb", 2, "float32"),
    ("__key__",),
]
WHERE = {"json.n": {"gte": 0}, "cls": {"lt": 100}, "json.meta.lang": {"startsWith": "e"}, "json.flag": True, "__key__": {"isNull": False}}
REQUESTS = [
    {"column": "txt", "kind": "text"},
    {"column": "json.meta.lang", "kind": "text"},
    {"column": "ids.npy", "kind": "tokens"},
    {"column": "json.ids", "kind": "tokens"},
    {"column": "", "kind": "none", "fields": served.requests(FIELDS)},
    {"column": "json.meta", "kind": "records", "columns": ["json.meta", "json", "txt"], "id": "__key__"},
    {"column": "txt", "kind": "text", "where": WHERE},
]


def sample(rng: random.Random, i: int) -> dict:
    npy = {
        "ids.npy": np.array([rng.randrange(50_000) for _ in range(3)], ["<i4", "<i8", "<u2"][i % 3]),
        "emb.npy": np.array([rng.random() for _ in range(4)], ["<f4", "<f2", "<f8"][i % 3]).reshape(2, 2),
    }
    meta = {"lang": ["en", "de", None][i % 3], "t": f"é {i}"}
    return {
        "__key__": f"d{i % 2}/s{i:04}",
        "jpg" if i % 3 else "png": rng.randbytes(rng.randrange(700)),
        "txt": f"text {i} é🙂 " * rng.randrange(5),
        "cls": i - 3,
        "json": {"n": 2**53 + 3 * i if i % 4 == 1 else i, "score": i / 7, "flag": i % 2 == 0, "meta": meta, "emb": [i / 2, 1], "ids": [i, 7]},
        **npy,
    }


def encoded(own: dict) -> dict:
    images = {name: body for name, body in own.items() if name in ("jpg", "png")}
    return {**wds.writer.make_encoder(True)({name: value for name, value in own.items() if name not in images}), **images}


def make(directory: str) -> list:
    rng = random.Random(3)
    samples = [sample(rng, i) for i in range(SAMPLES)]
    path = f"{directory}/written.tar"
    with wds.TarWriter(path, mtime=1.0, encoder=encoded) as sink:
        for own in samples:
            sink.write(own)
    names = packed.save(directory, "written.tar", packed.content(path))
    for name, layout in {"ustar.tar": tarfile.USTAR_FORMAT, "gnu.tar": tarfile.GNU_FORMAT, "pax.tar": tarfile.PAX_FORMAT}.items():
        names.append(name)
        with tarfile.open(f"{directory}/{name}", "w", format=layout) as tar:
            for i, own in enumerate(samples):
                add(tar, f"d/{i}", b"", type=tarfile.DIRTYPE)
                for member, body in encoded(own).items():
                    # long enough for what each layout has for long names
                    folder = f"{'d' * 60}/{'e' * 60}" if i % 3 == 1 else ("é" * 60 if layout != tarfile.USTAR_FORMAT else "e")
                    if member != "__key__":
                        add(tar, f"{folder}/{own['__key__']}.{member.upper() if i % 5 else member}", body)
                if i % 7 == 2:
                    add(tar, "link", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")
    return [{"file": name, "requests": REQUESTS} for name in names]


def add(tar: tarfile.TarFile, name: str, body: bytes, **changes: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(body)
    for key, value in changes.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(body))


class Sample:
    def __init__(self, key: str):
        self.key, self.members, self.is_bad = key, {}, False

    def put(self, name: str, body: bytes) -> None:
        self.is_bad = self.is_bad or name in self.members
        self.members[name] = body

    def bytes_of(self, name: str) -> bytes | None:
        if self.is_bad:
            return None
        return self.key.encode() if name == "__key__" else self.members.get(name)

    def json_of(self, name: str = "json") -> object:
        """Raises ValueError where it is none."""
        body = self.members.get(name)
        return None if body is None else served.parsed_exactly(served.text(body))


def samples_of(file: str) -> list:
    found: list[Sample] = []
    data = packed.content(file)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        list(tar)
        if any(data[tar.offset : tar.offset + 512]):
            raise ValueError(f"a header at byte {tar.offset} cannot be read")  # where the reader ends without a word
    for own in tar_file_iterator(io.BytesIO(data)):
        key, member = base_plus_ext(own["fname"])
        if key is None:
            continue
        if not found or found[-1].key != named(key):
            found.append(Sample(named(key)))
        found[-1].put(named(member).lower(), own["data"])
    return found


def named(name: str) -> str:
    """A name that is no UTF-8 stays what it is: its bytes as characters."""
    stored = name.encode("utf-8", "surrogateescape")
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored.decode("latin-1")


def value_of(sample: Sample, column: str) -> object:
    """Bytes, or what is in JSON; None where there is none. Raises ValueError where the row is a bad one."""
    if sample.is_bad:
        raise ValueError("two members of a name")
    name, _, path = column.partition(".")
    if name != "json":
        found = [sample.bytes_of(choice) for choice in column.split(";")]
        return next((body for body in found if body is not None), None)
    value = sample.json_of()
    for part in path.split(".") if path else []:
        value = value[part] if isinstance(value, dict) and part in value else None
    return value


def text(sample: Sample, column: str) -> bytes | None:
    value = value_of(sample, column)
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else None  # half a surrogate pair is a ValueError


def tokens(sample: Sample, column: str) -> list | None:
    value = value_of(sample, column)
    if isinstance(value, bytes):
        ids = array(value)
        return ids if ids.ndim == 1 and ids.dtype.kind in "iu" else None
    whole = isinstance(value, list) and all(isinstance(id, (int, float)) and not isinstance(id, bool) and float(id).is_integer() and abs(id) < 2**53 for id in value)
    return [int(id) for id in value] if whole else None


def array(body: bytes) -> np.ndarray:
    """Raises ValueError, also where something is behind it, or it is not in a layout that is read."""
    stream = io.BytesIO(body)
    try:
        own = np.lib.format.read_array(stream, allow_pickle=False)
    except Exception as error:
        raise ValueError(str(error)) from error
    if stream.read(1) or own.dtype.byteorder == ">" or own.dtype.kind not in "biuf" or own.dtype.itemsize > 8:
        raise ValueError("another array")
    return own


def field(sample: Sample, column: str, size: int | None = None, type: str | None = None) -> bytes | None:
    if column == "cls":
        return served.numeral(served.text(sample.bytes_of(column) or b"").strip(served.SPACE), "int64")
    value = value_of(sample, column)
    if column.endswith(".npy"):
        own = array(value)
        is_fortran = own.ndim > 1 and own.flags.f_contiguous and not own.flags.c_contiguous
        kinds = "iu" if type == "int64" else "f"
        if own.dtype.kind not in kinds or own.dtype == np.uint64 or is_fortran or own.size != size:
            return None
        with np.errstate(all="ignore"):
            return served.numbers(own.ravel().astype(type or "float32"), size)
    if type in ("int64", "float32"):
        return served.json_number(value, type, size)
    return value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else None


def record(sample: Sample, columns: list) -> dict | None:
    values = [value_of(sample, column) for column in columns]
    if sample.members.get("json") is None:
        return None
    return {column: served.text(value) if isinstance(value, bytes) else served.doubles(value) for column, value in zip(columns, values)}


def compared(sample: Sample, column: str) -> object:
    value = value_of(sample, column)
    if column == "__key__":
        return b""
    if column == "json.flag":
        return value if isinstance(value, bool) else None
    if column == "json.meta.lang":
        return value.encode("utf-8", "replace") if isinstance(value, str) else None
    if isinstance(value, bytes):
        stored = served.numeral(served.text(value).strip(served.SPACE), "float64") if len(value) <= 400 else None
        return None if stored is None else struct.unpack("<d", stored)[0]
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def rows(file: str, request: dict) -> object:
    column, kind = request["column"], request["kind"]
    for own in samples_of(file):
        filtered = [attempt(lambda own=own, name=name: (compared(own, name),)) for name in sorted(request.get("where", {}))]
        # what a filter cannot read makes the row a bad one
        own.is_bad = own.is_bad or None in filtered
        parts = []
        if kind == "text":
            parts.append(attempt(lambda own=own: text(own, column)))
        if kind == "tokens":
            parts.append(attempt(lambda own=own: tokens(own, column)))
        if kind == "records":
            parts.append(attempt(lambda own=own: record(own, request["columns"])))
        if "id" in request:
            parts.append(own.bytes_of(request["id"]))
        parts += [attempt(lambda own=own, said=said: field(own, *said)) for said in FIELDS if "fields" in request]
        yield (*parts, *(value and value[0] for value in filtered))


def attempt(read: object) -> object:
    try:
        return read()
    except (ValueError, TypeError):
        return None
