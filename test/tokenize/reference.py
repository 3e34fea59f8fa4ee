"""Ids of documents by the Python package tokenizers. Run by reference.ts, which speaks to it over the standard streams.

reference.py TOKENIZER.json

Once the tokenizer is loaded it writes a line {"version"}. A request is a line {"documents", "answer", "encode_special_tokens"}: the file to read, the file
to write, and whether special tokens are treated as plain text. It is answered by a line {"documents", "ids"}, their numbers, once the file is written.

    documents   int64 n │ int64 bounds[n + 1] │ the documents' bytes
    answer      int64 n │ int64 bounds[n + 1] │ int32 ids[bounds[n]]        everything little-endian

What is no UTF-8 is seen as bytes.decode("utf-8", "replace") shows it: one U+FFFD for each maximal part of a character.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tokenizers

BATCH_BYTES = 4_000_000  # an Encoding takes some 100 bytes a token: it must be gone before the next few megabytes


def read_documents(file: str) -> list[str]:
    data = Path(file).read_bytes()
    count = int(np.frombuffer(data, "<i8", 1)[0])
    bounds = np.frombuffer(data, "<i8", count + 1, 8).tolist()
    start = 8 * (count + 2)
    return [data[start + bounds[i] : start + bounds[i + 1]].decode("utf-8", "replace") for i in range(count)]


def write_ids(file: str, documents: list[list[int]]) -> int:
    bounds = np.zeros(len(documents) + 1, "<i8")
    np.cumsum([len(ids) for ids in documents], out=bounds[1:])
    ids = np.fromiter((id_ for document in documents for id_ in document), "<i4", int(bounds[-1]))
    with Path(file).open("wb") as out:
        out.write(np.array([len(documents)], "<i8").tobytes())
        out.write(bounds.tobytes())
        out.write(ids.tobytes())
    return int(bounds[-1])


def encode(tokenizer: tokenizers.Tokenizer, documents: list[str]) -> list[list[int]]:
    ids = []
    start = 0
    while start < len(documents):
        end = start
        size = 0
        while end < len(documents) and (end == start or size + len(documents[end]) <= BATCH_BYTES):
            size += len(documents[end]) + 40
            end += 1
        ids.extend(encoding.ids for encoding in tokenizer.encode_batch(documents[start:end], add_special_tokens=False))
        start = end
    return ids


def main(tokenizer_file: str) -> None:
    tokenizer = tokenizers.Tokenizer.from_file(tokenizer_file)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    print(json.dumps({"version": tokenizers.__version__}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        tokenizer.encode_special_tokens = request["encode_special_tokens"]
        documents = read_documents(request["documents"])
        ids = write_ids(request["answer"], encode(tokenizer, documents))
        print(json.dumps({"documents": len(documents), "ids": ids}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
