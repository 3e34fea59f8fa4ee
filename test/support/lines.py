"""Lines of JSON, separated values and plain text as Python writes and reads them. Run by the TypeScript tests.

write DIR    the files, and beside each NAME.rows: what Python's json, csv and open read of it, a JSON list
"""

import csv
import gzip
import io
import json
import random
import sys
from pathlib import Path

import zstandard

DIRECTORY = Path(sys.argv[2])
RNG = random.Random(7)
ALPHABET = ["a", "bc ", "é", "中", "🙂", '"', "\\", "\n", "\t", "\u2028", "\x7f", "/", "{", "}", ",", "word ", "more words "]


def text(parts_max: int) -> str:
    return "".join(RNG.choices(ALPHABET, k=RNG.randint(0, parts_max)))


def save(name: str, content: bytes, rows: list) -> None:
    (DIRECTORY / name).write_bytes(content)
    (DIRECTORY / f"{name}.rows").write_text(json.dumps(rows))


def stored(name: str, content: bytes, rows: list) -> None:
    """Plain, and compressed in every way that has units of its own."""
    half = len(content) // 2
    frames = [content[i : i + 200_001] for i in range(0, len(content), 200_001)]
    save(name, content, rows)
    save(f"{name}.gz", gzip.compress(content[:half]) + gzip.compress(content[half:]), rows)
    save(f"{name}.zst", zstandard.ZstdCompressor(write_checksum=True).compress(content), rows)
    frames = b"".join(zstandard.ZstdCompressor(write_checksum=True).compress(frame) for frame in frames)
    save(f"frames-{name}.zst", frames, rows)


def json_lines(name: str, rows: int, parts_max: int, newline: str, ascii_only: bool) -> None:
    lines, texts = [], []
    for i in range(rows):
        value = None if i % 50 == 7 else text(parts_max)
        record = {"id": f"d{i}", "n": [i, {"text": "inner"}], "meta": {"lang": f"l{i}", "x": -1.5e3}, "text": value, "ok": True}
        lines.append(json.dumps(record, ensure_ascii=ascii_only, separators=(",", ":") if i % 3 else (", ", ": ")))
        if i % 40 == 3:
            lines.append("   " if i % 80 == 3 else "")
    content = newline.join(lines) + (newline if rows % 2 else "")
    for line in content.split(newline):
        if line.strip():
            texts.append(json.loads(line)["text"])
    stored(name, content.encode(), texts)


def separated(name: str, rows: int, delimiter: str, newline: str, bom: bool) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=newline)
    writer.writerow(["id", "text", "odd name"])
    for i in range(rows):
        writer.writerow([i, text(60), "x" if i % 2 else ""])
    content = out.getvalue()
    texts = [record["text"] for record in csv.DictReader(io.StringIO(content, newline=""), delimiter=delimiter)]
    stored(name, (b"\xef\xbb\xbf" if bom else b"") + content.encode(), texts)


def plain(name: str, rows: int) -> None:
    lines = [text(30).replace("\n", " ") + ("x" if i % 3 else "") for i in range(rows)]
    content = "\n".join(lines)
    stored(name, content.encode(), [line for line in content.split("\n") if line.strip(" \t")])


def write() -> None:
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    json_lines("small.jsonl", 200, 20, "\n", True)
    json_lines("crlf.jsonl", 301, 40, "\r\n", False)
    json_lines("large.jsonl", 30_000, 300, "\n", False)
    separated("comma.csv", 401, ",", "\r\n", False)
    separated("tab.tsv", 400, "\t", "\n", True)
    separated("large.csv", 20_000, ",", "\n", False)
    plain("lines.txt", 5_000)


{"write": write}[sys.argv[1]]()
