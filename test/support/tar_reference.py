"""What webdataset and Python's tarfile write, and what webdataset reads of it. Run by the TypeScript tests.

write DIR                           shards in the layouts of webdataset.test.ts, and what webdataset reads of each, as JSON
compressed DIR                      a tar of several units in every compression, and what webdataset reads of it
text DIR SHARDS SAMPLES [ENDING]    shards of text for end-to-end tests
"""

import gzip
import io
import json
import re
import sys
import tarfile
import warnings
from pathlib import Path

import numpy as np

warnings.filterwarnings("ignore")
import webdataset as wds  # noqa: E402

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "häuser", "世界", "🙂", "while", "it", "rains"]


def document(rng, words: int) -> str:
    return " ".join(WORDS[i] for i in rng.integers(0, len(WORDS), words))


def add(tar: tarfile.TarFile, name: str, body: bytes, **changes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(body)
    for key, value in changes.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(body))


def write_samples(path: str, samples: int) -> None:
    rng = np.random.default_rng(3)
    with wds.TarWriter(path, mtime=1.0) as sink:
        for i in range(samples):
            sink.write(
                {
                    "__key__": f"dir.{i % 2}/sample{i:05}",
                    "txt": document(rng, int(rng.integers(0, 300))),
                    "json": {"caption": document(rng, 12), "meta": {"lang": "de"}, "input_ids": rng.integers(0, 50_000, i % 40).tolist(), "uid": i},
                    "cls": i % 10,
                    "seg.A.bin": rng.bytes(int(rng.integers(0, 3000))),
                    "input_ids.npy": rng.integers(0, 50_000, i % 60).astype([np.int32, np.int64, np.uint16, np.uint32][i % 4]),
                }
            )


def write_format(path: str, format_: int) -> None:
    """Names that need what each format has for long ones, and entries that are of no sample."""
    with tarfile.open(path, "w", format=format_) as tar:
        add(tar, "__meta__.json", b"{}")
        add(tar, "data", b"", type=tarfile.DIRTYPE)
        for i in range(60):
            folder = f"data/{'d' * (i % 7 * 20)}x/é{i}" if format_ != tarfile.USTAR_FORMAT else f"data/{'d' * (i % 7 * 12)}x/e{i}"
            add(tar, f"{folder}.TXT", f"text {i} é".encode())
            add(tar, "data/link", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")
            add(tar, "dev", b"", type=tarfile.CHRTYPE)
            add(tar, f"{folder}.a.b.json", json.dumps({"caption": f"c {i}"}).encode())
            add(tar, "no-ending", b"of no sample")
            if i % 11 == 0:
                add(tar, f"../..//{i}.txt", b"nothing is written to disk")
            if i % 13 == 0:
                add(tar, f"hidden/.{i}", b"a member of hidden/")


def write_big(path: str) -> None:
    """Long bodies beside short ones, in any order."""
    rng = np.random.default_rng(5)
    with wds.TarWriter(path, mtime=1.0) as sink:
        for i in range(45):
            sample = {"__key__": f"{i:03}"}
            if i % 3 == 1:
                sample["a.bin"] = bytes(1_200_000 + i)
            sample["txt"] = document(rng, 5 if i % 5 else 200_000 // (i + 1))
            if i % 3 == 2:
                sample["z.bin"] = bytes(1_300_000 + i)
            sink.write(sample)


def read(path: str) -> list:
    """Of each sample the key, and by member the text, or the bytes in hexadecimal digits."""
    rows = []
    for sample in wds.WebDataset(path, shardshuffle=False, empty_check=False):
        members = {}
        for name, body in sample.items():
            if not name.startswith("__") and not name.endswith("bin"):
                members[name] = body.decode("utf8") if name.rsplit(".", 1)[-1] in ("txt", "json", "cls") else body.hex()
        rows.append([sample["__key__"], members])
    return rows


def write(directory: str) -> None:
    Path(directory).mkdir(parents=True, exist_ok=True)
    write_samples(f"{directory}/samples.tar", 700)
    write_format(f"{directory}/ustar.tar", tarfile.USTAR_FORMAT)
    write_format(f"{directory}/gnu.tar", tarfile.GNU_FORMAT)
    write_format(f"{directory}/pax.tar", tarfile.PAX_FORMAT)
    write_big(f"{directory}/big.tar")
    names = ["samples", "ustar", "gnu", "pax", "big"]
    shapes = {}
    for name in names:
        with tarfile.open(f"{directory}/{name}.tar") as tar:
            starts, last = [], None
            for info in tar:
                if not info.isreg():
                    continue
                key, _ = wds.tariterators.base_plus_ext(info.name)
                if key is None or re.match("__[^/]*__($|/)", info.name):
                    continue
                if key != last:
                    starts.append(info.offset)
                last = key
        shapes[name] = {"starts": starts, "end": tar.offset}
    print(json.dumps({"rows": {name: read(f"{directory}/{name}.tar") for name in names}, "shapes": shapes}))


def compressed(directory: str) -> None:
    from compressed import bgzip, streamed, zstd

    Path(directory).mkdir(parents=True, exist_ok=True)
    plain = f"{directory}/plain.tar"
    write_text(plain, np.random.default_rng(23), 0, 9000)
    content = Path(plain).read_bytes()
    pieces = [content[i : i + 700_001] for i in range(0, len(content), 700_001)]
    write_text(f"{directory}/written.tar.gz", np.random.default_rng(23), 0, 9000)  # the writer compresses it by its name
    Path(f"{directory}/whole.tgz").write_bytes(gzip.compress(content, 1))
    Path(f"{directory}/bgzip.tar.gz").write_bytes(bgzip(content))
    Path(f"{directory}/frame.tar.zst").write_bytes(streamed(content, 1))
    Path(f"{directory}/frames.tar.zst").write_bytes(b"".join(zstd(piece) for piece in pieces))
    rows = {name: [[key, members["txt"]] for key, members in read(f"{directory}/{name}")] for name in ("plain.tar", "written.tar.gz", "whole.tgz")}
    assert rows["plain.tar"] == rows["written.tar.gz"] == rows["whole.tgz"]
    print(json.dumps(rows["plain.tar"]))


def write_text(path: str, rng, shard: int, samples: int) -> None:
    with wds.TarWriter(path, mtime=1.0) as sink:
        for i in range(samples):
            sink.write({"__key__": f"{shard}/{i:06}", "txt": document(rng, int(rng.integers(1, 400))), "json": {"uid": f"{shard}-{i}"}})


def text(directory: str, shards: str, samples: str, ending: str = "tar") -> None:
    Path(directory).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(17)
    for shard in range(int(shards)):
        write_text(f"{directory}/shard-{shard:06}.{ending}", rng, shard, int(samples))


if __name__ == "__main__":
    {"write": write, "compressed": compressed, "text": text}[sys.argv[1]](*sys.argv[2:])
