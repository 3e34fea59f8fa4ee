"""One table as Parquet, and as Arrow files and streams: run by the TypeScript tests.

write DIR SEED     the files; the values to compare with, by column, as JSON
"""

import json
import random
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from where import TYPES, WORDS, column, shown, table_of, value

ROWS = 260


def sometimes(rng: random.Random, rows: list, share: float = 0.1) -> list:
    return [None if rng.random() < share else row for row in rows]


def fields(rng: random.Random) -> dict:
    numbers = np.random.default_rng(rng.randrange(2**31))
    half = numbers.standard_normal(ROWS * 3).astype(np.float16)
    half[:4] = [np.nan, np.inf, 2**-20, -0.0]
    lists: list = sometimes(rng, [[float(i), 0.5, -1.25] for i in range(ROWS)])
    lists[3], lists[9], lists[20] = [1.0], [1.0, None, 2.0], []
    blobs = sometimes(rng, [bytes([i % 256]) * (i % 9) for i in range(ROWS)])
    texts = sometimes(rng, [f"text {i} é🙂" * (i % 4) for i in range(ROWS)])
    inner = pa.StructArray.from_arrays(
        [pa.array(blobs, pa.binary()), pa.array(range(ROWS), pa.int16())],
        names=["bytes", "n"],
        mask=pa.array([rng.random() < 0.1 for _ in range(ROWS)]),
    )
    return {
        "f_bytes": pa.array(blobs, pa.binary()),
        "f_large_bytes": pa.array(blobs, pa.large_binary()),
        "f_bytes_view": pa.array(blobs, pa.binary()).cast(pa.binary_view()),
        "f_key": pa.array(sometimes(rng, [bytes([i % 256]) * 7 for i in range(ROWS)]), pa.binary(7)),
        "f_text": pa.array(texts, pa.string()),
        "f_large_text": pa.array(texts, pa.large_string()),
        "f_text_view": pa.array(texts, pa.string()).cast(pa.string_view()),
        "f_words": pa.array(sometimes(rng, [WORDS[i % 14] for i in range(ROWS)])).dictionary_encode(),
        "f_struct": pa.StructArray.from_arrays([inner, pa.array(texts)], names=["image", "caption"], mask=pa.array([i % 17 == 4 for i in range(ROWS)])),
        **{f"f_{t}": pa.array(sometimes(rng, [i % 100 for i in range(ROWS)]), t) for t in (pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.int64())},
        "f_uint32": pa.array([2**32 - 1 - i for i in range(ROWS)], pa.uint32()),
        "f_half": pa.array(half[:ROWS], pa.float16()),
        "f_float": pa.array(sometimes(rng, numbers.standard_normal(ROWS).tolist()), pa.float32()),
        "f_double": pa.array(numbers.standard_normal(ROWS), pa.float64()),
        "f_bool": pa.array(sometimes(rng, [i % 3 == 0 for i in range(ROWS)]), pa.bool_()),
        "l_fixed": pa.FixedSizeListArray.from_arrays(pa.array(numbers.standard_normal(ROWS * 4).astype(np.float32)), 4),
        "l_half": pa.FixedSizeListArray.from_arrays(pa.array(half), 3),
        "l_double": pa.array([[i / 3, i / 7] for i in range(ROWS)], pa.list_(pa.float64())),
        "l_bool": pa.array([[i % 2 == 0, i % 3 == 0, True] for i in range(ROWS)], pa.list_(pa.bool_())),
        "l_int": pa.array([[i, -i] for i in range(ROWS)], pa.large_list(pa.int64())),
        "l_some": pa.array(lists, pa.list_(pa.float32())),
        "l_some_fixed": pa.array([row if row is None or len(row) == 3 else None for row in lists], pa.list_(pa.float32(), 3)),
    }


