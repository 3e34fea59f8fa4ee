"""Starts a contestant's trainer and answers what its whole process tree cost: descendants that lose their parents become this process' own, and all are waited for.

Arguments: the trainer's command. Its output passes through; the last line is JSON. Linux.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def main(command: list[str]) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # with the benchmark: nothing of a contestant may outlive it
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    started = time.monotonic()
    trainer = os.posix_spawnp(command[0], command, os.environ)
    signal.signal(signal.SIGTERM, lambda *_: end_group())
    status = 0
    ended_at = 0.0
    while True:
        try:
            pid, raw = os.wait()
        except ChildProcessError:
            break
        if pid == trainer:
            status, ended_at = os.waitstatus_to_exitcode(raw), time.monotonic()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"spawnedAt": started, "endedAt": ended_at, "cpuSecondsWhole": usage.ru_utime + usage.ru_stime}), flush=True)
    return status


def end_group() -> None:
    """The benchmark gave it a process group of its own."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.killpg(os.getpgid(0), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
