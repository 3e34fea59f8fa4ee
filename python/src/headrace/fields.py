"""The fields of samples: what a batch has of each beside tokens, as it came, and images decoded in threads."""

from __future__ import annotations

import importlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Callable, Literal, Union

import numpy as np
from numpy.typing import NDArray

from .errors import HeadraceError

Kind = Literal["bytes", "text", "numbers"]
Decoder = Literal["pil", "torch", "pilrgb", "torchrgb"]
Decode = Union[Decoder, Mapping[str, Decoder]]

Value = Any
"""Of all rows: an array or tensor of numbers, a list of str, of memoryview, or of what ``decode`` makes of bytes."""


# what follows the name of a field that says which rows have it
PRESENT = ".present"


@dataclass(frozen=True)
class Field:
    """A field of some rows, as it came."""

    kind: Kind
    # numbers: [rows] or [rows, size]; else the bytes of all rows, one after the other
    values: NDArray[Any]
    # [rows + 1] places in the bytes
    bounds: NDArray[np.int64] | None

    def rows(self, start: int, end: int) -> Field:
        if self.bounds is None:
            return Field(self.kind, self.values[start:end], None)
        return Field(self.kind, self.values, self.bounds[start : end + 1])

    def row_bytes(self, row: int) -> memoryview:
        """As they are on the wire."""
        if self.bounds is None:
            little = self.values.dtype.newbyteorder("<")
            return memoryview(np.ascontiguousarray(self.values[row], dtype=little).tobytes())
        return self.values[int(self.bounds[row]) : int(self.bounds[row + 1])].data

    def __len__(self) -> int:
        return len(self.values) if self.bounds is None else len(self.bounds) - 1


def check_field(name: str, kind: Kind, arrays: Mapping[str, NDArray[Any]], rows: int) -> None:
    """What a batch says of a field is there. Errors: ``BAD_MESSAGE``."""
    values, bounds = arrays.get(f"fields.{name}"), arrays.get(f"fields.{name}.bounds")
    if kind == "numbers":
        fits = values is not None and values.ndim in (1, 2) and values.shape[0] == rows
    else:
        fits = (
            values is not None
            and bounds is not None
            and values.dtype == np.uint8
            and bounds.dtype == np.int64
            and values.ndim == 1
            and bounds.shape == (rows + 1,)
            and bounds[0] == 0
            and bounds[-1] == values.size
            and bool((np.diff(bounds) >= 0).all())
        )
    if not fits:
        raise HeadraceError("BAD_MESSAGE", f"the arrays of the field {name} do not fit {rows} rows", hint="both sides must run compatible versions of headrace")


def received_fields(entries: Sequence[Mapping[str, Any]], arrays: Mapping[str, NDArray[Any]]) -> dict[str, Field]:
    """Of a message that was checked."""
    return {entry["name"]: Field(entry["kind"], arrays[f"fields.{entry['name']}"], arrays.get(f"fields.{entry['name']}.bounds")) for entry in entries}


class Fields(Mapping[str, Value]):
    """
    The fields of a batch by name, made when they are asked for.

    Numbers are an array or tensor [rows] or [rows, size]; text is a list of ``str``; bytes are a list of read-only ``memoryview``, or with the loader's
    ``decode`` a list of images, None in rows of padding. Of a field with ``missing: null``, text and bytes are None in rows without it; numbers are 0 there,
    and ``fields["NAME.present"]`` (uint8) is 1 in the rows that have it.
    """

    def __init__(self, fields: Mapping[str, Field], convert: Callable[[str, NDArray[Any]], Any], images: Images, place: str, padding: NDArray[np.bool_]) -> None:
        self._fields = fields
        self._convert = convert
        self._images = images
        self._place = place
        self._padding = padding
        self._made: dict[str, Value] = {}

    def __getitem__(self, name: str) -> Value:
        if name not in self._made:
            self._made[name] = self._value(name, self._fields[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Fields({', '.join(f'{name}: {field.kind}' for name, field in self._fields.items())})"

    def _value(self, name: str, field: Field) -> Value:
        if field.kind == "numbers":
            return self._convert(f"fields.{name}", field.values)
        rows = [field.row_bytes(row) for row in range(len(field))]
        present = self._fields.get(f"{name}{PRESENT}")
        absent = np.zeros(len(rows), np.bool_) if present is None else present.values == 0
        if field.kind == "text":
            values: list[Any] = [str(row, "utf-8", "replace") for row in rows]
        else:
            values = self._images.decode(name, rows, self._padding | absent, self._place)
        return [None if is_absent else value for value, is_absent in zip(values, absent)]


class Images:
    """Decodes the images of a loader's batches, as ``decode`` says, in threads that it starts when there is something to decode."""

    def __init__(self, decode: Decode | None, threads: int) -> None:
        self._decode = decode
        self._threads = threads
        self._decoders = {name: _decoder(name) for name in set([decode] if isinstance(decode, str) else (decode or {}).values())}
        self._pool: ThreadPoolExecutor | None = None

    def check(self, fields: Mapping[str, Field]) -> None:
        """Errors: ``CONFIG_INVALID`` where ``decode`` names what is no field of bytes."""
        for name in [] if self._decode is None or isinstance(self._decode, str) else self._decode:
            if name not in fields or fields[name].kind != "bytes":
                raise HeadraceError("CONFIG_INVALID", f"decode names {name}, which is no field of bytes", hint=f"the fields are {', '.join(fields) or 'none'}")

    def decode(self, name: str, rows: Sequence[memoryview], padding: NDArray[np.bool_], place: str) -> list[Any]:
        chosen = self._decode if self._decode is None or isinstance(self._decode, str) else self._decode.get(name)
        if chosen is None:
            return [row.toreadonly() for row in rows]
        decoder = self._decoders[chosen]

        def one(row: int) -> Any:
            if padding[row]:
                return None
            try:
                return decoder(rows[row])
            except Exception as error:
                raise HeadraceError(
                    "BAD_ROW",
                    f"sample {row} of {place}: the field {name} cannot be decoded ({_described(rows[row])}: {_reason(error)})",
                    hint=f"headrace show CONFIG --{place} (and --rank, --world-size) says which row of which shard it is; without decode the bytes come as they are",
                    detail={"field": name, "row": row},
                ) from error

        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="headrace-decode")
        return list(self._pool.map(one, range(len(rows))))

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False)


