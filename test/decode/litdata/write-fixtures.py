"""Writes the data sets of fixtures/ with litData's own writer, and what its own reader gives of them.

Run by hand, in an environment of its own (torch is no part of the tests'):

    python write-fixtures.py fixtures

Written with litdata 0.2.76, torch 2.15.0, numpy 2.4.6, pyarrow 26.0.1, zstd 1.5.7.2, Python 3.11.
"""

import base64
import json
import os
import shutil
import sys
import tempfile

import numpy as np
import torch
from litdata import StreamingDataset, TokensLoader, optimize
from litdata.streaming import item_loader
from litdata.streaming.serializers import _nested_dumps, _nested_loads
from litdata.types import Jpeg

ROWS = 40
WORDS = "wheel mill water race head tail sluice gate grain stone Mühle 水車 🌾 river".split()


def text(i: int) -> str:
    return " ".join(WORDS[(i * 7 + k * k) % len(WORDS)] for k in range(i % 9)) + ("" if i % 9 == 0 else f" {i}")


def ids(i: int) -> list[int]:
    return [(i * 31 + k * 17) % 50_000 for k in range(i % 11)]


def bare(i: int):
    return text(i)


def positions(i: int):
    row = ids(i) or [i]
    return (
        text(i),
        i * 10**10,
        i / 8,
        i % 3 == 0,
        bytes([i, 255 - i]) + text(i).encode(),
        np.array(ids(i), dtype=np.uint16),
        torch.tensor(ids(i), dtype=torch.int64),
        torch.tensor([row], dtype=torch.int32),
        np.array([row], dtype=np.int64),
        np.array([i, i / 2, -i], dtype=np.float32),
    )


def rows(i: int):
    return {"text": text(i), "n": i, "score": i / 4, "ids": ids(i), "meta": {"body": text(i + 1)}}


def mixed(i: int):
    return {"image": Jpeg(bytes=b"\xff\xd8\xff" + bytes([i]) * (i % 5) + b"\xff\xd9"), "text": text(i), "ids": ids(i), "meta": {"n": i}}


def chat(i: int) -> list[dict]:
    turns = [{"role": "user", "content": text(i)}, {"role": "assistant", "content": text(i + 3)}]
    return turns * (1 + i % 2)


def chats(i: int):
    return {"messages": chat(i), "n": i, "lang": "de" if i % 3 == 0 else "en"}


def samples(i: int):
    """An image keeps them out of Arrow."""
    return {
        "image": Jpeg(bytes=b"\xff\xd8\xff" + bytes([i]) * (i % 5) + b"\xff\xd9"),
        "text": text(i),
        "raw": bytes([i, 255 - i]),
        "n": i * 10**17 - 5,
        "score": i / 7,
        "good": i % 3 == 0,
        "embedding": np.array([i, i / 2, -i, 0.1], dtype=np.float32),
        "half": torch.tensor([i, 1 / 3], dtype=torch.float16),
        "mask": torch.tensor([i % 2 == 0, True, False]),
        "wide": np.array([i, 2**32 - 1], dtype=np.uint32),
        "square": torch.tensor([[i, 1], [2, -i]], dtype=torch.int64),
        "grid": np.array([[i, 0.1]], dtype=np.float64),
        "list": [i / 3, 0.5, float(i)],
        "pair": [i, -(2**40)],
        "ids": ids(i),
        "messages": chat(i),
        "notes": {"tags": [text(i), "ü"], "deep": {"big": 2**60 + i, "flag": i % 2 == 0}},
        "mixed": [i, "x", None, 1.5],
        "gone": None,
    }


# what lists and dicts within samples may be: the writer's own form of each, and what its reader gives of it
NESTED = [
    *[None, True, False, "", "über 水", 0, -1, 2**53 - 1, -(2**63), 2**63 - 1, 2**70, 1.5, -0.0, 1e300],
    *[[], [""], ["a", "水", ""], [1, -2, 2**60], [1.5, -2.0], [True, False], [1, "x", None, 2.5, [3]], [[1], [2, 3]], [1, 2**70]],
    *[{}, {"a": 1}, {"a": {"b": [1, 2], "c": None}, "": "x", "t": True, "f": 0.25}, {"a": [{"b": {"c": []}}]}],
    *[[{"role": "user", "content": "hé"}], [{"a": 1, "b": None, "c": 0.5, "d": True, "e": "x"}, {"e": "", "d": False, "c": -1.0, "b": 2, "a": 3}]],
    *[[{"a": [1]}], [{"a": 1}, {"b": 2}], [{}, {}], {"a": {"b": {"c": {"d": {"e": "deep"}}}}}],
]


