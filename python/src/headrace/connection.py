"""The conversation with a sidecar, in a thread of its own: HELLO, batches against credits, signs of life, reconnecting without losing or repeating a step."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

import zmq

from . import wire
from .cursor import Cursor, after, check_cursor
from .errors import HeadraceError
from .version import __version__

# a client that has sent nothing for this long asks for a sign of life; the sidecar's WELCOME may say otherwise
HEARTBEAT_S = 1.0
# silences of one heartbeat after which a connection counts as lost
SILENCES_MAX = 3
# how long a last message may take to leave a socket that is being closed
LINGER_MS = 200
# the longest wait of the consumer without looking for signals
WAIT_SLICE_S = 0.5


@dataclass(frozen=True)
class Request:
    """Who asks for which stream, and from where."""

    address: str
    rank: int
    world_size: int
    consumer: str
    credits: int
    timeout_s: float
    expect: Mapping[str, Any]
    cursors: Sequence[Cursor]


@dataclass(frozen=True)
class Received:
    """A batch, and where the stream stands after it."""

    message: wire.Message
    cursor: Cursor


class _End:
    """What the queue holds after the last batch."""


_Item = Union[Received, _End, BaseException]


class Connection:
    """Received batches wait in a queue of at most ``credits`` + 1; nothing is received that was not asked for."""

    def __init__(self, request: Request) -> None:
        self._request = request
        # orders this client among others that ask for the same rank: the younger one wins
        self._incarnation = time.time_ns() // 1000
        self._items: queue.Queue[_Item] = queue.Queue()
        self._outcome: _Item | None = None
        self._lock = threading.Lock()
        self._credits_owed = 0
        self._waiting = 0
        self._closing = False
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self.start: Cursor | None = None
        self._received: Cursor | None = None
        self._session = 0
        self._heartbeat_s = HEARTBEAT_S
        self._last_heard = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="headrace-client", daemon=True)
        self._thread.start()

    def take(self) -> Received | None:
        """The next batch; None after the last. Errors: ``TIMEOUT`` (call again to go on waiting), and whatever ended the stream."""
        if self._outcome is None:
            item = self._get()
            if isinstance(item, Received):
                with self._lock:
                    self._waiting -= 1
                    self._credits_owed += 1
                self._wake()
                return item
            self._outcome = item
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return None

    def close(self) -> None:
        """Ends the session. The sidecar hears of it."""
        self._closing = True
        self._wake()
        self._thread.join(timeout=5.0)

    def _get(self) -> _Item:
        deadline = time.monotonic() + self._request.timeout_s
        while True:
            remaining = deadline - time.monotonic()
            try:
                # in slices, so that Ctrl-C is heard on every platform
                return self._items.get(timeout=max(0.0, min(WAIT_SLICE_S, remaining)))
            except queue.Empty:
                if remaining > WAIT_SLICE_S:
                    continue
                raise HeadraceError(
                    "TIMEOUT",
                    f"no batch came from {self._request.address} within {self._request.timeout_s:g} s",
                    hint="the sidecar is slow or paused: its log and /metrics say what it waits for; call next() again to go on waiting",
                    detail={"address": self._request.address, "timeout": self._request.timeout_s},
                ) from None

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # it is awake already, or has ended
            self._wake_write.send(b"\0")

    # --- from here on: the thread ---

    def _run(self) -> None:
        context = zmq.Context()
        try:
            while self._converse(context) == "lost":
                self._check_deadline()
            self._items.put(_End())
        except BaseException as error:  # whatever ends the thread is the consumer's to hear
            self._items.put(error)
        finally:
            context.destroy(linger=LINGER_MS)
            self._wake_read.close()
            self._wake_write.close()

    def _converse(self, context: zmq.Context[zmq.Socket[bytes]]) -> str:
        """One connection: 'lost', or 'ended' with the stream or with close()."""
        dealer = context.socket(zmq.DEALER)
        dealer.linger = LINGER_MS
        dealer.connect(self._request.address)
        poller = zmq.Poller()
        poller.register(dealer, zmq.POLLIN)
        poller.register(self._wake_read.fileno(), zmq.POLLIN)
        try:
            self._say_hello(dealer)
            silences = 0
            last_sign = time.monotonic()
            while silences < SILENCES_MAX:
                wait_s = max(0.0, last_sign + self._heartbeat_s - time.monotonic())
                ready = dict(poller.poll(round(wait_s * 1000)))
                if self._closing:
                    self._say_bye(dealer)
                    return "ended"
                if self._wake_read.fileno() in ready:
                    self._drain_wakes()
                    self._flush_credits(dealer)
                if dealer in ready:
                    silences = 0
                    last_sign = self._last_heard = time.monotonic()
                    if self._receive(dealer) == "ended":
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

    def _receive(self, dealer: zmq.Socket[bytes]) -> str:
        frames = dealer.recv_multipart(flags=zmq.NOBLOCK, copy=False)
        message = wire.decode([frame.buffer for frame in frames])
        header = message.header
        if message.type == "WELCOME":
            self._session = header["session"]
            self._heartbeat_s = header["heartbeatMs"] / 1000
            self._received = check_cursor(header["cursor"])
            if self.start is None:
                self.start = self._received
            self._flush_credits(dealer)
        elif message.type == "ERROR":
            # an error of a session before a reconnect is no longer ours
            if header["session"] not in (0, self._session):
                return "on"
            self._session = 0
            if header["code"] == "SESSION_UNKNOWN":
                self._say_hello(dealer)
            elif header["code"] != "DRAINING":  # a draining sidecar falls silent; the next connection finds its successor
                raise HeadraceError(header["code"], header["message"], hint=header["hint"], detail=header["detail"])
        elif header.get("session") == self._session and self._session:
            if message.type == "END":
                return "ended"
            if message.type == "BATCH":
                self._accept(message)
        return "on"

    def _accept(self, message: wire.Message) -> None:
        header, before = message.header, self._received
        if before is None or header["step"] != before["step"]:
            raise _defect(f"step {header['step']} came where step {before and before['step']} was due")
        rows, length = header["rows"], header["length"]
        shapes = {name: array.shape for name, array in message.arrays.items()}
        segments = shapes.get("segments", (0,))[0]
        wanted = {"input_ids": (rows, length), "loss_mask": (rows, length), "segments": (segments, 6), "cu_seqlens": (segments + 1,)}
        for name, shape in wanted.items():
            if shapes.get(name) != shape:
                raise _defect(f"array {name} has shape {shapes.get(name)} where {shape} was due")
        with self._lock:
            self._waiting += 1
            too_many = self._waiting > self._request.credits + 1
        if too_many:
            raise _defect("the sidecar sent more batches than it was asked for")
        self._received = after(before, header["cursor"])
        self._items.put(Received(message, self._received))

    def _say_hello(self, dealer: zmq.Socket[bytes]) -> None:
        request, received = self._request, self._received
        with self._lock:
            self._credits_owed = 0
            credits = max(1, request.credits - self._waiting)
        self._session = 0
        hello = {
            "client": f"python/{__version__}",
            "consumer": request.consumer,
            "incarnation": self._incarnation,
            "rank": request.rank,
            "worldSize": request.world_size,
            "credits": credits,
            # a sidecar that was restarted with another configuration is no continuation
            "expect": dict(request.expect) if received is None else received["plan"],
            "cursors": list(request.cursors) if received is None else [received],
        }
        self._send(dealer, "HELLO", hello)

    def _say_bye(self, dealer: zmq.Socket[bytes]) -> None:
        if self._session:
            self._send(dealer, "BYE", {"session": self._session})

    def _flush_credits(self, dealer: zmq.Socket[bytes]) -> None:
        with self._lock:
            credits = min(self._credits_owed, wire.CREDITS_MAX) if self._session else 0
            self._credits_owed -= credits
        if credits:
            self._send(dealer, "CREDIT", {"session": self._session, "credits": credits})

    def _send(self, dealer: zmq.Socket[bytes], message_type: str, header: Mapping[str, Any]) -> None:
        # a connecting socket queues a few messages; a full queue means that nobody is there, which the deadline covers
        try:
            dealer.send(wire.encode_header(message_type, header), flags=zmq.NOBLOCK)
        except zmq.Again:
            return

    def _drain_wakes(self) -> None:
        try:
            while self._wake_read.recv(4096):
                pass
        except BlockingIOError:
            return

    def _check_deadline(self) -> None:
        silent_s = time.monotonic() - self._last_heard
        if silent_s >= self._request.timeout_s:
            raise HeadraceError(
                "SIDECAR_UNREACHABLE",
                f"no sidecar answered at {self._request.address} for {silent_s:.0f} s",
                hint="check that `headrace serve` runs on this machine, with this address, as this user",
                detail={"address": self._request.address, "timeout": self._request.timeout_s},
            )


def _defect(problem: str) -> HeadraceError:
    return HeadraceError("BAD_MESSAGE", problem, hint="this is a defect of the sidecar: please report it with both logs")
