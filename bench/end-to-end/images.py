"""Writes samples of an image and its caption in each layout. Arguments: DIRECTORY MEGABYTES SHARDS; prints JSON.

tar-images                     WebDataset: KEY.jpg and KEY.txt
mds-images, litdata-images     the same samples
images.hashes                  what every delivery is held to: `sample_hash` of each sample (uint64), sorted

Nobody decodes the images here, so they are random bytes of the sizes of photographs: no layout can compress them, as none can compress a JPEG.
"""

from __future__ import annotations

import io
import json
import math
import os
import random
import sys
import tarfile
from pathlib import Path

os.environ["AWS_ALLOW_HTTP"] = "true"

import numpy as np
from contract import sample_hash

SEED = 23
# of photographs of some 512 pixels a side, as JPEG: median, and the spread of the logarithm
MEDIAN_BYTES, SIGMA, BYTES_MIN, BYTES_MAX = 50_000, 0.6, 5_000, 400_000
WORDS = ("a", "the", "of", "on", "red", "old", "small", "house", "dog", "street", "tree", "two", "people", "walking", "under", "blue", "sky", "near", "river", "table")

Sample = tuple[bytes, str]


def main(directory: str, megabytes: int, shards: int) -> None:
    out = Path(directory)
    samples = list(made(megabytes * 10**6))
    np.sort(np.array([sample_hash(*sample) for sample in samples], np.uint64)).astype("<u8").tofile(out / "images.hashes")
    size = sum(len(image) + len(caption.encode()) for image, caption in samples)
    write_tar(out, samples, shards)
    limit = max(2**20, min(2**26, size // shards))
    write_mds(out, samples, limit)
    write_litdata(out, samples, limit)
    print(json.dumps({"samples": len(samples), "bytes": size}))


def made(size: int) -> list[Sample]:
    chance = random.Random(SEED)
    samples: list[Sample] = []
    total = 0
    while total < size:
        length = round(min(BYTES_MAX, max(BYTES_MIN, MEDIAN_BYTES * math.exp(chance.gauss(0, SIGMA)))))
        caption = " ".join(chance.choice(WORDS) for _ in range(chance.randint(5, 30)))
        samples.append((b"\xff\xd8" + chance.randbytes(length - 4) + b"\xff\xd9", caption))
        total += length
    return samples


def write_tar(out: Path, samples: list[Sample], shards: int) -> None:
    (out / "tar-images").mkdir()
    for shard in range(shards):
        with tarfile.open(out / "tar-images" / f"{shard:03}.tar", "w") as tar:
            for i in range(shard, len(samples), shards):
                image, caption = samples[i]
                for ending, body in (("jpg", image), ("txt", caption.encode())):
                    info = tarfile.TarInfo(f"{i:08}.{ending}")
                    info.size = len(body)
                    tar.addfile(info, io.BytesIO(body))


def write_mds(out: Path, samples: list[Sample], limit: int) -> None:
    import peers.mds  # noqa: F401 (lets streaming be imported)
    from streaming import MDSWriter

    with MDSWriter(out=str(out / "mds-images"), columns={"image": "bytes", "caption": "str"}, size_limit=limit) as writer:
        for image, caption in samples:
            writer.write({"image": image, "caption": caption})


def write_litdata(out: Path, samples: list[Sample], limit: int) -> None:
    from litdata.streaming.cache import Cache

    cache = Cache(str(out / "litdata-images"), chunk_bytes=limit)
    for i, (image, caption) in enumerate(samples):
        cache[i] = {"image": image, "caption": caption}
    cache.done()
    cache.merge()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
