"""Starts a contestant's trainers as torchrun does, one a rank, all on this machine; leads them step by step (steps.py), and joins their answers to one.

Arguments: the trainer's command, whose last word is the file of the request, with `ranks`. The last line is JSON. Linux.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steps import LINK, RankLost, Steps, lead


def main(command: list[str]) -> int:
    with open(command[-1]) as file:
        request = json.load(file)
    world = int(request["ranks"])
    port = free_port()
    links: list[socket.socket] = []
    trainers: list[subprocess.Popen[bytes]] = []
    outs = [Path(request["dir"]) / f"rank-{rank}.out" for rank in range(world)]
    for rank in range(world):
        own, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        links.append(own)
        environment = {
            **os.environ,
            "RANK": str(rank),
            "WORLD_SIZE": str(world),
            "LOCAL_RANK": str(rank),
            "LOCAL_WORLD_SIZE": str(world),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            LINK: str(theirs.fileno()),
        }
        with theirs, open(outs[rank], "wb") as out:
            trainers.append(subprocess.Popen(command, env=environment, stdout=out, pass_fds=[theirs.fileno()]))
    try:
        # a run of the gate ends with its data
        steps = lead(links, float("inf") if "gateFile" in request else request["secondsMax"])
    except RankLost as lost:
        print(lost, file=sys.stderr)
        for trainer in trainers:
            trainer.kill()
        return 1
    statuses = [trainer.wait() for trainer in trainers]
    if any(statuses):
        return next(filter(None, statuses))
    print(json.dumps(joined([json.loads(out.read_text().strip().split("\n")[-1]) for out in outs], steps)), flush=True)
    return 0


def joined(answers: Sequence[dict[str, Any]], steps: Steps) -> dict[str, Any]:
    """As of one trainer. Times are those of steps, which are made when the last rank has its batch."""
    tokens = sum(answer["tokens"] for answer in answers)
    return {
        "versions": answers[0]["versions"],
        "importSeconds": max(answer["importSeconds"] for answer in answers),
        "startedAt": min(answer["startedAt"] for answer in answers),
        "isWhole": steps.is_whole,
        "firstBatchAt": steps.first_at,
        "firstBatchAfterImports": steps.first_at - steps.begun_at,
        "seconds": steps.last_at - steps.first_at,
        "tokensTimed": steps.tokens - steps.first_tokens,
        "tokensInStep": steps.tokens,
        "cpuSeconds": steps.cpu_seconds,
        "tokensOfCpu": tokens - steps.first_tokens,
        "batches": sum(answer["batches"] for answer in answers),
        "tokens": tokens,
        "tokenSum": sum(answer["tokenSum"] for answer in answers),
        "digest": hashlib.sha256(" ".join(answer["digest"] for answer in answers).encode()).hexdigest()[:16],
        "steps": [answer["batches"] for answer in answers],
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
