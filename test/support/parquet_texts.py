"""Columns of text as pyarrow writes them, in files of many shapes; run by the TypeScript tests.

parquet_texts.py DIR SEED FILES     DIR/0.parquet …; prints of each column its rows as pyarrow reads them, in base64, as JSON
"""

import base64
import json
import random
import sys

import pyarrow as pa
import pyarrow.parquet as pq

STYLES = ["distinct", "pool", "mixed", "late", "empty", "none"]
TYPES = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.dictionary(pa.int32(), pa.string())]


def texts(rng: random.Random, rows: int) -> list:
    style, size = rng.choice(STYLES), rng.choice([0, 5, 30, 200, 1500 if rows < 1000 else 200])
    nulls = rng.choice([0, 0, 0.05, 0.5])

    def text(i: int) -> str:
        return f"{i} é{chr(97 + i % 26)}🙂 ".ljust(size, "x")[: size if rng.random() < 0.5 else rng.randint(0, size)]

    pool = [text(i) for i in range(rng.choice([1, 3, 50, 300]))]
    values = []
    for i in range(rows):
        again = {"pool": 1, "mixed": 0.3, "late": float(i > 0.7 * rows)}.get(style, 0)
        value = rng.choice(pool) if rng.random() < again else text(i)
        gone = style == "none" or rng.random() < nulls
        values.append(None if gone else "" if style == "empty" and i % 2 else value)
    return values


def column(rng: random.Random, rows: int) -> pa.Array:
    values, kind = texts(rng, rows), rng.choice([*TYPES, None])
    if kind is None:
        return pa.array([None if rng.random() < 0.1 else {"b": value} for value in values], pa.struct([("b", pa.string())]))
    return pa.array(values, pa.string()).cast(kind) if not pa.types.is_dictionary(kind) else pa.array(values, pa.string()).dictionary_encode()


def write(path: str, rng: random.Random) -> None:
    rows = rng.choice([1, 2, 40, 400, 2000])
    columns = [column(rng, rows) for _ in range(rng.randint(1, 3))]
    fields = [pa.field(f"c{i}", values.type, nullable=values.null_count > 0 or rng.random() < 0.5) for i, values in enumerate(columns)]
    pq.write_table(
        pa.Table.from_arrays(columns, schema=pa.schema(fields)),
        path,
        compression=rng.choice(["none", "snappy", "snappy", "zstd", "gzip", "brotli", "lz4"]),
        row_group_size=rng.choice([13, 100, 1000]) if rows <= 400 else rng.choice([500, 10_000]),
        data_page_version=rng.choice(["1.0", "2.0"]),
        # of a few bytes: the column goes on in plain pages
        dictionary_pagesize_limit=rng.choice([1, 1000, 20_000, 2**20]),
        data_page_size=rng.choice([64, 1000, 20_000, 2**20]),
        write_batch_size=rng.choice([1, 7, 64, 1024]),
        write_page_index=rng.random() < 0.3,
        write_page_checksum=rng.random() < 0.3,
    )


def rows_of(path: str) -> dict:
    found = {}
    for name, values in zip((table := pq.read_table(path, partitioning=None)).column_names, table.columns):
        nested = pa.types.is_struct(values.type)
        rows = [value["b"] if nested and value is not None else value for value in values.to_pylist()]
        stored = [value.encode() if isinstance(value, str) else value for value in rows]
        found[name + ".b" * nested] = [None if value is None else base64.b64encode(value).decode() for value in stored]
    return found


if __name__ == "__main__":
    directory, seed, files = sys.argv[1:]
    every = []
    for i in range(int(files)):
        write(f"{directory}/{i}.parquet", random.Random(f"{seed} {i}"))
        every.append(rows_of(f"{directory}/{i}.parquet"))
    json.dump(every, sys.stdout)