def tokens(i: int):
    return torch.tensor(ids(i) + [50_000], dtype=torch.int32)


def tokens16(i: int):
    return np.array(ids(i) + [50_000], dtype=np.uint16)


SETS = {
    "bare": (bare, {}),
    "positions": (positions, {}),
    "rows": (rows, {}),
    "rows-zstd": (rows, {"compression": "zstd"}),
    "mixed": (mixed, {}),
    "chats": (chats, {}),
    "samples": (samples, {}),
    "frames": (positions, {"compression": "zstd", "compression_batch_size": 6}),
    "chunk-zstd": (mixed, {"compression": "zstd", "compression_level": "chunk"}),
    "samples-zstd": (bare, {"compression": "zstd", "compression_level": "sample"}),
    "tokens": (tokens, {"item_loader": TokensLoader()}),
    "tokens16-zstd": (tokens16, {"item_loader": TokensLoader(), "compression": "zstd", "compression_level": "chunk"}),
}


def plain(value):
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return value.tolist()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    return value


class PyTreeLoader(item_loader.PyTreeLoader):
    """Gives images as the bytes that they are: these are none that could be decoded. The name is that of the loader that a data set asks for."""

    def setup(self, *args, **kwargs):
        super().setup(*args, **kwargs)
        for i, name in enumerate(self._data_format):
            if name == "jpeg":
                self._serializers_list[i] = self._serializers["bytes"]


def read(name: str, place: str, fn):
    if not name.startswith("tokens"):
        return [plain(row) for row in StreamingDataset(place, shuffle=False, item_loader=PyTreeLoader())]
    # its own reader serves blocks of ids, and leaves out what is left of a chunk
    chunks = json.load(open(f"{place}/index.json"))["chunks"]
    documents = [plain(fn(i)) for i in range(ROWS)]
    blocks = [plain(row) for row in StreamingDataset(place, shuffle=False, item_loader=TokensLoader(block_size=5))]
    expected, at = [], 0
    for chunk in chunks:
        own = sum(documents[at : at + chunk["chunk_size"]], [])
        at += chunk["chunk_size"]
        assert chunk["dim"] == len(own)
        expected += [own[k : k + 5] for k in range(0, len(own) - len(own) % 5, 5)]
    assert blocks == expected and at == ROWS
    return documents


def write(name: str, own: str) -> None:
    fn, options = SETS[name]
    size = {"chunk_size": 130} if name.startswith("tokens") else {"chunk_size": 16}
    with tempfile.TemporaryDirectory() as place:
        optimize(fn, list(range(ROWS)), place, num_workers=1, keep_data_ordered=True, verbose=False, **size, **options)
        os.makedirs(own)
        for file in sorted(os.listdir(place)):
            if file == "index.json" or file.endswith(".bin"):
                shutil.copy(os.path.join(place, file), own)


def main(target: str) -> None:
    """What is there already is read only."""
    expected = {}
    for name, (fn, _) in SETS.items():
        own = os.path.join(target, name)
        if not os.path.isdir(own):
            write(name, own)
        with tempfile.TemporaryDirectory() as place:
            # its reader leaves decompressed chunks in the place of the others
            copy = shutil.copytree(own, os.path.join(place, name))
            own_rows = read(name, copy, fn)
        # what is the same as another data set has is said by its name
        expected[name] = next((other for other, rows in expected.items() if rows == own_rows), own_rows)
        print(name, len(own_rows), flush=True)
    nested = [[_nested_dumps(value).hex(), _nested_loads(_nested_dumps(value))] for value in NESTED]
    assert [value for _, value in nested] == NESTED
    with open(os.path.join(target, "nested.json"), "w", encoding="utf-8") as out:
        json.dump(nested, out, ensure_ascii=False, separators=(",", ":"))
        out.write("\n")
    with open(os.path.join(target, "expected.json"), "w", encoding="utf-8") as out:
        json.dump(expected, out, ensure_ascii=False, separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
