"""The conversation with a sidecar, in a thread of its own: HELLO, batches against credits, signs of life, reconnecting without losing or repeating a step."""

from __future__ import annotations

import collections
import contextlib
import queue
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Literal, Union

import zmq

from . import wire
from .cursor import Cursor, CursorAfter, check_cursor
from .errors import HeadraceError
from .fields import check_field
from .version import __version__

# a client that has sent nothing for this long asks for a sign of life; the sidecar's WELCOME may say otherwise
HEARTBEAT_S = 1.0
# silences of one heartbeat after which a connection counts as lost
SILENCES_MAX = 3
# how long a last message may take to leave a socket that is being closed
LINGER_MS = 200
# how long close() waits for the thread: what is left of a poll, and two lingering closes
JOIN_S = 5.0
# credits go back half of them at a time: a message for each would wake four threads for each batch, and batches would come singly as well
CREDIT_PARTS = 2
# batches that are asked for ahead while it is not known that more would help: two in flight hide the round trip, two more a slow step
CREDITS_AT_FIRST = 4
# what asking for more by itself may come to, for all ranks: a dozen batches of images, and a quarter of the steps that a sidecar keeps for slower ranks
WIDENED_BYTES_MAX = 32 * 2**20
# the longest wait of the consumer without looking for signals
WAIT_SLICE_S = 0.5


@dataclass(frozen=True)
class Request:
    """Who asks for which stream, and from where."""

    address: str
    rank: int
    world_size: int
    # "train" or "validation"
    split: str
    consumer: str
    # None: as many as turn out to help
    credits: int | None
    timeout_s: float
    expect: Mapping[str, Any]
    cursors: Sequence[Cursor]
    # what to do where nobody is there
    hint: str


@dataclass(frozen=True)
class Received:
    """A batch, where the stream stands after it, and what all batches of the stream have."""

    batch: wire.WireBatch
    cursor: Cursor
    # tokens of a row
    length: int
    fields: Sequence[Mapping[str, str]]


class _End:
    """What the queue holds after the last batch."""


# what came in one message, or how the stream ended
_Item = Union["list[Received]", _End, HeadraceError]
_ConversationEnd = Literal["lost", "ended", "closed"]


