"""headrace as its users have it: a DataLoader that starts the machine's sidecar, a process of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import headrace
import numpy as np
import torch
from contract import LENGTH, PAD, ROWS, SEED, Delivered

VERSIONS = {"headrace": headrace.__version__, "torch": torch.__version__}


def batches(request: dict[str, Any]) -> Iterator[Delivered]:
    bucket = f"s3://{request['bucket']}/{request['prefix']}"
    is_text = request["scenario"] == "text"
    source = {"uri": f"{bucket}/parquet-text/"} if is_text else {"uri": f"{bucket}/parquet-tokens/", "tokens": "input_ids"}
    if "index" in request:
        source["index"] = request["index"]
    config = {
        "seed": SEED,
        "sources": {"data": source},
        **({"tokenizer": {"file": request["tokenizerFile"]}} if is_text else {}),
        "sequence": {"length": LENGTH, "padId": PAD},
        "batch": {"size": ROWS, "lanes": ROWS},
        "epochs": request["epochs"],
        "last": "pad",
        "storage": {"s3": {"endpoint": request["endpoint"], "forcePathStyle": True}},
        "cache": {"dir": os.path.join(request["dir"], "cache"), "tokens": request["epochs"] > 1},
    }
    if request.get("sidecarWorkers"):
        config["limits"] = {"workers": request["sidecarWorkers"]}
    file = os.path.join(request["dir"], "headrace.yaml")
    with open(file, "w") as out:
        json.dump(config, out)  # which is YAML
    # the rows of a batch are of lanes in turn
    streams = np.arange(ROWS, dtype=np.int32)
    with headrace.DataLoader(file, rank=0, world_size=1, command=request["sidecar"], prefetch=16) as loader:
        for batch in loader:
            yield batch["input_ids"], streams
