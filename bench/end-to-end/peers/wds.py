"""WebDataset: tar files of whole documents, read as streams, shards shuffled and then a shuffle buffer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import boto3
import numpy as np
import torch
import webdataset
from contract import SAMPLES, SEED, SHUFFLE_DOCUMENTS, Delivered, Samples, ranks_of
from torch.utils.data import DataLoader
from torch_workers import through_workers
from webdataset.gopen import gopen_schemes

VERSIONS = {"webdataset": getattr(webdataset, "__version__", "1.0.2"), "torch": torch.__version__}


def batches(request: dict[str, Any]) -> Iterator[Delivered]:
    kind = request["scenario"]

    def parts(_worker: int, _workers: int) -> Iterable[Any]:
        for sample in _data(request):
            yield sample["txt"].decode() if kind == "text" else np.frombuffer(sample["bin"], np.uint16)

    for epoch in range(request["epochs"]):
        request["epoch"] = epoch
        yield from through_workers(parts, request)


def samples(request: dict[str, Any]) -> Iterator[Samples]:
    request["epoch"] = 0
    data = _data(request).to_tuple("jpg", "txt").batched(SAMPLES, collation_fn=list, partial=True)
    yield from DataLoader(data, batch_size=None, num_workers=request["workers"], prefetch_factor=4)


def _data(request: dict[str, Any]) -> Any:
    bucket, prefix = request["bucket"], request["prefix"]

    def open_s3(url: str, mode: str = "rb", bufsize: int = 8192, **_: Any) -> Any:
        # in the process: a pipe to a command line tool starts one a shard
        client = boto3.client("s3", endpoint_url=request["endpoint"])
        return client.get_object(Bucket=bucket, Key=url.removeprefix(f"s3://{bucket}/"))["Body"]

    gopen_schemes["s3"] = open_s3
    urls = [f"s3://{bucket}/{prefix}/tar-{request['scenario']}/{name}" for name in request["tars"]]
    seed = SEED + request["epoch"]
    of_rank = webdataset.split_by_node if ranks_of(request)[1] > 1 else webdataset.single_node_only
    data = webdataset.WebDataset(urls, shardshuffle=len(urls), seed=seed, empty_check=False, nodesplitter=of_rank)
    return data.shuffle(SHUFFLE_DOCUMENTS, seed=seed)
