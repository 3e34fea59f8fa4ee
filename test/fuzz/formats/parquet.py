"""Parquet by pyarrow: small files with every page version, codec and encoding, some with checksums and page indexes."""

import random

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROWS = 150


def make(directory: str) -> list:
    rng = random.Random(5)
    texts = [None if i % 31 == 4 else f"row {i} " + rng.choice(["é中🙂", "abc", ""]) * rng.randrange(9) for i in range(ROWS)]
    ids = [None if i % 29 == 3 else [rng.randrange(900) for _ in range(rng.randrange(12))] for i in range(ROWS)]
    table = pa.table(
        {
            "text": pa.array(texts, pa.string()),
            "ids": pa.array(ids, pa.list_(pa.int32())),
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
    for name, options in layouts.items():
        pq.write_table(table, f"{directory}/{name}.parquet", row_group_size=64, data_page_size=256, write_batch_size=16, store_schema=False, **options)
    return [{"file": f"{name}.parquet", "requests": requests} for name in layouts]


def rows(file: str, request: dict) -> object:
    names = request["column"].split(".")
    reader = pq.ParquetFile(file, page_checksum_verification=True)
    column = reader.read(columns=[request["column"]], use_threads=False).column(names[0])
    for chunk in column.chunks:
        chunk.validate(full=False)
        values = chunk
        for name in names[1:]:
            values = pc.struct_field(values, name)
        if pa.types.is_string(values.type):
            values = values.cast(pa.binary())
        for value in values.to_pylist():
            yield None if isinstance(value, list) and None in value else value
