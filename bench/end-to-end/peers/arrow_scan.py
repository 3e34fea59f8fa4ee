"""The ceiling: pyarrow's threads scan Parquet in file order, and the trainer's own process tokenizes and packs. It neither shuffles nor resumes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow
import pyarrow.dataset
import pyarrow.fs
from contract import ENCODE_DOCUMENTS, Delivered, delivered, encoded, encoder, packed, ranks_of

VERSIONS = {"pyarrow": pyarrow.__version__}


def batches(request: dict[str, Any]) -> Iterator[Delivered]:
    kind = request["scenario"]
    column = "text" if kind == "text" else "input_ids"
    store = pyarrow.fs.S3FileSystem(
        access_key=request["accessKeyId"], secret_key=request["secretAccessKey"], endpoint_override=urlsplit(request["endpoint"]).netloc, scheme="http"
    )
    files = [f"{request['bucket']}/{request['prefix']}/parquet-{kind}/{name}" for name in request["files"]]
    rank, ranks = ranks_of(request)
    files = files[rank::ranks]
    encode = encoder(request["tokenizer"], request["tokenizerFile"], request["cores"]) if kind == "text" else None

    def scan() -> Iterable[Any]:
        data = pyarrow.dataset.dataset(files, format="parquet", filesystem=store)
        rows = ENCODE_DOCUMENTS if kind == "text" else 4096
        for batch in data.to_batches(columns=[column], batch_size=rows):
            if kind == "text":
                yield from batch.column(0).to_pylist()
            else:
                yield np.asarray(batch.column(0).flatten())

    for _ in range(request["epochs"]):
        yield from delivered(packed(encoded(scan(), encode) if encode else scan()))
