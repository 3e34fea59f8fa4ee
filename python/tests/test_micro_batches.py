"""Micro-batches: the rows of a step in the same order, some at a time; and states of the middle of a step."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from headrace import Batch, DataLoader, HeadraceError, merge_state
from headrace.batch import batch_digest

from .conftest import FakeSidecar, cursor

ROWS = 8
KEYS = ("input_ids", "labels", "loss_mask", "position_ids", "segments")


@pytest.fixture
def eight(address: str) -> Iterator[FakeSidecar]:
    sidecar = FakeSidecar(address, steps=3, rows=ROWS)
    yield sidecar
    sidecar.close()


def loader_of(address: str, **options: Any) -> DataLoader:
    return DataLoader(address=address, tensors="numpy", timeout=5.0, **{"rank": 0, "world_size": 1, **options})


def random_batch(seed: int, rows: int, length: int, **options: Any) -> Batch:
    """Rows that are cut at random; in some the last piece is padding."""
    chance = random.Random(seed)
    bounds, segments = [0], []
    for row in range(rows):
        ends = sorted({*chance.sample(range(1, length), k=chance.randint(0, length - 1)), length})
        for start, end in zip([0, *ends], ends):
            padding = end == length and chance.random() < 0.4
            segments.append([-1 if padding else chance.randint(0, 2), 0, row, 0, end - start, 3])
            bounds.append(row * length + end)
    ids = np.array([[chance.randint(0, 99) for _ in range(length)] for _ in range(rows)], dtype=np.int32)
    mask = np.repeat([segment[0] != -1 for segment in segments], [segment[4] for segment in segments]).astype(np.uint8).reshape(rows, length)
    arrays: dict[str, NDArray[Any]] = {
        "input_ids": ids,
        "loss_mask": mask,
        "cu_seqlens": np.array(bounds, dtype=np.int32),
        "segments": np.array(segments, dtype=np.int32),
    }
    if mask.all():
        del arrays["loss_mask"]
    for array in arrays.values():
        array.flags.writeable = False  # as received
    return Batch(arrays, step=3, tokens=int(mask.sum()), digest=batch_digest(arrays), cursor={}, convert=lambda _name, array: array, **options)


@pytest.mark.parametrize("seed", range(40))
def test_parts_are_the_rows_of_the_step_and_nothing_else(seed: int) -> None:
    length, rows = random.Random(seed).choice([(1, 4), (2, 6), (5, 6), (16, 8)])
    options: dict[str, Any] = {"mask_boundaries": seed % 2 == 0, "position_ids": ("document", "row")[seed // 2 % 2]}
    whole = random_batch(seed, rows, length, **options)
    for size in (size for size in range(1, rows + 1) if rows % size == 0):
        parts = [whole.part(start, start + size, {}) for start in range(0, rows, size)]
        for key in KEYS:
            assert np.array_equal(np.concatenate([part[key] for part in parts]), whole[key]), key
        assert sum(part.tokens for part in parts) == whole.tokens
        assert max(part.max_seqlen for part in parts) == whole.max_seqlen
        assert np.array_equal(np.concatenate([np.diff(part.cu_seqlens) for part in parts]), np.diff(whole.cu_seqlens))
        for index, part in enumerate(parts):
            assert (part.step, part.micro_step, part.is_last_micro_step) == (3, index, index == len(parts) - 1)
            assert (part.rows, part.step_tokens, part.digest) == (size, whole.tokens, whole.digest)
            assert (part.cu_seqlens[0], part.cu_seqlens[-1], part.cu_seqlens.dtype) == (0, size * length, np.int32)
            assert part.tokens == int(part.loss_mask.sum())
            part.verify()


def test_arrays_of_a_part_are_read_only_views() -> None:
    whole = random_batch(5, 4, 8)
    part = whole.part(2, 4, {})
    for key in ("input_ids", "loss_mask", "segments"):
        assert np.shares_memory(part[key], whole[key])
    for key in ("input_ids", "loss_mask", "segments", "cu_seqlens"):
        assert not part[key].flags.writeable


def test_a_part_is_verified_with_all_rows_of_its_step() -> None:
    whole = random_batch(5, 4, 8)
    whole.digest = "0" * 64
    with pytest.raises(HeadraceError, match="the batch of step 3 is not what the sidecar made"):
        whole.part(0, 2, {}).verify()


def test_a_step_comes_in_micro_batches(eight: FakeSidecar) -> None:
    with loader_of(eight.address, micro_batch=2, verify=True) as loader:
        batches = list(loader)
        assert [(batch.step, batch.micro_step) for batch in batches] == [(step, part) for step in range(3) for part in range(4)]
        assert [batch.is_last_micro_step for batch in batches] == [False, False, False, True] * 3
        assert {batch.input_ids.shape for batch in batches} == {(2, 4)}
        assert {(batch.tokens, batch.step_tokens) for batch in batches} == {(6, 24)}
        assert list(loader) == []
        assert loader.state_dict() == cursor(3, ROWS)
    # credits are steps, not micro-batches
    assert eight.received.count("CREDIT") <= 3


def test_without_micro_batches_a_step_is_one(eight: FakeSidecar) -> None:
    with loader_of(eight.address) as loader:
        batch = next(loader)
        assert (batch.micro_step, batch.is_last_micro_step, batch.step_tokens, batch.rows) == (0, True, batch.tokens, ROWS)


@pytest.mark.parametrize(("size", "taken"), [(size, taken) for size in (1, 2, 4) for taken in range(min(12, 3 * ROWS // size) + 1)])
def test_a_state_is_exact_after_every_micro_batch_also_for_other_sizes(eight: FakeSidecar, size: int, taken: int) -> None:
    rows = taken * size
    with loader_of(eight.address, micro_batch=size) as loader:
        batches = [next(loader) for _ in range(taken)]
        state = json.loads(json.dumps(loader.state_dict()))
        if batches:
            assert batches[-1].cursor == state
    expected = cursor(rows // ROWS, ROWS) if rows % ROWS == 0 else {**cursor(rows // ROWS, ROWS), "rows": {"given": rows % ROWS, "of": ROWS}}
    assert state == (expected if taken else {})
    for other in (other for other in (1, 2, 4, 8) if rows % other == 0):
        with loader_of(eight.address, micro_batch=other) as loader:
            loader.load_state_dict(state)
            assert loader.state_dict() == state
            found = [(batch.step, batch.micro_step, batch.rows) for batch in loader]
        assert found == [(row // ROWS, row % ROWS // other, other) for row in range(rows, 3 * ROWS, other)]
    assert all("rows" not in given for hello in eight.hellos for given in hello["cursors"])


def test_a_state_of_the_middle_of_a_step_is_refused_where_ranks_have_other_rows(eight: FakeSidecar) -> None:
    state = {**cursor(1, ROWS), "rows": {"given": 4, "of": 8}}
    for options in ({"world_size": 2}, {"micro_batch": 8}, {"micro_batch": 3}, {}):
        with loader_of(eight.address, **options) as loader:
            loader.load_state_dict(cursor(2, ROWS))
            with pytest.raises(HeadraceError) as raised:
                loader.load_state_dict(state)
            assert (raised.value.code, raised.value.detail) == ("CURSOR_MISMATCH", {"field": "rows"})
            assert loader.state_dict() == cursor(2, ROWS)  # nothing has changed


@pytest.mark.parametrize("rows", [3, {}, {"given": 0, "of": 8}, {"given": 8, "of": 8}, {"given": 1.0, "of": 8}, {"given": 1, "of": 8, "in": 2}])
def test_rows_that_are_no_part_of_a_step_are_refused(eight: FakeSidecar, rows: Any) -> None:
    with loader_of(eight.address, micro_batch=1) as loader, pytest.raises(HeadraceError) as raised:
        loader.load_state_dict({**cursor(1, ROWS), "rows": rows})
    assert raised.value.code == "CURSOR_INVALID"


def test_states_merge_in_the_middle_of_a_step_only_where_all_ranks_had_as_many_rows() -> None:
    def state(given: int) -> dict[str, Any]:
        return {**cursor(1, ROWS), **({"rows": {"given": given, "of": 4}} if given else {})}

    assert merge_state([state(2), state(2)]) == state(2)
    for others in ([state(2), state(3)], [state(2), state(0)], [state(0), state(2)]):
        with pytest.raises(HeadraceError) as raised:
            merge_state(others)
        assert (raised.value.code, raised.value.detail) == ("CURSOR_MISMATCH", {"field": "rows"})


def test_loading_a_state_forgets_the_step_under_way(eight: FakeSidecar) -> None:
    with loader_of(eight.address, micro_batch=2) as loader:
        next(loader)
        loader.load_state_dict(cursor(2, ROWS))
        batch = next(loader)
        assert (batch.step, batch.micro_step) == (2, 0)


def test_a_closed_loader_gives_no_rest_of_a_step(eight: FakeSidecar) -> None:
    loader = loader_of(eight.address, micro_batch=2)
    next(loader)
    loader.close()
    with pytest.raises(HeadraceError) as raised:
        next(loader)
    assert raised.value.code == "ABORTED"
    assert loader.state_dict() == {**cursor(0, ROWS), "rows": {"given": 2, "of": ROWS}}


@pytest.mark.parametrize("size", [3, 5, 16])
def test_a_size_that_does_not_divide_the_rows_names_both(eight: FakeSidecar, size: int) -> None:
    with loader_of(eight.address, micro_batch=size) as loader, pytest.raises(HeadraceError) as raised:
        next(loader)
    assert raised.value.code == "CONFIG_INVALID"
    assert f"micro_batch is {size}, which does not divide the 8 rows" in str(raised.value)
    assert raised.value.detail == {"micro_batch": size, "rows": 8}


@pytest.mark.parametrize("size", [0, -1, 1.5, "2"])
def test_a_size_that_cannot_be_is_refused(size: Any) -> None:
    with pytest.raises(HeadraceError) as raised:
        DataLoader(address="ipc:///nowhere", micro_batch=size)
    assert raised.value.code == "CONFIG_INVALID"
