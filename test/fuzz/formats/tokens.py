"""Files of token ids and nothing else by NumPy, and with the header of llm.c, as its own script writes it."""

import numpy as np
from formats import npy

LLMC = {20240520: (1, "<u2"), 20240801: (7, "<u4")}


def make(directory: str) -> list:
    stream = np.random.default_rng(5).integers(0, 40, 600)
    found = []
    for dtype in ["uint8", "uint16", "int32", "uint32", "int64"]:
        name = f"ids-{dtype}.bin"
        stream.astype(dtype).tofile(f"{directory}/{name}")
        found.append({"file": name, "requests": [{**own, "options": {**own["options"], "dtype": dtype}} for own in [*npy.ROWS, npy.DOCUMENTS]]})
    found.append({"file": "ids-uint16.bin", "requests": [{**own, "options": {**own["options"], "dtype": "uint16", "header": 10}} for own in npy.ROWS]})
    for magic, (version, dtype) in LLMC.items():
        header = np.zeros(256, "<i4")
        header[:3] = [magic, version, len(stream)]
        name = f"llmc-{magic}.bin"
        with open(f"{directory}/{name}", "wb") as file:
            file.write(header.tobytes() + stream.astype(dtype).tobytes())
        found.append({"file": name, "requests": [*npy.ROWS, npy.DOCUMENTS]})
    return found


def rows(file: str, request: dict) -> object:
    options = request["options"]
    with open(file, "rb") as opened:
        data = opened.read()
    if "dtype" in options:
        return npy.cut(np.frombuffer(data, options["dtype"], offset=options.get("header", 0)), options)
    magic, version, count = np.frombuffer(data, "<i4", 3)
    known, dtype = LLMC[magic]
    ids = np.frombuffer(data, dtype, offset=1024)
    if version != known or len(ids) != count:
        raise ValueError("another header")
    return npy.cut(ids, options)
