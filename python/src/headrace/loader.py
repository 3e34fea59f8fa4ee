"""`headrace.DataLoader`: what a training loop holds."""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from . import wire
from .batch import Array, Batch
from .connection import Connection, Request
from .cursor import Cursor, check_cursor
from .errors import HeadraceError
from .sidecar import Sidecar, answers, default_address

State = Mapping[str, Any]


class DataLoader:
    """
    An iterable of a rank's batches, from the sidecar of this machine.

    :param source: path of the configuration file. The local rank 0 starts the machine's sidecar if none runs, and ends it in ``close``.
    :param address: of a sidecar that runs already (``ipc://…`` or ``tcp://127.0.0.1:…``), instead of starting one.
    :param rank, world_size: the data-parallel rank and the number of such ranks; default: RANK and WORLD_SIZE, as torchrun sets them, else 0 of 1.
    :param local_rank: default: LOCAL_RANK, else ``rank``.
    :param consumer: names this consumer among several of the same rank (tensor, pipeline, context parallel): they get the same batches.
    :param prefetch: batches asked for ahead, 1 to 64.
    :param timeout: seconds; the longest wait for a batch, and for a sidecar that went away.
    :param start_timeout: seconds; the longest wait for a sidecar that this process starts.
    :param expect: plan entries that the trainer relies on, such as ``{"sequence.length": 2048}``.
    :param tensors: ``"torch"``, ``"numpy"``, or ``"auto"``: torch where it is installed.
    :param pin_memory: put tensors into pinned memory; default: where CUDA is available.
    :param verify: compute the digest of each batch and compare.
    :param command: the sidecar's command, such as ``["npx", "headrace"]``.

    It can be given to ``torch.utils.data.DataLoader(loader.dataset(), batch_size=None, num_workers=0)`` by libraries that insist on one.
    A loader belongs to the process that made it. Iterating again goes on where the stream stands; after the end of a finite run it ends at once.
    Errors are ``HeadraceError``.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | None = None,
        *,
        address: str | None = None,
        rank: int | None = None,
        world_size: int | None = None,
        local_rank: int | None = None,
        consumer: str = "default",
        prefetch: int = 4,
        timeout: float = 300.0,
        start_timeout: float = 300.0,
        expect: Mapping[str, Any] | None = None,
        tensors: Literal["auto", "torch", "numpy"] = "auto",
        pin_memory: bool | None = None,
        verify: bool = False,
        command: Sequence[str] | None = None,
    ) -> None:
        if (source is None) == (address is None):
            raise HeadraceError("CONFIG_INVALID", "give either the path of a configuration or address=", hint="see help(headrace.DataLoader)")
        if not 1 <= prefetch <= wire.CREDITS_MAX:
            raise HeadraceError("CONFIG_INVALID", f"prefetch is {prefetch}; it can be 1 to {wire.CREDITS_MAX}")
        self.rank = _from_environment("RANK", 0) if rank is None else rank
        self.world_size = _from_environment("WORLD_SIZE", 1) if world_size is None else world_size
        self._local_rank = _from_environment("LOCAL_RANK", self.rank) if local_rank is None else local_rank
        self._source = None if source is None else os.fspath(source)
        if self._source is not None and not os.path.isfile(self._source):
            raise HeadraceError("CONFIG_NOT_FOUND", f"cannot read the configuration {self._source}", hint="check the path")
        self._given_address = address
        self._consumer = consumer
        self._prefetch = prefetch
        self._timeout = timeout
        self._start_timeout = start_timeout
        self._expect = dict(expect or {})
        self._verify = verify
        self._command = command
        self._pid = os.getpid()
        self._cursors: list[Cursor] = []
        self._consumed: Cursor | None = None
        self._connection: Connection | None = None
        self._sidecar: Sidecar | None = None
        self._convert = _converter(tensors, pin_memory)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        self._check_process()
        if self._connection is None:
            self._connection = self._connect()
        received = self._connection.take()
        if received is None:
            raise StopIteration
        header = received.message.header
        batch = Batch(
            received.message.arrays,
            step=header["step"],
            tokens=header["tokens"],
            digest=header["digest"],
            cursor=received.cursor,
            convert=self._convert,
        )
        if self._verify:
            batch.verify()
        self._consumed = received.cursor
        return batch

    def state_dict(self) -> dict[str, Any]:
        """After the last batch that this loader gave out; before the first one, where it starts. Small, plain JSON; an empty dict is the very start."""
        if self._consumed is not None:
            return self._consumed
        if len(self._cursors) == 1:
            return self._cursors[0]
        start = self._connection.start if self._connection is not None else None
        return start or {}

    def load_state_dict(self, state: State | Sequence[State]) -> None:
        """Continues after a state: this rank's, the merged one, or a list of all ranks'. Costs the same wherever the state is. Errors: ``CURSOR_INVALID``."""
        states = [state] if isinstance(state, Mapping) else list(state)
        self._cursors = [check_cursor(dict(item)) for item in states if item]
        self._consumed = None
        self._disconnect()

    def dataset(self) -> Any:
        """This loader as a ``torch.utils.data.IterableDataset``."""
        data = importlib.import_module("torch.utils.data")
        loader = self

        class HeadraceDataset(data.IterableDataset):  # type: ignore[misc, name-defined]
            def __iter__(self) -> Iterator[dict[str, Array]]:
                return (dict(batch) for batch in loader)

        return HeadraceDataset()

    def close(self) -> None:
        """Ends the session, and the sidecar if this loader started it. May be called again."""
        if os.getpid() != self._pid:
            return  # a forked child must not end its parent's sidecar
        self._disconnect()
        if self._sidecar is not None:
            atexit.unregister(self.close)
            self._sidecar.stop()
            self._sidecar = None

    def __enter__(self) -> DataLoader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def sidecar_pid(self) -> int | None:
        """The process that this loader started; None where it did not."""
        return None if self._sidecar is None else self._sidecar.pid

    def _connect(self) -> Connection:
        address = self._given_address or self._ensure_sidecar()
        return Connection(
            Request(
                address=address,
                rank=self.rank,
                world_size=self.world_size,
                consumer=self._consumer,
                credits=self._prefetch,
                timeout_s=self._timeout,
                expect=self._expect,
                cursors=self._cursors,
            )
        )

    def _ensure_sidecar(self) -> str:
        source = self._source or ""
        address = default_address(source)
        if self._local_rank == 0 and self._sidecar is None and not answers(address):
            self._sidecar = Sidecar(source, address, self._command, self._start_timeout)
            atexit.register(self.close)
        return address

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise HeadraceError(
                "CONFIG_INVALID",
                "this loader was made in another process",
                hint="make it in the process that uses it; in torch.utils.data.DataLoader use num_workers=0",
            )


def _from_environment(name: str, otherwise: int) -> int:
    value = os.environ.get(name)
    if value is None:
        return otherwise
    try:
        return int(value)
    except ValueError:
        raise HeadraceError("CONFIG_INVALID", f"the environment variable {name} is {value!r}, which is no number") from None


class _Numpy:
    def __call__(self, _name: str, array: NDArray[Any]) -> Array:
        return array


class _Torch:
    """Ids and positions as int64, which embeddings and cross-entropy take everywhere; the rest as it is."""

    WIDENED = frozenset({"input_ids", "labels", "position_ids"})

    def __init__(self, pin_memory: bool | None) -> None:
        self._torch: Any = importlib.import_module("torch")
        self._pin = self._torch.cuda.is_available() if pin_memory is None else pin_memory

    def __call__(self, name: str, array: NDArray[Any]) -> Array:
        # a copy of its own: torch has no read-only tensors
        owned = array.astype(np.int64) if name in self.WIDENED else array.copy()
        tensor = self._torch.from_numpy(owned)
        return tensor.pin_memory() if self._pin else tensor


def _converter(tensors: str, pin_memory: bool | None) -> _Numpy | _Torch:
    if tensors not in ("auto", "torch", "numpy"):
        raise HeadraceError("CONFIG_INVALID", f"tensors is {tensors!r}; it can be auto, torch or numpy")
    use_torch = tensors == "torch" or (tensors == "auto" and importlib.util.find_spec("torch") is not None)
    return _Torch(pin_memory) if use_torch else _Numpy()
