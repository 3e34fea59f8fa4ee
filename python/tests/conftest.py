"""What the tests share: the golden frames, and a scripted sidecar that speaks docs/wire.md from a thread."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
import zmq

from headrace import batch_digest, wire

ROOT = Path(__file__).resolve().parents[2]
GOLDEN: dict[str, Any] = json.loads((ROOT / "test" / "spec" / "wire.json").read_text())
# of the sidecars that tests start: the user's directories stay as they are
os.environ["NODE_DISABLE_COMPILE_CACHE"] = "1"

PLAN = {"seed": 17, "sequence.length": 4}


def cursor(step: int, rows: int = 1) -> dict[str, Any]:
    return {"version": 2, "step": step, "plan": {**PLAN, "batch.size": rows}, "mixture": [], "lanes": {"0": {"web": [step, 0, 0, 0, 4 * step, 0]}}}


class FakeSidecar:
    """A ROUTER that answers HELLO, and sends batches of ``steps`` steps, alike in all rows, against credits. ``script`` may take a message over."""

    def __init__(self, address: str, steps: int = 20, rows: int = 1, script: Callable[[FakeSidecar, bytes, wire.Message], bool] | None = None) -> None:
        self.address = address
        self.steps = steps
        self.rows = rows
        self.script = script
        self.hellos: list[dict[str, Any]] = []
        self.received: list[str] = []
        self.in_flight_max = 0
        self.damaged_step: int | None = None
        # that it says it has positions of
        self.lanes = [0]
        self.session = 0
        self._next = 0
        self._credits = 0
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind(address)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()
        self._context.term()

    def forget_session(self) -> None:
        """As after a restart: the old number is unknown."""
        self.session += 1

    def send(self, identity: bytes, message_type: str, header: dict[str, Any], frames: tuple[bytes, ...] = ()) -> None:
        self._socket.send_multipart([identity, wire.encode_header(message_type, header), *frames])

    def send_raw(self, identity: bytes, frames: list[bytes]) -> None:
        self._socket.send_multipart([identity, *frames])

    def send_batch(self, identity: bytes, step: int) -> None:
        rows = self.rows
        # in the order in which they are packed
        arrays = {
            "input_ids": np.array([[step, step + 1, 7, 0]] * rows, dtype="<i4"),
            "cu_seqlens": np.array([0] + [4 * row + end for row in range(rows) for end in (2, 3, 4)], dtype="<i4"),
            "segments": np.array([[0, 0, step, 0, 2, 3], [0, 0, step + 1, 0, 1, 1], [-1, 0, 0, 0, 1, 0]] * rows, dtype="<i4"),
            "loss_mask": np.array([[1, 1, 1, 0]] * rows, dtype="u1"),
        }
        digest = batch_digest(arrays)
        if step == self.damaged_step:
            arrays["input_ids"] = arrays["input_ids"] ^ 1
        batch = {
            "step": step,
            "tokens": 3 * rows,
            "digest": digest,
            "mixture": [],
            "segments": 3 * rows,
            "masked": True,
            "arrays": [],
        }
        positions = np.array(cursor(step + 1)["lanes"]["0"]["web"], dtype="<f8")
        header = {"session": self.session, "rows": rows, "length": 4, "ids": True, "lanes": self.lanes, "sources": ["web"], "batches": [batch]}
        self.send(identity, "BATCHES", header, (b"".join(array.tobytes() for array in arrays.values()), positions.tobytes()))

    def _run(self) -> None:
        while not self._stop.is_set():
            if not self._socket.poll(20):
                continue
            identity, *frames = self._socket.recv_multipart()
            message = wire.decode(frames)
            self.received.append(message.type)
            if self.script is not None and self.script(self, identity, message):
                continue
            self._answer(identity, message)

    def _answer(self, identity: bytes, message: wire.Message) -> None:
        if message.type == "HELLO":
            self.hellos.append(message.header)
            start = message.header["cursors"][0]["step"] if message.header["cursors"] else 0
            self.session += 1
            self._next, self._credits = start, message.header["credits"]
            welcome = {"session": self.session, "server": "fake/1", "heartbeatMs": 200, "rows": self.rows, "length": 4, "padId": 0, "vocabSize": 100}
            self.send(identity, "WELCOME", {**welcome, "cursor": cursor(start, self.rows)})
        elif message.header["session"] != self.session:
            unknown = {"session": message.header["session"], "code": "SESSION_UNKNOWN", "message": "unknown", "hint": "", "detail": {}}
            self.send(identity, "ERROR", unknown)
        elif message.type == "PING":
            self.send(identity, "PONG", {"session": self.session})
        elif message.type == "CREDIT":
            self._credits += message.header["credits"]
        self.in_flight_max = max(self.in_flight_max, self._credits)
        while self._credits > 0 and self._next < self.steps and message.type in ("HELLO", "CREDIT"):
            self.send_batch(identity, self._next)
            self._next += 1
            self._credits -= 1
        if self._next >= self.steps and message.type in ("HELLO", "CREDIT"):
            self.send(identity, "END", {"session": self.session, "step": self.steps})


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/s.sock"


@pytest.fixture
def fake(address: str) -> Iterator[FakeSidecar]:
    sidecar = FakeSidecar(address)
    yield sidecar
    sidecar.close()
