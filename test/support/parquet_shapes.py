"""Parquet files as pyarrow writes them, in every shape, encoding and codec that a source may have; run by the TypeScript tests.

shapes DIR          the files of decode/parquet-shapes.test.ts, and what pyarrow reads of them, as JSON
oddities DIR        the files of decode/parquet-oddities.test.ts
"""

import base64
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 2000
SMALL = {"data_page_size": 2048, "write_batch_size": 64, "row_group_size": 900}


def text_rows(rng: np.random.Generator) -> list:
    words = [f"row {i} é中🙂 " * int(rng.integers(1, 12)) for i in range(ROWS)]
    return [None if i % 97 == 5 else "" if i % 53 == 0 else word for i, word in enumerate(words)]


def list_rows(rng: np.random.Generator, below: int) -> list:
    rows = [rng.integers(0, below, int(rng.integers(0, 40))).tolist() for _ in range(ROWS)]
    return [None if i % 89 == 7 else [] if i % 41 == 3 else row for i, row in enumerate(rows)]


def nested(values: list, every: int) -> list:
    """Structs of structs: null at the outer one, at the inner one, and in itself."""
    rows = []
    for i, value in enumerate(values):
        inner = None if i % every == 2 else {"body": value, "other": i}
        rows.append(None if i % every == 1 else {"doc": inner, "lang": "en"})
    return rows


def write(directory: str, name: str, table: pa.Table, **options: object) -> str:
    pq.write_table(table, f"{directory}/{name}.parquet", **{**SMALL, **options})
    return name


def shapes(directory: str) -> None:
    rng = np.random.default_rng(23)
    texts = text_rows(rng)
    lists = list_rows(rng, 100)
    inner = pa.struct([("body", pa.string()), ("other", pa.int64())])
    outer = pa.struct([("doc", inner), ("lang", pa.string())])
    ids_inner = pa.struct([("body", pa.list_(pa.int32())), ("other", pa.int64())])
    ids_outer = pa.struct([("doc", ids_inner), ("lang", pa.string())])
    fixed = [[i % 100, 1, 2, 3] for i in range(ROWS)]
    blobs = [None if text is None else text.encode() for text in texts]
    fours = [None if i % 31 == 0 else f"{i:08}".encode() for i in range(ROWS)]
    table = pa.table(
        {
            "text": pa.array(texts, pa.string()),
            "meta": pa.array(nested(texts, 17), outer),
            "wrapped": pa.array(nested(texts, 17), outer),
            "ids": pa.array(nested(lists, 13), ids_outer),
            "binary": pa.array(blobs, pa.binary()),
            "large_binary": pa.array(blobs, pa.large_binary()),
            "fixed_binary": pa.array(fours, pa.binary(8)),
            "category": pa.array(texts, pa.string()).dictionary_encode(),
            "string_view": pa.array(texts, pa.string()).cast(pa.string_view()),
            # a column whose name looks like a path, beside the path
            "meta.doc.body": pa.array([f"dotted {i}" for i in range(ROWS)], pa.string()),
            "a.b": pa.array([{"c.d": f"inner {i}"} for i in range(ROWS)], pa.struct([("c.d", pa.string())])),
            **{f"list_{t}": pa.array(lists, pa.list_(t)) for t in (pa.uint8(), pa.int8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64())},
            "large_list": pa.array(lists, pa.large_list(pa.uint16())),
            "fixed_list": pa.array(fixed, pa.list_(pa.int32(), 4)),
            "strict_list": pa.array([row or [] for row in lists], pa.list_(pa.field("element", pa.int32(), nullable=False))),
        }
    )
    no_dictionary = {"use_dictionary": False}

    def encoded(text: str, integers: str) -> dict:
        leaves = [f"list_{t}.list.element" for t in (pa.int32(), pa.uint16(), pa.int64())]
        return {**no_dictionary, "column_encoding": {"text": text, "wrapped.doc.body": text, "binary": text, **{leaf: integers for leaf in leaves}}}

    layouts = {
        "dictionary": {"compression": "snappy"},
        "dictionary_v2": {"compression": "zstd", "data_page_version": "2.0"},
        # PLAIN_DICTIONARY, as older writers
        "version_1": {"compression": "snappy", "version": "1.0"},
        # dictionaries that overflow into plain pages
        "overflow": {"compression": "gzip", "dictionary_pagesize_limit": 4096},
        "plain_none": {"compression": "none", **no_dictionary},
        "plain_lz4_raw": {"compression": "lz4", **no_dictionary},
        "delta_length": {"compression": "zstd", **encoded("DELTA_LENGTH_BYTE_ARRAY", "DELTA_BINARY_PACKED")},
        "delta_v2": {"compression": "none", "data_page_version": "2.0", **encoded("DELTA_BYTE_ARRAY", "DELTA_BINARY_PACKED")},
        "split": {"compression": "snappy", **encoded("PLAIN", "BYTE_STREAM_SPLIT")},
        "split_v2": {"compression": "gzip", "data_page_version": "2.0", **encoded("DELTA_BYTE_ARRAY", "BYTE_STREAM_SPLIT")},
        "brotli_index": {"compression": "brotli", "write_page_index": True},
        "two_level": {"compression": "snappy", "use_compliant_nested_type": False},
        "row_groups": {"compression": "snappy", "row_group_size": 45},
        "checksums": {"compression": "zstd", "write_page_checksum": True, "write_page_index": True},
    }
    for name, options in layouts.items():
        write(directory, name, table, **options)
    delta = pq.ParquetFile(f"{directory}/delta_v2.parquet").metadata.row_group(0)
    flba = pa.table({"fixed": pa.array(fours, pa.binary(8)), "text": pa.array(texts)})
    write(directory, "flba_split", flba, compression="none", use_dictionary=False, column_encoding={"fixed": "BYTE_STREAM_SPLIT", "text": "PLAIN"})
    write(directory, "flba_delta", flba, compression="none", use_dictionary=False, column_encoding={"fixed": "DELTA_BYTE_ARRAY", "text": "PLAIN"})
    print(
        json.dumps(
            {
                "layouts": list(layouts),
                "texts": texts,
                "nested": [row and row["doc"] and row["doc"]["body"] for row in nested(texts, 17)],
                "lists": lists,
                "nestedLists": [row and row["doc"] and row["doc"]["body"] for row in nested(lists, 13)],
                "fixedLists": fixed,
                "fixedBinary": [four and four.decode() for four in fours],
                "deltaEncodings": sorted({e for c in range(delta.num_columns) for e in delta.column(c).encodings}),
            }
        )
    )


