"""What is served of values beside the rows, as bytes: the other side of `fields`, and of what records hold."""

import json
import re
import struct

import numpy as np

SERVED = {"uint8": "uint8", "int8": "int32", "int16": "int32", "uint16": "int32", "int32": "int32", "uint32": "int64", "int64": "int64", "float16": "float32", "float32": "float32"}


def requests(fields: list) -> list:
    """Of columns, each with the size and the type that a source says, as far as it does."""
    said = ("column", "size", "type")
    return [{"name": f"f{i:02}", **{key: value for key, value in zip(said, field) if value is not None}} for i, field in enumerate(fields)]


def numbers(values: np.ndarray, size: int | None) -> bytes | None:
    """One number (`size` None), or a list of `size`; None where there are not as many."""
    if size is not None and values.size != size:
        return None
    served = SERVED.get(str(values.dtype)) or ("float64" if size is None else "float32")
    with np.errstate(all="ignore"):
        own = values.astype(served)
    if served.startswith("float"):
        own[np.isnan(own)] = np.nan
    return own.tobytes()


def exact(value: object) -> object:
    """Integers that no double holds are their digits; what JSON has no number for is null."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53:
        return str(value)
    if isinstance(value, float):
        if not np.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 2**53 and not (value == 0 and np.signbit(value)) else value
    return value


def text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def records(columns: dict) -> list:
    return [{name: plain(value) for name, value in zip(columns, row)} for row in zip(*columns.values(), strict=True)]


def plain(value: object) -> object:
    if isinstance(value, bytes):
        return text(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return exact(value)


def parsed(value: str) -> object:
    """As JavaScript parses JSON. Raises ValueError."""

    def refuse(name: str) -> object:
        raise ValueError(name)

    return json.loads(value, parse_int=lambda digits: whole(float(digits)), parse_float=lambda digits: whole(float(digits)), parse_constant=refuse)


def whole(value: float) -> object:
    if not np.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


SPACE = "".join(map(chr, [*range(9, 14), 32, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF]))
"""What JavaScript trims."""

NUMERAL = re.compile(r"[ \t]*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t]*")
FORMS = {"uint8": ("<B", 0, 255), "int32": ("<i", -(2**31), 2**31 - 1), "int64": ("<q", -(2**63), 2**63 - 1), "float32": ("<f",), "float64": ("<d",)}


def numeral(own: str, type: str) -> bytes | None:
    """The number that a text is, in decimal, as a type that holds it."""
    if NUMERAL.fullmatch(own) is None:
        return None
    digits = own.strip(" \t")
    is_whole = digits.lstrip("+-").isdecimal()
    return number(-0.0 if is_whole and digits.startswith("-") and not int(digits) else int(digits) if is_whole else float(digits), type)


def number(value: int | float, type: str) -> bytes | None:
    """Exactly, or of floats to the nearest one; None where the type has none."""
    form, *bounds = FORMS[type]
    try:
        if not bounds:
            return struct.pack(form, float(value)) if np.isfinite(float(value)) else None
        low, high = bounds
        is_exact = value == int(value) and low <= value <= high and (isinstance(value, int) or abs(value) < 2**53)
        return struct.pack(form, int(value)) if is_exact else None
    except OverflowError:
        return None


def json_number(value: object, type: str, size: int | None) -> bytes | None:
    """A number of parsed JSON, or a list of `size`. A boolean is a uint8."""
    if size is not None:
        parts = [json_number(item, type, None) for item in value] if isinstance(value, list) and len(value) == size else [None]
        return None if None in parts else b"".join(parts)
    if isinstance(value, bool):
        return bytes([value]) if type == "uint8" else None
    return number(value, type) if isinstance(value, (int, float)) else None


def parsed_exactly(own: str) -> object:
    """As JavaScript takes JSON, with all digits of its integers. Raises ValueError."""

    def refuse(name: str) -> object:
        raise ValueError(name)

    return json.loads(own, parse_int=lambda digits: -0.0 if digits == "-0" else int(digits), parse_constant=refuse)


def doubles(value: object) -> object:
    """Numbers of parsed JSON as doubles."""
    if isinstance(value, list):
        return [doubles(item) for item in value]
    if isinstance(value, dict):
        return {name: doubles(item) for name, item in value.items()}
    return whole(float(value)) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def numeral_as_double(own: str) -> bytes | None:
    """The same as what a filter compares, which may be out of all bounds."""
    if NUMERAL.fullmatch(own) is None:
        return None
    return struct.pack("<d", float(own.strip(" \t")))
