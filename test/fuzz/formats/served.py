"""What is served of values beside the rows, as bytes: the other side of `fields`, and of what records hold."""

import json

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


def parsed(value: str) -> object:
    """As JavaScript parses JSON. Raises ValueError."""

    def refuse(name: str) -> object:
        raise ValueError(name)

    return json.loads(value, parse_int=lambda digits: whole(float(digits)), parse_float=lambda digits: whole(float(digits)), parse_constant=refuse)


def whole(value: float) -> object:
    if not np.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 1e21 else value
