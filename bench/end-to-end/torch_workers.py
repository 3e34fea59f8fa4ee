"""Runs a contestant's documents in the worker processes of a torch DataLoader, where tokenizing and packing happen, too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed
from contract import ROWS, Delivered, delivered, encoded, encoder, packed, ranks_of
from torch.utils.data import DataLoader, IterableDataset, get_worker_info


class Packed(IterableDataset):  # type: ignore[type-arg]
    """`parts(worker, workers)` are documents (text) or, where there is no tokenizer, their ids."""

    def __init__(self, parts: Callable[[int, int], Iterable[Any]], request: dict[str, Any]) -> None:
        self.parts = parts
        self.request = request

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        for message in packed(ids_of(self.parts(worker, workers), self.request, 1)):
            yield worker, torch.from_numpy(message)


def ids_of(parts: Iterable[Any], request: dict[str, Any], threads: int) -> Iterator[Any]:
    if request["scenario"] == "tokens":
        return iter(parts)
    return encoded(parts, encoder(request["tokenizer"], request["tokenizerFile"], threads))


def join_group(request: dict[str, Any]) -> None:
    """The process group that trainers of several ranks have, for loaders that ask it: without GPUs that of gloo."""
    if ranks_of(request)[1] > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")


def through_workers(parts: Callable[[int, int], Iterable[Any]], request: dict[str, Any]) -> Iterator[Delivered]:
    """One epoch, in as many workers as the contestant has; none: in this process, with a thread a core for the tokenizer."""
    workers = request["workers"]
    if workers == 0:
        yield from delivered(packed(ids_of(parts(0, 1), request, request["cores"])))
        return
    loader: DataLoader[Any] = DataLoader(Packed(parts, request), batch_size=None, num_workers=workers, prefetch_factor=4)
    for worker, message in loader:
        streams = np.full(ROWS, int(worker), np.int32)
        for batch in message:
            yield batch, streams
