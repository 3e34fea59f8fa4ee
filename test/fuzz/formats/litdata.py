"""
litData by its own writer: the fixtures of the decoder's tests, since the package needs torch.

The reference reader is written here, from what the package's loader and serializers do: struct, numpy and json on the bytes of a chunk.
"""

import json
import os
import shutil
import struct

import numpy as np
import pyarrow as pa

from formats import served

FIXTURES = os.path.join(os.path.dirname(__file__), "../../decode/litdata/fixtures")
FIELDS = [
    *[("image", None), ("raw", None), ("text", None), ("n", None), ("score", None), ("good", None), ("embedding", 4), ("half", 2), ("mask", 3), ("wide", 2)],
    *[("square", 4, "int64"), ("grid", 2, "float32"), ("list", 3), ("pair", 2), ("ids", 3), ("mixed", 4, "float32")],
]
REQUESTS = {
    "samples": [
        {"column": "text", "kind": "text"},
        {"column": "ids", "kind": "tokens"},
        {"column": "", "kind": "none", "fields": served.requests(FIELDS)},
        {"column": "messages", "kind": "records", "columns": ["messages", "mixed", "notes", "text", "n", "good"], "id": "n"},
        {"column": "text", "kind": "text", "where": {"good": True, "n": {"gt": 5}, "notes.deep.flag": False, "score": {"lt": 2}, "text": {"startsWith": "w"}}},
    ],
    "frames": [{"column": "0", "kind": "text"}, {"column": "8", "kind": "tokens"}],
    "samples-zstd": [{"column": "text", "kind": "text"}],
    "chunk-zstd": [{"column": "text", "kind": "text"}],
    "tokens": [{"column": "tokens", "kind": "tokens"}],
}


def make(directory: str) -> list:
    found = []
    for name, requests in REQUESTS.items():
        own = os.path.join(directory, name)
        shutil.copytree(os.path.join(FIXTURES, name), own)
        chunk = sorted(file for file in os.listdir(own) if file.endswith(".bin"))[0]
        found.append({"file": f"{name}/{chunk}", "requests": requests, "beside": [f"{name}/index.json"]})
    return found


def names_below(node: dict, path: tuple) -> list:
    if node["type"] is None:
        return [path]
    keys = json.loads(node["context"]) or range(len(node["children_spec"]))
    return [name for key, child in zip(keys, node["children_spec"]) for name in names_below(child, (*path, key))]


def zstd(data: bytes) -> bytes:
    return pa.input_stream(pa.py_buffer(data), compression="zstd").read()


def samples(file: str, config: dict) -> list:
    data = open(file, "rb").read()
    if file.endswith(".zstd.bin"):
        data = zstd(data)
    if data[:8] == b"LDFZ01\0\0":
        version, _, count, _, frames = struct.unpack_from("<HHIII", data, 8)
        offsets = np.frombuffer(data, "<u4", count + 1, 24)
        at, decoded = 24 + 4 * (count + 1), b""
        for frame in range(frames):
            _, _, place, stored, size = struct.unpack_from("<IIQII", data, at + 24 * frame)
            own = zstd(data[place : place + stored])
            assert len(own) == size
            decoded += own
        return [decoded[start:end] for start, end in zip(offsets[:-1], offsets[1:])]
    (count,) = struct.unpack_from("<I", data)
    offsets = np.frombuffer(data, "<u4", count + 1, 4)
    found = [data[start:end] for start, end in zip(offsets[:-1], offsets[1:])]
    return [zstd(sample) for sample in found] if config.get("compression_level") == "sample" else found


TORCH = ["f4", "f4", "f8", "f8", "c8", "c8", "c16", "c16", "f2", "f2", None, "u1", "i1", "i2", "i2", "i4", "i4", "i8", "i8", "u1", "u2"]
NUMPY = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16", "u1"]


def array(format: str, data: bytes) -> np.ndarray:
    """Raises ValueError, IndexError, struct.error, TypeError."""
    kind, _, code = format.partition(":")
    types = NUMPY if kind.endswith("numpy") else TORCH
    if code:
        return np.frombuffer(data, types[int(code)])
    order = "<" if kind == "numpy" else ">"
    code, rank = struct.unpack_from(f"{order}II", data)
    if rank > 32:
        raise ValueError("rank")
    shape = struct.unpack_from(f"{order}{rank}I", data, 8)
    return np.frombuffer(data[8 + 4 * rank :], np.dtype(types[code] or "")).reshape(shape)


