"""Arrow IPC by pyarrow: files and streams, plain, LZ4 and zstd, of every layout that is read; what pyarrow validates of damaged ones, column by column."""

import random

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from formats import served

ROWS = 90
FIELDS = [("text",), ("views",), ("few",), ("n",), ("score",), ("half",), ("good",), ("ids", 5), ("fixed", 3), ("doc.body",)]
COMPARED = ["few", "good", "large", "n", "score", "text"]
REQUESTS = [
    *[{"column": name, "kind": "text"} for name in ("text", "large", "views", "few", "doc.body")],
    *[{"column": name, "kind": "tokens"} for name in ("ids", "wide", "fixed", "doc.ids")],
    {"column": "", "kind": "none", "fields": served.requests(FIELDS)},
    {"column": "text", "kind": "records", "columns": ["text", "ids", "n", "good", "doc"], "id": "n"},
    {"column": "ids", "kind": "tokens", "where": {"any": [{name: {"isNull": flag}} for name in COMPARED for flag in (True, False)]}},
]


def make(directory: str) -> list:
    rng = random.Random(5)
    texts = [None if i % 31 == 4 else f"row {i} " + rng.choice(["é中🙂", "abc", ""]) * rng.randrange(9) for i in range(ROWS)]
    ids = [None if i % 29 == 3 else [rng.randrange(900) for _ in range(rng.randrange(9))] for i in range(ROWS)]
    table = pa.table(
        {
            "text": pa.array(texts, pa.string()),
            "large": pa.array(texts, pa.large_string()),
            "views": pa.array(texts, pa.string_view()),
            "few": pa.array([None if i % 13 == 4 else f"language {i % 5}" for i in range(ROWS)]).dictionary_encode(),
            "ids": pa.array([row and [*row[1:], None] if i % 37 == 8 else row for i, row in enumerate(ids)], pa.list_(pa.int32())),
            "wide": pa.array(ids, pa.large_list(pa.uint32())),
            "fixed": pa.array([[i, i + 1, i + 2] for i in range(ROWS)], pa.list_(pa.int16(), 3)),
            "n": pa.array([None if i % 23 == 5 else i * 10**14 - 7 for i in range(ROWS)], pa.int64()),
            "score": pa.array([None if i % 19 == 2 else i / 7 for i in range(ROWS)], pa.float64()),
            "half": pa.array(np.arange(ROWS, dtype=np.float16) / 4),
            "good": pa.array([None if i % 17 == 9 else i % 3 == 0 for i in range(ROWS)], pa.bool_()),
            "doc": pa.array(
                [None if i % 11 == 7 else {"body": texts[i], "ids": ids[i]} for i in range(ROWS)], pa.struct([("body", pa.string()), ("ids", pa.list_(pa.int64()))])
            ),
        }
    )
    found = []
    for codec in (None, "lz4", "zstd"):
        for ending, opener in (("arrow", pa.ipc.new_file), ("arrows", pa.ipc.new_stream)):
            name = f"{codec or 'plain'}.{ending}"
            write(f"{directory}/{name}", opener, table.schema, table.to_batches(max_chunksize=40), compression=codec)
            found.append({"file": name, "requests": REQUESTS})
    write(f"{directory}/legacy.arrow", pa.ipc.new_file, table.schema, table.to_batches(max_chunksize=40), use_legacy_format=True)
    found.append({"file": "legacy.arrow", "requests": REQUESTS})
    # dictionaries that grow, and that are replaced
    words = [f"word {i}" for i in range(12)]
    for name, opener, is_delta in (("delta.arrow", pa.ipc.new_file, True), ("replaced.arrows", pa.ipc.new_stream, False)):
        parts = [pa.DictionaryArray.from_arrays([i % n for i in range(30)], words[:n] if is_delta else words[12 - n :]) for n in (4, 9, 12)]
        schema = pa.schema([("few", parts[0].type)])
        write(f"{directory}/{name}", opener, schema, [pa.record_batch([part], schema=schema) for part in parts], emit_dictionary_deltas=is_delta)
        found.append({"file": name, "requests": [{"column": "few", "kind": "text"}]})
    return found


