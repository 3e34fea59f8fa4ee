"""Objects that are compressed as a whole: as Python's gzip and libzstd write them, and what gzip and pyarrow read of them."""

import gzip

import pyarrow as pa
import zstandard


def content(file: str) -> bytes:
    """Raises what the readers do, of files that are cut off as well."""
    with open(file, "rb") as opened:
        data = opened.read()
    if file.endswith((".gz", ".tgz")):
        return gzip.decompress(data)
    if file.endswith((".zst", ".zstd")):
        return pa.input_stream(pa.py_buffer(data), compression="zstd").read()
    return data


def gzipped(data: bytes, members: int = 1) -> bytes:
    return b"".join(gzip.compress(part, 6, mtime=0) for part in cut(data, members))


def zstd(data: bytes, frames: int = 1, checksum: bool = False) -> bytes:
    compressor = zstandard.ZstdCompressor(level=3, write_checksum=checksum)
    return b"".join(compressor.compress(part) for part in cut(data, frames))


def cut(data: bytes, parts: int) -> list:
    step = -(-len(data) // parts)
    return [data[start : start + step] for start in range(0, len(data), step)]


def save(directory: str, name: str, data: bytes) -> list:
    """Plain, and compressed in the ways that differ in what they check; names of those that a checksum covers say so."""
    stored = {
        name: data,
        f"checked.{name}.gz": gzipped(data),
        f"checked-members.{name}.gz": gzipped(data, 3),
        f"checked.{name}.zst": zstd(data, checksum=True),
        f"frames.{name}.zst": zstd(data, 3),
    }
    for file, own in stored.items():
        with open(f"{directory}/{file}", "wb") as opened:
            opened.write(own)
    return list(stored)
