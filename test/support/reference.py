"""What other tools say: Parquet written and read by pyarrow, ids by the tokenizers package. Run by the TypeScript tests.

write DOCUMENTS.json DIR            eight shards in several codecs and layouts
tokens DIR TOKENIZER EOS            a line for each row: shard index, row, SHA-256 of its ids (int32) with EOS
checksums DIR                       the files of page-checksums.test.ts and bad-blocks.test.ts
columns DIR                         the files of decode.test.ts, and what is in them, as JSON
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CODECS = ["zstd", "snappy", "gzip", "none", "lz4", "zstd", "brotli", "snappy"]


def write(documents_file: str, directory: str) -> None:
    documents = json.loads(Path(documents_file).read_text())
    Path(directory).mkdir(parents=True, exist_ok=True)
    for i, codec in enumerate(CODECS):
        own = documents[i::8]
        table = pa.table(
            {
                "id": [f"{i}-{j}" for j in range(len(own))],
                "text": pa.array(own, pa.large_string() if i % 2 else pa.string()),
                "ballast": [f"{j} " * 50 for j in range(len(own))],
            }
        )
        pq.write_table(
            table,
            f"{directory}/part-{i:03}.parquet",
            compression=codec,
            row_group_size=[100, 1000, 350, 5000][i % 4],
            write_page_index=i in (2, 5),
            data_page_version="2.0" if i in (3, 5) else "1.0",
            use_dictionary=i != 6,
            data_page_size=16384 if i == 4 else None,
        )


def tokens(directory: str, tokenizer_file: str, eos: str) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(tokenizer_file)
    eos_id = tokenizer.token_to_id(eos)
    for shard, file in enumerate(sorted(Path(directory).glob("*.parquet"))):
        texts = pq.read_table(file, columns=["text"]).column("text").to_pylist()
        for row, encoding in enumerate(tokenizer.encode_batch(texts, add_special_tokens=False)):
            ids = np.asarray([*encoding.ids, eos_id], dtype="<i4")
            print(shard, row, hashlib.sha256(ids.tobytes()).hexdigest())


def columns(directory: str) -> None:
    rng = np.random.default_rng(7)
    rows = 3000
    texts = [None if i % 97 == 5 else "" if i % 53 == 0 else f"row {i} é中🙂 " * int(rng.integers(1, 40)) for i in range(rows)]
    lists = [None if i % 89 == 7 else rng.integers(0, 50_000, int(rng.integers(0, 300))).tolist() for i in range(rows)]
    types = {
        "int32": pa.list_(pa.int32()),
        "uint16": pa.list_(pa.uint16()),
        "uint32": pa.list_(pa.uint32()),
        "int64": pa.large_list(pa.int64()),
        "fixed": pa.list_(pa.int32(), 4),
    }
    fixed = [[i, i + 1, i + 2, i + 3] for i in range(rows)]
    table = pa.table(
        {
            "string": pa.array(texts, pa.string()),
            "large_string": pa.array(texts, pa.large_string()),
            **{name: pa.array(fixed if name == "fixed" else lists, type_) for name, type_ in types.items()},
            "holes": pa.array([[*row[:3], None] if i % 10 == 3 else row for i, row in enumerate(fixed)], pa.list_(pa.int32())),
            "double": [1.5] * rows,
            "floats": [[1.5]] * rows,
            "binary": [b"x"] * rows,
        }
    )
    layouts = {
        "none": {"compression": "none"},
        "snappy": {"compression": "snappy", "data_page_size": 4096},
        "zstd": {"compression": "zstd", "row_group_size": 700, "data_page_size": 4096},
        "gzip": {"compression": "gzip", "data_page_size": 4096},
        "lz4": {"compression": "lz4", "data_page_size": 4096},
        "brotli": {"compression": "brotli", "data_page_size": 4096},
        "plain": {"compression": "snappy", "use_dictionary": False, "data_page_size": 4096},
        "v2": {"compression": "zstd", "data_page_version": "2.0", "data_page_size": 4096},
        "v2snappy": {"compression": "snappy", "data_page_version": "2.0", "data_page_size": 4096},
        "v2none": {"compression": "none", "data_page_version": "2.0", "use_dictionary": False, "data_page_size": 4096},
        "index": {"compression": "zstd", "write_page_index": True, "data_page_size": 4096, "row_group_size": 1000},
        "delta": {
            "compression": "zstd",
            "use_dictionary": False,
            "column_encoding": {"string": "DELTA_LENGTH_BYTE_ARRAY", "large_string": "DELTA_BYTE_ARRAY", "int32.list.element": "DELTA_BINARY_PACKED"},
            "data_page_size": 4096,
        },
    }
    for name, options in layouts.items():
        pq.write_table(table, f"{directory}/{name}.parquet", **options)
    print(json.dumps({"texts": texts, "lists": lists, "fixed": fixed, "layouts": list(layouts)}))


def checksums(directory: str) -> None:
    rng = np.random.default_rng(11)
    rows = 4000
    texts = [f"row {i} " + "".join(chr(97 + c) for c in rng.integers(0, 26, 600)) for i in range(rows)]
    lists = [rng.integers(0, 50_000, int(rng.integers(20, 300))).tolist() for _ in range(rows)]
    few = [f"value {i % 50} " * 40 for i in range(rows)]
    table = pa.table({"text": texts, "few": few, "ids": pa.array(lists, pa.list_(pa.int32()))})
    layouts = {
        "v1": {"compression": "none"},
        "v2": {"compression": "zstd", "data_page_version": "2.0"},
        "index": {"compression": "snappy", "write_page_index": True},
        "unchecked": {"compression": "none", "write_page_checksum": False},
    }
    for name, options in layouts.items():
        options = {"write_page_checksum": True, "row_group_size": 2000, "data_page_size": 32768, "write_batch_size": 64, **options}
        pq.write_table(table, f"{directory}/{name}.parquet", **options)


if __name__ == "__main__":
    {"write": write, "tokens": tokens, "columns": columns, "checksums": checksums}[sys.argv[1]](*sys.argv[2:])
