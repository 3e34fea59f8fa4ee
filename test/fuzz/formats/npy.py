"""Arrays of token ids by NumPy, in every version of its format, read by numpy.load."""

import io

import numpy as np

ROWS = [
    {"column": "", "kind": "tokens", "options": {"rowTokens": 7, "wholeRows": False}},
    {"column": "", "kind": "tokens", "options": {"rowTokens": 7, "wholeRows": True}},
]
DOCUMENTS = {"column": "", "kind": "tokens", "options": {"rowTokens": 7, "wholeRows": False, "eosId": 3}}


def make(directory: str) -> list:
    stream = np.random.default_rng(4).integers(0, 40, 600)
    found = []
    for dtype in ["|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<i8", "<u8"]:
        name = f"stream-{dtype[1:]}.npy"
        np.save(f"{directory}/{name}", stream.astype(dtype))
        found.append({"file": name, "requests": [*ROWS, DOCUMENTS]})
    for major in (1, 2, 3):
        name = f"rows-v{major}.npy"
        with open(f"{directory}/{name}", "wb") as file:
            np.lib.format.write_array(file, stream.reshape(100, 6).astype("<u2"), version=(major, 0))
        found.append({"file": name, "requests": ROWS})
    return found


def array(file: str) -> np.ndarray:
    """Raises ValueError, also where something follows the array."""
    with open(file, "rb") as opened:
        stream = io.BytesIO(opened.read())
    own = np.lib.format.read_array(stream, allow_pickle=False)
    if stream.read(1):
        raise ValueError("something follows the array")
    return own


def cut(ids: np.ndarray, options: dict) -> object:
    if "eosId" in options:
        ends = np.flatnonzero(ids == options["eosId"]) + 1
        yield from (part for part in np.split(ids, ends) if len(part))
        return
    size = options["rowTokens"]
    for start in range(0, len(ids), size):
        part = ids[start : start + size]
        if len(part) == size or not options["wholeRows"]:
            yield part


def rows(file: str, request: dict) -> object:
    own = array(file)
    if own.dtype.kind not in "iu" or own.dtype.byteorder == ">" or own.ndim not in (1, 2):
        raise ValueError("no token ids")
    yield from own if own.ndim == 2 else cut(own, request["options"])
