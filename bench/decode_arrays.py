"""Files for decode-arrays.ts, and how fast their own readers pass over them: pyarrow and NumPy, one thread, the file in memory.

write DIR MIB     text.arrow (uncompressed), lz4.arrow, ids.bin, ids.npy, ids.idx
read DIR          a line for each: its name, and bytes of text or millions of ids a second
"""

import struct
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa


def write(directory: str, mib: str) -> None:
    out = Path(directory)
    size = int(mib) * 2**20
    rng = np.random.default_rng(1)
    words = ["".join(chr(97 + c) for c in rng.integers(0, 26, rng.integers(2, 10))) for _ in range(5000)]
    documents = []
    total = 0
    while total < size:
        documents.append(" ".join(words[i] for i in rng.integers(0, 5000, 500)))
        total += len(documents[-1])
    table = pa.table({"text": documents})
    for name, compression in [("text.arrow", None), ("lz4.arrow", "lz4")]:
        with pa.ipc.new_file(str(out / name), table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
            writer.write_table(table, max_chunksize=1000)
    ids = rng.integers(1, 50_000, size // 2).astype("<u2")
    ends = np.cumsum(rng.integers(100, 1900, size // 2000))
    ends = ends[ends < len(ids)]
    ids[ends - 1] = 0
    ids.tofile(out / "ids.bin")
    np.save(out / "ids.npy", ids[: len(ids) // 2048 * 2048].reshape(-1, 2048))
    lengths = np.diff(np.concatenate([[0], ends, [len(ids)]])).astype("<i4")
    places = np.concatenate([[0], np.cumsum(lengths.astype("<i8"))[:-1]]) * 2
    header = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, 8, len(lengths), len(lengths) + 1)
    (out / "ids.idx").write_bytes(header + lengths.tobytes() + places.tobytes() + np.arange(len(lengths) + 1, dtype="<i8").tobytes())


def read(directory: str) -> None:
    out = Path(directory)
    pa.set_cpu_count(1)
    for name in ["text.arrow", "lz4.arrow"]:
        data = (out / name).read_bytes()
        started = time.perf_counter()
        size = sum(batch.column(0).nbytes for batch in map(pa.ipc.open_file(data).get_batch, range(pa.ipc.open_file(data).num_record_batches)))
        print(f"{name} {size / (time.perf_counter() - started) / 1e6:.0f} MB/s (pyarrow)")
    data = (out / "ids.bin").read_bytes()
    started = time.perf_counter()
    count = len(np.frombuffer(data, dtype="<u2").astype("<i4"))
    print(f"ids.bin {count / (time.perf_counter() - started) / 1e6:.0f} M ids/s (NumPy)")


if __name__ == "__main__":
    {"write": write, "read": read}[sys.argv[1]](*sys.argv[2:])
