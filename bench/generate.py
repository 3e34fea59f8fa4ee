"""Makes the data of the benchmarks. Arguments: KIND DIRECTORY [OPTIONS]; prints what was made, as JSON.

text DOCUMENTS.json DIR     real prose in 8 zstd shards, with a column beside it
tokens DIR MILLIONS         token ids with the frequencies of real text, 8 snappy shards
spark DIR MB                text in row groups of 128 MB without a page index, as Spark writes it
document DIR MB             one document of so many MB among small ones
"""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def text(documents_file: str, directory: str) -> dict[str, int]:
    documents = json.loads(Path(documents_file).read_text())
    for i in range(8):
        own = documents[i::8]
        table = pa.table({"id": [f"{i}-{j}" for j in range(len(own))], "text": own, "ballast": [f"{j} " * 50 for j in range(len(own))]})
        pq.write_table(table, f"{directory}/text-{i}.parquet", compression="zstd", row_group_size=500)
    return {"documents": len(documents)}


def tokens(directory: str, millions: str) -> dict[str, int]:
    rng = np.random.default_rng(0)
    chances = 1 / np.arange(1, 50_257)
    chances /= chances.sum()
    total = 0
    for i in range(8):
        lengths = rng.integers(50, 1500, int(float(millions) * 1e6 / 775 / 8))
        ids = rng.choice(50_256, size=lengths.sum(), p=chances).astype(np.int32)
        bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        column = pa.ListArray.from_arrays(pa.array(bounds), pa.array(ids))
        pq.write_table(pa.table({"input_ids": column}), f"{directory}/tokens-{i}.parquet", compression="snappy", row_group_size=2000)
        total += int(lengths.sum())
    return {"tokens": total}


def spark(directory: str, megabytes: str) -> dict[str, int]:
    rng = np.random.default_rng(1)
    words = np.array(["".join(rng.choice(list("etaoinshrdlu"), rng.integers(2, 9))) for _ in range(20_000)])
    made, shard = 0, 0
    while made < int(megabytes):
        documents = [" ".join(words[rng.integers(0, len(words), 600)]) for _ in range(128_000_000 // 3900)]
        pq.write_table(pa.table({"text": documents}), f"{directory}/spark-{shard}.parquet", compression="snappy", row_group_size=len(documents), use_dictionary=False)
        made += 128
        shard += 1
    return {"shards": shard}


def document(directory: str, megabytes: str, codec: str = "zstd") -> dict[str, int]:
    """One of so many MB among small ones, in a page with as many others as pyarrow writes at a time."""
    small = ["about the length of a word or so " * 200] * 20_000
    long = "about the length of a word or so " * (int(megabytes) * 1_000_000 // 33)
    table = pa.table({"text": pa.array([*small, long, *small], pa.large_string())})
    pq.write_table(table, f"{directory}/document.parquet", compression=codec, row_group_size=5000, use_dictionary=False)
    return {"rows": table.num_rows}


if __name__ == "__main__":
    Path(sys.argv[3] if sys.argv[1] == "text" else sys.argv[2]).mkdir(parents=True, exist_ok=True)
    print(json.dumps({"text": text, "tokens": tokens, "spark": spark, "document": document}[sys.argv[1]](*sys.argv[2:])))
