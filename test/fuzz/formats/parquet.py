"""Parquet by pyarrow: small files with every page version, codec and encoding, some with checksums and page indexes."""

import random

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from formats import served

ROWS = 150
FIELDS = [("text",), ("n",), ("score",), ("good",), ("ids", 5), ("doc.body",)]
COMPARED = ["good", "n", "score", "text"]


def make(directory: str) -> list:
    rng = random.Random(5)
    texts = [None if i % 31 == 4 else f"row {i} " + rng.choice(["é中🙂", "abc", ""]) * rng.randrange(9) for i in range(ROWS)]
    ids = [None if i % 29 == 3 else [rng.randrange(900) for _ in range(rng.randrange(12))] for i in range(ROWS)]
    table = pa.table(
        {
            "text": pa.array(texts, pa.string()),
            "ids": pa.array(ids, pa.list_(pa.int32())),
            "n": pa.array([None if i % 23 == 5 else i * 10**14 - 7 for i in range(ROWS)], pa.int64()),
            "score": pa.array([None if i % 19 == 2 else i / 7 for i in range(ROWS)], pa.float64()),
            "good": pa.array([None if i % 17 == 9 else i % 3 == 0 for i in range(ROWS)], pa.bool_()),
            "doc": pa.array([{"body": text, "ids": row} for text, row in zip(texts, ids)], pa.struct([("body", pa.string()), ("ids", pa.list_(pa.int64()))])),
        }
    )
    plain = {"use_dictionary": False}
    layouts = {
        "none": {"compression": "none"},
        "snappy": {"compression": "snappy"},
        "plain_snappy": {"compression": "snappy", **plain},
        "zstd_v2": {"compression": "zstd", "data_page_version": "2.0"},
        "gzip": {"compression": "gzip", **plain},
        "brotli_v2": {"compression": "brotli", "data_page_version": "2.0"},
        "lz4_index": {"compression": "lz4", "write_page_index": True},
        "delta": {"compression": "none", **plain, "column_encoding": {"text": "DELTA_BYTE_ARRAY", "ids.list.element": "DELTA_BINARY_PACKED", "doc.body": "DELTA_LENGTH_BYTE_ARRAY"}},
        "checked": {"compression": "snappy", "write_page_checksum": True},
        "checked_index": {"compression": "none", "write_page_checksum": True, "write_page_index": True, "data_page_version": "2.0"},
    }
    requests = [{"column": "text", "kind": "text"}, {"column": "ids", "kind": "tokens"}, {"column": "doc.body", "kind": "text"}, {"column": "doc.ids", "kind": "tokens"}]
    requests += [
        {"column": "", "kind": "none", "fields": served.requests(FIELDS)},
        {"column": "text", "kind": "records", "columns": ["text", "ids", "n", "good", "doc"], "id": "n"},
        # no unit is left out by what its statistics say: nobody would know the rows that are there
        {"column": "ids", "kind": "tokens", "where": {"any": [{name: {"isNull": flag}} for name in COMPARED for flag in (True, False)]}},
    ]
    for name, options in layouts.items():
        pq.write_table(table, f"{directory}/{name}.parquet", row_group_size=64, data_page_size=256, write_batch_size=16, store_schema=False, **options)
    return [{"file": f"{name}.parquet", "requests": requests} for name in layouts]


def rows(file: str, request: dict) -> object:
    reader = pq.ParquetFile(file, page_checksum_verification=True)
    columns = []
    if request["kind"] in ("text", "tokens"):
        columns.append([None if isinstance(value, list) and None in value else value for value in read(reader, request["column"])])
    if request["kind"] == "records":
        columns.append(served.records({name: read(reader, name) for name in request["columns"]}))
    if "id" in request:
        columns.append([None if value is None else str(value).encode() for value in read(reader, request["id"])])
    columns += [[field(value, *own[1:]) for value in read(reader, own[0])] for own in FIELDS if "fields" in request]
    columns += [[float(value) if type(value) is int else value for value in read(reader, name)] for name in COMPARED if "where" in request]
    yield from zip(*columns, strict=True)


def read(reader: pq.ParquetFile, path: str) -> list:
    """Text as bytes: it may be damaged."""
    names = path.split(".")
    column = reader.read(columns=[path], use_threads=False).column(names[0])
    found = []
    for values in column.chunks:
        values.validate(full=False)
        for name in names[1:]:
            values = pc.struct_field(values, name)
        if pa.types.is_string(values.type):
            values = values.cast(pa.binary())
        if pa.types.is_struct(values.type):
            values = values.cast(pa.struct([("body", pa.binary()), ("ids", pa.list_(pa.int64()))]))
        found += values.to_pylist()
    return found


def field(value: object, size: int | None = None) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, list):
        return None if None in value else served.numbers(np.array(value, "int32"), size)
    return served.numbers(np.array([value], {bool: "uint8", int: "int64", float: "float64"}[type(value)]), None)
