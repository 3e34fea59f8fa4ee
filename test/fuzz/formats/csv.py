"""Separated values by Python's csv: what it writes, and what its strict reader makes of each record.

The reader gives up at the first record that is none, where headrace has one bad row: from there on records are told apart here, by the rules of RFC 4180, and
each is read by the reader alone. Bytes are kept: what is no UTF-8 goes through it as Latin-1.
"""

import csv
import io
import random
import struct

from formats import packed, served

ROWS = 60
ALPHABET = ["a", "bc ", "é", "🙂", '"', "\n", "\r\n", ",", "\t", "word ", "'", ""]
NUMBERS = ["0", "-1", "2.5", "1e3", " 7 ", "9007199254740993", "", "x", "255"]
FIELDS = [("text",), ("n", None, "int64"), ("n", None, "int32"), ("n", None, "float64"), ("n", None, "float32"), ("flag", None, "uint8"), ("text", None, "bytes")]
WHERE = {"n": {"gte": 0}, "flag": True, "text": {"startsWith": "a"}, "id": {"isNull": False}}
REQUESTS = [
    {"column": "text", "kind": "text"},
    {"column": "text", "kind": "text", "id": "id", "where": WHERE},
    {"column": "", "kind": "none", "fields": [{**field, "type": field.get("type", "text")} for field in served.requests(FIELDS)]},
    {"column": "text", "kind": "records", "columns": ["text", "n", "flag"], "id": "id"},
]


def make(directory: str) -> list:
    found = []
    for name, delimiter, newline, mark in [("comma.csv", ",", "\r\n", b""), ("tab.tsv", "\t", "\n", b"\xef\xbb\xbf")]:
        rng = random.Random(13)
        out = io.StringIO()
        writer = csv.writer(out, delimiter=delimiter, lineterminator=newline)
        writer.writerow(["id", "text", "n", "flag"])
        for i in range(ROWS):
            writer.writerow([f"d{i}", "".join(rng.choices(ALPHABET, k=rng.randrange(12))), rng.choice(NUMBERS), rng.choice(["true", "False", "1", "yes"])])
            if i % 11 == 4:
                out.write(newline)
        data = mark + out.getvalue().encode()
        names = packed.save(directory, name, data) if name == "comma.csv" else [name]
        if name == "tab.tsv":
            with open(f"{directory}/{name}", "wb") as file:
                file.write(data)
        found += [{"file": own, "requests": REQUESTS} for own in names]
    return found


def records_of(data: bytes, delimiter: str) -> list:
    """Of each record its values; None where it is none."""
    lines = lines_in(data.removeprefix(b"\xef\xbb\xbf").decode("latin-1"))
    try:
        # a return before the line end is to csv a part of that
        if not any(line.endswith(("\r\r\n", "\r\r")) for line in lines):
            return [values for values in csv.reader(lines, delimiter=delimiter, strict=True) if values]
    except csv.Error:
        pass
    return [read_alone(record, delimiter) for record in apart(lines, delimiter) if record.strip("\r\n")]


def read_alone(record: str, delimiter: str) -> list | None:
    if record.endswith(("\r\r\n", "\r\r")):
        return None
    try:
        found = list(csv.reader(lines_in(record), delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return found[0] if len(found) == 1 else None


def lines_in(record: str) -> list:
    """With their ends."""
    lines = record.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + [line for line in lines[-1:] if line]


def apart(lines: list, delimiter: str) -> list:
    """A quote opens at the start of a value only; a line ends a record but in quotes."""
    records, own, state = [], "", "start"
    for line in lines:
        own += line
        for c in line:
            if state == "open":
                state = "closed" if c == '"' else "open"
            elif c in (delimiter, "\n"):
                state = "start"
            elif c == '"':
                state = "plain" if state == "plain" else "open"
            else:
                state = "plain"
        if state == "start" or not line.endswith("\n"):
            records.append(own)
            own = ""
    return [*records, own] if own else records


def number_of(own: bytes, type: str) -> bytes | None:
    text = served.text(own)
    found = served.numeral(text, type)
    if found is None and type == "uint8" and served.NUMERAL.fullmatch(text) is None:
        flag = flag_of(own)
        return None if flag is None else bytes([flag])
    return found


def flag_of(own: bytes) -> bool | None:
    return {"true": True, "false": False}.get(served.text(own).strip(served.SPACE).lower())


def compared(own: bytes | None, condition: object) -> object:
    if own is None:
        return None
    if isinstance(condition, bool):
        return flag_of(own)
    if "isNull" in condition:
        return b""
    if "startsWith" in condition:
        return own
    stored = served.numeral_as_double(served.text(own))
    return None if stored is None else struct.unpack("<d", stored)[0]


def rows(file: str, request: dict) -> object:
    records = records_of(packed.content(file), "\t" if ".tsv" in file.rsplit("/", 1)[-1] else ",")
    if not records:
        return
    head = [served.text(value.encode("latin-1")) for value in records[0]]
    for values in records[1:]:
        own = {} if values is None or len(values) != len(head) else {name: value.encode("latin-1") for name, value in zip(head, values)}
        parts = []
        if request["kind"] == "text":
            parts.append(own.get(request["column"]))
        if request["kind"] == "records":
            parts.append({name: served.text(own[name]) for name in request["columns"]} if own else None)
        if "id" in request:
            parts.append(served.text(own[request["id"]]).encode() if own else None)
        for field in request.get("fields", []):
            value = own.get(field["column"])
            parts.append(value if value is None or field["type"] in ("text", "bytes") else number_of(value, field["type"]))
        where = request.get("where", {})
        parts += [compared(own.get(name), where[name]) for name in sorted(where)]
        yield tuple(parts)
