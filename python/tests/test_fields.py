"""Fields of samples: read from golden frames, cut, and decoded."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from headrace import wire
from headrace.batch import Batch
from headrace.errors import HeadraceError
from headrace.fields import Field, Fields, Images, check_field, received_fields
from headrace.loader import _Numpy

from .conftest import GOLDEN


def golden(images: Images | None = None, replaced: dict[str, Any] | None = None) -> Batch:
    entry = next(entry for entry in GOLDEN["messages"] if entry["name"] == "BATCHES of samples")
    message = wire.decode([bytes.fromhex(frame) for frame in entry["frames"]])
    header, [wired] = message.header, message.batches
    arrays = {**wired.arrays, **(replaced or {})}
    for field in header["fields"]:
        check_field(field["name"], field["kind"], arrays, header["rows"])
    return Batch(
        arrays,
        step=wired.step,
        tokens=wired.tokens,
        digest=wired.digest,
        cursor={},
        convert=_Numpy(),
        length=header["length"],
        fields=received_fields(header["fields"], arrays),
        images=images,
    )


def test_fields_of_the_golden_samples() -> None:
    batch = golden()
    assert list(batch.fields) == ["caption", "emb", "image", "label", "score"]
    assert batch.fields["caption"] == ["a cat", "", ""]
    assert batch.fields["emb"].tolist() == [[0.5, -1.25], [3, 4], [0, 0]]
    assert [bytes(image) for image in batch.fields["image"]] == [b"\xff\xd8\x01", b"\0\0", b""]
    assert batch.fields["label"].tolist() == [2**40, -5, 0]
    assert batch.fields["score"].tolist() == [0.1, -2.5, 0]
    batch.verify()


def test_samples_without_tokens_have_no_ids() -> None:
    batch = golden()
    assert list(batch) == ["loss_mask", "cu_seqlens", "segments"]
    assert (batch.rows, batch.length, batch.loss_mask.tolist()) == (3, 1, [[1], [1], [0]])
    with pytest.raises(KeyError):
        batch["input_ids"]
    assert not hasattr(batch, "labels")


def test_parts_have_their_rows_of_the_fields() -> None:
    whole = golden()
    part = whole.part(1, 2, {})
    assert part.fields["caption"] == [""]
    assert [bytes(image) for image in part.fields["image"]] == [b"\0\0"]
    assert part.fields["emb"].tolist() == [[3, 4]]
    assert part.tokens == 1
    part.verify()


def test_a_changed_byte_of_a_field_is_found() -> None:
    entry = next(entry for entry in GOLDEN["messages"] if entry["name"] == "BATCHES of samples")
    image = np.array(entry["values"][0]["fields.image"], dtype=np.uint8) ^ 1
    with pytest.raises(HeadraceError) as raised:
        golden(replaced={"fields.image": image}).verify()
    assert raised.value.code == "DIGEST_MISMATCH"


@pytest.mark.parametrize("bounds", [[0, 1, 2], [0, 9, 2, 5], [0, 3, 5, 6], [1, 3, 5, 5]])
def test_bounds_that_do_not_fit_are_refused(bounds: list[int]) -> None:
    with pytest.raises(HeadraceError) as raised:
        golden(replaced={"fields.image.bounds": np.array(bounds, dtype=np.int64)})
    assert raised.value.code == "BAD_MESSAGE"


def png(colour: tuple[int, int, int]) -> bytes:
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image.new("RGB", (5, 4), colour).save(file, "PNG")
    return file.getvalue()


def with_images(decode: Any, first: bytes, second: bytes) -> Batch:
    data = np.frombuffer(first + second, dtype=np.uint8)
    bounds = np.array([0, len(first), len(first) + len(second), len(first) + len(second)], dtype=np.int64)
    images = Images(decode, 2)
    return golden(images, {"fields.image": data, "fields.image.bounds": bounds})


@pytest.mark.parametrize("decode", ["pil", {"image": "pil"}])
def test_images_are_decoded_and_padding_is_none(decode: Any) -> None:
    batch = with_images(decode, png((1, 2, 3)), png((4, 5, 6)))
    first, second, padding = batch.fields["image"]
    assert (first.size, first.getpixel((0, 0)), second.getpixel((4, 3)), padding) == ((5, 4), (1, 2, 3), (4, 5, 6), None)


def test_an_image_that_cannot_be_decoded_is_named() -> None:
    batch = with_images("pil", png((1, 2, 3)), b"no image")
    with pytest.raises(HeadraceError, match="sample 1 of step 5: the field image cannot be decoded") as raised:
        batch.fields["image"]
    assert raised.value.code == "BAD_ROW"
    assert raised.value.detail == {"field": "image", "row": 1}
    # what it is, and not where in memory it lay
    assert "(8 bytes that begin with b'no image': cannot identify image file)" in str(raised.value)
    with pytest.raises(HeadraceError, match=r"\(0 bytes: cannot identify image file\)"):
        with_images("pil", b"", png((1, 2, 3))).fields["image"]


def test_decode_is_checked() -> None:
    with pytest.raises(HeadraceError, match="it can be pil or torch"):
        Images("jpeg", 1)  # type: ignore[arg-type]
    pytest.importorskip("PIL.Image")
    with pytest.raises(HeadraceError, match="decode names images, which is no field of bytes"):
        Images({"images": "pil"}, 1).check(received_fields([], {}))


def test_rows_without_a_field_have_none() -> None:
    present = Field("numbers", np.array([1, 0, 1], np.uint8), None)
    bounds = np.array([0, 2, 2, 2], np.int64)
    fields = {
        "caption": Field("text", np.frombuffer(b"hi", np.uint8), bounds),
        "caption.present": present,
        "image": Field("bytes", np.frombuffer(b"ok", np.uint8), bounds),
        "image.present": present,
        "label": Field("numbers", np.array([7, 0, 0]), None),
        "label.present": present,
        "title": Field("text", np.frombuffer(b"hi", np.uint8), bounds),
    }
    made = Fields(fields, lambda _name, values: values, Images(None, 1), "step 0", np.zeros(3, np.bool_))
    assert made["caption"] == ["hi", None, ""]
    assert made["title"] == ["hi", "", ""]
    assert [image and bytes(image) for image in made["image"]] == [b"ok", None, b""]
    assert made["label"].tolist() == [7, 0, 0]
    assert made["label.present"].tolist() == [1, 0, 1]
    assert list(made) == list(fields)
    # what is not there is not decoded
    images = Images("pil", 1)
    images._decoders["pil"] = lambda data: len(data)
    decoded = Fields(fields, lambda _name, values: values, images, "step 0", np.zeros(3, np.bool_))
    assert decoded["image"] == [2, None, 0]
    images.close()