class Nested:
    """A list or a dict within a sample; what is not whole raises ValueError."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def whole(self) -> object:
        if not self.data or self.data[0] > 0x20:
            return served.parsed(served.text(self.data))
        value = self.value(self.next(1)[0], 0)
        if self.at < len(self.data):
            raise ValueError("more")
        return value

    def next(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise ValueError("ends")
        self.at += count
        return self.data[self.at - count : self.at]

    def u32(self) -> int:
        return struct.unpack("<I", self.next(4))[0]

    def text(self) -> str:
        return served.text(self.next(self.u32()))

    def count(self, width: int) -> int:
        count = self.u32()
        if count * width > len(self.data) - self.at:
            raise ValueError("ends")
        return count

    def value(self, tag: int, depth: int) -> object:
        one = {1: (4, 7), 2: (8, 8), 3: (8, 9), 4: (1, 10)}
        if tag == 0:
            return served.parsed(served.text(self.next(self.u32())))
        if tag in one:
            width, kind = one[tag]
            return [self.value(kind, depth) for _ in range(self.count(width))]
        if tag == 5:
            if depth > 64:
                raise ValueError("deep")
            return dict((self.text(), self.value(self.next(1)[0], depth + 1)) for _ in range(self.count(5)))
        if tag == 6:
            rows = self.u32()
            keys = [self.text() for _ in range(self.count(4))]
            if rows * max(1, len(keys)) > len(self.data) - self.at:
                raise ValueError("ends")
            kinds = {0x10: 11, 0x11: 7, 0x12: 8, 0x13: 9, 0x14: 10}
            return [{key: self.value(kinds.get(self.next(1)[0], 99), depth) for key in keys} for _ in range(rows)]
        if tag == 7:
            return self.text()
        if tag == 8:
            return served.exact(struct.unpack("<q", self.next(8))[0])
        if tag == 9:
            return served.exact(struct.unpack("<d", self.next(8))[0])
        if tag == 10:
            return self.next(1) != b"\0"
        if tag == 11:
            return None
        raise ValueError(f"tag {tag}")


def nested_numbers(data: bytes) -> np.ndarray | None:
    """None where it is no list of numbers."""
    if len(data) >= 5 and data[0] in (2, 3, 4):
        (count,) = struct.unpack_from("<I", data, 1)
        dtype = {2: "<i8", 3: "<f8", 4: "u1"}[data[0]]
        own = data[5:]
        return np.frombuffer(own, dtype) if len(own) == count * np.dtype(dtype).itemsize else None
    try:
        value = Nested(data).whole()
    except ValueError:
        return None
    if not isinstance(value, list) or not all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in value):
        return None
    isWhole = all(isinstance(item, int) and abs(item) < 2**53 for item in value)
    return np.array(value, "int64" if isWhole else "float64")


def tokens(format: str, data: bytes) -> list | None:
    try:
        ids = nested_numbers(data) if format == "json" else array(format, data)
    except (ValueError, IndexError, struct.error, TypeError):
        return None
    if ids is None or ids.dtype.kind not in "iu" or (format == "json" and ids.dtype != np.int64) or sum(size != 1 for size in ids.shape) > 1:
        return None
    return ids


def field(format: str, data: bytes, size: int | None, type: str | None, listed: str | None) -> bytes | None:
    if format in ("int", "float", "bool"):
        return served.numbers(np.frombuffer(data, {"int": "<i8", "float": "<f8", "bool": "u1"}[format]), None)
    if format in ("str", "bytes", "jpeg"):
        return data
    try:
        own = nested_numbers(data) if format == "json" else array(format, data).ravel()
    except (ValueError, IndexError, struct.error, TypeError):
        return None
    wanted = {"int": "int64", "float": "float32", "bool": "uint8"}.get(listed) if listed else type
    if own is None or own.dtype.kind not in "iuf" or own.dtype == np.uint64:
        return None
    stored = served.SERVED.get(str(own.dtype), "float32")
    if ":" not in format and stored != wanted:
        if not (format == "json" and stored == "int64" and wanted == "float32"):
            return None
        own = own.astype("float64").astype("float32")
    return served.numbers(own, size)


def record(format: str, data: bytes) -> object:
    if format == "json":
        return Nested(data).whole()
    if format == "str":
        return served.text(data)
    return compared_number(format, data)


def compared_number(format: str, data: bytes) -> object:
    if format == "bool":
        (value,) = data
        return value != 0
    return served.exact(struct.unpack("<q" if format == "int" else "<d", data)[0])


def compared(format: str, data: bytes) -> object:
    if format == "str":
        return data
    return bool(data[0]) if format == "bool" else float(struct.unpack("<q" if format == "int" else "<d", data)[0])


def rows(file: str, request: dict) -> object:
    config = json.load(open(os.path.join(os.path.dirname(file), "index.json")))["config"]
    column, kind = request["column"], request["kind"]
    own = samples(file, config)
    formats = config["data_format"]
    if config["item_loader"] == "TokensLoader":
        yield from ((tokens(formats[0], sample),) for sample in own)
        return
    paths = names_below(json.loads(config["data_spec"])[1], ())
    names = [".".join(map(str, path)) for path in paths]
    types = config["types"]

    def listed(name: str) -> str | None:
        known = types.get(name) if isinstance(types, dict) else None
        value = known.get("value") if isinstance(known, dict) and known.get("type") == "list" else None
        return value if value in ("int", "float", "bool") else None

    for sample in own:
        sizes = struct.unpack_from(f"<{len(names)}I", sample)
        ends = np.cumsum([4 * len(names), *sizes])
        assert ends[-1] == len(sample)
        leaves = {name: (formats[i], sample[ends[i] : ends[i + 1]]) for i, name in enumerate(names)}
        value = leaves[names[0] if len(names) == 1 else column] if kind in ("text", "tokens") else None
        parts = []
        if kind == "text":
            parts.append(value[1])
        if kind == "tokens":
            parts.append(tokens(*value))
        if kind == "records":
            parts.append(record_of(request["columns"], leaves, paths, names))
        if "id" in request:
            parts.append(str(struct.unpack("<q", leaves[request["id"]][1])[0]).encode())
        parts += [field(*leaves[own["column"]], own.get("size"), own.get("type"), listed(own["column"])) for own in request.get("fields", [])]
        parts += [compared(*leaves[name]) for name in sorted(request.get("where", {}))]
        yield tuple(parts)


def record_of(columns: list, leaves: dict, paths: list, names: list) -> dict | None:
    """None: a bad row."""
    row: dict = {}
    try:
        for path, name in zip(paths, names):
            if path[0] not in columns:
                continue
            into = row
            for key in path[:-1]:
                into = into.setdefault(key, {})
            into[path[-1]] = record(*leaves[name])
    except ValueError:
        return None
    return row
