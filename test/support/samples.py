"""Samples as pyarrow writes and reads them. Run by the TypeScript tests.

write DIR            three shards of images with captions, in several layouts
odd DIR              ten rows, some of which cannot be served
rows DIR             what is in them: a JSON line for each row, in order of shard and row
clients ADDRESS N    the first N steps of a sidecar, as the Python client has them: a JSON line for each row
decode ADDRESS       the images of the first step, decoded with Pillow
"""

import base64
import hashlib
import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np


def png(width: int, height: int, seed: int) -> bytes:
    """A PNG of a gradient, without a library."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((x * seed + y + c) % 256 for x in range(width) for c in range(3)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def write(directory: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(3)
    Path(directory).mkdir(parents=True, exist_ok=True)
    for shard, (rows, options) in enumerate(
        [
            (150, {"compression": "zstd", "row_group_size": 40, "data_page_size": 4096, "write_batch_size": 8}),
            (101, {"compression": "snappy", "row_group_size": 60, "data_page_version": "2.0", "write_page_index": True}),
            (149, {"compression": "none", "use_dictionary": False, "row_group_size": 149, "write_page_checksum": True}),
        ]
    ):
        ids = [f"{shard}-{row}" for row in range(rows)]
        images = [png(4 + (row % 7), 3 + (row % 5), shard * 1000 + row) for row in range(rows)]
        captions = ["" if row % 31 == 7 else f"caption {shard}/{row} é🙂 " * (row % 4 + 1) for row in range(rows)]
        emb = rng.standard_normal((rows, 6)).astype(np.float32)
        half = rng.standard_normal((rows, 2)).astype(np.float16)
        double = rng.standard_normal((rows, 3))
        table = pa.table(
            {
                "id": ids,
                "jpg": pa.array(images, pa.large_binary() if shard == 1 else pa.binary()),
                "txt": pa.array(captions, pa.large_string() if shard == 2 else pa.string()),
                "emb": pa.FixedSizeListArray.from_arrays(pa.array(emb.reshape(-1)), 6),
                "half": pa.FixedSizeListArray.from_arrays(pa.array(half.reshape(-1)), 2),
                "double": pa.array(double.tolist(), pa.list_(pa.float64())),
                "score": pa.array(rng.standard_normal(rows), pa.float64()),
                "label": pa.array([row % 10 - 3 for row in range(rows)], pa.int16()),
                "big": pa.array([2**40 + row for row in range(rows)], pa.int64()),
                "seen": pa.array([2**32 - 1 - row for row in range(rows)], pa.uint32()),
                "ok": pa.array([row % 3 == 0 for row in range(rows)], pa.bool_()),
                "key": pa.array([hashlib.md5(str(row).encode()).digest() for row in range(rows)], pa.binary(16)),
                "nested": pa.array([{"path": name, "bytes": image} for name, image in zip(ids, images)], pa.struct([("path", pa.string()), ("bytes", pa.binary())])),
            }
        )
        pq.write_table(table, f"{directory}/part-{shard}.parquet", **options)


def odd(directory: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    Path(directory).mkdir(parents=True, exist_ok=True)
    lists: list[object] = [[float(row), 1.0, 2.0, 3.0] for row in range(10)]
    lists[1], lists[4], lists[6], lists[9] = None, [1.0], [1.0, 2.0, None, 4.0], [1.0] * 9
    images = [None if row == 3 else b"image" for row in range(10)]
    table = pa.table({"image": pa.array(images, pa.binary()), "emb": pa.array(lists, pa.list_(pa.float32()))})
    pq.write_table(table, f"{directory}/odd.parquet")


FIELDS = {"big": "<i8", "double": "<f4", "emb": "<f4", "half": "<f4", "label": "<i4", "ok": "u1", "score": "<f8", "seen": "<i8"}


def encoded(row: "dict[str, object]") -> "dict[str, str]":
    """Of each field its bytes as they are served, in base64."""
    values = {name: np.asarray(row[name]).astype(dtype).tobytes() for name, dtype in FIELDS.items()}
    values.update(caption=str(row["txt"]).encode(), image=bytes(row["jpg"]), key=bytes(row["key"]), nested=bytes(row["nested"]["bytes"]))  # type: ignore[arg-type, index]
    return {name: base64.b64encode(value).decode() for name, value in values.items()}


def rows(directory: str) -> None:
    import pyarrow.parquet as pq

    for shard, file in enumerate(sorted(Path(directory).glob("*.parquet"))):
        for row, values in enumerate(pq.read_table(file).to_pylist()):
            print(json.dumps({"shard": shard, "row": row, "fields": encoded(values), "caption": values["txt"]}))


def clients(address: str, steps: str) -> None:
    import headrace

    with headrace.DataLoader(address=address, tensors="numpy", verify=True, consumer="python", micro_batch=4) as loader:
        for batch in loader:
            if batch.step >= int(steps):
                break
            for row in range(batch.rows):
                fields = {}
                for name, values in batch.fields.items():
                    value = values[row]
                    raw = value.encode() if isinstance(value, str) else bytes(value) if isinstance(value, memoryview) else np.asarray(value).tobytes()
                    fields[name] = base64.b64encode(raw).decode()
                shard, number = (int(value) for value in batch["segments"][row][1:3])
                print(json.dumps({"shard": shard, "row": number, "fields": fields, "caption": batch.fields["caption"][row]}))


def decode(address: str) -> None:
    import headrace

    with headrace.DataLoader(address=address, tensors="numpy", consumer="pillow", decode={"image": "pil"}) as loader:
        batch = next(iter(loader))
        print(json.dumps([image.size for image in batch.fields["image"]]))


if __name__ == "__main__":
    {"write": write, "odd": odd, "rows": rows, "clients": clients, "decode": decode}[sys.argv[1]](*sys.argv[2:])
