"""Megatron's pairs of files, as its documentation lays them out: the package needs torch. Either file of a pair is damaged; the other one stays whole."""

import os
import re
import struct

import numpy as np

TYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}
REQUEST = {"column": "", "kind": "tokens"}


def make(directory: str) -> list:
    rng = np.random.default_rng(6)
    documents = [[rng.integers(0, 100, int(rng.integers(0, 12))) for _ in range(i % 3)] for i in range(40)]
    sequences = [sequence for document in documents for sequence in document]
    found = []
    for code, dtype in TYPES.items():
        stem = f"m{code}"
        lengths = np.array([len(sequence) for sequence in sequences], "<i4")
        places = np.cumsum([0, *lengths[:-1]]).astype("<i8") * np.dtype(dtype).itemsize
        starts = np.cumsum([0, *(len(document) for document in documents)]).astype("<i8")
        with open(f"{directory}/{stem}.bin", "wb") as file:
            file.write(np.concatenate(sequences).astype(dtype).tobytes())
        with open(f"{directory}/{stem}.idx", "wb") as file:
            file.write(b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, code, len(lengths), len(starts)) + lengths.tobytes() + places.tobytes() + starts.tobytes())
        found.append({"file": f"{stem}.idx", "requests": [REQUEST], "beside": [f"{stem}.bin"]})
        if code in (5, 8):
            found.append({"file": f"{stem}.bin", "requests": [REQUEST], "beside": [f"{stem}.idx"]})
    return found


def pair(file: str) -> list:
    """The bytes of both, index first: of a damaged one and of the other as it was."""
    stem, ending = os.path.splitext(file)
    whole = re.sub(r"case-\d+-", "", stem)
    paths = [f"{stem if ending == own else whole}{own}" for own in (".idx", ".bin")]
    data = []
    for path in paths:
        with open(path, "rb") as opened:
            data.append(opened.read())
    return data


def rows(file: str, request: dict) -> object:
    """As MMapIndexedDataset: by places and lengths. What it believes without looking is looked at here."""
    index, data = pair(file)
    magic, version, code, count, starts = index[:9], *struct.unpack_from("<QBQQ", index, 9)
    if magic != b"MMIDIDX\0\0" or version != 1:
        raise ValueError("another format")
    lengths = np.frombuffer(index, "<i4", count, 34)
    places = np.frombuffer(index, "<i8", count, 34 + 4 * count)
    documents = np.frombuffer(index, "<i8", starts, 34 + 12 * count)
    dtype = np.dtype(TYPES[code])
    for first, last in zip(documents[:-1], documents[1:]):
        if not 0 <= first <= last <= count:
            raise ValueError("documents that do not follow each other")
        yield np.concatenate([np.zeros(0, dtype), *(np.frombuffer(data, dtype, lengths[i], places[i]) for i in range(first, last))])
