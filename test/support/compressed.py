"""Compressed files as Python's own writers make them. Run by the TypeScript tests.

contents DIR    files of several codecs and shapes, each with the same content in NAME.plain beside it
damaged DIR     frames without checksums, each with some byte changed; prints of each what libzstd makes of it, by name: a digest, or null
"""

import gzip
import hashlib
import json
import random
import struct
import sys
import zlib
from pathlib import Path

import zstandard

DIRECTORY = Path(sys.argv[2])


def text(seed: int, size: int) -> bytes:
    rng = random.Random(seed)
    words = [bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz", k=rng.randint(1, 9))) for _ in range(500)]
    out = bytearray()
    while len(out) < size:
        out += b" ".join(rng.choices(words, k=20)) + b"\n"
    return bytes(out[:size])


def bgzip(content: bytes, member: int = 65280) -> bytes:
    """As htslib writes it: members of at most 64 KiB that say how long they are, and an empty one at the end."""
    out = bytearray()
    pieces = [content[i : i + member] for i in range(0, len(content), member)]
    for piece in [*pieces, b""]:
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = deflate.compress(piece) + deflate.flush()
        out += b"\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff\x06\x00BC\x02\x00" + struct.pack("<H", len(body) + 25) + body
        out += struct.pack("<II", zlib.crc32(piece), len(piece))
    return bytes(out)


def write(name: str, stored: bytes, content: bytes) -> None:
    (DIRECTORY / name).write_bytes(stored)
    (DIRECTORY / f"{name}.plain").write_bytes(content)


def zstd(content: bytes, level: int = 3, **options: object) -> bytes:
    return zstandard.ZstdCompressor(level=level, **options).compress(content)  # type: ignore[arg-type]


def streamed(content: bytes, level: int) -> bytes:
    """A frame that does not say how much content it has."""
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj()
    return compressor.compress(content) + compressor.flush()


def contents() -> None:
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    large = text(1, 3_000_000)
    noise = random.Random(2).randbytes(700_000)
    write("one.gz", gzip.compress(large, 6), large)
    write("members.gz", b"".join(gzip.compress(large[i : i + 300_003]) for i in range(0, len(large), 300_003)), large)
    write("padded.gz", gzip.compress(large) + bytes(5000), large)
    write("noise.gz", gzip.compress(noise), noise)
    write("empty.gz", gzip.compress(b""), b"")
    write("nothing.gz", b"", b"")
    write("blocks.bgz", bgzip(large), large)
    write("mixed.gz", bgzip(large[:1_000_000]) + gzip.compress(large[1_000_000:]), large)
    for level in (-5, 1, 3, 9, 19):
        write(f"level{level}.zst", zstd(large, level, write_checksum=True), large)
    write("streamed.zst", streamed(large, 3), large)
    write("unchecked.zst", zstd(large, 3), large)
    write("frames.zst", b"".join(zstd(large[i : i + 100_007], 3, write_checksum=True) for i in range(0, len(large), 100_007)), large)
    tiny = [large[i : i + i % 41] for i in range(0, 40_000, 97)]
    skippable = struct.pack("<II", 0x184D2A53, 11) + b"hello there"
    write("tiny.zst", skippable.join(zstd(piece, 3, write_checksum=i % 2 == 0) for i, piece in enumerate(tiny)), b"".join(tiny))
    write("noise.zst", zstd(noise, 3, write_checksum=True), noise)
    write("run.zst", zstd(bytes(1_000_000), 3, write_checksum=True), bytes(1_000_000))
    write("empty.zst", zstd(b""), b"")
    write("nothing.zst", b"", b"")
    (DIRECTORY / "bomb.zst").write_bytes(zstd(bytes(40_000_000), 3))
    (DIRECTORY / "bomb.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    window = zstandard.ZstdCompressionParameters(window_log=28, write_content_size=False)
    compressor = zstandard.ZstdCompressor(compression_params=window).compressobj()
    (DIRECTORY / "window.zst").write_bytes(compressor.compress(large) + compressor.flush())
    dictionary = zstandard.train_dictionary(8192, [text(i, 4000) for i in range(40)])
    (DIRECTORY / "dictionary.zst").write_bytes(zstandard.ZstdCompressor(dict_data=dictionary).compress(large))


def damaged() -> None:
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    content, rng = text(3, 20_000), random.Random(4)
    verdicts = {}
    for i in range(300):
        frame = bytearray(zstd(content, rng.choice([1, 3, 19])))
        frame[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
        (DIRECTORY / f"{i}.zst").write_bytes(frame)
        try:
            verdicts[f"{i}.zst"] = hashlib.sha256(zstandard.ZstdDecompressor().decompress(bytes(frame), max_output_size=2**20)).hexdigest()
        except zstandard.ZstdError:
            verdicts[f"{i}.zst"] = None
    print(json.dumps(verdicts))


if __name__ == "__main__":
    {"contents": contents, "damaged": damaged}[sys.argv[1]]()
