"""Columns of lines as plain Python reads them. Run by the TypeScript tests.

write DIR SEED          rows.jsonl and rows.csv of random rows; beside each NAME.json: its fields (base64 of what is served) and records
filter DIR FILTERS      for each filter of the JSON file: the rows of rows.jsonl and of rows.csv that it takes, as JSON
"""

import base64
import csv
import json
import random
import re
import struct
import sys
from pathlib import Path

WORDS = ["", "a", "aa", "b", "en", "eng", "é", "ｅ", "e\U0001f642", 'q"uo,te', "back\\slash", "two\nlines", "1", "2.5", "true"]
NUMBERS = [0, 1, -1, 2, 2.5, -0.5, 255, 256, 1e3, 2**31, -(2**31), 2**53 + 1, -(2**63), 2**63, 1e39, 0.1]
ROWS = 240
TYPES = {
    "uint8": ("<B", 0, 255),
    "int32": ("<i", -(2**31), 2**31 - 1),
    "int64": ("<q", -(2**63), 2**63 - 1),
    "float32": ("<f", None, None),
    "float64": ("<d", None, None),
}
FIELDS = {
    "rows.jsonl": {
        "text": ("s", "text", None),
        "raw": ("meta.lang", "bytes", None),
        "small": ("n", "uint8", None),
        "int": ("n", "int32", None),
        "big": ("n", "int64", None),
        "single": ("n", "float32", None),
        "double": ("meta.score", "float64", None),
        "flag": ("b", "uint8", None),
        "emb": ("emb", "float32", 3),
        "longs": ("longs", "int64", 2),
        "dotted": ("a.b", "text", None),
    },
    "rows.csv": {"text": ("s", "text", None), "int": ("n", "int32", None), "big": ("n", "int64", None), "double": ("n", "float64", None), "flag": ("b", "uint8", None)},
}
RECORDS = {"rows.jsonl": ["s", "meta", "meta.lang", "longs", "n", "emb"], "rows.csv": ["n", "s"]}


def anything(rng: random.Random):
    return rng.choice([None, True, False, 7, 2.5, "a", "en", [], [1], {}, {"x": 1}])


def json_row(rng: random.Random) -> str:
    row = {
        "s": rng.choice(WORDS),
        "n": rng.choice(NUMBERS),
        "b": rng.random() < 0.5,
        "m": anything(rng),
        "meta": {"lang": rng.choice(WORDS), "score": rng.choice(NUMBERS), "deep": {"lang": "no"}},
        "emb": [rng.choice(NUMBERS[:8]) for _ in range(rng.choice([3, 3, 3, 2]))],
        "longs": [rng.choice(NUMBERS), 2**60 + 1],
        "a.b": "dotted",
        "a": {"b": "inner"},
    }
    for name in list(row):
        if rng.random() < 0.1:
            del row[name]
        elif rng.random() < 0.08:
            row[name] = anything(rng)
    is_rare = rng.random() < 0.1
    if is_rare:  # in such lines integers beyond 2^53 are not exact, and so their rows are bad ones
        row |= {"n": 5, "longs": [1, 2]}
    items = list(row.items())
    rng.shuffle(items)
    if is_rare and rng.random() < 0.5:
        items.append((items[0][0], anything(rng)))  # twice: the last one counts
    space = rng.choice(["", " "])
    text = ("," + space).join(f"{json.dumps(name)}:{space}{json.dumps(value, ensure_ascii=rng.random() < 0.5)}" for name, value in items)
    if is_rare:
        text = text.replace('"s":', '"\\u0073":')
    return "{" + text + "}"


def value_of(row, path: str):
    """A name with dots itself comes first, and a longer one before a shorter one; None where there is none."""
    parts = path.split(".")
    for end in range(len(parts), 0, -1):
        name, rest = ".".join(parts[:end]), ".".join(parts[end:])
        if not isinstance(row, dict) or name not in row:
            continue
        found = value_of(row[name], rest) if rest else row[name]
        if found is not None or not rest:
            return found
    return None


def is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def served(value, type_: str, size):
    if type_ in ("text", "bytes"):
        return value.encode() if isinstance(value, str) else None
    if size is not None:
        parts = [served(item, type_, None) for item in value] if isinstance(value, list) and len(value) == size else [None]
        return None if None in parts else b"".join(parts)
    if type_ == "uint8" and isinstance(value, bool):
        return bytes([value])
    form, low, high = TYPES[type_]
    if not is_number(value):
        return None
    if low is not None and not (value == int(value) and low <= value <= high):
        return None
    if type_ == "int64" and isinstance(value, float) and abs(value) >= 2**53:
        return None
    try:
        return struct.pack(form, int(value) if low is not None else float(value))
    except OverflowError:
        return None


def typed(text: str, wanted: str):
    """Of separated values, as what is wanted."""
    if wanted in ("number", "int32", "int64", "float32", "float64", "uint8") and re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", text):
        return int(text) if re.fullmatch(r"\s*[+-]?\d+\s*", text) else float(text)
    if wanted in ("boolean", "uint8") and text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    return text if wanted in ("text", "bytes", "any") else None


