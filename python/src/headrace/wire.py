"""Messages of docs/wire.md as bytes, and back: pure, no socket."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Union

import numpy as np
from numpy.typing import NDArray

from .errors import HeadraceError

VERSION = 5
MAGIC = b"HR"
SPLITS = ("train", "validation")
CREDITS_MAX = 64
# frame 0 of a message; arrays are in frames of their own
HEADER_BYTES_MAX = 1 << 20

# type byte, and the keys of the JSON in the order of the specification
MESSAGES: dict[str, tuple[int, tuple[str, ...]]] = {
    "HELLO": (1, ("client", "consumer", "incarnation", "rank", "worldSize", "credits", "expect", "cursors", "split")),
    "WELCOME": (2, ("session", "server", "heartbeatMs", "rows", "length", "padId", "vocabSize", "cursor")),
    "CREDIT": (3, ("session", "credits", "step", "waitsMs")),
    "BATCHES": (4, ("session", "rows", "length", "ids", "lanes", "sources", "batches", "fields")),
    "END": (5, ("session", "step")),
    "ERROR": (6, ("session", "code", "message", "hint", "detail")),
    "PING": (7, ("session",)),
    "PONG": (8, ("session",)),
    "BYE": (9, ("session",)),
    "MIX": (10, ("at", "after", "weights", "ramp")),
    "MIXED": (11, ("at", "weights", "ramp")),
}
# keys that may be left out
_OPTIONAL = frozenset({"split", "fields", "waitsMs"})
FIELD_KINDS = ("bytes", "text", "numbers")
_NAMES = {number: name for name, (number, _) in MESSAGES.items()}
_STRINGS = frozenset({"client", "consumer", "server", "code", "message", "hint"})
_OBJECTS = frozenset({"expect", "cursor", "detail", "weights"})
_LISTS = frozenset({"cursors", "lanes", "sources", "batches", "fields", "waitsMs"})
# what the specification allows beside its own sizes: at least one
_POSITIVE = frozenset({"heartbeatMs", "rows", "length", "credits"})
_DTYPES = {name: np.dtype(code) for name, code in (("int32", "<i4"), ("uint8", "|u1"), ("uint16", "<u2"), ("int64", "<i8"), ("float32", "<f4"), ("float64", "<f8"))}

_INT32 = _DTYPES["int32"]
_FLOAT64 = _DTYPES["float64"]
# source, shard, row, token_start, length, flags
SEGMENT_FIELDS = 6
# group, window, document, token, delivered, credit; the last one is the only one that can be below zero
POSITION_NUMBERS = 6
# integers up to it are exact in float64
_NUMBER_MAX = 2**53 - 1
# of cores in their frame: numbers of any size can be read where they lie
_CORE_ALIGNMENT = 8

Buffer = Union[bytes, memoryview]


@dataclass(frozen=True)
class WireBatch:
    """A batch of BATCHES. Arrays are read-only and aligned: views of the frames, or copies of small ones."""

    step: int
    # what is no padding
    tokens: int
    digest: str
    # of the cursor after it: the changes of weights, and [lanes, sources, 6] float64, of the header's lanes and sources
    mixture: list[Any]
    positions: NDArray[np.float64]
    arrays: dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Message:
    """A decoded message: its type's name, the JSON of its header, and what a BATCHES holds."""

    type: str
    header: dict[str, Any]
    batches: list[WireBatch]


def encode_header(message_type: str, header: Mapping[str, Any]) -> bytes:
    """Frame 0 of a message. Keys are written in the specification's order."""
    number, keys = MESSAGES[message_type]
    body = json.dumps({key: header[key] for key in keys if key in header or key not in _OPTIONAL}, ensure_ascii=False, separators=(",", ":"))
    return MAGIC + bytes((VERSION, number)) + body.encode("utf-8")


