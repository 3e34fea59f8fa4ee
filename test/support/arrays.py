"""Arrow files by pyarrow, arrays by NumPy, and Megatron's layout as it is documented. Run by the TypeScript tests.

arrow DIR     Arrow files and streams of one table in many layouts; prints what is in them, as JSON
arrays DIR    .npy and .bin files, and Megatron data sets; prints what is in them, as JSON
"""

import itertools
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import feather


def arrow(directory: str) -> None:
    rng = np.random.default_rng(3)
    rows = 1200
    texts = [None if i % 97 == 5 else "" if i % 53 == 0 else f"row {i} é中🙂 " * int(rng.integers(1, 30)) for i in range(rows)]
    lists = [None if i % 89 == 7 else rng.integers(0, 50_000, int(rng.integers(0, 60))).tolist() for i in range(rows)]
    fixed = [[i, i + 1, i + 2, i + 3] for i in range(rows)]
    holes = [[*row[:3], None] if i % 10 == 3 else row for i, row in enumerate(fixed)]
    few = [None if i % 31 == 4 else f"language {i % 7}" for i in range(rows)]
    meta = [None if i % 41 == 9 else {"n": i, "text": text, "deep": {"lang": few[i]}} for i, text in enumerate(texts)]
    inner = pa.struct([("lang", pa.string())])
    table = pa.table(
        {
            "ballast": [f"{i} " * 20 for i in range(rows)],
            "floats": [[1.5] * (i % 3) for i in range(rows)],
            "flag": [i % 2 == 0 for i in range(rows)],
            "nothing": pa.nulls(rows),
            "views": pa.array(texts, pa.string()).cast(pa.string_view()),
            "string": pa.array(texts, pa.string()),
            "large_string": pa.array(texts, pa.large_string()),
            "meta": pa.array(meta, pa.struct([("n", pa.int32()), ("text", pa.string()), ("deep", inner)])),
            "few": pa.array(few).dictionary_encode(),
            "union": pa.UnionArray.from_sparse(pa.array([i % 2 for i in range(rows)], pa.int8()), [pa.array(range(rows)), pa.array(few)]),
            "runs": pa.RunEndEncodedArray.from_arrays(pa.array([rows // 2, rows], pa.int32()), pa.array(["a", "b"])),
            "int32": pa.array(lists, pa.list_(pa.int32())),
            "uint16": pa.array(lists, pa.list_(pa.uint16())),
            "uint32": pa.array(lists, pa.large_list(pa.uint32())),
            "int64": pa.array(lists, pa.list_(pa.int64())),
            "fixed": pa.array(fixed, pa.list_(pa.int32(), 4)),
            "holes": pa.array(holes, pa.list_(pa.int32())),
            "id": [f"id-{i}" for i in range(rows)],
            "number": pa.array([2**40 + i for i in range(rows)], pa.uint64()),
            "map": pa.array([[("a", i)] for i in range(rows)], pa.map_(pa.string(), pa.int32())),
        },
        metadata={"made": "for a test"},
    )
    out = Path(directory)

    def write(name: str, batches: list[pa.RecordBatch], compression: str | None = None, stream: bool = False, **options: object) -> None:
        opened = (pa.ipc.new_stream if stream else pa.ipc.new_file)(
            str(out / name), table.schema, options=pa.ipc.IpcWriteOptions(compression=compression, **options)
        )
        with opened as writer:
            for batch in batches:
                writer.write_batch(batch)

    batches = table.to_batches(max_chunksize=500)
    write("file.arrow", batches)
    write("lz4.arrow", batches, "lz4")
    write("zstd.arrow", batches, "zstd")
    write("old.arrow", batches, use_legacy_format=True)
    write("stream.arrows", batches, stream=True)
    write("lz4.arrows", batches, "lz4", stream=True)
    # as datasets does: a stream by the ending of a file
    write("stream.arrow", batches, stream=True)
    # slices of one batch, which share its buffers, from odd rows on; with empty ones between them
    (whole,) = table.to_batches()
    cuts = [0, 3, 3, 501, 777, 1200, 1200]
    sliced = [whole.slice(a, b - a) for a, b in itertools.pairwise(cuts)]
    write("sliced.arrow", sliced)
    write("sliced.arrows", sliced, stream=True)
    # dictionaries that grow, and that are replaced
    for name, stream in [("delta.arrow", False), ("delta.arrows", True), ("replaced.arrows", True)]:
        words = [f"word {i}" for i in range(12)]
        pieces = [pa.DictionaryArray.from_arrays([i % n for i in range(400)], words[:n] if "delta" in name else words[12 - n :]) for n in (4, 9, 12)]
        schema = pa.schema([("few", pieces[0].type)])
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas="delta" in name)
        with (pa.ipc.new_stream if stream else pa.ipc.new_file)(str(out / name), schema, options=options) as writer:
            for piece in pieces:
                writer.write_batch(pa.record_batch([piece], schema=schema))
    pa.ipc.new_file(str(out / "empty.arrow"), table.schema).close()
    pa.ipc.new_stream(str(out / "empty.arrows"), table.schema).close()
    feather.write_feather(table.select(["string", "int32"]), str(out / "v2.feather"))
    columns = {name: table.column(name).to_pylist() for name in ["string", "few", "int32", "fixed", "holes", "id", "number"]}
    columns["meta.text"] = [None if row is None else row["text"] for row in meta]
    columns["meta.deep.lang"] = [None if row is None else row["deep"]["lang"] for row in meta]
    for name in ["delta.arrow", "delta.arrows", "replaced.arrows"]:
        opened = pa.ipc.open_file(out / name) if name == "delta.arrow" else pa.ipc.open_stream(out / name)
        columns[name] = opened.read_all().column("few").to_pylist()
    print(json.dumps(columns))


def megatron(path: str, documents: list[list[list[int]]], dtype: str, code: int) -> None:
    """MMapIndexedDataset: all sequences one after the other in .bin; their lengths, places and documents in .idx."""
    sequences = [sequence for document in documents for sequence in document]
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int32)
    places = np.concatenate([[0], np.cumsum(lengths.astype(np.int64))[:-1]]) * np.dtype(dtype).itemsize if sequences else []
    starts = np.concatenate([[0], np.cumsum([len(document) for document in documents])]).astype(np.int64)
    with open(f"{path}.bin", "wb") as file:
        file.writelines(np.array(sequence, dtype=dtype).tobytes() for sequence in sequences)
    with open(f"{path}.idx", "wb") as file:
        file.write(b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, code, len(sequences), len(starts)))
        file.write(lengths.tobytes() + np.asarray(places, dtype=np.int64).tobytes() + starts.tobytes())


