"""Golden frames, which the TypeScript client shares, and what is malformed."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest

from headrace import Batch, HeadraceError, batch_digest, wire
from headrace.cursor import CursorAfter, plain
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
    for batch, values in zip(message.batches, entry.get("values", [])):
        assert batch.arrays.keys() == values.keys() - {"labels", "position_ids"}
        for name, array in batch.arrays.items():
            assert array.ravel().tolist() == values[name]
        for described in next(one for one in header["batches"] if one["step"] == batch.step)["arrays"]:
            assert list(batch.arrays[described["name"]].shape) == described["shape"]


def golden_batches(name: str = "BATCHES") -> tuple[dict[str, Any], list[wire.WireBatch]]:
    entry = next(entry for entry in GOLDEN["messages"] if entry["name"] == name)
    return entry, wire.decode([bytes.fromhex(frame) for frame in entry["frames"]]).batches


def test_labels_positions_and_digest_of_the_golden_batch() -> None:
    entry, [wired] = golden_batches()
    [values] = entry["values"]
    batch = Batch(wired.arrays, step=12, tokens=wired.tokens, digest=wired.digest, cursor={}, convert=_Numpy())
    assert batch.labels.ravel().tolist() == values["labels"]
    assert batch["position_ids"].ravel().tolist() == values["position_ids"]
    assert batch.max_seqlen == 3
    assert batch_digest(wired.arrays) == wired.digest
    batch.verify()
    changed = {**wired.arrays, "input_ids": wired.arrays["input_ids"] + 1}
    tampered = Batch(changed, step=12, tokens=7, digest=wired.digest, cursor={}, convert=_Numpy())
    with pytest.raises(HeadraceError) as raised:
        tampered.verify()
    assert raised.value.code == "DIGEST_MISMATCH"


def test_a_message_has_several_batches_with_masks_where_they_say_something() -> None:
    _, [masked, full] = golden_batches("BATCHES of two steps")
    assert ("loss_mask" in masked.arrays, "loss_mask" in full.arrays) == (True, False)
    assert (full.step, full.tokens) == (13, 8)
    assert full.positions.tolist() == [[[8, 1, 205, 0, 98312, -40]], [[9, 0, 2, 4, 98007, -45]]]
    assert masked.positions.tolist() == [[[8, 1, 204, 20, 98308, -40]], [[9, 0, 2, 0, 98003, -45]]]
    assert batch_digest(full.arrays) == full.digest
    assert full.arrays["segments"].tolist() == [[0, 0, 2, 0, 4, 3], [0, 1, 9, 4, 4, 0]]


def test_the_cursor_after_a_batch_is_made_when_it_is_asked_for() -> None:
    entry, [_, second] = golden_batches("BATCHES of two steps")
    header = entry["message"]
    start = {"version": 2, "step": 12, "plan": {"seed": 17}, "mixture": [], "lanes": {"0": {"web": [8, 1, 204, 17, 98304, -40]}, "1": {"web": [9, 0, 2, 0, 98000, 0]}}}
    after = CursorAfter(start, second.step + 1, second.mixture, header["lanes"], header["sources"], second.positions)
    assert (after["step"], after.get("rows"), len(after), after._made) == (14, None, 5, None)
    whole = {**start, "step": 14, "mixture": second.mixture, "lanes": {"0": {"web": [8, 1, 205, 0, 98312, -40]}, "1": {"web": [9, 0, 2, 4, 98007, -45]}}}
    assert (dict(after), json.loads(json.dumps(plain(after)))) == (whole, whole)
    plain(after)["lanes"]["0"]["web"][0] = 99  # the caller's own
    assert dict(after) == whole
    with pytest.raises(KeyError):
        after["rows"]


@pytest.mark.parametrize("number", [0.5, -1.0, float("nan"), float("inf"), 2.0**53])
def test_a_position_that_is_no_count_is_refused(number: float) -> None:
    entry, _ = golden_batches("BATCHES of two steps")
    header, cores, positions = (bytes.fromhex(frame) for frame in entry["frames"])
    numbers = np.frombuffer(positions).copy()
    numbers[12] = number
    assert refusal_of([header, cores, positions]) is None
    assert refusal_of([header, cores, numbers.tobytes()]) == "BAD_MESSAGE"


def test_arrays_are_views_of_what_was_received() -> None:
    entry, _ = golden_batches()
    frames = [bytes.fromhex(frame) for frame in entry["frames"]]
    for array in wire.decode(frames).batches[0].arrays.values():
        assert np.shares_memory(array, np.frombuffer(frames[1], dtype=np.uint8))
        assert not array.flags.writeable


@pytest.mark.parametrize("offset", [0, 1, 2, 3])
def test_arrays_are_read_only_and_aligned_wherever_the_frame_lies(offset: int) -> None:
    entry, [expected] = golden_batches()
    frames: list[wire.Buffer] = []
    for frame in entry["frames"]:
        # a zmq frame's memory is writable, and a small one's may start anywhere
        memory = bytearray(bytes(offset) + bytes.fromhex(frame))
        frames.append(memoryview(memory)[offset:])
    for name, array in wire.decode(frames).batches[0].arrays.items():
        assert array.tolist() == expected.arrays[name].tolist()
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
