"""headrace as its users have it: a DataLoader that starts the machine's sidecar, a process of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import headrace
import numpy as np
import torch  # every trainer here has it
from contract import LENGTH, PAD, ROWS, SAMPLES, SEED, Delivered, Samples, ranks_of

VERSIONS = {"headrace": headrace.__version__, "torch": torch.__version__}


def _places(batch: Any) -> np.ndarray[Any, Any]:
    """Where each row begins inside a document, and where it leaves one open: source, shard, row and token of each. −1: it does not, or is padding."""
    segments, bounds = batch["segments"], batch["cu_seqlens"]
    firsts = np.searchsorted(bounds, np.arange(ROWS + 1) * LENGTH)
    places = np.full((ROWS, 8), -1, np.int32)
    for row in range(ROWS):
        own = segments[firsts[row] : firsts[row + 1]]
        own = own[own[:, 0] >= 0]  # without padding
        if len(own) == 0:
            continue
        first, last = own[0], own[-1]
        if not first[5] & 1:
            places[row, :4] = first[:4]
        if not last[5] & 2:
            places[row, 4:] = (*last[:3], last[3] + last[4])
    return places


def batches(request: dict[str, Any]) -> Iterator[Delivered]:
    unknown = np.zeros(ROWS, np.int32)
    with _loader(request) as loader:
        for batch in loader:
            # only the gate asks which row continues which
            yield batch["input_ids"], _places(batch) if "gateFile" in request else unknown


def samples(request: dict[str, Any]) -> Iterator[Samples]:
    with _loader(request) as loader:
        for batch in loader:
            fields = batch.fields
            # samples without tokens count as one each; what fills up the last batch is behind them
            yield list(zip(fields["image"], fields["caption"]))[: batch.tokens]


def resumable(request: dict[str, Any], state: Any) -> tuple[Iterator[Any], Callable[[], Any]]:
    loader = _loader(request)
    if state is not None:
        loader.load_state_dict(state)
    return (batch["input_ids"] for batch in loader), loader.state_dict


def _loader(request: dict[str, Any]) -> headrace.DataLoader:
    bucket = f"s3://{request['bucket']}/{request['prefix']}"
    source, rest = _of_scenario(bucket, request)
    if "index" in request:
        source["index"] = request["index"]
    cache = {"dir": os.path.join(request["dir"], "cache"), "tokens": request["epochs"] > 1}
    if request.get("keepsRanges"):  # for another run; by itself it keeps what this one reads again
        cache["ranges"] = True
    config = {
        "seed": SEED,
        "sources": {"data": source},
        **rest,
        "epochs": request["epochs"],
        "last": "pad",
        "storage": {"s3": {"endpoint": request["endpoint"], "forcePathStyle": True}},
        "cache": cache,
    }
    if request.get("sidecarWorkers"):
        config["limits"] = {"workers": request["sidecarWorkers"]}
    file = os.path.join(request["dir"], "headrace.yaml")
    rank, ranks = ranks_of(request)
    # each rank writes the same: no sidecar may see a part of it
    with open(f"{file}.{rank}", "w") as out:
        json.dump(config, out)  # which is YAML
    os.replace(out.name, file)
    # numpy: int32 as it was sent, like the peers' batches; as torch tensors ids are int64
    return headrace.DataLoader(file, rank=rank, world_size=ranks, local_rank=rank, command=request["sidecar"], tensors="numpy")


def _of_scenario(bucket: str, request: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The source, and what the configuration says beside it."""
    packed = {"sequence": {"length": LENGTH, "padId": PAD}, "batch": {"size": ROWS * ranks_of(request)[1], "lanes": ROWS}}
    if request["scenario"] == "text":
        return {"uri": f"{bucket}/parquet-text/"}, {"tokenizer": {"file": request["tokenizerFile"]}, **packed}
    if request["scenario"] == "tokens":
        return {"uri": f"{bucket}/parquet-tokens/", "tokens": "input_ids"}, packed
    source = {"uri": f"{bucket}/tar-images/", "fields": {"image": "jpg", "caption": "txt"}}
    return source, {"sequence": "none", "batch": {"size": SAMPLES}}
