"""CPU seconds of this process and all its descendants, from /proc (Linux); those that have ended and were waited for are in their parent's account."""

from __future__ import annotations

import os

TICKS = os.sysconf("SC_CLK_TCK")


def tree_cpu_seconds() -> float:
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat") as file:
                stat = file.read()
        except OSError:
            continue  # it has ended meanwhile
        fields = stat[stat.rindex(")") + 2 :].split()
        parents[int(name)] = int(fields[1])
        ticks[int(name)] = sum(map(int, fields[11:15]))
    own = {os.getpid()}
    grows = True
    while grows:
        found = {pid for pid, parent in parents.items() if parent in own} - own
        own |= found
        grows = bool(found)
    return sum(ticks.get(pid, 0) for pid in own) / TICKS
