"""A trainer that does nothing but count: runs one contestant once, and prints one line of JSON. The request is a file of JSON, the argument.

start ──imports──▶ ──first batch──▶ ═══ timed: batches, tokens, CPU of the tree ═══▶ last batch

What it does to each batch is the same for all, and cheap: the sum of its ids, which also makes the digest of the order.

gateFile   a run of the gate: each row goes to that file, with its stream, and nothing is timed
stepMs     a trainer that computes so long a step: its waits are kept
resume     saves its state inside an epoch, or goes on from one
ranks      it is one of so many, in step with the others (ranks.py started it, and times them together); its gateFile has its rank at the end
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
import time
import zlib
from typing import Any

STARTED = time.monotonic()

import numpy as np  # noqa: E402
from contract import BATCH_TOKENS, PAD, ROWS, sample_hash  # noqa: E402
from process_tree import tree_cpu_seconds  # noqa: E402
from steps import LINK, begin, in_step  # noqa: E402

DIGEST_FACTOR = 1_000_003
DIGEST_BITS = (1 << 64) - 1


class Tally:
    """What was delivered, so far."""

    def __init__(self) -> None:
        self.batches = 0
        self.tokens = 0
        self.token_sum = 0
        self.digest = 0

    def add(self, batch: Any) -> np.ndarray[Any, Any]:
        array = np.asarray(batch)
        if array.shape != (ROWS, BATCH_TOKENS // ROWS) or array.dtype != np.int32:
            raise ValueError(f"a batch is {array.shape} of {array.dtype}, not [8, 2048] of int32")
        own = int(array.sum(dtype=np.int64))
        pads = int(np.count_nonzero(array == PAD)) if (array[:, -1] == PAD).any() else 0
        self.batches += 1
        self.tokens += array.size - pads
        self.token_sum += own - pads * PAD
        self.digest = (self.digest * DIGEST_FACTOR + own) & DIGEST_BITS
        return array


class SampleTally(Tally):
    """Of image-text: samples in place of tokens, and their bytes in place of the tokens' sum."""

    def add(self, batch: Any) -> Any:
        own = 0
        for image, caption in batch:
            # what a trainer reads first; all of them would be decoding, which costs more than any loader
            own += len(image) + len(caption.encode() if isinstance(caption, str) else caption)
            self.digest = (self.digest * DIGEST_FACTOR + len(image) + image[2]) & DIGEST_BITS
        self.batches += 1
        self.tokens += len(batch)
        self.token_sum += own
        return batch


def main(request: dict[str, Any]) -> dict[str, Any]:
    contestant = importlib.import_module(f"peers.{request['module']}")
    imported = time.monotonic()
    link = socket.socket(fileno=int(os.environ[LINK])) if "ranks" in request else None
    if link is not None:
        begin(link)
    has_images = request["scenario"] == "images"
    tally = SampleTally() if has_images else Tally()
    answer: dict[str, Any] = {"versions": contestant.VERSIONS, "importSeconds": imported - STARTED}
    # as (batch, streams of its rows), which samples have none of
    stream = iter(()) if "resume" in request else ((batch, None) for batch in contestant.samples(request)) if has_images else contestant.batches(request)
    if link is not None:
        stream = in_step(stream, tally, link)
        if "gateFile" in request:
            request["gateFile"] += f".{os.environ['RANK']}"
    if "gateFile" in request and has_images:
        with open(request["gateFile"], "wb") as hashes:
            for batch, _ in stream:
                hashes.write(np.array([sample_hash(*sample) for sample in tally.add(batch)], "<u8"))
    elif "gateFile" in request:
        with open(request["gateFile"], "wb") as rows, open(f"{request['gateFile']}.streams", "wb") as streams:
            for batch, of_rows in stream:
                rows.write(np.ascontiguousarray(tally.add(batch)))
                streams.write(np.ascontiguousarray(of_rows, dtype=np.int32))
    elif "resume" in request:
        answer.update((saved if request["resume"]["phase"] == "save" else resumed)(contestant, tally, request))
    elif link is not None:
        for batch, _ in stream:
            tally.add(batch)
    elif "stepMs" in request:
        answer["waitsMs"] = waits(stream, tally, request)
    else:
        answer.update(timed(stream, tally, request))
    answer["startedAt"] = STARTED
    answer["firstBatchAfterImports"] = answer["firstBatchAt"] - imported if "firstBatchAt" in answer else None
    answer.update(batches=tally.batches, tokens=tally.tokens, tokenSum=tally.token_sum, digest=f"{tally.digest:016x}")
    # to leave before the answer is told: what a loader does at its end belongs to its run
    close = getattr(stream, "close", None)
    if close is not None:
        close()
    return answer


