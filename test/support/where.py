"""Filters by pyarrow: what `where` must take. Run by the TypeScript tests.

write DIR SEED          Parquet files of random rows, in several layouts; the values to compare with, by column, as JSON
filter DIR FILTERS      for each filter of the JSON file, and each Parquet file: the rows that it takes, as JSON
outputs DIR             directories as pyarrow.dataset and DuckDB write them, with what Spark and Dask put beside them
expect DIR FILTERS      for each partitioned directory below that the JSON file names, and each of its filters: the numbers of the rows that pyarrow.dataset takes
"""

import contextlib
import datetime
import decimal
import json
import os
import random
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

WORDS = ["", "a", "aa", "ab", "b", "en", "eng", "enö", "e\U0001f642", "ｅ", "é", "z" * 100, "z" * 100 + "a", "zz"]
EPOCH = datetime.datetime(2026, 1, 1)
TYPES = {
    "s": pa.string(),
    "long": pa.large_string(),
    "i8": pa.int8(),
    "i32": pa.int32(),
    "i64": pa.int64(),
    "u32": pa.uint32(),
    "u64": pa.uint64(),
    "f32": pa.float32(),
    "f64": pa.float64(),
    "b": pa.bool_(),
    "d": pa.date32(),
    "ms": pa.timestamp("ms"),
    "us": pa.timestamp("us", "UTC"),
    "ns": pa.timestamp("ns"),
    "dec": pa.decimal128(9, 2),
    "dec18": pa.decimal128(18, 3),
    "dec38": pa.decimal128(38, 4),
    "dict": pa.dictionary(pa.int32(), pa.string()),
}
LAYOUTS = [
    {"row_group_size": 37, "compression": "zstd"},
    {"row_group_size": 20, "compression": "snappy", "use_dictionary": False, "bloom": True},
    {"row_group_size": 64, "compression": "none", "write_statistics": False, "bloom": True},
    {"row_group_size": 50, "data_page_version": "2.0", "compression": "zstd", "write_page_index": True},
    {"row_group_size": 300, "compression": "gzip", "data_page_size": 256, "store_decimal_as_integer": True},
    {"row_group_size": 25, "compression": "lz4", "use_deprecated_int96_timestamps": True, "write_statistics": ["s", "i64"]},
]


def value(rng: random.Random, name: str, near: int):
    """One near `near`, so that row groups differ in what they hold."""
    number = near + rng.randrange(-4, 5)
    if name in ("s", "long", "dict"):
        return WORDS[number % len(WORDS)]
    if name == "i8":
        return number % 100 - 50
    if name == "i32":
        return number - 10
    if name == "i64":
        return 9007199254740992 + number if number % 3 else -number
    if name == "u32":
        return (2**32 - 1 - abs(number)) if number % 2 else abs(number)
    if name == "u64":
        return (2**64 - 1 - abs(number)) if number % 2 else abs(number)
    if name in ("f32", "f64"):
        return float("nan") if number % 11 == 5 else -0.0 if number == 0 else number / 10
    if name == "b":
        return number % 40 > 20
    if name == "d":
        return (EPOCH + datetime.timedelta(days=number)).date()
    if name in ("ms", "us", "ns"):
        return EPOCH + datetime.timedelta(hours=6 * number, milliseconds=number % 2)
    if name == "dec":
        return decimal.Decimal(number) / 4
    if name == "dec18":
        return decimal.Decimal(number) / 8
    return decimal.Decimal(number) * 10**20 + decimal.Decimal("0.0001")


