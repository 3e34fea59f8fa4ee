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


def odd_images() -> dict[str, bytes]:
    """Of 16 by 8 pixels, but for ``bomb``."""
    image = pytest.importorskip("PIL.Image")
    grey = image.fromarray(np.tile(np.arange(16, dtype=np.uint8) * 16, (8, 1)))
    colours = image.merge("RGB", (grey, grey.rotate(180), grey))

    def encoded(made: Any, kind: str, **options: Any) -> bytes:
        file = io.BytesIO()
        made.save(file, kind, **options)
        return file.getvalue()

    turned = image.Exif()
    turned[0x112] = 6
    palette = colours.convert("P", palette=image.Palette.ADAPTIVE)
    return {
        "turned": encoded(colours, "JPEG", exif=turned),
        "turned png": encoded(colours, "PNG", exif=turned),
        "cmyk": encoded(colours.convert("CMYK"), "JPEG"),
        "grey": encoded(grey, "JPEG"),
        "16 bits": encoded(image.fromarray((np.arange(128).reshape(8, 16) * 500).astype(np.uint16)), "PNG"),
        "palette": encoded(palette, "PNG"),
        "transparent": encoded(palette, "PNG", transparency=0),
        "alpha": encoded(colours.convert("RGBA"), "PNG"),
        "1 bit": encoded(grey.convert("1"), "PNG"),
        "floats": encoded(grey.convert("F"), "TIFF"),
        "integers": encoded(grey.convert("I"), "TIFF"),
        "cut": encoded(colours, "JPEG")[:-40],
        "bomb": encoded(image.new("1", (20_000, 10_000)), "PNG"),
    }


def decoded_alone(decode: Any, data: bytes) -> Any:
    images = Images(decode, 1)
    try:
        return images.decode("image", [memoryview(data)], np.zeros(1, np.bool_), "step 0")[0]
    finally:
        images.close()


UPRIGHT = ["turned", "turned png", "cmyk", "grey", "16 bits", "palette", "transparent", "alpha", "1 bit"]


def test_rgb_is_upright_and_of_8_bits_whatever_the_file_has() -> None:
    images = odd_images()
    pixels = {name: np.asarray(decoded_alone("pilrgb", images[name])) for name in UPRIGHT}
    for name, own in pixels.items():
        assert own.dtype == np.uint8, name
        assert own.shape == ((16, 8, 3) if "turned" in name else (8, 16, 3)), name
    assert pixels["16 bits"][:, :, 0].tolist() == [[(500 * (16 * y + x)) >> 8 for x in range(16)] for y in range(8)]
    assert pixels["turned png"].transpose(1, 0, 2)[::-1].tolist() == pixels["alpha"].tolist()
    assert pixels["palette"].tolist() == pixels["alpha"].tolist()
    for name in ("floats", "integers"):
        with pytest.raises(HeadraceError, match="are no colours"):
            decoded_alone("pilrgb", images[name])
    # as the file has it
    assert [decoded_alone("pil", images[name]).mode for name in ("cmyk", "palette", "1 bit")] == ["CMYK", "P", "1"]
    assert decoded_alone("pil", images["turned"]).getexif()[0x112] == 6


def test_torchvision_makes_the_same_of_them() -> None:
    pytest.importorskip("torchvision")
    images = odd_images()
    for name in UPRIGHT:
        made = decoded_alone("torchrgb", images[name])
        assert made.numpy().transpose(1, 2, 0).tolist() == np.asarray(decoded_alone("pilrgb", images[name])).tolist(), name
    # torchvision would give the numbers of a palette's colours as if they were shades of grey
    assert decoded_alone("torch", images["palette"]).tolist() == decoded_alone("torchrgb", images["palette"]).tolist()
    assert tuple(decoded_alone("torch", images["transparent"]).shape) == (4, 8, 16)
    assert tuple(decoded_alone("torch", images["grey"]).shape) == (1, 8, 16)


@pytest.mark.parametrize("decode", ["pil", "pilrgb", "torch", "torchrgb"])
def test_what_is_cut_off_or_would_take_gigabytes_is_an_error(decode: Any) -> None:
    pytest.importorskip("PIL.Image" if decode.startswith("pil") else "torchvision")
    images = odd_images()
    with pytest.raises(HeadraceError, match="sample 0 of step 0: the field image cannot be decoded"):
        decoded_alone(decode, images["cut"])
    with pytest.raises(HeadraceError, match="exceeds limit"):
        decoded_alone(decode, images["bomb"])
    with pytest.raises(HeadraceError, match="cannot be decoded"):
        decoded_alone(decode, b"")


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
    with pytest.raises(HeadraceError, match="it can be pil, torch, pilrgb, torchrgb"):
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