def arrays(directory: str) -> None:
    rng = np.random.default_rng(4)
    out = Path(directory)
    stream = rng.integers(1, 200, 5003)
    eos = 0
    for end in np.cumsum(rng.integers(1, 90, 100)):
        stream[end] = eos
    square = rng.integers(0, 120, (700, 16))
    for dtype in ["uint8", "int8", "int16", "uint16", "uint32", "int32", "int64", "uint64"]:
        np.save(out / f"{dtype}.npy", (stream % 120).astype(dtype))
        np.save(out / f"{dtype}-rows.npy", square.astype(dtype))
        (stream % 120).astype(dtype).tofile(out / f"{dtype}.bin")
    np.save(out / "stream.npy", stream.astype("<u2"))
    for major in (2, 3):
        with open(out / f"v{major}.npy", "wb") as file:
            np.lib.format.write_array(file, square.astype("<u2"), version=(major, 0))
    np.save(out / "fortran.npy", np.asfortranarray(square.astype("<u2")))
    np.save(out / "big.npy", square.astype(">u2"))
    np.save(out / "floats.npy", square.astype("<f4"))
    np.save(out / "cube.npy", square.reshape(7, 100, 16).astype("<u2"))
    np.save(out / "records.npy", np.zeros(3, dtype=[("a", "<i4")]))
    np.save(out / "none.npy", np.zeros(0, dtype="<u2"))
    np.save(out / "negative.npy", np.array([[1, 2], [3, -4]], dtype="<i8"))
    np.save(out / "wide.npy", np.array([[1, 2], [3, 2**40], [2**31 + 1, 5]], dtype="<i8"))
    stream.astype("<u2").tofile(out / "stream.bin")
    header = np.zeros(256, dtype="<i4")
    header[:3] = [20240520, 1, len(stream)]
    (out / "llmc.bin").write_bytes(header.tobytes() + stream.astype("<u2").tobytes())
    header[:3] = [20240801, 7, len(stream)]
    (out / "llama3.bin").write_bytes(header.tobytes() + stream.astype("<u4").tobytes())
    documents = [[rng.integers(0, 100, int(rng.integers(0, 40))).tolist() for _ in range(i % 3)] for i in range(300)]
    for code, dtype in {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 8: "uint16"}.items():
        megatron(str(out / f"megatron-{dtype}"), documents, dtype, code)
    megatron(str(out / "megatron-none"), [], "uint16", 8)
    megatron(str(out / "megatron-float"), documents, "float32", 7)
    (out / "old.idx").write_bytes(b"TNTIDX\x00\x00" + bytes(40))
    (out / "old.bin").write_bytes(b"")
    joined = [[token for sequence in document for token in sequence] for document in documents]
    print(json.dumps({"stream": stream.tolist(), "square": square.tolist(), "documents": joined}))


if __name__ == "__main__":
    {"arrow": arrow, "arrays": arrays}[sys.argv[1]](*sys.argv[2:])
