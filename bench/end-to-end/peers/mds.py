"""MosaicML Streaming: whole documents in MDS shards, two workers, its default shuffle."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from contract import ROWS, SAMPLES, SEED, Delivered, Samples
from torch_workers import join_group, through_workers


class _Absent(types.ModuleType):
    """streaming imports transformers for its examples: 1 s and 60 MB that a text stream never uses."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {})
        setattr(self, name, made)
        return made


for _name in [
    "transformers",
    "transformers.feature_extraction_utils",
    "transformers.tokenization_utils_base",
    "transformers.models",
    "transformers.models.auto",
    "transformers.models.auto.tokenization_auto",
]:
    sys.modules.setdefault(_name, _Absent(_name))

import streaming  # noqa: E402
from streaming import StreamingDataLoader, StreamingDataset  # noqa: E402
from streaming.base.util import clean_stale_shared_memory  # noqa: E402

VERSIONS = {"mosaicml-streaming": streaming.__version__, "torch": torch.__version__}


def batches(request: dict[str, Any]) -> Iterator[Delivered]:
    kind = request["scenario"]
    dataset = _dataset(request, f"mds-{kind}", 1)

    def parts(_worker: int, _workers: int) -> Iterable[Any]:
        # it finds by itself which worker it is in
        return (sample["text" if kind == "text" else "input_ids"] for sample in dataset)

    for _ in range(request["epochs"]):
        yield from through_workers(parts, request)


def samples(request: dict[str, Any]) -> Iterator[Samples]:
    loader = StreamingDataLoader(_dataset(request, "mds-images", SAMPLES), batch_size=SAMPLES, num_workers=request["workers"], collate_fn=_as_pairs)
    yield from loader


def _as_pairs(items: list[Any]) -> Samples:
    return [(item["image"], item["caption"]) for item in items]


def resumable(request: dict[str, Any], state: Any) -> tuple[Iterator[Any], Callable[[], Any]]:
    """Rows that were packed before they were stored: it counts samples, and resumes after the last one that it has given out."""
    loader = StreamingDataLoader(_dataset(request, "mds-rows", ROWS), batch_size=ROWS, num_workers=request["workers"])
    if state is not None:
        loader.load_state_dict(state)
    return (batch["input_ids"].to(torch.int32) for batch in loader), loader.state_dict


def _dataset(request: dict[str, Any], layout: str, batch_size: int) -> StreamingDataset:
    join_group(request)
    clean_stale_shared_memory()
    dataset = StreamingDataset(
        remote=f"s3://{request['bucket']}/{request['prefix']}/{layout}",
        local=os.path.join(request["dir"], "mds"),
        shuffle=True,
        shuffle_seed=SEED,
        num_canonical_nodes=1,
        batch_size=batch_size,
    )
    # The index was fetched here, and its client lives on. Workers are forks: all of them would speak through the one open connection of that client,
    # and read each other's responses: waits of 30 s, IndexError or UnicodeDecodeError from mixed up shards. Without it each makes a client of its own,
    # as it does where workers are spawned.
    for stream in dataset.streams:
        stream._downloader.clean_up()
    return dataset