def chats(rng: random.Random) -> dict:
    call = pa.struct([("name", pa.string()), ("arguments", pa.list_(pa.struct([("key", pa.string()), ("value", pa.int64())]))), ("ok", pa.bool_())])
    message = pa.struct([("role", pa.string()), ("content", pa.large_string()), ("calls", pa.list_(call)), ("scores", pa.list_(pa.float32(), 2))])

    def words(n: int) -> str:
        return " ".join(rng.choice(WORDS) for _ in range(n))

    def one(i: int) -> dict:
        arguments = sometimes(rng, [{"key": words(1), "value": rng.choice([i, 2**60 + i, -i])} for _ in range(rng.randrange(3))], 0.2)
        return {"name": words(2), "arguments": rng.choice([arguments, None]), "ok": rng.choice([True, False, None])}

    def turn(i: int) -> dict:
        return {
            "role": ["user", "assistant"][i % 2],
            "content": rng.choice([words(i % 7), None]),
            "calls": rng.choice([None, [], [one(i)], [one(i), None]]),
            "scores": rng.choice([None, [i / 2, None], [0.25, -1.0]]),
        }

    rows = [[turn(i) for i in range(rng.randrange(5))] for _ in range(ROWS)]
    return {
        "messages": pa.array(sometimes(rng, rows), pa.list_(message)),
        "large": pa.array(rows, pa.large_list(message)),
        "json": [json.dumps(row) for row in rows],
        "name": pa.array(sometimes(rng, [WORDS[i % 14] for i in range(ROWS)])).dictionary_encode(),
        "about": pa.array(sometimes(rng, [{"n": i % 100, "u": 2**63 + i, "who": {"text": words(2)}} for i in range(ROWS)]), pa.struct([("n", pa.int8()), ("u", pa.uint64()), ("who", pa.struct([("text", pa.string())]))])),
        "tags": pa.array([[words(1) for _ in range(i % 3)] for i in range(ROWS)], pa.list_(pa.string())),
    }


def write(directory: str, seed: str) -> None:
    rng = random.Random(int(seed))
    out = Path(directory)
    out.mkdir(parents=True, exist_ok=True)
    compared = table_of(rng, ROWS)
    compared = compared.append_column("day64", column(rng, "d", pa.date32(), ROWS, 0.1).cast(pa.date64()))
    compared = compared.append_column("seconds", column(rng, "ms", pa.timestamp("ms"), ROWS, 0.1).cast(pa.timestamp("s"), safe=False))
    compared = compared.append_column("view", column(rng, "s", pa.string(), ROWS, 0.1).cast(pa.string_view()))
    compared = compared.append_column("bin", column(rng, "s", pa.string(), ROWS, 0.1).cast(pa.binary()))
    columns = {name: compared.column(name).combine_chunks() for name in compared.column_names}
    ids = pa.array([f"row {i}" for i in range(ROWS)])
    table = pa.table({**columns, **fields(rng), **chats(rng), "id": ids})
    # views cannot be cut into row groups
    plain = {name: pa.string() if own == pa.string_view() else pa.binary() for name, own in zip(table.column_names, table.schema.types) if own in (pa.string_view(), pa.binary_view())}
    same = pa.table({name: table.column(name).cast(plain[name]) if name in plain else table.column(name) for name in table.column_names})
    pq.write_table(same, out / "table.parquet", row_group_size=90)
    (whole,) = table.combine_chunks().to_batches()
    # slices of one batch, from odd rows on, which share its buffers
    batches = [whole.slice(a, b - a) for a, b in ((0, 101), (101, 101), (101, ROWS))]
    for name, stream, compression in (
        ("plain.arrow", False, None),
        ("lz4.arrow", False, "lz4"),
        ("zstd.arrow", False, "zstd"),
        ("plain.arrows", True, None),
        ("lz4.arrows", True, "lz4"),
        ("zstd.arrows", True, "zstd"),
    ):
        opened = (pa.ipc.new_stream if stream else pa.ipc.new_file)(str(out / name), table.schema, options=pa.ipc.IpcWriteOptions(compression=compression))
        with opened as writer:
            for batch in batches:
                writer.write_batch(batch)
    operands = {name: [shown(value(rng, name, rng.randrange(0, 170))) for _ in range(40)] for name in TYPES}
    operands["meta.lang"] = WORDS
    operands["meta.score"] = list(range(-10, 160, 7))
    for name, like in {"day64": "d", "seconds": "ms", "view": "s", "bin": "s"}.items():
        operands[name] = operands[like]
    print(json.dumps({name: [o for o in values if o == o] for name, values in operands.items()}))


if __name__ == "__main__":
    write(*sys.argv[2:])