class Connection:
    """
    Received batches wait in a queue of at most ``credits`` + 1; nothing is received that was not asked for.

    Where nobody said how many credits there are, a consumer that has to wait doubles them: it is faster than the way of a batch to it, and what is late may
    just be late for want of credits. (As TCP widens its window by what comes through.) A trainer that computes for longer than that never does.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        # orders this client among others that ask for the same rank: the younger one wins
        self._incarnation = time.time_ns() // 1000
        self._items: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        # of the last item, what the consumer has not taken
        self._ready: collections.deque[Received] = collections.deque()
        self._outcome: _End | HeadraceError | None = None
        # the first step that the consumer has not taken; None: it has taken none
        self._taken_step: int | None = None
        self._lock = threading.Lock()
        self._credits = CREDITS_AT_FIRST if request.credits is None else request.credits
        self._credits_owed = 0
        # for each batch that was taken since the last credits: what the consumer waited; and for the next one, in calls that were in vain
        self._waits_ms: list[float] = []
        self._waited_s = 0.0
        self._waiting = 0
        self._awaits_room = False
        self._closing = False
        self._refused = False
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        # until the thread has looked, no second sign is needed; each costs a system call, and a change of threads
        self._is_woken = False
        self.start: Cursor | None = None
        # where this session started, which the positions of batches are put over
        self._session_start: Cursor = {}
        self._session_lanes: list[int] = []
        self._session_sources: list[str] = []
        self._received: Cursor | None = None
        self._session = 0
        self._heartbeat_s = HEARTBEAT_S
        self._last_heard = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="headrace-client", daemon=True)
        self._thread.start()

    @property
    def is_refused(self) -> bool:
        """Whether the last that was heard is that the sidecar is shutting down."""
        return self._refused

    @property
    def silent_s(self) -> float:
        """How long nothing was heard from a sidecar."""
        return time.monotonic() - self._last_heard

    def take(self, on_wait: Callable[[], None] = lambda: None) -> Received | None:
        """
        The next batch; None after the last. ``on_wait`` is called now and then while there is none.

        Errors: ``TIMEOUT`` (call again to go on waiting), ``ABORTED`` after close(), and whatever ended the stream.
        """
        while not self._ready and self._outcome is None:
            item = self._get(on_wait)
            if isinstance(item, list):
                self._ready.extend(item)
            else:
                self._outcome = item
        if self._ready:
            return self._taken(self._ready.popleft())
        if isinstance(self._outcome, HeadraceError):
            raise self._outcome.with_traceback(None)  # it may be raised often: tracebacks must not pile up
        return None

    def _taken(self, received: Received) -> Received:
        waited_ms = round(self._waited_s * 1000, 3)
        self._waited_s = 0.0
        with self._lock:
            if waited_ms > 0 and self._taken_step is not None:
                self._widen(received.batch)
            self._waits_ms.append(waited_ms)
            self._waiting -= 1
            self._credits_owed += 1
            self._taken_step = received.cursor["step"]
            is_due = self._awaits_room or self._credits_owed >= max(1, self._credits // CREDIT_PARTS)
        if is_due:
            self._wake()
        return received

    def _widen(self, batch: wire.WireBatch) -> None:
        """Under the lock."""
        widened = min(2 * self._credits, wire.CREDITS_MAX)
        step_bytes = self._request.world_size * sum(array.nbytes for array in batch.arrays.values())
        if self._request.credits is None and widened * step_bytes <= WIDENED_BYTES_MAX:
            self._credits_owed += widened - self._credits
            self._credits = widened

    def close(self) -> None:
        """Ends the session. The sidecar hears of it, and whoever waits in take(). May be called again, and from any thread."""
        self._closing = True
        self._wake()
        if threading.current_thread() is self._thread:  # the garbage collector can call from here
            return
        self._thread.join(timeout=JOIN_S)
        if not self._thread.is_alive():
            self._wake_write.close()

    def _get(self, on_wait: Callable[[], None]) -> _Item:
        try:
            return self._items.get_nowait()
        except queue.Empty:
            started = time.monotonic()
        try:
            return self._await_item(started + self._request.timeout_s, on_wait)
        finally:
            self._waited_s += time.monotonic() - started

    def _await_item(self, deadline: float, on_wait: Callable[[], None]) -> _Item:
        while True:
            remaining = deadline - time.monotonic()
            try:
                # in slices, so that Ctrl-C is heard on every platform
                return self._items.get(timeout=max(0.0, min(WAIT_SLICE_S, remaining)))
            except queue.Empty:
                on_wait()
                if remaining > WAIT_SLICE_S:
                    continue
                self._check_deadline()
                raise HeadraceError(
                    "TIMEOUT",
                    f"no batch came from {self._request.address} within {self._request.timeout_s:g} s",
                    hint="the sidecar is slow or paused: its log and /metrics say what it waits for; call next() again to go on waiting",
                    detail={"address": self._request.address, "timeout": self._request.timeout_s},
                ) from None

    def _wake(self) -> None:
        """What the thread is to see was changed before."""
        if self._is_woken:
            return
        self._is_woken = True
        with contextlib.suppress(OSError):  # it is awake already, or has ended
            self._wake_write.send(b"\0")

    # --- from here on: the thread ---

    def _run(self) -> None:
        context = zmq.Context()
        try:
            while (end := self._converse(context)) == "lost":
                self._check_deadline()
            self._items.put(_End() if end == "ended" else _aborted())
        except HeadraceError as error:
            self._items.put(error)
        except BaseException as error:  # whatever ends the thread is the consumer's to hear
            self._items.put(_internal(error))
        finally:
            context.destroy(linger=LINGER_MS)
            self._wake_read.close()

    def _converse(self, context: zmq.Context[zmq.Socket[bytes]]) -> _ConversationEnd:
        """One connection: lost, ended with the stream, or closed by close()."""
        dealer = context.socket(zmq.DEALER)
        dealer.linger = LINGER_MS
        poller = zmq.Poller()
        poller.register(dealer, zmq.POLLIN)
        poller.register(self._wake_read.fileno(), zmq.POLLIN)
        try:
            self._connect(dealer)
            self._say_hello(dealer)
            silences = 0
            last_sign = time.monotonic()
            while silences < SILENCES_MAX:
                if self._closing:
                    self._say_bye(dealer)
                    return "closed"
                wait_s = max(0.0, last_sign + self._heartbeat_s - time.monotonic())
                ready = dict(poller.poll(round(wait_s * 1000)))
                if self._wake_read.fileno() in ready:
                    self._drain_wakes()
                    self._flush_credits(dealer)
                if dealer in ready:
                    silences = 0
                    last_sign = self._last_heard = time.monotonic()
                    if self._receive_all(dealer) == "ended":
                        self._say_bye(dealer)
                        return "ended"
                elif time.monotonic() >= last_sign + self._heartbeat_s:
                    silences += 1
                    last_sign = time.monotonic()
                    self._check_deadline()
                    if self._session:
                        self._send(dealer, "PING", {"session": self._session})
            return "lost"
        finally:
            dealer.close()

    def _connect(self, dealer: zmq.Socket[bytes]) -> None:
        address = self._request.address
        try:
            dealer.connect(address)
        except zmq.ZMQError as error:
            raise HeadraceError("ADDRESS_INVALID", f"cannot connect to {address}: {error}", hint="see serve.address", detail={"address": address}) from error

    def _receive_all(self, dealer: zmq.Socket[bytes]) -> Literal["on", "ended"]:
        """What has come, and at most what was asked for: then it is time to look whether close() was called."""
        for _ in range(self._credits + 1):
            try:
                frames = [dealer.recv(flags=zmq.NOBLOCK, copy=False)]
            except zmq.Again:
                return "on"
            while frames[-1].more:  # the frames of a message come together
                frames.append(dealer.recv(flags=zmq.NOBLOCK, copy=False))
            if self._receive(dealer, wire.decode([frame.buffer for frame in frames])) == "ended":
                return "ended"
        return "on"

    def _receive(self, dealer: zmq.Socket[bytes], message: wire.Message) -> Literal["on", "ended"]:
        header = message.header
        if message.type == "WELCOME":
            start, due = check_cursor(header["cursor"]), self._step_due()
            if start["step"] != due:
                raise _defect(f"the sidecar starts at step {start['step']} where step {due} was due")
            self._session = header["session"]
            self._heartbeat_s = header["heartbeatMs"] / 1000
            self._received = self._session_start = start
            self._session_lanes = [int(lane) for lane in start["lanes"]]
            self._session_sources = list(next(iter(start["lanes"].values()), ()))
            self._refused = False
            if self.start is None:
                self.start = start
            self._flush_credits(dealer)
        elif message.type == "ERROR":
            # an error of a session before a reconnect is no longer ours
            if header["session"] not in (0, self._session):
                return "on"
            self._session = 0
            if header["code"] == "SESSION_UNKNOWN":
                self._say_hello(dealer)
            elif header["code"] == "DRAINING":  # such a sidecar falls silent; the next connection finds its successor
                self._refused = True
            else:
                raise HeadraceError(header["code"], header["message"], hint=header["hint"], detail=header["detail"])
        elif header.get("session") == self._session and self._session:
            if message.type == "END":
                if header["step"] != self._step_due():
                    raise _defect(f"the stream ended at step {header['step']} where step {self._step_due()} was due")
                return "ended"
            if message.type == "BATCHES":
                self._accept(message)
        return "on"

    def _accept(self, message: wire.Message) -> None:
        """All batches of a message at once: each hand-over to the consumer may wake it."""
        header = message.header
        fields, lanes, sources = header.get("fields", []), header["lanes"], header["sources"]
        start = self._session_start
        if lanes != self._session_lanes or sources != self._session_sources:
            raise _defect("batches came with positions of other lanes or sources than the session has")
        received = []
        for batch in message.batches:
            if batch.step != self._step_due():
                raise _defect(f"step {batch.step} came where step {self._step_due()} was due")
            for field in fields:
                check_field(field["name"], field["kind"], batch.arrays, header["rows"])
            self._received = CursorAfter(start, batch.step + 1, batch.mixture, lanes, sources, batch.positions)
            received.append(Received(batch, self._received, header["length"], fields))
        with self._lock:
            self._waiting += len(received)
            too_many = self._waiting > self._credits + 1
        if too_many:
            raise _defect("the sidecar sent more batches than it was asked for")
        self._items.put(received)

    def _step_due(self) -> int:
        """The step that a stream goes on with: after what was received, or after what was asked for."""
        known = [self._received] if self._received is not None else self._request.cursors
        return int(known[0]["step"]) if known else 0

    def _await_room(self) -> None:
        """Each HELLO asks for a batch at least. If the consumer takes none over several of them, they wait, so that the queue keeps its bound."""
        poller = zmq.Poller()
        poller.register(self._wake_read.fileno(), zmq.POLLIN)
        while self._is_full() and not self._closing:
            poller.poll()
            self._drain_wakes()
            self._last_heard = time.monotonic()  # nobody was asked, so nobody was silent

    def _is_full(self) -> bool:
        with self._lock:
            self._awaits_room = self._waiting > self._credits
            return self._awaits_room

    def _say_hello(self, dealer: zmq.Socket[bytes]) -> None:
        request, received = self._request, self._received
        self._session = 0
        self._await_room()
        if self._closing:
            return
        with self._lock:
            credits = max(1, self._credits - self._waiting)
            # a batch too many is paid back with the next that is taken
            self._credits_owed = min(0, self._credits - self._waiting - credits)
        # a sidecar that knows no splits would not hear which one is asked for, and has no such entry in its plan
        split = {} if request.split == "train" else {"split": request.split}
        hello = {
            "client": f"python/{__version__}",
            "consumer": request.consumer,
            "incarnation": self._incarnation,
            "rank": request.rank,
            "worldSize": request.world_size,
            "credits": credits,
            # a sidecar that was restarted with another configuration is no continuation
            "expect": {**request.expect, **split} if received is None else received["plan"],
            "cursors": list(request.cursors) if received is None else [dict(received)],
            **split,
        }
        self._send(dealer, "HELLO", hello)

    def _say_bye(self, dealer: zmq.Socket[bytes]) -> None:
        if self._session:
            self._send(dealer, "BYE", {"session": self._session})

    def _flush_credits(self, dealer: zmq.Socket[bytes]) -> None:
        with self._lock:
            credits = min(self._credits_owed, wire.CREDITS_MAX) if self._session else 0
            if credits <= 0:
                return
            self._credits_owed -= credits
            step = self._taken_step or 0
            waits_ms, self._waits_ms = self._waits_ms[: wire.CREDITS_MAX], self._waits_ms[wire.CREDITS_MAX :]
        self._send(dealer, "CREDIT", {"session": self._session, "credits": credits, "step": step, "waitsMs": waits_ms})

    def _send(self, dealer: zmq.Socket[bytes], message_type: str, header: Mapping[str, Any]) -> None:
        # a connecting socket queues a few messages; a full queue means that nobody is there, which the deadline covers
        try:
            dealer.send(wire.encode_header(message_type, header), flags=zmq.NOBLOCK)
        except zmq.Again:
            return

    def _drain_wakes(self) -> None:
        """Whoever comes after it wakes the thread again; what was changed before it is there to be seen."""
        with contextlib.suppress(BlockingIOError):
            while self._wake_read.recv(4096):
                pass
        self._is_woken = False

    def _check_deadline(self) -> None:
        silent_s = self.silent_s
        if silent_s >= self._request.timeout_s:
            raise HeadraceError(
                "SIDECAR_UNREACHABLE",
                f"no sidecar answered at {self._request.address} for {silent_s:.0f} s",
                hint=self._request.hint,
                detail={"address": self._request.address, "timeout": self._request.timeout_s},
            )


def _defect(problem: str) -> HeadraceError:
    return HeadraceError("BAD_MESSAGE", problem, hint="this is a defect of the sidecar: please report it with both logs")


def _aborted() -> HeadraceError:
    return HeadraceError("ABORTED", "the loader was closed", hint="make another one to go on")


def _internal(cause: BaseException) -> HeadraceError:
    error = HeadraceError("INTERNAL", f"the client's thread failed: {cause!r}", hint="this is a defect of headrace: please report it")
    error.__cause__ = cause
    return error