def _described(data: memoryview) -> str:
    return f"{len(data)} bytes" if len(data) == 0 else f"{len(data)} bytes that begin with {bytes(data[:8])!r}"


def _reason(error: Exception) -> str:
    """Of Pillow, without the name of the object in memory that it read from."""
    return re.sub(r" <_io\.BytesIO object at 0x[0-9a-f]+>", "", str(error)) or type(error).__name__


def _decoder(name: str) -> Callable[[memoryview], Any]:
    if name not in _DECODERS:
        raise HeadraceError("CONFIG_INVALID", f"decode is {name!r}; it can be {', '.join(_DECODERS)}, or say one of them by field")
    try:
        return _DECODERS[name]()
    except ImportError as error:
        package = "pillow" if name.startswith("pil") else "torchvision"
        raise HeadraceError("CONFIG_INVALID", f"decode={name!r} cannot be used here: {error}", hint=f"install {package}") from error


def _pil() -> Callable[[memoryview], Any]:
    image = importlib.import_module("PIL.Image")

    def decode(data: memoryview) -> Any:
        opened = image.open(io.BytesIO(data))
        opened.load()  # here, in its thread, and not when it is looked at
        return opened

    return decode


def _pil_rgb() -> Callable[[memoryview], Any]:
    opened_of = _pil()
    image = importlib.import_module("PIL.Image")
    upright = importlib.import_module("PIL.ImageOps").exif_transpose

    def decode(data: memoryview) -> Any:
        opened = opened_of(data)
        is_png = opened.format == "PNG"
        opened = upright(opened)
        if opened.mode == "F" or (opened.mode == "I" and not is_png):
            raise ValueError(f"its numbers (mode {opened.mode}) are no colours")
        if opened.mode.startswith("I"):  # 16 bits, in older versions of Pillow as 32; it would make white of all that is above 255
            opened = image.fromarray((np.asarray(opened) >> 8).astype(np.uint8))
        return opened.convert("RGB")

    return decode


def _torchvision(rgb: bool = False) -> Callable[[memoryview], Any]:
    torch = importlib.import_module("torch")
    io_ = importlib.import_module("torchvision.io")
    image = importlib.import_module("PIL.Image")  # which torchvision needs as well
    modes = io_.ImageReadMode

    def decode(data: memoryview) -> Any:
        mode = modes.UNCHANGED
        try:
            # also refuses what would take gigabytes, which torchvision does not
            opened = image.open(io.BytesIO(data))
        except image.UnidentifiedImageError:
            pass  # torchvision may know it, or says that it does not
        else:
            if opened.mode == "P" and opened.format == "PNG":  # the numbers of its palette are no colours
                mode = modes.RGB_ALPHA if "transparency" in opened.info else modes.RGB
        encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        if not rgb:
            return io_.decode_image(encoded, mode)
        decoded = io_.decode_image(encoded, modes.RGB, apply_exif_orientation=True)
        return decoded if decoded.dtype == torch.uint8 else (decoded.to(torch.int32) >> 8).to(torch.uint8)

    return decode


_DECODERS: Mapping[str, Callable[[], Callable[[memoryview], Any]]] = {
    "pil": _pil,
    "torch": _torchvision,
    "pilrgb": _pil_rgb,
    "torchrgb": lambda: _torchvision(rgb=True),
}
