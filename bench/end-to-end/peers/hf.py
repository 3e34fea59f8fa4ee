"""Hugging Face datasets: Parquet in place, streamed, each worker its shards, then a shuffle buffer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import datasets
import datasets.distributed
import numpy as np
import torch
from contract import ENCODE_DOCUMENTS, SEED, SHUFFLE_DOCUMENTS, Delivered, ranks_of
from torch_workers import through_workers

VERSIONS = {"datasets": datasets.__version__, "torch": torch.__version__}

# After its last shard it sleeps 5 s, with a buffer full of documents, before it goes on with them (a guard of threads of pyarrow that end with the process):
# in a short epoch that would be most of the time, and in a long one it is nothing.
datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0


def batches(request: dict[str, Any]) -> Iterator[Delivered]:
    kind = request["scenario"]
    column = "text" if kind == "text" else "input_ids"
    storage = {
        "key": request["accessKeyId"],
        "secret": request["secretAccessKey"],
        "client_kwargs": {"endpoint_url": request["endpoint"]},
    }
    prefix = f"s3://{request['bucket']}/{request['prefix']}/parquet-{kind}"
    files = [f"{prefix}/{name}" for name in request["files"]]

    rank, ranks = ranks_of(request)

    def parts(worker: int, workers: int) -> Iterable[Any]:
        data = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True, columns=[column], storage_options=storage)
        if ranks > 1:
            data = datasets.distributed.split_dataset_by_node(data, rank=rank, world_size=ranks)
        # in this order: a buffer filled before the split would be filled by every worker with every document
        own = data.shard(num_shards=workers, index=worker) if workers > 1 else data
        shuffled = own.shuffle(seed=SEED + request["epoch"], buffer_size=SHUFFLE_DOCUMENTS)
        if kind == "text":
            for batch in shuffled.iter(batch_size=ENCODE_DOCUMENTS):
                yield from batch[column]
        else:
            for table in shuffled.with_format("arrow").iter(batch_size=ENCODE_DOCUMENTS):
                for chunk in table.column(column).chunks:
                    yield np.asarray(chunk.flatten())

    for epoch in range(request["epochs"]):
        request["epoch"] = epoch
        yield from through_workers(parts, request)