def column(rng: random.Random, name: str, type_, rows: int, nulls: float):
    near = [25 * (i // 40) % 160 for i in range(rows)]
    gone = set(range(40, 80)) if nulls else set()
    values = [None if i in gone or rng.random() < nulls else value(rng, name, near[i]) for i in range(rows)]
    return pa.array(values, type_)


def table_of(rng: random.Random, rows: int) -> pa.Table:
    columns = {"row": pa.array(range(rows), pa.int64()), "text": pa.array([f"text {i}" for i in range(rows)])}
    for name, type_ in TYPES.items():
        columns[name] = column(rng, name, type_, rows, rng.choice([0, 0.02, 0.3]))
    columns["meta"] = pa.StructArray.from_arrays(
        [column(rng, "s", pa.string(), rows, 0.1), column(rng, "i32", pa.int32(), rows, 0)],
        names=["lang", "score"],
        mask=pa.array([rng.random() < 0.1 for _ in range(rows)]),
    )
    return pa.table(columns)


def write(directory: str, seed: str) -> None:
    rng = random.Random(int(seed))
    Path(directory).mkdir(parents=True, exist_ok=True)
    for i, layout in enumerate(LAYOUTS):
        options = dict(layout)
        if options.pop("bloom", False):
            options["bloom_filter_options"] = {name: {"ndv": 64} for name in [*TYPES, "meta.lang"] if name != "b"}
        pq.write_table(table_of(rng, 240), f"{directory}/{i}.parquet", **options)
    operands = {name: [shown(value(rng, name, rng.randrange(0, 170))) for _ in range(40)] for name in TYPES}
    operands["meta.lang"] = WORDS
    operands["meta.score"] = list(range(-10, 160, 7))
    print(json.dumps({name: [o for o in values if o == o] for name, values in operands.items()}))


def shown(value_):
    if isinstance(value_, datetime.datetime):
        return value_.isoformat(timespec="milliseconds") if value_.microsecond else value_.isoformat()
    if isinstance(value_, datetime.date):
        return value_.isoformat()
    if isinstance(value_, decimal.Decimal):
        return str(value_)
    return str(value_) if isinstance(value_, int) and not isinstance(value_, bool) and abs(value_) >= 2**53 else value_


def literal(operand, type_):
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    if pa.types.is_timestamp(type_):
        return pa.scalar(datetime.datetime.fromisoformat(operand)).cast(pa.timestamp(type_.unit)).cast(type_)
    if pa.types.is_date(type_):
        return pa.scalar(datetime.date.fromisoformat(operand))
    if pa.types.is_decimal(type_):
        return pa.scalar(decimal.Decimal(str(operand)), type_)
    if pa.types.is_integer(type_):
        return pa.scalar(int(operand), pa.int64() if type_.bit_width < 64 else type_)
    if pa.types.is_floating(type_):
        return pa.scalar(float(operand), type_)
    return pa.scalar(operand, type_)


def of_column(ref, type_, condition):
    if isinstance(condition, list):
        return joined([ref == literal(operand, type_) for operand in condition], lambda a, b: a | b)
    if not isinstance(condition, dict):
        return ref == literal(condition, type_)
    parts = []
    for operator, operand in condition.items():
        if operator == "not":
            parts.append(~of_column(ref, type_, operand))
        elif operator == "isNull":
            parts.append(ref.is_null() if operand else ~ref.is_null())
        elif operator == "in":
            parts.append(of_column(ref, type_, operand))
        elif operator == "between":
            parts.append((ref >= literal(operand[0], type_)) & (ref <= literal(operand[1], type_)))
        elif operator == "startsWith":
            parts.append(pc.starts_with(ref, pattern=operand))
        else:
            own = literal(operand, type_)
            parts.append({"eq": ref == own, "gt": ref > own, "gte": ref >= own, "lt": ref < own, "lte": ref <= own}[operator])
    return joined(parts, lambda a, b: a & b)


def joined(parts, join):
    whole = parts[0]
    for part in parts[1:]:
        whole = join(whole, part)
    return whole


def expression(where, schema):
    parts = []
    for key, condition in where.items():
        if key == "not":
            parts.append(~expression(condition, schema))
        elif key in ("any", "all"):
            parts.append(joined([expression(part, schema) for part in condition], (lambda a, b: a | b) if key == "any" else (lambda a, b: a & b)))
        else:
            path = key.split(".")
            type_ = schema.field(path[0]).type
            for name in path[1:]:
                type_ = type_.field(name).type
            parts.append(of_column(pc.field(*path), type_, condition))
    return joined(parts, lambda a, b: a & b)


def read(file: str) -> pa.Table:
    table = pq.read_table(file, partitioning=None)
    for i, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(i, field.name, table.column(i).cast(pa.string()))
    return table


def filter_(directory: str, filters: str) -> None:
    tables = [read(str(file)) for file in sorted(Path(directory).glob("*.parquet"))]
    out = []
    for where in json.loads(Path(filters).read_text()):
        out.append([table.filter(expression(where, table.schema)).column("row").to_pylist() for table in tables])
    print(json.dumps(out))


def outputs(directory: str) -> None:
    rows = 600
    days = [f"2026-01-{1 + i % 5:02}" for i in range(rows)]
    langs = [None if i % 11 == 0 else ["en", "de", "a b/ü%"][i % 3] for i in range(rows)]
    documents = pa.table(
        {
            "text": [f"document {i} " * (1 + i % 7) for i in range(rows)],
            "quality": pa.array([None if i % 13 == 0 else (i * 37 % 100) / 100 for i in range(rows)], pa.float64()),
            "n": pa.array(range(rows), pa.int64()),
            "date": days,
            "lang": langs,
        }
    )
    schema = pa.schema([("date", pa.string()), ("lang", pa.string())])
    ds.write_dataset(documents, f"{directory}/arrow", format="parquet", partitioning=ds.partitioning(schema, flavor="hive"), max_rows_per_group=16, min_rows_per_group=1)
    with contextlib.suppress(ImportError):
        import duckdb

        with duckdb.connect(config={"threads": 1}) as connection:
            connection.register("documents", documents)
            connection.sql(f"COPY (SELECT * FROM documents) TO '{directory}/duckdb' (FORMAT parquet, PARTITION_BY (date, lang))")
    # what Spark leaves beside its parts: markers, checksums, summaries, and files without rows
    spark = Path(directory) / "spark" / "date=2026-01-01"
    spark.mkdir(parents=True)
    own = documents.drop_columns(["date"])
    pq.write_table(own.slice(0, 300), spark / "part-00000-8e1f.c000.snappy.parquet", compression="snappy", row_group_size=50)
    pq.write_table(own.slice(0, 0), spark / "part-00001-8e1f.c000.snappy.parquet")
    other = spark.parent / "date=2026-01-03"
    other.mkdir()
    pq.write_table(own.slice(300), other / "part-00000-77aa.c000.snappy.parquet", compression="snappy", row_group_size=50)
    (spark.parent / "_SUCCESS").write_bytes(b"")
    (spark.parent / "._SUCCESS.crc").write_bytes(b"crc\0")
    (spark / ".part-00000-8e1f.c000.snappy.parquet.crc").write_bytes(b"crc\0")
    (spark.parent / "_temporary").mkdir()
    (spark.parent / "_temporary" / "left.parquet").write_bytes(b"half of a file")
    # shards of one source that differ in how they say the same, and one that does not
    drift = Path(directory) / "drift"
    drift.mkdir()
    shapes = {
        "0": {"text": pa.string(), "n": pa.int64(), "quality": pa.float64()},
        "1": {"text": pa.large_string(), "n": pa.int32(), "quality": pa.float32()},
        "2": {"text": pa.dictionary(pa.int32(), pa.string()), "n": pa.uint16(), "quality": pa.decimal128(9, 2)},
    }
    for i, shape in enumerate(shapes.values()):
        part = documents.slice(200 * i, 200).select(["text", "n", "quality"])
        part = pa.table({name: part.column(name).cast(type_) for name, type_ in shape.items()})
        if i == 1:
            part = part.cast(pa.schema([pa.field("text", pa.large_string(), nullable=False), *list(part.schema)[1:]]))
        pq.write_table(part, drift / f"{i}.parquet", row_group_size=70)
    (Path(directory) / "broken").mkdir()
    pq.write_table(documents.select(["text", "n"]), f"{directory}/broken/0.parquet")
    pq.write_table(pa.table({"text": [1, 2], "n": [1, 2]}), f"{directory}/broken/1.parquet")
    # summaries, as Dask and older Spark write them
    collected = []
    pq.write_to_dataset(own, f"{directory}/dask", metadata_collector=collected, row_group_size=64)
    for i, metadata in enumerate(collected):
        metadata.set_file_path(f"part-{i}.parquet")
    pq.write_metadata(own.schema, f"{directory}/dask/_metadata", metadata_collector=collected)
    pq.write_metadata(own.schema, f"{directory}/dask/_common_metadata")


def expect(directory: str, filters: str) -> None:
    schema = pa.schema([("date", pa.string()), ("lang", pa.string())])
    out = {}
    for name, wheres in json.loads(Path(filters).read_text()).items():
        dataset = ds.dataset(f"{directory}/{name}", format="parquet", partitioning=ds.partitioning(schema, flavor="hive"))
        taken = (dataset.to_table(filter=expression(where, dataset.schema)) for where in wheres)
        out[name] = [sorted(table.column("n").to_pylist()) for table in taken]
    print(json.dumps(out))


if __name__ == "__main__":
    {"write": write, "filter": filter_, "outputs": outputs, "expect": expect}[sys.argv[1]](*sys.argv[2:])
    sys.stdout.flush()
    os._exit(0)  # threads of two libraries end the process with an error now and then, when all is written
