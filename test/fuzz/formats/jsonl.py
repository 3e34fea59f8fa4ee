"""JSON lines by Python's json: what it writes, and what it reads of each line.

Texts are kept as the bytes that they are, valid UTF-8 or not: what is none goes through the parser as characters that nobody writes.
"""

import json
import random

from formats import packed, served

ROWS = 60
ALPHABET = ["a", "bc ", "é", "中", "🙂", '"', "\\", "\n", "\t", "\u2028", "/", "{", "}", ",", "word "]
FIELDS = [
    ("text",),
    ("n", None, "int64"),
    ("n", None, "int32"),
    ("small", None, "uint8"),
    ("meta.score", None, "float32"),
    ("meta.score", None, "float64"),
    ("emb", 3, "float32"),
    ("longs", 2, "int64"),
    ("text", None, "bytes"),
]
WHERE = {"text": {"startsWith": "a"}, "n": {"gte": 0}, "flag": True, "meta.lang": {"isNull": False}}
REQUESTS = [
    {"column": "text", "kind": "text"},
    {"column": "meta.text", "kind": "text"},
    {"column": "ids", "kind": "tokens"},
    {"column": "", "kind": "none", "fields": [{**field, "type": field.get("type", "text")} for field in served.requests(FIELDS)]},
    {"column": "meta", "kind": "records", "columns": ["meta", "n", "emb", "longs", "text"], "id": "id"},
    {"column": "text", "kind": "text", "where": WHERE},
]


def make(directory: str) -> list:
    rng = random.Random(9)
    lines = []
    for i in range(ROWS):
        text = None if i % 17 == 3 else "".join(rng.choices(ALPHABET, k=rng.randrange(20)))
        row = {
            "id": f"d{i}" if i % 3 else i * 10**14,
            "text": text,
            "n": [i, -i, 2**53 + i, i * 0.5, 1e20][i % 5],
            "small": i * 5,
            "flag": i % 2 == 0,
            "meta": {"lang": ["en", None, "de"][i % 3], "score": rng.random() * 10 ** rng.randrange(-9, 9), "text": f"inner {i} é"},
            "ids": [rng.randrange(50_000) for _ in range(rng.randrange(9))],
            "emb": [rng.randrange(9) / 4 for _ in range(3)],
            "longs": [i, 2**60 + i],
        }
        items = list(row.items())
        rng.shuffle(items)
        lines.append(json.dumps(dict(items), ensure_ascii=i % 2 == 0, separators=(",", ":") if i % 3 else (", ", ": ")))
        if i % 13 == 5:
            lines.append("  " if i % 2 else "")
    newline = "\n"
    files = packed.save(directory, "lf.jsonl", newline.join(lines).encode())
    with open(f"{directory}/crlf.jsonl", "wb") as file:
        file.write(b"\xef\xbb\xbf" + "\r\n".join(lines).encode() + b"\r\n")
    return [{"file": name, "requests": REQUESTS} for name in [*files, "crlf.jsonl"]]


RAW = {byte: chr(0xF0000 + byte) for byte in range(128, 256)}


def raw(line: bytes) -> str:
    """Each byte that is not ASCII as a character of a private plane."""
    return line.decode("latin-1").translate(RAW)


def raw_bytes(text: str) -> bytes:
    """Back again. Half a surrogate pair, which no UTF-8 has, is a byte that none has either."""
    parts = [bytes([ord(c) - 0xF0000]) if 0xF0080 <= ord(c) <= 0xF00FF else b"\xff" if 0xD800 <= ord(c) <= 0xDFFF else c.encode() for c in text]
    return b"".join(parts)


def value_of(row: object, path: str) -> object:
    """A name with dots itself comes first, and a longer one before a shorter one; None where there is none."""
    if not isinstance(row, dict):
        return None
    parts = path.split(".")
    for end in range(len(parts), 0, -1):
        name, rest = ".".join(parts[:end]), ".".join(parts[end:])
        if name in row:
            found = value_of(row[name], rest) if rest else row[name]
            if found is not None or not rest:
                return found
    return None


