"""Writes the JSON lines of a directory (meta: {caption, alt}, n, emb) once more, as a Parquet and an Arrow file each: rows of test/end-to-end/field-transforms."""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

SCHEMA = pa.schema([("caption", pa.string()), ("alt", pa.string()), ("n", pa.int64()), ("emb", pa.list_(pa.float32(), 3))])

for file in sorted(Path(sys.argv[1]).glob("*.jsonl")):
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    table = pa.Table.from_pylist([{**row["meta"], "n": row["n"], "emb": row["emb"]} for row in rows], SCHEMA)
    pyarrow.parquet.write_table(table, file.with_suffix(".parquet"), row_group_size=20)
    pyarrow.feather.write_feather(table, file.with_suffix(".arrow"), chunksize=20)
