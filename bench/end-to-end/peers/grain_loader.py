"""Google Grain: row groups of Parquet in place, permuted; documents permuted in windows of some of them; its own packing, in its workers.

RowGroups (a RandomAccessDataSource) ─shuffle─▶ batch: a window ─random map: permuted─▶ threads read ahead ─flat map─▶ documents to encode at once
    ─map: encode─▶ concat-then-split ─mp_prefetch─▶ trainer

Every stage is Grain's own, and its state with them: ours are the source, which its users write for a store that it does not read, and functions without state.
Its WindowShuffleIterDataset has no part in it, because that costs 66 µs a document.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import grain
import numpy as np
import pyarrow.fs
import pyarrow.parquet
from contract import BATCH_TOKENS, ENCODE_DOCUMENTS, LENGTH, PAD, ROWS, SEED, SHUFFLE_DOCUMENTS, Delivered, encoder, ranks_of
from grain import experimental

VERSIONS = {"grain": getattr(grain, "__version__", "0.2.18"), "pyarrow": pyarrow.__version__}

# an element that goes from a worker to the trainer, through shared memory
ELEMENT_BATCHES = 8
# that read windows, in each worker
READ_THREADS = 2
# elements of each worker that wait for the trainer
ELEMENTS_AHEAD = 4
FOOTERS_AT_ONCE = 16


@dataclass
class RowGroups:
    """One record is the wanted column of one row group. Footers are read once, by the trainer's process; workers get them with this object."""

    files: list[str]
    column: str
    endpoint: str
    access_key: str
    secret_key: str
    places: list[tuple[int, int]] = field(default_factory=list)
    footers: list[Any] = field(default_factory=list)
    _store: Any = None

    def __post_init__(self) -> None:
        self.store()
        with ThreadPoolExecutor(FOOTERS_AT_ONCE) as threads:
            self.footers = list(threads.map(self._footer, self.files))
        self.places = [(number, group) for number, footer in enumerate(self.footers) for group in range(footer.num_row_groups)]

    def _footer(self, file: str) -> Any:
        with self.store().open_input_file(file) as source:
            return pyarrow.parquet.read_metadata(source)

    def store(self) -> Any:
        if self._store is None:
            self._store = pyarrow.fs.S3FileSystem(access_key=self.access_key, secret_key=self.secret_key, endpoint_override=urlsplit(self.endpoint).netloc, scheme="http")
        return self._store

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_store": None}

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> list[Any]:
        number, group = self.places[index]
        # it asks for the bytes of one column chunk at once
        with pyarrow.parquet.ParquetFile(self.files[number], filesystem=self.store(), metadata=self.footers[number], pre_buffer=True) as file:
            column = file.read_row_group(group, columns=[self.column], use_threads=False).column(0).combine_chunks()
        if self.column == "text":
            return column.to_pylist()
        ids, bounds = np.asarray(column.flatten()), np.asarray(column.offsets)
        bounds = bounds - bounds[0]
        return [ids[start:end] for start, end in zip(bounds[:-1], bounds[1:])]


def window(groups: Sequence[list[Any]]) -> list[Any]:
    return [document for group in groups for document in group]


def permuted(documents: list[Any], random: Any) -> list[Any]:
    return [documents[i] for i in random.permutation(len(documents))]


class ToEncode(experimental.FlatMapTransform):  # type: ignore[misc]
    """A window → parts of it that the tokenizer gets at once."""

    max_fan_out = 1 << 20

    def flat_map(self, element: list[Any]) -> list[list[Any]]:
        return [element[start : start + ENCODE_DOCUMENTS] for start in range(0, len(element), ENCODE_DOCUMENTS)]


class Encode:
    """Documents → their joined ids. The tokenizer is loaded by the worker that uses it first."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.encode: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {"request": self.request, "encode": None}

    def __call__(self, documents: list[Any]) -> dict[str, Any]:
        if self.request["scenario"] == "tokens":
            return {"ids": np.concatenate(documents).astype(np.int32, copy=False)}
        if self.encode is None:
            self.encode = encoder(self.request["tokenizer"], self.request["tokenizerFile"], 1)
        return {"ids": self.encode(documents)}


def padded(element: dict[str, Any]) -> dict[str, Any]:
    """Its packing fills the last element with zeros, and numbers what is none with 0. The stream is the worker: rows continue each other there."""
    ids, unused = element["ids"], element["ids_segment_ids"] == 0
    if unused[-1]:
        ids = np.where(unused, np.int32(PAD), ids)
    return {"ids": ids.reshape(-1, ROWS, LENGTH), "stream": os.getpid()}


def batches(request: dict[str, Any]) -> Iterator[Delivered]:
    iterator = iter(_dataset(request, ELEMENT_BATCHES))
    try:
        for element in iterator:
            streams = np.full(ROWS, int(element["stream"]), np.int32)
            for batch in element["ids"]:
                # rows of nothing fill the last element
                if batch[0, 0] != PAD:
                    yield batch, streams
    finally:
        iterator.close()


def resumable(request: dict[str, Any], state: Any) -> tuple[Iterator[Any], Callable[[], Any]]:
    """An element is a batch, so that the state is the one after the last batch."""
    iterator = iter(_dataset(request, 1))
    if state is not None:
        iterator.set_state(state)
    return (element["ids"][0] for element in iterator), iterator.get_state


def _dataset(request: dict[str, Any], element_batches: int) -> Any:
    kind = request["scenario"]
    source = RowGroups(
        files=[f"{request['bucket']}/{request['prefix']}/parquet-{kind}/{name}" for name in request["files"]],
        column="text" if kind == "text" else "input_ids",
        endpoint=request["endpoint"],
        access_key=request["accessKeyId"],
        secret_key=request["secretAccessKey"],
    )
    rows = sum(footer.num_rows for footer in source.footers)
    groups_a_window = max(1, round(SHUFFLE_DOCUMENTS / (rows / len(source))))
    # each epoch in an order of its own
    rank, ranks = ranks_of(request)
    groups = grain.MapDataset.source(source).shuffle(seed=SEED)[rank::ranks].repeat(request["epochs"])
    windows = groups.batch(groups_a_window, drop_remainder=False, batch_fn=window).random_map(permuted, seed=SEED)
    read = windows.to_iter_dataset(grain.ReadOptions(num_threads=READ_THREADS, prefetch_buffer_size=READ_THREADS))
    encoded = experimental.FlatMapIterDataset(read, ToEncode()).map(Encode(request))
    packed = experimental.ConcatThenSplitIterDataset(encoded, length_struct={"ids": element_batches * BATCH_TOKENS})
    whole = packed.map(padded)
    if request["workers"] == 0:
        return whole
    return whole.mp_prefetch(grain.MultiprocessingOptions(num_workers=request["workers"], per_worker_buffer_size=ELEMENTS_AHEAD))
