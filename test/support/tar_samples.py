"""Image-text samples as webdataset and Python's tarfile write them, and what webdataset reads of them. Run by the TypeScript tests.

write DIR        four shards of samples; one is a .tar.gz, one was written by tarfile with members in another order
rows DIR         what webdataset decodes of them: a JSON line for each sample, in order of shard and row
chats DIR        a shard of conversations, and what webdataset decodes of it, as JSON
decode ADDRESS   the images of a sidecar's first step, decoded by the Python client with Pillow: of each its caption and its red pixels, as JSON
"""

import base64
import io
import json
import sys
import tarfile
import warnings
from pathlib import Path

import numpy as np

warnings.filterwarnings("ignore")
import webdataset as wds  # noqa: E402
from samples import png  # noqa: E402

SHARDS = [("shard-000000.tar", 60), ("shard-000001.tar", 45), ("shard-000002.tar.gz", 40), ("shard-000003.tar", 35)]
HALF = [np.float16, np.float32, np.float64]
COUNTS = [np.int64, np.int32, np.uint16, np.int8, np.uint32]


def sample(rng, shard: int, i: int) -> dict:
    image = png(3 + i % 5, 2 + i % 4, shard * 100 + i)
    return {
        "__key__": f"{shard}/img{i:05}",
        "jpg" if i % 3 else "png": image,  # webdataset takes bytes as they are
        "txt": "" if i % 13 == 5 else f"caption {shard}/{i} é🙂 " * (i % 4 + 1),
        "cls": i % 10 - 3,
        "json": {
            "width": 64 * (i % 9),
            "score": i / 7,
            "lang": ["en", "de", None][i % 3],
            "safe": i % 4 == 0,
            "uid": 2**53 + 2 * i + 1,
            "emb": rng.standard_normal(3).tolist(),
            "meta": {"title": f"title {i}"},
        },
        "emb.npy": rng.standard_normal((2, 4)).astype(HALF[i % 3]),
        "ids.npy": rng.integers(0, 100, 5).astype(COUNTS[i % 5]),
        "scalar.npy": np.array(i / 3),
    }


def write(directory: str) -> None:
    Path(directory).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(11)
    for shard, (name, rows) in enumerate(SHARDS):
        samples = [sample(rng, shard, i) for i in range(rows)]
        if shard != 3:
            with wds.TarWriter(f"{directory}/{name}", mtime=1.0, encoder=encoder()) as sink:
                for own in samples:
                    sink.write(own)
            continue
        encode = encoder()
        with tarfile.open(f"{directory}/{name}", "w", format=tarfile.PAX_FORMAT) as tar:
            for own in samples:
                for member, body in reversed(list(encode(own).items())):
                    if member != "__key__":
                        info = tarfile.TarInfo(f"{own['__key__']}.{member.upper()}")
                        info.size = len(body)
                        tar.addfile(info, io.BytesIO(body))


def encoder():
    """webdataset's, which would encode images from arrays: here they are files already."""
    encode = wds.writer.make_encoder(True)

    def encoded(own: dict) -> dict:
        images = {name: body for name, body in own.items() if name in ("jpg", "png")}
        return {**encode({name: value for name, value in own.items() if name not in images}), **images}

    return encoded


def base(value: bytes) -> str:
    return base64.b64encode(value).decode()


def rows(directory: str) -> None:
    for shard, (name, _rows) in enumerate(SHARDS):
        data = wds.WebDataset(f"{directory}/{name}", shardshuffle=False, empty_check=False).decode()
        for row, own in enumerate(data):
            meta = own["json"]
            fields = {
                "image": wds.filters.getfirst(own, "jpg;png"),
                "caption": own["txt"].encode(),
                "label": np.int64(own["cls"]).tobytes(),
                "emb": own["emb.npy"].astype(np.float32).tobytes(),
                "ids": own["ids.npy"].astype(np.int64).tobytes(),
                "scalar": own["scalar.npy"].astype(np.float64).tobytes(),
                "score": np.float32(meta["score"]).tobytes(),
                "width": np.int32(meta["width"]).tobytes(),
                "safe": np.uint8(meta["safe"]).tobytes(),
                "uid": np.int64(meta["uid"]).tobytes(),
                "list": np.array(meta["emb"], np.float32).tobytes(),
                "title": meta["meta"]["title"].encode(),
                "key": own["__key__"].encode(),
            }
            where = {"width": meta["width"], "lang": meta["lang"], "safe": meta["safe"], "cls": own["cls"], "txt": own["txt"]}
            print(json.dumps({"shard": shard, "row": row, "fields": {key: base(value) for key, value in fields.items()}, "where": where}))


def chats(directory: str) -> None:
    Path(directory).mkdir(parents=True, exist_ok=True)
    path = f"{directory}/chats.tar"
    with wds.TarWriter(path, mtime=1.0) as sink:
        for i in range(50):
            turns = [{"role": ["user", "assistant"][turn % 2], "content": f"turn {turn} of {i} é世界"} for turn in range(2 + i % 5)]
            tools = [{"type": "function", "function": {"name": f"f{i}"}}]
            sink.write({"__key__": f"chat{i}", "json": {"data": {"conversations": turns}, "tools": tools}, "messages.json": turns, "system.txt": f"be {i}"})
    read = [own for own in wds.WebDataset(path, shardshuffle=False, empty_check=False).decode()]
    print(json.dumps([{"conversations": own["json"]["data"]["conversations"], "tools": own["json"]["tools"], "messages": own["messages.json"], "system": own["system.txt"]} for own in read]))


def decode(address: str) -> None:
    import headrace

    with headrace.DataLoader(address=address, tensors="numpy", consumer="pillow", decode={"image": "pil"}, micro_batch=4) as loader:
        batch = next(iter(loader))
        images = [np.asarray(image.convert("RGB"))[:, :, 0].tolist() for image in batch.fields["image"]]
        print(json.dumps(list(zip(batch.fields["caption"], images))))


if __name__ == "__main__":
    {"write": write, "rows": rows, "chats": chats, "decode": decode}[sys.argv[1]](*sys.argv[2:])