def decode(frames: Sequence[Buffer]) -> Message:
    """Errors: ``BAD_MESSAGE``."""
    if not frames:
        raise _bad("it has no frame")
    message_type, header = _decode_header(bytes(frames[0][: HEADER_BYTES_MAX + 1]))
    if message_type == "BATCHES":
        return Message(message_type, header, _decode_batches(header, frames[1:]))
    if len(frames) > 1:
        raise _bad(f"{message_type} has {len(frames) - 1} frames after its header")
    return Message(message_type, header, [])


def _decode_batches(header: Mapping[str, Any], frames: Sequence[Buffer]) -> list[WireBatch]:
    entries = header["batches"]
    if not entries:
        raise _bad("BATCHES has no batch")
    if not all(map(_is_batch, entries)):
        raise _bad("an entry of BATCHES.batches lacks a key, or has one of the wrong type")
    due = 2 + sum(len(entry["arrays"]) for entry in entries)
    if len(frames) != due:
        raise _bad(f"BATCHES has {len(frames)} frames of arrays where its header names {due}")
    cores = _aligned(np.frombuffer(memoryview(frames[0]).toreadonly(), np.uint8), _INT32.alignment)
    positions = _positions(frames[1], (len(entries), len(header["lanes"]), len(header["sources"]), POSITION_NUMBERS))
    batches, end, at = [], 0, 2
    for entry, own_positions in zip(entries, positions):
        start = -(-end // _CORE_ALIGNMENT) * _CORE_ALIGNMENT
        arrays, end = _unpack(entry, cores, start, header["rows"], header["length"], header["ids"])
        own = entry["arrays"]
        if own:
            arrays.update(_decode_array(described, frame) for described, frame in zip(own, frames[at : at + len(own)]))
            at += len(own)
        batches.append(WireBatch(entry["step"], entry["tokens"], entry["digest"], entry["mixture"], own_positions, arrays))
    if end != len(cores):
        raise _bad(f"the frame of cores has {len(cores)} bytes where the header says {end}")
    return batches


def _unpack(entry: Mapping[str, Any], cores: NDArray[np.uint8], start: int, rows: int, length: int, has_ids: bool) -> tuple[dict[str, NDArray[Any]], int]:
    """The arrays that every batch has, which lie in the frame of cores from ``start`` on, and where they end."""
    segments, is_masked = entry["segments"], entry["masked"]
    if not is_masked and entry["tokens"] != rows * length:
        raise _bad(f"the batch of step {entry['step']} has padding, and no mask")
    bounds_at = rows * length if has_ids else 0
    segments_at = bounds_at + segments + 1
    numbers_end = segments_at + segments * SEGMENT_FIELDS
    mask_at = start + numbers_end * _INT32.itemsize
    end = mask_at + (rows * length if is_masked else 0)
    if end > len(cores):
        raise _bad(f"the batch of step {entry['step']} ends at byte {end} of a frame of {len(cores)}")
    numbers = cores[start:mask_at].view(_INT32)
    arrays = {
        "cu_seqlens": numbers[bounds_at:segments_at],
        "segments": numbers[segments_at:].reshape(segments, SEGMENT_FIELDS),
    }
    if has_ids:
        arrays["input_ids"] = numbers[:bounds_at].reshape(rows, length)
    if is_masked:
        arrays["loss_mask"] = cores[mask_at:end].reshape(rows, length)
    return arrays, end


def _positions(frame: Buffer, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Where the lanes stand after each batch: [batches, lanes, sources, 6]."""
    expected = math.prod(shape, start=_FLOAT64.itemsize)
    if len(frame) != expected:
        raise _bad(f"the frame of positions has {len(frame)} bytes where the header says {expected}")
    positions = _aligned(np.frombuffer(memoryview(frame).toreadonly(), _FLOAT64), _FLOAT64.alignment).reshape(shape)
    if not ((np.abs(positions) <= _NUMBER_MAX) & (np.trunc(positions) == positions)).all() or (positions[..., : POSITION_NUMBERS - 1] < 0).any():
        raise _bad("a position has a number that is no count")
    return positions


def _decode_header(frame: bytes) -> tuple[str, dict[str, Any]]:
    if len(frame) < 4 or frame[:2] != MAGIC:
        raise _bad("it does not start with HR")
    if len(frame) > HEADER_BYTES_MAX:
        raise _bad(f"its header has more than {HEADER_BYTES_MAX} bytes")
    if frame[2] != VERSION:
        raise _bad(f"it has protocol version {frame[2]}; this is version {VERSION}")
    message_type = _NAMES.get(frame[3])
    if message_type is None:
        raise _bad(f"its type is {frame[3]}")
    try:
        header = json.loads(frame[4:].decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise _bad(f"its header is not JSON in UTF-8 ({error})") from error
    if not isinstance(header, dict):
        raise _bad(f"{message_type} has no JSON object")
    for key, fits in _CHECKS[message_type]:
        value = header.get(key, _MISSING)
        if not (fits(value) or (value is _MISSING and key in _OPTIONAL) or (message_type == "MIX" and value is None)):
            raise _bad(f"{message_type}.{key} is missing or of the wrong type")
    if message_type == "BATCHES" and not (all(map(_is_count, header["lanes"])) and all(isinstance(source, str) for source in header["sources"])):
        raise _bad("BATCHES has a lane that is no number, or a source without a name")
    if message_type == "BATCHES" and not all(_is_field(entry) for entry in header.get("fields", [])):
        raise _bad("an entry of BATCHES.fields has no name, or an unknown kind")
    return message_type, header


def _is_batch(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    get = entry.get
    return (
        all(_is_count(get(key)) for key in ("step", "tokens", "segments"))
        and isinstance(get("digest"), str)
        and isinstance(get("masked"), bool)
        and isinstance(get("arrays"), list)
        and isinstance(get("mixture"), list)
    )


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0  # which a bool is not


def _is_field(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("name"), str) and entry.get("kind") in FIELD_KINDS


def _check_of(key: str) -> Callable[[object], bool]:
    if key == "split":
        return lambda value: value in SPLITS
    for keys, kind in ((_STRINGS, str), (_OBJECTS, dict), (_LISTS, list)):
        if key in keys:
            return _kind_check(kind)
    if key == "ids":
        return _kind_check(bool)
    if key in ("rank", "worldSize"):
        return lambda value: type(value) is int
    least = 1 if key in _POSITIVE else 0
    return lambda value: type(value) is int and value >= least  # which a bool is not


def _kind_check(kind: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kind)


# by message: what each key is held to, made once, because every batch is
_CHECKS = {name: [(key, _check_of(key)) for key in keys] for name, (_, keys) in MESSAGES.items()}
_MISSING = object()


def _decode_array(entry: object, frame: Buffer) -> tuple[str, NDArray[Any]]:
    if not isinstance(entry, dict):
        raise _bad("an entry of arrays is no object")
    name, named, shape = entry.get("name"), entry.get("dtype"), entry.get("shape")
    dtype = _DTYPES.get(named) if isinstance(named, str) else None
    if not isinstance(name, str) or dtype is None:
        raise _bad("an array has no name, or an unknown dtype")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise _bad(f"the shape of array {name} is not a list of sizes")
    expected = math.prod(shape, start=dtype.itemsize)
    if len(frame) != expected:
        raise _bad(f"array {name} has {len(frame)} bytes where its header says {expected}")
    array = _aligned(np.frombuffer(memoryview(frame).toreadonly(), dtype), dtype.alignment)
    return name, array if len(shape) == 1 else array.reshape(shape)


def _aligned(array: NDArray[Any], alignment: int) -> NDArray[Any]:
    """Itself, or a copy: libzmq receives small frames in one buffer, wherever they come to lie."""
    if array.__array_interface__["data"][0] % alignment == 0:
        return array
    copy = array.copy()
    copy.setflags(write=False)
    return copy


def _bad(problem: str) -> HeadraceError:
    return HeadraceError(
        "BAD_MESSAGE",
        f"a message does not follow the wire protocol: {problem}",
        hint="both sides must run compatible versions of headrace; docs/wire.md is the specification",
    )
