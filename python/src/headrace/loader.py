"""`headrace.DataLoader`: what a training loop holds."""

from __future__ import annotations

import importlib
import importlib.util
import operator
import os
import re
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from . import wire
from .batch import Array, Batch, PositionIds
from .connection import Connection, Received, Request
from .cursor import Cursor, between_steps, loaded_cursor, plain, rows_given
from .errors import HeadraceError
from .fields import Decode, Images, received_fields
from .keeper import Keeper
from .sidecar import default_address

State = Mapping[str, Any]

# a year: what a wait may last at most. Infinity overflows in the operating system's clocks
SECONDS_MAX = 365 * 86400.0
# how long a sidecar of somebody else may say nothing before this process looks whether it is there
SILENCE_S = 2.0


@dataclass
class _Step:
    """A step of which not all rows were given out."""

    batch: Batch
    before: Cursor
    after: Cursor
    given: int

    def position(self, given: int) -> Cursor:
        """The state when so many rows, not all of them, were given out."""
        return self.before if given == 0 else {**self.before, "rows": {"given": given, "of": self.batch.rows}}


class _Held:
    """What a loader must end: apart from it, so that it can be ended when the loader is no more."""

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.keeper: Keeper | None = None

    def disconnect(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def end(self) -> None:
        # in this order: a sidecar that is told to end waits for its trainers to leave
        self.disconnect()
        if self.keeper is not None:
            self.keeper.stop()


class DataLoader:
    """
    An iterable of a rank's batches, from the sidecar of this machine.

    :param source: path of the configuration file. The local rank 0 starts the machine's sidecar if none runs, at once,
        so that it is ready when the first batch is asked for; starts it again if it dies, and ends it in ``close``.
    :param address: of a sidecar that runs already (``ipc://…`` or ``tcp://127.0.0.1:…``), instead of starting one.
    :param rank, world_size: the data-parallel rank and the number of such ranks; default: RANK and WORLD_SIZE, as torchrun sets them, else 0 of 1.
    :param local_rank: default: LOCAL_RANK, else ``rank``.
    :param split: ``"train"``, or ``"validation"``: the documents that the configuration's ``validation`` holds out of training, once and in a fixed order.
        ``load_state_dict({})`` starts it again.
    :param consumer: names this consumer among several of the same rank (tensor, pipeline, context parallel): they get the same batches.
    :param micro_batch: rows that are given out at a time, for gradient accumulation; it divides the rank's rows of a step. Default: all of them.
        A batch then says its ``micro_step``, ``is_last_micro_step`` and ``step_tokens``. Which rows come, and in which order, stays the same.
    :param prefetch: steps asked for ahead, 1 to 64: at most so many, and never less than half of them. Default: 4, and more while the trainer has to wait
        for batches, up to 64, or 32 MiB of all ranks.
    :param timeout: seconds; the longest wait for a batch, and for a sidecar that went away.
    :param start_timeout: seconds; the longest wait for a sidecar that this process starts.
    :param expect: plan entries that the trainer relies on, such as ``{"sequence.length": 2048}``.
    :param tensors: ``"torch"``, ``"numpy"``, or ``"auto"``: torch where it is installed.
    :param pin_memory: put tensors into pinned memory; default: where CUDA is available.
    :param verify: compute the digest of each batch and compare.
    :param mask_boundaries: ``labels`` also leave out the first token of each document's piece: none is predicted from another document.
    :param position_ids: start again at 0 with each ``"document"``'s piece, or with each ``"row"``.
    :param decode: of samples: ``"pil"`` makes ``PIL.Image`` of every field of bytes, ``"torch"`` tensors [channels, height, width] (torchvision), in threads,
        when they are asked for; ``"pilrgb"`` and ``"torchrgb"`` the same upright and in three channels of 8 bits, whatever the file has;
        ``{"image": "pil"}`` of the named ones only. Default: bytes as they are.
    :param decode_threads: default: as many as there are cores, at most 8.
    :param command: the sidecar's command, such as ``["npx", "headrace"]``.

    It can be given to ``torch.utils.data.DataLoader(loader.dataset(), batch_size=None, num_workers=0)`` by libraries that insist on one.
    A loader belongs to the process that made it. Iterating again goes on where the stream stands; after the end of a finite run it ends at once,
    and after ``close`` it is ``ABORTED``. Errors are ``HeadraceError``; a batch that was not given out because of one is not lost to the next call.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | None = None,
        *,
        address: str | None = None,
        rank: int | None = None,
        world_size: int | None = None,
        local_rank: int | None = None,
        split: Literal["train", "validation"] = "train",
        consumer: str = "default",
        micro_batch: int | None = None,
        prefetch: int | None = None,
        timeout: float = 300.0,
        start_timeout: float = 300.0,
        expect: Mapping[str, Any] | None = None,
        tensors: Literal["auto", "torch", "numpy"] = "auto",
        pin_memory: bool | None = None,
        verify: bool = False,
        mask_boundaries: bool = False,
        position_ids: PositionIds = "document",
        decode: Decode | None = None,
        decode_threads: int | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        if (source is None) == (address is None):
            raise HeadraceError("CONFIG_INVALID", "give either the path of a configuration or address=", hint="see help(headrace.DataLoader)")
        if address is not None and not re.fullmatch(r"ipc://.+|tcp://(\[[^\]]+\]|[^:]+):\d+", address):
            raise HeadraceError("ADDRESS_INVALID", f"the address {address!r} is neither ipc://PATH nor tcp://HOST:PORT", hint="pass what `headrace serve` prints")
        self._micro_batch = None if micro_batch is None else _integer("micro_batch", micro_batch)
        if self._micro_batch is not None and self._micro_batch < 1:
            raise HeadraceError("CONFIG_INVALID", f"micro_batch is {micro_batch}; it is at least 1")
        self._prefetch = None if prefetch is None else _integer("prefetch", prefetch)
        if self._prefetch is not None and not 1 <= self._prefetch <= wire.CREDITS_MAX:
            raise HeadraceError("CONFIG_INVALID", f"prefetch is {prefetch}; it can be 1 to {wire.CREDITS_MAX}")
        if split not in wire.SPLITS:
            raise HeadraceError("CONFIG_INVALID", f"split is {split!r}; it can be train or validation")
        self._split = split
        if isinstance(command, str):
            raise HeadraceError("CONFIG_INVALID", f"command is the text {command!r}; it is a list of words", hint='for example ["npx", "headrace"]')
        if position_ids not in ("document", "row"):
            raise HeadraceError("CONFIG_INVALID", f"position_ids is {position_ids!r}; it can be document or row")
        self._mask_boundaries = mask_boundaries
        self._position_ids: PositionIds = position_ids
        self.rank = _from_environment("RANK", 0) if rank is None else _integer("rank", rank)
        self.world_size = _from_environment("WORLD_SIZE", 1) if world_size is None else _integer("world_size", world_size)
        self._local_rank = _from_environment("LOCAL_RANK", self.rank) if local_rank is None else _integer("local_rank", local_rank)
        # absolute: the working directory may be another one when the first batch is asked for
        self._source = None if source is None else os.path.abspath(os.fspath(source))
        if self._source is not None and not os.path.isfile(self._source):
            raise HeadraceError("CONFIG_NOT_FOUND", f"cannot read the configuration {self._source}", hint="check the path")
        self._address = address or default_address(self._source or "")
        self._consumer = consumer
        self._timeout = _seconds("timeout", timeout)
        self._start_timeout = _seconds("start_timeout", start_timeout)
        self._expect = dict(expect or {})
        self._verify = verify
        self._pid = os.getpid()
        self._loaded: Cursor | None = None
        self._consumed: Cursor | None = None
        self._step: _Step | None = None
        self._closed = False
        self._held = _Held()
        # also where a loader is dropped, or the process ends, without close()
        weakref.finalize(self, _end_in_process, self._pid, self._held)
        threads = min(8, os.cpu_count() or 1) if decode_threads is None else _integer("decode_threads", decode_threads)
        if threads < 1:
            raise HeadraceError("CONFIG_INVALID", f"decode_threads is {threads}; it is at least 1")
        self._images = Images(decode, threads)
        if self._starts_sidecars:
            self._held.keeper = Keeper(self._source or "", self._address, command, self._start_timeout)
        try:
            if self._held.keeper is not None:
                self._held.keeper.begin()
            self._convert = _converter(tensors, pin_memory)  # importing torch takes longer than a sidecar needs to be ready
        except BaseException:
            self._held.end()
            raise

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        self._check_process()
        if self._step is None:
            self._step = self._next_step()
        else:
            self._check_open()
        step = self._step
        start, end = step.given, step.given + (self._micro_batch or step.batch.rows)
        if end < step.batch.rows:
            batch = step.batch.part(start, end, step.position(end))
            step.given = end
            return batch
        batch = step.batch if start == 0 else step.batch.part(start, end, step.after)
        self._consumed = step.after
        self._step = None
        return batch

    def _next_step(self) -> _Step:
        connection = self._held.connection or self._connect()
        try:
            received = connection.take(self._watch_sidecar)
        except HeadraceError as error:
            if error.code == "SIDECAR_UNREACHABLE":
                self._held.disconnect()  # the next call looks for a sidecar again
            raise
        if received is None:
            raise StopIteration
        try:
            batch = self._batch_of(received)
        except BaseException:
            self._held.disconnect()  # it was not given out: the next call asks for it again
            raise
        if self._held.keeper is not None:
            self._held.keeper.delivered()
        before = self._consumed or self._loaded or connection.start or {}
        given = rows_given(before, self.world_size, self._micro_batch)
        return _Step(batch, before, received.cursor, given)

    def state_dict(self) -> dict[str, Any]:
        """
        After the last batch that this loader gave out; before the first one, where it starts. An empty dict is the very start.

        Small, plain JSON, and the caller's own. In the middle of a step, between two micro-batches, it has ``rows`` besides: how many of the rank's rows
        were given out. It continues with the next row, also in micro-batches of another size, but with as many ranks only.
        """
        if self._step is not None:
            return plain(self._step.position(self._step.given))
        start = self._held.connection.start if self._held.connection is not None else None
        return plain(self._consumed or self._loaded or start or {})

    def load_state_dict(self, state: State | Iterable[State]) -> None:
        """
        Continues after a state: this rank's, the merged one, or a list of all ranks'. Costs the same wherever the state is.
        A state of the middle of a step continues with its next micro-batch; it is refused where the world size is another one.

        Errors: ``CURSOR_INVALID``, ``CURSOR_MISMATCH``; then nothing has changed.
        """
        self._check_process()
        loaded = loaded_cursor(state)
        if loaded is not None:
            rows_given(loaded, self.world_size, self._micro_batch)
        self._loaded = loaded
        self._consumed = None
        self._step = None
        self._held.disconnect()

    def dataset(self) -> Any:
        """This loader as a ``torch.utils.data.IterableDataset``."""
        data = _torch("torch.utils.data")
        loader = self

        class HeadraceDataset(data.IterableDataset):  # type: ignore[misc, name-defined]
            def __iter__(self) -> Iterator[dict[str, Array]]:
                return ({**batch, **({"fields": dict(batch.fields)} if batch.fields else {})} for batch in loader)

            def __reduce__(self) -> tuple[object, ...]:
                raise _other_process()

        return HeadraceDataset()

    def close(self) -> None:
        """
        Ends the session, and the sidecar if this loader started it. May be called again.

        Where another loader of this process uses the sidecar (of validation, say), that one keeps it, and ends it in its own ``close``.
        A sidecar that has trainers in other processes is waited for until they leave, or until its ``serve.grace`` is over.
        """
        if os.getpid() != self._pid:
            return  # a forked child must not end its parent's sidecar
        self._closed = True
        self._images.close()
        self._held.end()

    def __reduce__(self) -> tuple[object, ...]:
        raise _other_process()

    def __enter__(self) -> DataLoader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def sidecar_pid(self) -> int | None:
        """The process that this loader started, or took over from another one that was closed; None where it did not."""
        return None if self._held.keeper is None else self._held.keeper.pid

    def _batch_of(self, received: Received) -> Batch:
        wired = received.batch
        fields = received_fields(received.fields, wired.arrays)
        self._images.check(fields)
        batch = Batch(
            wired.arrays,
            step=wired.step,
            tokens=wired.tokens,
            digest=wired.digest,
            cursor=received.cursor,
            convert=self._convert,
            mask_boundaries=self._mask_boundaries,
            position_ids=self._position_ids,
            length=received.length,
            fields=fields,
            images=self._images,
        )
        if self._verify:
            batch.verify()
        if self._micro_batch is not None and batch.rows % self._micro_batch != 0:
            raise HeadraceError(
                "CONFIG_INVALID",
                f"micro_batch is {self._micro_batch}, which does not divide the {batch.rows} rows of a step that rank {self.rank} of {self.world_size} has",
                hint="batch.size / world_size is a multiple of micro_batch",
                detail={"micro_batch": self._micro_batch, "rows": batch.rows},
            )
        return batch

    def _connect(self) -> Connection:
        self._check_open()
        if self._held.keeper is not None:
            self._held.keeper.ensure()
        position = self._consumed or self._loaded
        connection = Connection(
            Request(
                address=self._address,
                rank=self.rank,
                world_size=self.world_size,
                split=self._split,
                consumer=self._consumer,
                credits=self._prefetch,
                timeout_s=self._timeout,
                expect=self._expect,
                cursors=[] if position is None else [between_steps(position)],
                hint=self._unreachable_hint(),
            )
        )
        self._held.connection = connection
        self._check_open()
        return connection

    @property
    def _starts_sidecars(self) -> bool:
        return self._source is not None and self._local_rank == 0

    def _unreachable_hint(self) -> str:
        if self._source is None or self._starts_sidecars:
            return "check that `headrace serve` runs on this machine, with this address, as this user"
        return f"local rank 0 of this machine starts the sidecar of {self._source}; this is local rank {self._local_rank}: is LOCAL_RANK or local_rank= right?"

    def _watch_sidecar(self) -> None:
        """While a batch is awaited: a sidecar of somebody else that is gone, or was shutting down when this loader found it, needs a successor."""
        connection, keeper = self._held.connection, self._held.keeper
        if connection is None or keeper is None:
            return
        if keeper.pid is None and (keeper.has_failed or connection.is_refused or connection.silent_s > SILENCE_S):
            keeper.ensure()

    def _check_open(self) -> None:
        if self._closed:
            self.close()  # what was made while another thread closed this loader
            raise HeadraceError("ABORTED", "this loader was closed", hint="make another one, and load_state_dict() into it, to go on")

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise _other_process()


def _end_in_process(pid: int, held: _Held) -> None:
    if os.getpid() == pid:  # a forked child must not end what is its parent's
        held.end()


def _other_process() -> HeadraceError:
    return HeadraceError(
        "CONFIG_INVALID",
        "a loader cannot be used in another process than it was made in",
        hint="make it in the process that uses it; in torch.utils.data.DataLoader use num_workers=0",
    )


def _integer(name: str, value: object) -> int:
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise HeadraceError("CONFIG_INVALID", f"{name} is {value!r}, which is no integer") from None


def _seconds(name: str, value: float) -> float:
    if not 0 < value <= SECONDS_MAX:
        raise HeadraceError("CONFIG_INVALID", f"{name} is {value!r}; it can be more than 0 and up to {SECONDS_MAX:g} seconds")
    return float(value)


def _torch(module: str = "torch") -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise HeadraceError("CONFIG_INVALID", f"torch cannot be used here: {error}", hint='install it, or pass tensors="numpy"') from error


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
        self._torch: Any = _torch()
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