def saved(contestant: Any, tally: Tally, request: dict[str, Any]) -> dict[str, Any]:
    """The state at a place of the epoch, and what the same run delivers after it."""
    resume = request["resume"]
    stream, state_of = contestant.resumable(request, None)
    iterator = iter(stream)
    while tally.tokens < resume["tokens"]:
        tally.add(next(iterator))
    state = state_of()
    following = [zlib.crc32(np.ascontiguousarray(tally.add(next(iterator)))) for _ in range(resume["batches"])]
    with open(resume["file"], "w") as file:
        json.dump({"state": state, "following": following}, file)
    return {}


def resumed(contestant: Any, tally: Tally, request: dict[str, Any]) -> dict[str, Any]:
    """Whether a new process goes on with the batches that the other one had, and after how long."""
    resume = request["resume"]
    with open(resume["file"]) as file:
        kept = json.load(file)
    stream, _ = contestant.resumable(request, kept["state"])
    first_at, equal = 0.0, 0
    iterator = iter(stream)
    for expected in kept["following"]:
        array = tally.add(next(iterator))
        first_at = first_at or time.monotonic()
        equal += zlib.crc32(np.ascontiguousarray(array)) == expected
    return {"firstBatchAt": first_at, "equalBatches": equal, "followingBatches": len(kept["following"])}


def timed(stream: Any, tally: Tally, request: dict[str, Any]) -> dict[str, Any]:
    """From the first batch to the last, or until the time is up; of the second epoch where there are two."""
    tokens_an_epoch = request["tokensAnEpoch"]
    deadline = float("inf")
    first_at = since = until = 0.0
    tokens_before, cpu_before, is_whole = 0, 0.0, True
    in_second = request["epochs"] == 1
    for batch, _ in stream:
        tally.add(batch)
        until = time.monotonic()
        if tally.batches == 1:
            first_at = until
        if tally.batches == 1 if in_second else (tokens_before == 0 and tally.tokens >= tokens_an_epoch):
            tokens_before, cpu_before = tally.tokens, tree_cpu_seconds()
            since = time.monotonic()
            deadline = since + request["secondsMax"]
        if until > deadline:
            is_whole = False
            break
        if tally.batches >= request.get("batchesMax", float("inf")):
            is_whole = False
            break
    return {
        "isWhole": is_whole,
        "firstBatchAt": first_at,
        "seconds": until - since,
        "tokensTimed": tally.tokens - tokens_before,
        "cpuSeconds": tree_cpu_seconds() - cpu_before,
    }


def waits(stream: Any, tally: Tally, request: dict[str, Any]) -> list[float]:
    """Milliseconds that each step waited for its batches, without the first steps."""
    kept: list[float] = []
    iterator = iter(stream)
    for step in range(request["warmUpSteps"] + request["steps"]):
        asked = time.monotonic()
        for _ in range(request["stepBatches"]):
            batch = next(iterator, None)
            if batch is None:
                return kept
            tally.add(batch[0])
        if step >= request["warmUpSteps"]:
            kept.append((time.monotonic() - asked) * 1000)
        time.sleep(request["stepMs"] / 1000)
    return kept


if __name__ == "__main__":
    with open(sys.argv[1]) as request_file:
        given = json.load(request_file)
    result = main(given)
    print(json.dumps(result), flush=True)