class Keys:
    """Wraps keys by writing them down: the files of a test protect nothing."""

    @staticmethod
    def client(_config: object) -> object:
        import pyarrow.parquet.encryption as pe

        class Client(pe.KmsClient):
            def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
                return base64.b64encode(key_bytes)

            def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
                return base64.b64decode(wrapped_key)

        return Client()


def encrypted(directory: str, table: pa.Table) -> None:
    import pyarrow.parquet.encryption as pe

    for name, plaintext in (("encrypted_footer", False), ("encrypted_column", True)):
        config = pe.EncryptionConfiguration(footer_key="f", column_keys={"c": ["text"]}, plaintext_footer=plaintext)
        factory = pe.CryptoFactory(Keys.client)
        properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), config)
        with pq.ParquetWriter(f"{directory}/{name}.parquet", table.schema, encryption_properties=properties) as writer:
            writer.write_table(table)


def oddities(directory: str) -> None:
    table = pa.table({"text": [f"text {i}" for i in range(100)], "plain": [f"plain {i}" for i in range(100)], "n": list(range(100))})
    schema = table.schema
    encrypted(directory, table)
    pq.write_table(table.slice(0, 0), f"{directory}/no_rows.parquet")
    pq.write_table(table.slice(0, 1), f"{directory}/one_row.parquet")
    with pq.ParquetWriter(f"{directory}/empty_groups.parquet", schema) as writer:
        for start, rows in ((0, 0), (0, 40), (40, 0), (40, 60), (100, 0)):
            writer.write_table(table.slice(start, rows), row_group_size=max(1, rows))
    with pq.ParquetWriter(f"{directory}/no_groups.parquet", schema):
        pass
    pq.write_table(table, f"{directory}/many_groups.parquet", row_group_size=1)
    wide = pa.table({**{f"c{i:05}": [1] for i in range(3000)}, "text": ["wide"]})
    pq.write_table(wide, f"{directory}/wide.parquet")
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(twice, f"{directory}/twice.parquet")
    collected: list = []
    pq.write_to_dataset(table, f"{directory}/set", metadata_collector=collected)
    pq.write_metadata(schema, f"{directory}/_metadata", metadata_collector=collected)
    pq.write_metadata(schema, f"{directory}/_common_metadata")
    types = pa.table(
        {
            "date_list": pa.array([[1]], pa.list_(pa.date32())),
            "list_list": pa.array([[[1]]], pa.list_(pa.list_(pa.int32()))),
            "text_list": pa.array([["a"]], pa.list_(pa.string())),
            "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int32())),
            "struct_list": pa.array([[{"a": 1, "b": 2}]], pa.list_(pa.struct([("a", pa.int32()), ("b", pa.int32())]))),
            "id_list": pa.array([[{"id": 1}, {"id": 2}]], pa.list_(pa.struct([("id", pa.int32())]))),
            "struct": pa.array([{"text": "a"}], pa.struct([("text", pa.string())])),
            "decimal": pa.array([1], pa.decimal128(20, 2)),
            "uuid": pa.array([b"0123456789abcdef"], pa.uuid()),
            "half": pa.array([np.float16(1)], pa.float16()),
        }
    )
    pq.write_table(types, f"{directory}/types.parquet")
    pq.write_table(table, f"{directory}/statistics_off.parquet", write_statistics=False)
    import pyarrow.feather as feather

    feather.write_feather(table, f"{directory}/arrow.parquet", compression="uncompressed")
    print(json.dumps({"texts": table.column("text").to_pylist(), "created": Path(directory, "_metadata").stat().st_size}))


if __name__ == "__main__":
    {"shapes": shapes, "oddities": oddities}[sys.argv[1]](*sys.argv[2:])
