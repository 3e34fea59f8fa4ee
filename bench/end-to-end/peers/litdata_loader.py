"""litData: text in its own chunks, shuffled; or blocks of tokens that were packed when the chunks were written (TokensLoader)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

os.environ["AWS_ALLOW_HTTP"] = "true"  # before obstore looks

import litdata  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from contract import LENGTH, MESSAGE_BATCHES, PAD, ROWS, SAMPLES, SEED, Delivered, Samples, delivered, in_batches, packed  # noqa: E402
from litdata import StreamingDataLoader, StreamingDataset, TokensLoader  # noqa: E402
from torch_workers import ids_of, join_group  # noqa: E402

VERSIONS = {"litdata": litdata.__version__, "torch": torch.__version__}


def _allow_http() -> None:
    """Its S3 store takes no option for plain http, which a server on this machine speaks."""
    import obstore.store

    original = obstore.store.S3Store

    class PlainStore(original):  # type: ignore[misc, valid-type]
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            kwargs["client_options"] = {**(kwargs.get("client_options") or {}), "allow_http": True}
            return original(*args, **kwargs)

    obstore.store.S3Store = PlainStore


_allow_http()


class _Packed(StreamingDataset):  # type: ignore[misc]
    """Packs where it reads: in the worker."""

    request: dict[str, Any]

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        info = torch.utils.data.get_worker_info()
        worker = 0 if info is None else info.id
        super().__iter__()
        iterator = self._items()
        if self.request["scenario"] == "tokens":
            for message in _rows(iterator):
                yield worker, torch.from_numpy(message)
        else:
            for message in packed(ids_of(iterator, self.request, self.request["cores"] if info is None else 1)):
                yield worker, torch.from_numpy(message)

    def _items(self) -> Iterator[Any]:
        """It is its own iterator: another `iter` would begin anew."""
        while True:
            try:
                yield self.__next__()
            except StopIteration:
                return


def _rows(blocks: Iterable[Any]) -> Iterator[Any]:
    """Blocks of one row each → messages; the last one has the batches that are left."""
    held: list[Any] = []
    wanted = 1
    for block in blocks:
        held.append(np.asarray(block))
        if len(held) == wanted * ROWS:
            yield np.stack(held).astype(np.int32).reshape(-1, ROWS, LENGTH)
            held, wanted = [], min(wanted * 2, MESSAGE_BATCHES)
    if held:
        missing = -len(held) % ROWS
        held += [np.full(LENGTH, PAD)] * missing
        yield np.stack(held).astype(np.int32).reshape(-1, ROWS, LENGTH)


def _only(items: list[Any]) -> Any:
    return items[0]


def batches(request: dict[str, Any]) -> Iterator[Delivered]:
    dataset = _dataset(_Packed, request)
    dataset.request = request
    for epoch in range(request["epochs"]):
        if request["workers"] == 0:
            dataset.set_epoch(epoch + 1)
            yield from delivered(message for _, message in dataset)
            continue
        # it wants a batch size; an item is a message of batches already
        loader = StreamingDataLoader(dataset, batch_size=1, collate_fn=_only, num_workers=request["workers"], prefetch_factor=4)
        loader.current_epoch = epoch
        for worker, message in loader:
            streams = np.full(ROWS, int(worker), np.int32)
            for batch in message:
                yield batch, streams


def samples(request: dict[str, Any]) -> Iterator[Samples]:
    dataset = _dataset(StreamingDataset, request)
    if request["workers"] == 0:
        yield from in_batches((item["image"], item["caption"]) for item in dataset)
        return
    yield from StreamingDataLoader(dataset, batch_size=SAMPLES, collate_fn=_as_pairs, num_workers=request["workers"], prefetch_factor=4)


def _as_pairs(items: list[Any]) -> Samples:
    return [(item["image"], item["caption"]) for item in items]


def resumable(request: dict[str, Any], state: Any) -> tuple[Iterator[Any], Callable[[], Any]]:
    loader = StreamingDataLoader(_dataset(StreamingDataset, request), batch_size=ROWS, num_workers=request["workers"])
    if state is not None:
        loader.load_state_dict(state)
    return (batch.to(torch.int32) for batch in loader), loader.state_dict


def _dataset(kind_of: Any, request: dict[str, Any]) -> Any:
    kind = request["scenario"]
    # it asks torch.distributed for its rank; of what torchrun sets, it reads WORLD_SIZE alone
    join_group(request)
    return kind_of(
        input_dir=f"s3://{request['bucket']}/{request['prefix']}/litdata-{kind}",
        cache_dir=os.path.join(request["dir"], "litdata"),
        item_loader=TokensLoader(block_size=LENGTH) if kind == "tokens" else None,
        shuffle=True,
        drop_last=False,
        seed=SEED,
        storage_options={"endpoint_url": request["endpoint"]},
        # a state names the local cache, which is another one where a new machine resumes
        force_override_state_dict=True,
    )