def is_rare(text: str, at: int, path: str) -> bool:
    """Of the valid object that begins here: whether the path's names are there more than once, or a name has escapes. Such lines are read less exactly."""
    decoder = json.JSONDecoder()
    matches, inner = 0, False
    at = spaces(text, at + 1)
    while text[at] != "}":
        name, end = json.decoder.scanstring(text, at + 1)
        is_escaped = "\\" in text[at:end]
        at = spaces(text, spaces(text, end) + 1)
        if is_escaped:
            matches += 2
        elif name == path:
            matches += 1
        elif path.startswith(f"{name}."):
            matches += 1
            inner = (text[at] == "{" and is_rare(text, at, path[len(name) + 1 :])) or inner
        at = spaces(text, decoder.raw_decode(text, at)[1])
        if text[at] == ",":
            at = spaces(text, at + 1)
    return matches > 1 or inner


def spaces(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


class Line:
    def __init__(self, line: bytes):
        self.line, self.text = line, raw(line)
        try:
            self.row = served.parsed_exactly(self.text)
        except ValueError:
            self.row = None
        self.is_bad = not isinstance(self.row, dict)

    def is_rare(self, path: str) -> bool:
        return is_rare(self.text, spaces(self.text, 0), path)

    def at(self, path: str) -> object:
        """None as well where it cannot be read."""
        if self.is_bad or (self.is_rare(path) and not is_utf8(self.line)):
            return None
        return value_of(self.row, path)


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def text_of(line: Line, path: str) -> bytes | None:
    value = line.at(path)
    return raw_bytes(value) if isinstance(value, str) else None


def tokens_of(line: Line, path: str) -> list | None:
    value = line.at(path)
    if not isinstance(value, list) or line.is_rare(path):
        return None
    whole = all(type(id) is int or (type(id) is float and id == 0 and str(id) == "-0.0") for id in value)
    return [int(id) for id in value] if whole and all(0 <= id < 2**31 for id in value) and not has_floats(line, path) else None


def has_floats(line: Line, path: str) -> bool:
    """Zeros that are written as `-0.0`, which no other number looks like here."""
    floats = value_of(json.loads(line.text, parse_int=int), path)
    return any(type(id) is float for id in floats)


def field_of(value: object, type: str, size: int | None, is_exact: bool) -> bytes | None:
    if type in ("text", "bytes"):
        return raw_bytes(value) if isinstance(value, str) else None
    if type == "int64" and not is_exact and any(isinstance(item, int) and abs(item) >= 2**53 for item in (value if isinstance(value, list) else [value])):
        return None
    return served.json_number(value, type, size)


def record_of(line: bytes, columns: list) -> dict | None:
    try:
        row = served.parsed_exactly(served.text(line))
    except ValueError:
        return None
    if not isinstance(row, dict):
        return None
    return {name: exact(value_of(row, name)) for name in columns}


def exact(value: object) -> object:
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, dict):
        return {whole(name): exact(item) for name, item in value.items()}
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) >= 2**53 else value
    return served.whole(value) if isinstance(value, float) else value


def whole(text: str) -> str:
    return "".join("\ufffd" if 0xD800 <= ord(c) <= 0xDFFF else c for c in text)


def id_of(line: Line, path: str) -> bytes | None:
    value = line.at(path)
    if isinstance(value, str):
        return whole(served.text(raw_bytes(value).replace(b"\xff", b"\xef\xbf\xbd"))).encode()
    if not is_number(value):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    if isinstance(value, int) and line.is_rare(path):
        value = float(value)
    return str(int(value)).encode()


def compared(value: object, condition: object) -> object:
    if isinstance(condition, dict) and "isNull" in condition:
        return None if value is None else b""
    if isinstance(condition, bool):
        return value if isinstance(value, bool) else None
    operand = next(iter(condition.values()))
    if isinstance(operand, str):
        return raw_bytes(value) if isinstance(value, str) else None
    try:
        return float(value) if is_number(value) else None
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def lines_of(data: bytes) -> list:
    return [line for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip(b" \t\r")]


def rows(file: str, request: dict) -> object:
    column, kind = request["column"], request["kind"]
    for own in lines_of(packed.content(file)):
        line = Line(own)
        parts = []
        if kind == "text":
            parts.append(text_of(line, column))
        if kind == "tokens":
            parts.append(tokens_of(line, column))
        if kind == "records":
            parts.append(record_of(own, request["columns"]))
        if "id" in request:
            parts.append(id_of(line, request["id"]))
        for field in request.get("fields", []):
            path = field["column"]
            parts.append(field_of(line.at(path), field["type"], field.get("size"), line.is_bad or not line.is_rare(path)))
        where = request.get("where", {})
        parts += [compared(line.at(path), where[path]) for path in sorted(where)]
        yield tuple(parts)
