"""Writes fixtures/ with MosaicML Streaming's MDSWriter, and fixtures/rows.json with what its own MDSReader reads of them.

The package needs torch, so that the tests do not run this: what it wrote is kept beside it. To write it again:

    python -m venv venv && venv/bin/pip install mosaicml-streaming==0.13.0
    venv/bin/python test/decode/mds/write-fixtures.py

Written with mosaicml-streaming 0.13.0, numpy 2.4.6, Pillow 13.0.0, zstd 1.5.7.2, Python 3.11. What is written depends on their versions (PNG, gzip's time).
"""

import json
import shutil
import sys
import tempfile
from decimal import Decimal
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

# streaming imports names of transformers for its examples, which its writer does not need
for module, name in {
    "transformers": "",
    "transformers.feature_extraction_utils": "BatchFeature",
    "transformers.tokenization_utils_base": "BatchEncoding",
    "transformers.models": "",
    "transformers.models.auto": "",
    "transformers.models.auto.tokenization_auto": "AutoTokenizer",
}.items():
    absent = ModuleType(module)
    absent.__spec__ = ModuleSpec(module, None)
    setattr(absent, name or "__path__", type(name, (), {}) if name else [])
    sys.modules.setdefault(module, absent)

from streaming import MDSWriter
from streaming.base.compression import decompress
from streaming.base.format.mds.reader import MDSReader

FIXTURES = Path(__file__).parent / "fixtures"
WORDS = "stream the shards in place über 水 and read each row once, 😀 whatever its length".split()


def text(row: int) -> str:
    return " ".join(WORDS[(row * 7 + i * i) % len(WORDS)] for i in range(row % 11)) + f" {row}"


def ids(row: int, dtype: str, salt: int = 0) -> np.ndarray:
    return ((np.arange(1 + (row * 5 + salt) % 9, dtype=np.int64) * 977 + 13 * row + salt) % 251).astype(dtype)


ALL = {
    "text": "str",
    "body": "bytes",
    "id": "str",
    "int": "int",
    "int8": "int8",
    "uint16": "uint16",
    "uint32": "uint32",
    "uint64": "uint64",
    "float16": "float16",
    "float32": "float32",
    "float64": "float64",
    "digits": "str_int",
    "price": "str_decimal",
    "meta": "json",
    "secret": "pkl",
    "png": "png",
    "dynamic": "ndarray",
    "typed": "ndarray:uint16",
    "row": "ndarray:int32",
    "fixed": "ndarray:int64:3",
    "embedding": "ndarray:float32:2",
    "floats": "ndarray:float64",
    "square": "ndarray:uint8:2,2",
    "raw": "bytes",
}


def everything(row: int) -> dict:
    return {
        "text": text(row),
        "body": text(row + 1).encode(),
        "id": f"doc-{row}",
        "int": row - 5,
        "int8": row - 20,
        "uint16": 65_535 - row,
        "uint32": 2**32 - 1 - row,
        "uint64": 2**64 - 1 - row,
        "float16": row / 4,
        "float32": row / 8,
        "float64": row / 3,
        "digits": (-1) ** row * 10 ** (row % 30),
        "price": Decimal(row) / Decimal(100),
        "meta": {"lang": ["de", "en", None][row % 3], "quality": row / 10, "tags": list(range(row % 3))},
        "secret": {"row": row},
        "png": Image.new("L", (2, 1 + row % 3), row),
        "dynamic": ids(row, ["uint8", "int32", "int64", "uint16"][row % 4]),
        "typed": ids(row, "uint16", 1),
        # as tokenizers give it
        "row": ids(row, "int32", 2).reshape(1, -1),
        "fixed": np.array([row, 2 * row, 3 * row], np.int64),
        "embedding": np.array([row, row / 2], np.float32),
        "floats": np.array([row / 7] * (1 + row % 2)),
        "square": np.full((2, 2), row, np.uint8),
        "raw": ids(row, "int64", 3).tobytes(),
    }


FEW = {"text": "str", "tokens": "ndarray:int32", "number": "int32"}


def few(row: int) -> dict:
    return {"text": text(row), "tokens": ids(row, "int32"), "number": row}


SETS = {
    # name: columns, row, rows, what else the writer is told
    "plain": (ALL, everything, 40, {"size_limit": 6000}),
    "zstd": (FEW, few, 60, {"size_limit": 2600, "compression": "zstd:7"}),
    "gz": (FEW, few, 60, {"size_limit": 2600, "compression": "gz"}),
    "br": (FEW, few, 2, {"compression": "br"}),
    "none": (FEW, few, 0, {}),
}


def plain(value: object) -> object:
    """As JSON. Bytes are hexadecimal, integers that JavaScript has no number for are text."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Image.Image):
        return {"size": value.size, "pixels": list(value.tobytes())}
    if isinstance(value, np.ndarray):
        return value.ravel().tolist()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, int) and abs(value) >= 2**53:
        return str(value)
    return value


def read(directory: Path, columns: dict) -> dict:
    """By the package's own reader, by column; each shard is decompressed as the package does it."""
    index = json.loads((directory / "index.json").read_text())
    rows = []
    counts = []
    with tempfile.TemporaryDirectory() as place:
        for shard in index["shards"]:
            stored = shard["zip_data"] or shard["raw_data"]
            data = (directory / stored["basename"]).read_bytes()
            (Path(place) / shard["raw_data"]["basename"]).write_bytes(decompress(shard["compression"], data))
            reader = MDSReader.from_json(place, "", shard)
            rows += [reader[row] for row in range(len(reader))]
            counts.append(len(reader))
    return {"shards": counts, "columns": {name: [plain(row[name]) for row in rows] for name in columns}}


def main() -> None:
    shutil.rmtree(FIXTURES, ignore_errors=True)
    FIXTURES.mkdir()
    sets = {}
    for name, (columns, row, count, options) in SETS.items():
        with MDSWriter(out=str(FIXTURES / name), columns=columns, **options) as writer:
            for index in range(count):
                writer.write(row(index))
        sets[name] = read(FIXTURES / name, columns)
    (FIXTURES / "rows.json").write_text(json.dumps(sets, ensure_ascii=False, separators=(",", ":")) + "\n")


main()