def rows_of(directory: str, name: str) -> list:
    if name.endswith(".csv"):
        with open(f"{directory}/{name}", newline="") as file:
            return list(csv.DictReader(file))
    return [json.loads(line) for line in Path(directory, name).read_text().split("\n") if line.strip()]


def exact(value):
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, dict):
        return {name: exact(item) for name, item in value.items()}
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53 else value


def write(directory: str, seed: str) -> None:
    rng = random.Random(int(seed))
    Path(directory).mkdir(parents=True, exist_ok=True)
    Path(directory, "rows.jsonl").write_text("\n".join(json_row(rng) for _ in range(ROWS)))
    with open(f"{directory}/rows.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["n", "s", "b", "meta.lang"])
        for _ in range(ROWS):
            writer.writerow([rng.choice([*NUMBERS, "", "x", " 3 "]), rng.choice(WORDS), rng.choice([True, False, "true", "yes", ""]), rng.choice(WORDS)])
    for name, fields in FIELDS.items():
        rows = rows_of(directory, name)
        is_text = name.endswith(".csv")
        columns = {}
        for field, (path, type_, size) in fields.items():
            values = [served(typed(row[path], type_) if is_text else value_of(row, path), type_, size) for row in rows]
            columns[field] = {"column": path, "type": type_, "size": size, "values": [None if v is None else base64.b64encode(v).decode() for v in values]}
        records = [{path: exact(row[path] if is_text else value_of(row, path)) for path in RECORDS[name]} for row in rows]
        Path(directory, f"{name}.json").write_text(json.dumps({"fields": columns, "records": records}))


def operands_of(where, into: dict) -> dict:
    for key, condition in where.items():
        if key == "not":
            operands_of(condition, into)
        elif key in ("any", "all"):
            for part in condition:
                operands_of(part, into)
        else:
            collect(condition, into.setdefault(key, []))
    return into


def collect(condition, into: list) -> None:
    if isinstance(condition, list):
        into += condition
    elif isinstance(condition, dict):
        for operator, operand in condition.items():
            if operator == "not":
                collect(operand, into)
            elif operator != "isNull":
                into += operand if isinstance(operand, list) else [operand]
    else:
        into.append(condition)


def wanted_of(operands: list) -> str:
    if not operands:
        return "any"
    return "boolean" if isinstance(operands[0], bool) else "text" if isinstance(operands[0], str) else "number"


def not_(truth):
    return None if truth is None else not truth


def all_(truths) -> bool | None:
    truths = list(truths)
    return False if False in truths else None if None in truths else True


def any_(truths) -> bool | None:
    return not_(all_(not_(truth) for truth in truths))


def of_value(value, condition) -> bool | None:
    if isinstance(condition, list):
        return any_(of_value(value, operand) for operand in condition)
    if not isinstance(condition, dict):
        return None if value is None else value == condition
    return all_(of_operator(value, operator, operand) for operator, operand in condition.items())


def of_operator(value, operator: str, operand) -> bool | None:
    if operator == "not":
        return not_(of_value(value, operand))
    if operator == "isNull":
        return (value is None) == operand
    if value is None:
        return None
    if operator == "in":
        return value in operand
    if operator == "between":
        return operand[0] <= value <= operand[1]
    if operator == "startsWith":
        return value.startswith(operand)
    return {"eq": value == operand, "gt": value > operand, "gte": value >= operand, "lt": value < operand, "lte": value <= operand}[operator]


def truth_of(where, value) -> bool | None:
    parts = []
    for key, condition in where.items():
        if key == "not":
            parts.append(not_(truth_of(condition, value)))
        elif key in ("any", "all"):
            parts.append((any_ if key == "any" else all_)(truth_of(part, value) for part in condition))
        else:
            parts.append(of_value(value(key), condition))
    return all_(parts)


def of_type(value, wanted: str):
    if wanted == "any":
        return value
    fits = {"text": isinstance(value, str), "boolean": isinstance(value, bool), "number": is_number(value)}[wanted]
    return value if fits else None


def filter_(directory: str, filters: str) -> None:
    out = []
    files = {name: rows_of(directory, name) for name in FIELDS}
    for where in json.loads(Path(filters).read_text()):
        wanted = {column: wanted_of(operands) for column, operands in operands_of(where, {}).items()}
        own = []
        for name, rows in files.items():

            def value_in(row, column, name=name, wanted=wanted):
                value = typed(row[column], wanted[column]) if name.endswith(".csv") else value_of(row, column)
                return of_type(value, wanted[column])

            own.append([i for i, row in enumerate(rows) if truth_of(where, lambda column, row=row: value_in(row, column)) is True])
        out.append(own)
    print(json.dumps(out))


if __name__ == "__main__":
    {"write": write, "filter": filter_}[sys.argv[1]](*sys.argv[2:])
