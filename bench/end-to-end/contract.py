"""What contestants share: the shape of what they deliver, the two tokenizers, and one packer, the same for all that bring none of their own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

ROWS, LENGTH = 8, 2048
BATCH_TOKENS = ROWS * LENGTH
EOS = 50256
# fits in 16 bits, and is no token of GPT-2
PAD = 65535
# a message through a queue between processes holds so many batches: with one, the queue is what is measured
MESSAGE_BATCHES = 16
# documents that a tokenizer gets at once
ENCODE_DOCUMENTS = 256
# documents that a loader with a shuffle buffer holds
SHUFFLE_DOCUMENTS = 1000
SEED = 17

# a batch [ROWS, LENGTH] of int32, and the stream that each of its rows belongs to: rows of one stream, in order, are joined documents. Where streams have no
# numbers, two places a row, [ROWS, 8] of int32: the document and token that it begins inside of, and those that follow its end; −1 where it is inside of none
Delivered = tuple[Any, Any]
# of image-text: samples a batch, each an image (anything with its bytes) and a caption
SAMPLES = 64
Samples = Sequence[tuple[Any, Any]]
Encode = Callable[[list[str]], "np.ndarray[Any, Any]"]


def ranks_of(request: dict[str, Any]) -> tuple[int, int]:
    """Which rank of how many this trainer is, as torchrun says it."""
    return (int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])) if "ranks" in request else (0, 1)


def encoder(tokenizer: str, file: str, threads: int) -> Encode:
    """Documents → their ids, each followed by EOS, joined. Called in the process that encodes."""
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    if tokenizer == "fastokens":
        from fastokens import Tokenizer as FastTokenizer

        fast = FastTokenizer.from_file(file)
        fast.no_truncation()
        fast.no_padding()

        def encode_fast(documents: list[str]) -> np.ndarray[Any, Any]:
            flat, bounds = fast.encode_batch_flat(documents)
            return with_eos(np.frombuffer(flat, np.uint32), np.frombuffer(bounds, np.uint64))

        return encode_fast
    if tokenizer == "tokenizers":
        from tokenizers import Tokenizer

        hf = Tokenizer.from_file(file)
        hf.no_truncation()
        hf.no_padding()

        def encode_hf(documents: list[str]) -> np.ndarray[Any, Any]:
            parts: list[Any] = []
            for encoding in hf.encode_batch_fast(documents, add_special_tokens=False):
                parts.append(np.array(encoding.ids, np.int32))
                parts.append(np.array([EOS], np.int32))
            return np.concatenate(parts)

        return encode_hf
    raise ValueError(f"unknown tokenizer {tokenizer}")


def with_eos(ids: np.ndarray[Any, Any], bounds: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    documents = len(bounds) - 1
    joined = np.empty(len(ids) + documents, np.int32)
    ends = bounds[1:].astype(np.int64) + np.arange(documents)
    of_text = np.ones(len(joined), bool)
    of_text[ends] = False
    joined[ends] = EOS
    joined[of_text] = ids
    return joined


def sample_hash(image: Any, caption: Any) -> int:
    text = caption.encode() if isinstance(caption, str) else bytes(caption)
    digest = hashlib.blake2b(image, digest_size=8)
    digest.update(len(text).to_bytes(8, "little") + text)
    return int.from_bytes(digest.digest(), "little")


def in_batches(samples: Iterable[tuple[Any, Any]]) -> Iterator[Samples]:
    """The last one has what is left."""
    held: list[tuple[Any, Any]] = []
    for sample in samples:
        held.append(sample)
        if len(held) == SAMPLES:
            yield held
            held = []
    if held:
        yield held


def encoded(documents: Iterable[str], encode: Encode) -> Iterator[np.ndarray[Any, Any]]:
    """In batches that begin small, so that the first one does not wait."""
    held: list[str] = []
    wanted = 8
    for document in documents:
        held.append(document)
        if len(held) >= wanted:
            yield encode(held)
            held, wanted = [], min(wanted * 2, ENCODE_DOCUMENTS)
    if held:
        yield encode(held)


def packed(parts: Iterable[np.ndarray[Any, Any]]) -> Iterator[np.ndarray[Any, Any]]:
    """Joined documents → messages [batches, ROWS, LENGTH] of int32; the last batch is padded. The first messages are small."""
    held: list[Any] = []
    tokens, batches = 0, 1
    for part in parts:
        held.append(part)
        tokens += len(part)
        if tokens < batches * BATCH_TOKENS:
            continue
        flat, start = np.concatenate(held).astype(np.int32, copy=False), 0
        while tokens - start >= batches * BATCH_TOKENS:
            end = start + batches * BATCH_TOKENS
            yield flat[start:end].reshape(batches, ROWS, LENGTH)
            start, batches = end, min(batches * 2, MESSAGE_BATCHES)
        held, tokens = [flat[start:]], tokens - start
    if tokens > 0:
        padded = np.full(-(-tokens // BATCH_TOKENS) * BATCH_TOKENS, PAD, np.int32)
        padded[:tokens] = np.concatenate(held)
        yield padded.reshape(-1, ROWS, LENGTH)


def delivered(messages: Iterable[Any], stream: int = 0) -> Iterator[Delivered]:
    streams = np.full(ROWS, stream, np.int32)
    for message in messages:
        for batch in message:
            yield batch, streams
