"""The other side of the fuzzing: files by each format's reference writer, and what its reference reader makes of damaged ones.

FORMAT make DIR    writes files and prints what they are: [{"file", "requests": [{"column", "kind", "id"?, "columns"?, "fields"?, "where"?}], "beside"?}]
FORMAT read        takes {"file", "request"} a line, and prints {"digest", "rows"} or {"error"} a line; may crash in the middle, and is started again

formats/FORMAT.py has make(dir), and rows(file, request): each row None, bytes, or a list of integers; or several of these, and truths, floats and records, in a
tuple: the row itself (as far as the request is of rows), its id, its fields, and what a filter compares, by name.
"""

import decimal
import hashlib
import importlib
import json
import math
import struct
import sys


def digest(rows: object) -> dict:
    """As digest.ts makes it."""
    sha, count = hashlib.sha256(), 0
    for row in rows:
        count += 1
        for part in row if isinstance(row, tuple) else (row,):
            sha.update(encoded(part))
    return {"digest": sha.hexdigest(), "rows": count}


def encoded(part: object) -> bytes:
    if part is None:
        return b"n"
    if isinstance(part, bool):
        return b"b1" if part else b"b0"
    if isinstance(part, float):
        return struct.pack("<cd", b"d", math.nan if math.isnan(part) else part)
    if isinstance(part, bytes):
        return struct.pack("<cI", b"t", len(part)) + part
    if isinstance(part, dict):
        text = canonical(part).encode()
        return struct.pack("<cI", b"r", len(text)) + text
    # what is no id that a vocabulary has is -1
    ids = [int(id) if 0 <= id < 2**31 else -1 for id in getattr(part, "flat", part)]
    return struct.pack(f"<cI{len(ids)}q", b"i", len(ids), *ids)


def canonical(value: object) -> str:
    """As canonical-json.ts writes it: names in order, and numbers as JavaScript does."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if not isinstance(value, float):
        return json.dumps(value, ensure_ascii=False)
    # the shortest digits are the same; where an exponent begins, and how it is written, is not
    sign, digits, exponent = decimal.Decimal(repr(value)).normalize().as_tuple()
    shown = "".join(map(str, digits))
    point = len(digits) + exponent
    if -6 < point <= 0:
        shown = "0." + "0" * -point + shown
    elif 0 < point <= 21:
        shown = f"{shown[:point]}.{shown[point:]}" if point < len(digits) else shown.ljust(point, "0")
    else:
        shown = f"{shown[0]}{'.' if len(digits) > 1 else ''}{shown[1:]}e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return "-" * (sign and value != 0) + shown


def main(name: str, action: str, *arguments: str) -> None:
    module = importlib.import_module(f"formats.{name}")
    if action == "make":
        print(json.dumps(module.make(*arguments)))
        return
    for line in sys.stdin:
        task = json.loads(line)
        try:
            answer = digest(module.rows(task["file"], task["request"]))
        except Exception as error:  # whatever a reader says of a damaged file
            answer = {"error": f"{type(error).__name__}: {error}"[:500]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
