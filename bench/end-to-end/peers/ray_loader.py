"""Ray Data: Parquet in place, files shuffled; tasks that read, permute and tokenize, one a core; the trainer packs. A Ray of its own for each run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import numpy as np
import pyarrow
import pyarrow.fs
import ray
import ray.data
from contract import EOS, SEED, SHUFFLE_DOCUMENTS, Delivered, delivered, encoder, packed

VERSIONS = {"ray": ray.__version__, "pyarrow": pyarrow.__version__}

# of its store in shared memory: a corpus of tokens that was read ahead, and the blocks in work
STORE_BYTES = 2**30
BLOCKS_AHEAD = 4

_encode: Any = None


def permuted(table: Any) -> Any:
    # without a seed: tasks end in any order, so that there is no order to repeat
    return table.take(np.random.default_rng().permutation(len(table)))


def tokenized(table: Any, tokenizer: str, file: str) -> Any:
    """Documents → their ids, a list each. A function, because a function is one task with the read before it; actors would hold the cores of the reads."""
    global _encode
    if _encode is None:
        _encode = encoder(tokenizer, file, 1)
    ids = _encode(permuted(table).column("text").to_pylist())
    bounds = np.concatenate([[0], np.flatnonzero(ids == EOS) + 1]).astype(np.int32)
    return pyarrow.table({"input_ids": pyarrow.ListArray.from_arrays(pyarrow.array(bounds), pyarrow.array(ids.astype(np.uint16)))})


def batches(request: dict[str, Any]) -> Iterator[Delivered]:
    # not below TMPDIR, which is the run's: the path of a socket has 107 characters at most
    directory = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    try:
        ray.init(
            num_cpus=request["cores"],
            object_store_memory=STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
            _temp_dir=directory,
        )
        ray.data.DataContext.get_current().enable_progress_bars = False
        data = _dataset(request)
        for _ in range(request["epochs"]):
            yield from delivered(packed(_parts(data)))
    finally:
        ray.shutdown()
        shutil.rmtree(directory, ignore_errors=True)


def _dataset(request: dict[str, Any]) -> Any:
    kind = request["scenario"]
    store = pyarrow.fs.S3FileSystem(
        access_key=request["accessKeyId"], secret_key=request["secretAccessKey"], endpoint_override=urlsplit(request["endpoint"]).netloc, scheme="http"
    )
    files = [f"{request['bucket']}/{request['prefix']}/parquet-{kind}/{name}" for name in request["files"]]
    column = "text" if kind == "text" else "input_ids"
    data = ray.data.read_parquet(files, filesystem=store, columns=[column], shuffle=ray.data.FileShuffleConfig(seed=SEED))
    # permuted where they are read: a buffer of iter_batches (local_shuffle_buffer_size) shuffles in the trainer's process
    options = {"batch_size": SHUFFLE_DOCUMENTS, "batch_format": "pyarrow", "zero_copy_batch": True}
    if kind == "tokens":
        return data.map_batches(permuted, **options)
    return data.map_batches(tokenized, fn_args=(request["tokenizer"], request["tokenizerFile"]), **options)


def _parts(data: Any) -> Iterator[Any]:
    for table in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=BLOCKS_AHEAD):
        for chunk in table.column("input_ids").chunks:
            yield np.asarray(chunk.flatten())
