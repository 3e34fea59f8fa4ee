"""The ranks of one machine go step by step, as data-parallel training does: nobody has its next batch before all have had this one.

rank ── READY: it has its imports ──▶ │ ranks.py waits for all │ ──▶ NEXT: begin
rank ── tokens of its batch, or END ──▶ │ ranks.py waits for all │ ──▶ NEXT: another step; ALONE: another rank's data have ended; STOP: the time is over

A step costs about 0.1 ms of processor time for all ranks together, the same for each contestant; a collective of gloo costs more.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from process_tree import tree_cpu_seconds

# names the file descriptor of a rank's link
LINK = "HEADRACE_BENCH_LINK"
NEXT, ALONE, STOP = b"n", b"a", b"s"
# in the place of a batch's tokens
READY, END = -2, -1
MESSAGE = struct.Struct("q")


class RankLost(Exception):
    """A rank ended before its data did."""


def begin(link: socket.socket) -> None:
    """Waits until all ranks have their imports: else those that were faster would have read ahead by the time of the first step, and the last ones nothing."""
    link.send(MESSAGE.pack(READY))
    link.recv(1)


def in_step(stream: Any, tally: Any, link: socket.socket) -> Iterator[Any]:
    """The batches of this rank, each when all ranks have had the one before; what `tally` counts meanwhile is told. Ends when all ranks have ended."""
    told = 0
    with contextlib.closing(stream):
        for batch in stream:
            yield batch
            link.send(MESSAGE.pack(tally.tokens - told))
            told = tally.tokens
            answer = link.recv(1)
            if answer == ALONE:
                yield from stream
            if answer != NEXT:
                break
        link.send(MESSAGE.pack(END))
        # what it holds is not freed, and costs nothing, before the account is made
        link.recv(1)


@dataclass
class Steps:
    """What the ranks did together."""

    # when all ranks had their imports
    begun_at: float = 0.0
    # when all ranks had had their first batch, and their last one together (monotonic clock)
    first_at: float = 0.0
    last_at: float = 0.0
    # of the first step, and of all
    first_tokens: int = 0
    tokens: int = 0
    # CPU of the tree from the first step until each rank had all of its data
    cpu_seconds: float = 0.0
    is_whole: bool = True
    common: int = 0


def lead(links: Sequence[socket.socket], seconds_max: float) -> Steps:
    """Returns when all ranks have ended. Raises RankLost."""
    steps = Steps()
    cpu_before = 0.0
    for rank, link in enumerate(links):
        received(link, rank)
    for link in links:
        link.send(NEXT)
    steps.begun_at = time.monotonic()
    while True:
        told = [received(link, rank) for rank, link in enumerate(links)]
        if END in told:
            break
        steps.last_at = time.monotonic()
        steps.common += 1
        steps.tokens += sum(told)
        if steps.common == 1:
            cpu_before = tree_cpu_seconds()
            steps.first_tokens, steps.first_at = steps.tokens, time.monotonic()
        if steps.last_at - steps.first_at > seconds_max:
            steps.is_whole = False
            told = [END] * len(links)
            for rank, link in enumerate(links):
                link.send(STOP)
                received(link, rank)
            break
        for link in links:
            link.send(NEXT)
    going_on = [rank for rank, tokens in enumerate(told) if tokens != END]
    for rank in going_on:
        links[rank].send(ALONE)
    for rank in going_on:
        received(links[rank], rank)
    if steps.common > 0:
        steps.cpu_seconds = tree_cpu_seconds() - cpu_before
    for link in links:
        link.send(STOP)
    return steps


def received(link: socket.socket, rank: int) -> int:
    message = link.recv(MESSAGE.size)
    if message == b"":
        raise RankLost(f"rank {rank} ended before its data did")
    return int(MESSAGE.unpack(message)[0])
