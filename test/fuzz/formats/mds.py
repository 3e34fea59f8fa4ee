"""
MDS by its own writer: the fixtures of the decoder's tests, since the package needs torch.

The reference reader is written here, from what the package's MDSReader does: struct, numpy and json on the bytes of a shard.
"""

import json
import os
import shutil
import struct

import numpy as np
from formats import packed, served

FIXTURES = os.path.join(os.path.dirname(__file__), "../../decode/mds/fixtures")
FIELDS = ["text", "body", "digits", "raw", "int", "int8", "uint16", "uint32", "float16", "float32", "float64", "fixed", "square", "embedding", "floats"]
SIZES = {"floats": 2}


def make(directory: str) -> list:
    found = []
    for name, source in {"a.mds": "plain/shard.00001.mds", "b.mds": "plain/shard.00002.mds", "c.mds.zstd": "zstd/shard.00000.mds.zstd", "d.mds.gz": "gz/shard.00001.mds.gz"}.items():
        shutil.copy(os.path.join(FIXTURES, source), os.path.join(directory, name))
        plain = [
            {"column": "dynamic", "kind": "tokens"},
            {"column": "", "kind": "none", "fields": served.requests([(column, SIZES.get(column)) for column in FIELDS])},
            {"column": "meta", "kind": "records", "columns": ["meta", "text", "int", "uint64"], "id": "id"},
            {"column": "text", "kind": "text", "where": {"int": {"gte": 0}, "float32": {"lt": 2}, "digits": {"isNull": False}, "id": {"startsWith": "d"}}},
        ]
        found.append({"file": name, "requests": [{"column": "text", "kind": "text"}, *(plain if name.endswith(".mds") else [{"column": "tokens", "kind": "tokens"}])]})
    return found


def samples(data: bytes):
    (count,) = struct.unpack_from("<I", data)
    offsets = np.frombuffer(data, "<u4", count + 1, 4)
    config = json.loads(data[4 + 4 * (count + 1) : offsets[0]].decode("utf-8"))
    names, encodings, sizes = config["column_names"], config["column_encodings"], config["column_sizes"]
    for row in range(count):
        sample = data[offsets[row] : offsets[row + 1]]
        free = [i for i, size in enumerate(sizes) if not size]
        own = dict(zip(free, struct.unpack_from(f"<{len(free)}I", sample)))
        at, values = 4 * len(free), {}
        for i, name in enumerate(names):
            size = sizes[i] or own[i]
            values[name] = (encodings[i], sample[at : at + size])
            at += size
        assert at == len(sample)
        yield values


CODES = {8: "uint8", 9: "int8", 16: "uint16", 17: "int16", 18: "float16", 32: "uint32", 33: "int32", 34: "float32", 64: "uint64", 65: "int64", 66: "float64"}


def array(encoding: str, data: bytes) -> np.ndarray:
    parts = encoding.split(":")[1:]
    dtype = parts[0] if parts else CODES[data[0]]
    data = data if parts else data[1:]
    if len(parts) == 2:
        return np.frombuffer(data, dtype).reshape([int(size) for size in parts[1].split(",")])
    width = 1 << (data[0] & 3)
    shape = np.frombuffer(data, f"<u{width}", data[0] >> 2, 1)
    return np.frombuffer(data[1 + width * len(shape) :], dtype).reshape([int(size) for size in shape])


def number(encoding: str, data: bytes) -> np.ndarray:
    return np.frombuffer(data, "int64" if encoding == "int" else encoding)


def tokens(encoding: str, data: bytes) -> list | None:
    try:
        ids = array(encoding, data)
    except (KeyError, IndexError, ValueError):
        return None
    if ids.dtype.kind not in "iu" or sum(size != 1 for size in ids.shape) > 1:
        return None
    return ids


def field(encoding: str, data: bytes, size: int | None) -> bytes | None:
    if encoding.startswith("ndarray"):
        try:
            own = array(encoding, data)
        except (KeyError, IndexError, ValueError):
            return None
        return served.numbers(own.ravel(), own.size if encoding.count(":") == 2 else size)
    return data if encoding in ("str", "bytes", "json", "str_int") else served.numbers(number(encoding, data), None)


def record(encoding: str, data: bytes) -> object:
    if encoding not in ("str", "json", "str_int"):
        return served.exact(number(encoding, data)[0].item())
    own = served.text(data)
    try:
        return served.parsed(own) if encoding == "json" else own
    except ValueError:
        return own


def compared(encoding: str, data: bytes) -> object:
    if encoding == "str_int":
        own = data.decode("latin-1")
        return float(int(own)) if own.removeprefix("-").isdecimal() and own.isascii() else None
    return data if encoding == "str" else float(number(encoding, data)[0].item())


def rows(file: str, request: dict) -> object:
    column, kind = request["column"], request["kind"]
    for sample in samples(packed.content(file)):
        parts = []
        if kind == "text":
            parts.append(sample[column][1])
        if kind == "tokens":
            parts.append(tokens(*sample[column]))
        if kind == "records":
            parts.append({name: record(*sample[name]) for name in request["columns"]})
        if "id" in request:
            parts.append(sample[request["id"]][1].decode("utf-8", "replace").encode())
        parts += [field(*sample[own["column"]], own.get("size")) for own in request.get("fields", [])]
        parts += [compared(*sample[name]) for name in sorted(request.get("where", {}))]
        yield tuple(parts)
