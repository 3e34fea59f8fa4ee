"""What a batch makes of the arrays that came: labels and positions, equal to the Node library's (test/spec/targets.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace import DataLoader, HeadraceError
from headrace.batch import Batch

from .conftest import FakeSidecar

CASES = json.loads((Path(__file__).parents[2] / "test" / "spec" / "targets.json").read_text())


def batch_of(golden: dict[str, Any], **options: Any) -> Batch:
    shape = (golden["rows"], golden["length"])
    mask = np.array(golden["lossMask"], dtype=np.uint8).reshape(shape)
    arrays = {"input_ids": np.array(golden["inputIds"], dtype=np.int32).reshape(shape), "cu_seqlens": np.array(golden["cuSeqlens"], dtype=np.int32)}
    if not mask.all():
        arrays["loss_mask"] = mask
    for array in arrays.values():
        array.flags.writeable = False  # as received
    return Batch(arrays, step=0, tokens=int(mask.sum()), digest="", cursor={}, convert=lambda _name, array: array, **options)


@pytest.mark.parametrize("golden", CASES, ids=[golden["name"] for golden in CASES])
def test_labels_leave_out_padding_and_by_option_the_first_token_of_every_piece(golden: dict[str, Any]) -> None:
    assert batch_of(golden).labels.ravel().tolist() == golden["labels"]
    masked = batch_of(golden, mask_boundaries=True)
    assert masked.labels.ravel().tolist() == golden["labelsWithinDocuments"]
    assert masked.labels.shape == masked.input_ids.shape
    assert masked.labels.dtype == np.int32
    assert masked.input_ids.ravel().tolist() == golden["inputIds"]


@pytest.mark.parametrize("golden", CASES, ids=[golden["name"] for golden in CASES])
def test_positions_start_again_with_each_document_or_by_option_with_each_row(golden: dict[str, Any]) -> None:
    assert batch_of(golden).position_ids.ravel().tolist() == golden["positionsOfDocuments"]
    by_row = batch_of(golden, position_ids="row").position_ids
    assert by_row.ravel().tolist() == golden["positionsOfRows"]
    assert by_row.dtype == np.int32


def test_a_loader_passes_its_options_on_to_every_batch(fake: FakeSidecar) -> None:
    options: dict[str, Any] = {"rank": 0, "world_size": 1, "tensors": "numpy", "timeout": 5.0}
    with DataLoader(address=fake.address, mask_boundaries=True, position_ids="row", **options) as loader:
        batch = [next(loader) for _ in range(4)][3]
    assert batch.input_ids.tolist() == [[3, 4, 7, 0]]
    assert batch.labels.tolist() == [[-100, 4, -100, -100]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3]]
    assert batch.loss_mask.tolist() == [[1, 1, 1, 0]]


def test_a_way_of_counting_positions_that_does_not_exist_is_refused() -> None:
    with pytest.raises(HeadraceError) as raised:
        DataLoader(address="ipc:///nowhere", position_ids="batch")  # type: ignore[arg-type]
    assert raised.value.code == "CONFIG_INVALID"