def write(path: str, opener: object, schema: pa.Schema, batches: list, **options: object) -> None:
    with opener(path, schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)


def opened(file: str, columns: list) -> list:
    """Its record batches, with these columns read, and no others."""
    with open(file, "rb") as stored:
        data = pa.py_buffer(stored.read())
    is_file = data.to_pybytes()[:6] == b"ARROW1"
    schema = (pa.ipc.open_file if is_file else pa.ipc.open_stream)(data).schema
    options = pa.ipc.IpcReadOptions(included_fields=sorted({schema.get_field_index(name.split(".")[0]) for name in columns}), use_threads=False)
    reader = (pa.ipc.open_file if is_file else pa.ipc.open_stream)(data, options=options)
    return [reader.get_batch(i) for i in range(reader.num_record_batches)] if is_file else list(reader)


def as_bytes(values: pa.Array) -> pa.Array:
    """Text that may be damaged, and is otherwise held to all that its type says. How many values are null is counted, whatever the metadata says."""
    type, length, buffers = values.type, len(values), values.buffers()
    if pa.types.is_dictionary(type):
        values.validate(full=False)
        words, indices = as_bytes(values.dictionary), counted(values.indices)
        if any(index is not None and not 0 <= index < len(words) for index in indices.to_pylist()):
            raise ValueError("an index outside its dictionary")
        return words.take(indices)
    if pa.types.is_struct(type):
        values.validate(full=False)
        own = [as_bytes(values.field(i)) for i in range(type.num_fields)]
        values = pa.StructArray.from_buffers(pa.struct(list(zip((field.name for field in type), (part.type for part in own)))), length, buffers[:1], -1, 0, own)
    elif type in BINARY:
        values = pa.Array.from_buffers(BINARY[type], length, buffers, -1)
    elif pa.types.is_list(type) or pa.types.is_large_list(type):
        values = pa.Array.from_buffers(type, length, buffers[:2], -1, 0, [counted(values.values)])
    elif not pa.types.is_fixed_size_list(type):
        values = counted(values)
    values.validate(full=True)
    return values


BINARY = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), pa.string_view(): pa.binary_view()}


def counted(values: pa.Array) -> pa.Array:
    return pa.Array.from_buffers(values.type, len(values), values.buffers(), -1)


def read(batches: list, path: str) -> list:
    names, found = path.split("."), []
    for batch in batches:
        values = as_bytes(batch.column(batch.schema.get_field_index(names[0])))
        for name in names[1:]:
            values = pc.struct_field(values, name)
        found += values.to_pylist()
    return found


def rows(file: str, request: dict) -> object:
    wanted = [request["column"]] if request["kind"] in ("text", "tokens") else []
    named = [*wanted, *request.get("columns", []), *([request["id"]] if "id" in request else [])]
    batches = opened(file, [*named, *(own[0] for own in FIELDS if "fields" in request), *(COMPARED if "where" in request else [])])
    columns = [[None if isinstance(value, list) and None in value else value for value in read(batches, name)] for name in wanted]
    if request["kind"] == "records":
        columns.append(served.records({name: read(batches, name) for name in request["columns"]}))
    if "id" in request:
        columns.append([None if value is None else str(value).encode() for value in read(batches, request["id"])])
    columns += [[field(value, *own) for value in read(batches, own[0])] for own in FIELDS if "fields" in request]
    columns += [[float(value) if type(value) is int else value for value in read(batches, name)] for name in COMPARED if "where" in request]
    yield from zip(*columns, strict=True)


def field(value: object, name: str, size: int | None = None) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, list):
        return None if None in value else served.numbers(np.array(value, "int32"), size)
    if name == "half":
        return served.numbers(np.array([value], "float16"), None)
    return served.numbers(np.array([value], {bool: "uint8", int: "int64", float: "float64"}[type(value)]), None)
