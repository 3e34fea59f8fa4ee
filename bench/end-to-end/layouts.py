"""Writes one corpus in each contestant's own layout. Arguments: PREFIX (of PREFIX.bin and PREFIX.bounds) TOKENIZER_FILE DIRECTORY SHARDS; prints JSON.

parquet-text, parquet-tokens   zstd, SHARDS files, an id and a ballast column beside what is asked for
tar-…, mds-…, litdata-text     whole documents; tokens as uint16 with EOS at the end of each
litdata-tokens                 rows of 2048 that were packed when they were written: no document is whole
mds-rows                       the same rows in MDS: what its resume is exact with
tokens.bin, tokens.bounds      what every contestant's delivery is held to: ids of Hugging Face's tokenizers (uint16), bounds of documents (uint32)
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["AWS_ALLOW_HTTP"] = "true"

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from contract import EOS, LENGTH, PAD, encoder

ROW_GROUP = 500
ENCODE_AT_ONCE = 2000


def main(prefix: str, tokenizer_file: str, directory: str, shards: int) -> None:
    bounds = array("i", Path(f"{prefix}.bounds").read_bytes())
    text = Path(f"{prefix}.bin").read_bytes()
    documents = [text[bounds[i] : bounds[i + 1]].decode() for i in range(len(bounds) - 1)]
    encode = encoder("tokenizers", tokenizer_file, os.cpu_count() or 1)
    flat = np.concatenate([encode(documents[i : i + ENCODE_AT_ONCE]) for i in range(0, len(documents), ENCODE_AT_ONCE)])
    ends = np.flatnonzero(flat == EOS) + 1
    if len(ends) != len(documents):
        raise ValueError(f"{len(documents)} documents, but {len(ends)} ends of documents: some text holds the special token")
    starts = np.concatenate([[0], ends[:-1]])
    tokens = [flat[start:end] for start, end in zip(starts, ends)]
    out = Path(directory)
    (out / "tokens.bin").write_bytes(flat.astype("<u2").tobytes())
    (out / "tokens.bounds").write_bytes(np.concatenate([[0], ends]).astype("<u4").tobytes())
    write_parquet(out, documents, tokens, shards)
    write_tar(out, documents, tokens, shards)
    write_mds(out, documents, tokens, len(text), shards)
    write_litdata(out, documents, flat, len(text), shards)
    print(json.dumps({"documents": len(documents), "bytes": len(text), "tokens": len(flat), "tokenSum": int(flat.sum(dtype=np.int64))}))


def write_parquet(out: Path, documents: list[str], tokens: list[Any], shards: int) -> None:
    for kind in ("text", "tokens"):
        (out / f"parquet-{kind}").mkdir()
    for shard in range(shards):
        own = range(shard, len(documents), shards)
        beside = {"id": [f"d{i}" for i in own], "ballast": [f"{i} " * 50 for i in own]}
        text = pa.table({**beside, "text": [documents[i] for i in own]})
        pq.write_table(text, out / "parquet-text" / f"{shard:03}.parquet", compression="zstd", row_group_size=ROW_GROUP)
        parts = [tokens[i] for i in own]
        offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int32)
        column = pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(parts)))
        pq.write_table(pa.table({**beside, "input_ids": column}), out / "parquet-tokens" / f"{shard:03}.parquet", compression="zstd", row_group_size=4 * ROW_GROUP)


def write_tar(out: Path, documents: list[str], tokens: list[Any], shards: int) -> None:
    for kind, ending in (("text", "txt"), ("tokens", "bin")):
        (out / f"tar-{kind}").mkdir()
        for shard in range(shards):
            with tarfile.open(out / f"tar-{kind}" / f"{shard:03}.tar", "w") as tar:
                for i in range(shard, len(documents), shards):
                    body = documents[i].encode() if kind == "text" else tokens[i].astype("<u2").tobytes()
                    info = tarfile.TarInfo(f"d{i}.{ending}")
                    info.size = len(body)
                    tar.addfile(info, io.BytesIO(body))


def write_mds(out: Path, documents: list[str], tokens: list[Any], size: int, shards: int) -> None:
    import peers.mds  # noqa: F401 (lets streaming be imported)
    from streaming import MDSWriter

    limit = max(2**20, min(2**26, size // shards))
    with MDSWriter(out=str(out / "mds-text"), columns={"text": "str"}, size_limit=limit) as writer:
        for document in documents:
            writer.write({"text": document})
    with MDSWriter(out=str(out / "mds-tokens"), columns={"input_ids": "ndarray:uint16"}, size_limit=limit) as writer:
        for own in tokens:
            writer.write({"input_ids": own.astype(np.uint16)})
    with MDSWriter(out=str(out / "mds-rows"), columns={"input_ids": f"ndarray:uint16:{LENGTH}"}, size_limit=limit) as writer:
        for row in rows_of(np.concatenate(tokens)):
            writer.write({"input_ids": row})


def write_litdata(out: Path, documents: list[str], flat: Any, size: int, shards: int) -> None:
    from litdata import TokensLoader
    from litdata.streaming.cache import Cache

    def fill(cache: Any, items: Iterator[Any]) -> None:
        for i, item in enumerate(items):
            cache[i] = item
        cache.done()
        cache.merge()

    limit = max(2**20, min(2**26, size // shards))
    fill(Cache(str(out / "litdata-text"), chunk_bytes=limit), iter(documents))
    in_chunk = max(1, min(2**24, len(flat) // shards) // LENGTH) * LENGTH
    fill(Cache(str(out / "litdata-tokens"), chunk_size=in_chunk, item_loader=TokensLoader(block_size=LENGTH)), iter(rows_of(flat)))


def rows_of(flat: Any) -> Any:
    rows = np.full(-(-len(flat) // LENGTH) * LENGTH, PAD, np.uint16)
    rows[: len(flat)] = flat
    return rows.reshape(-1, LENGTH)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
