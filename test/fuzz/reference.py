"""The other side of the fuzzing: files by each format's reference writer, and what its reference reader makes of damaged ones.

FORMAT make DIR    writes files and prints what they are: [{"file", "requests": [{"column", "kind", "options"?}]}]
FORMAT read        takes {"file", "request"} a line, and prints {"digest", "rows"} or {"error"} a line; may crash in the middle, and is started again

formats/FORMAT.py has make(dir), and rows(file, request): each row None, bytes, or a list of integers.
"""

import hashlib
import importlib
import json
import struct
import sys


def digest(rows: object) -> dict:
    """As digest.ts makes it."""
    sha, count = hashlib.sha256(), 0
    for row in rows:
        count += 1
        if row is None:
            sha.update(b"n")
        elif isinstance(row, bytes):
            sha.update(struct.pack("<cI", b"t", len(row)) + row)
        else:
            sha.update(struct.pack(f"<cI{len(row)}q", b"i", len(row), *row))
    return {"digest": sha.hexdigest(), "rows": count}


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
