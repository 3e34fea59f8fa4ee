"""Golden frames, which the TypeScript client shares, and what is malformed."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from headrace import Batch, HeadraceError, batch_digest, wire
from headrace.loader import _Numpy

from .conftest import GOLDEN


@pytest.mark.parametrize("entry", GOLDEN["messages"], ids=lambda entry: entry["name"])
def test_writes_and_reads_the_golden_frames(entry: dict[str, Any]) -> None:
    frames = [bytes.fromhex(frame) for frame in entry["frames"]]
    header = {key: value for key, value in entry["message"].items() if key != "type"}
    assert wire.encode_header(entry["message"]["type"], header) == frames[0]
    message = wire.decode(frames)
    assert message.type == entry["message"]["type"]
    assert message.header == header
    for name, array in message.arrays.items():
        assert array.ravel().tolist() == entry["values"][name]


def test_labels_positions_and_digest_of_the_golden_batch() -> None:
    entry = next(entry for entry in GOLDEN["messages"] if entry["message"]["type"] == "BATCH")
    message = wire.decode([bytes.fromhex(frame) for frame in entry["frames"]])
    header = message.header
    batch = Batch(message.arrays, step=12, tokens=header["tokens"], digest=header["digest"], cursor={}, convert=_Numpy())
    assert batch.labels.ravel().tolist() == entry["values"]["labels"]
    assert batch["position_ids"].ravel().tolist() == entry["values"]["position_ids"]
    assert batch.max_seqlen == 3
    assert batch_digest(message.arrays) == header["digest"]
    batch.verify()
    changed = {**message.arrays, "input_ids": message.arrays["input_ids"] + 1}
    tampered = Batch(changed, step=12, tokens=7, digest=header["digest"], cursor={}, convert=_Numpy())
    with pytest.raises(HeadraceError) as raised:
        tampered.verify()
    assert raised.value.code == "DIGEST_MISMATCH"


def test_arrays_are_views_of_what_was_received() -> None:
    entry = next(entry for entry in GOLDEN["messages"] if entry["message"]["type"] == "BATCH")
    frames = [bytes.fromhex(frame) for frame in entry["frames"]]
    array = wire.decode(frames).arrays["input_ids"]
    assert np.shares_memory(array, np.frombuffer(frames[1], dtype=np.uint8))
    assert not array.flags.writeable


@pytest.mark.parametrize("offset", [0, 1, 2, 3])
def test_arrays_are_read_only_and_aligned_wherever_the_frame_lies(offset: int) -> None:
    entry = next(entry for entry in GOLDEN["messages"] if entry["message"]["type"] == "BATCH")
    frames: list[wire.Buffer] = []
    for frame in entry["frames"]:
        # a zmq frame's memory is writable, and a small one's may start anywhere
        memory = bytearray(bytes(offset) + bytes.fromhex(frame))
        frames.append(memoryview(memory)[offset:])
    for name, array in wire.decode(frames).arrays.items():
        assert array.tolist() == wire.decode([bytes.fromhex(frame) for frame in entry["frames"]]).arrays[name].tolist()
        assert array.flags.aligned, name
        assert not array.flags.writeable, name
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize("entry", GOLDEN["malformed"], ids=lambda entry: entry["name"])
def test_refuses_what_is_malformed(entry: dict[str, Any]) -> None:
    with pytest.raises(HeadraceError) as raised:
        wire.decode([bytes.fromhex(frame) for frame in entry["frames"]])
    assert raised.value.code == "BAD_MESSAGE"


def refusal_of(frames: list[bytes]) -> str | None:
    try:
        wire.decode(frames)
    except HeadraceError as error:
        return error.code
    return None


def test_mutated_frames_are_read_or_refused_and_nothing_else() -> None:
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    originals = [[bytes.fromhex(frame) for frame in entry["frames"]] for entry in GOLDEN["messages"]]
    refused = 0
    for _ in range(5000):
        frames = [bytearray(frame) for frame in chance.choice(originals)]
        for _ in range(chance.randint(1, 4)):
            frame = chance.choice(frames)
            if frame and chance.random() < 0.7:
                frame[chance.randrange(len(frame))] = chance.randrange(256)
            else:
                del frame[chance.randrange(len(frame) + 1) :]
        refused += refusal_of([bytes(frame) for frame in frames]) == "BAD_MESSAGE"
    assert refused > 1000, f"seed {seed}"
