"""A tar of text as webdataset writes it, and how fast webdataset reads it. write FILE MIB | read FILE"""

import json
import sys
import time

import numpy as np
import webdataset as wds


def write(file: str, mib: str) -> None:
    rng = np.random.default_rng(1)
    body = bytes(rng.integers(97, 122, 1 << 20, dtype=np.uint8))
    left = int(mib) << 20
    with wds.TarWriter(file, mtime=1.0) as sink:
        i = 0
        while left > 0:
            size = int(rng.integers(500, 8000))
            start = int(rng.integers(0, len(body) - size))
            sink.write({"__key__": f"{i:08}", "txt": body[start : start + size], "json": {"i": i}})
            left -= size
            i += 1


def read(file: str) -> None:
    started = time.perf_counter()
    count = total = 0
    for sample in wds.WebDataset(file, shardshuffle=False, empty_check=False):
        count += 1
        total += len(sample["txt"])
    print(json.dumps({"rows": count, "textBytes": total, "seconds": time.perf_counter() - started}))


{"write": write, "read": read}[sys.argv[1]](*sys.argv[2:])
