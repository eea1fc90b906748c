"""What can be known of a worker that died without having been told to: which requests ended with it, and whether it was
the kernel that killed it for its memory."""

from __future__ import annotations

import os
import re
import time
from typing import Final

from pyserve.workers import notes
from pyserve.workers.scoreboard import Slot

_CGROUP: Final = "/proc/self/cgroup"
_V2: Final = "/sys/fs/cgroup"
_V1: Final = "/sys/fs/cgroup/memory"
_COUNT: Final = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


class Killer:
    """The kernel's count of processes of our control group that it has killed for lack of memory (cgroup v2:
    memory.events, v1: memory.oom_control). It is looked at when a worker was killed, and compared with the last time.
    """

    def __init__(self, cgroup: str = _CGROUP, v2: str = _V2, v1: str = _V1) -> None:
        self._file = _events(cgroup, v2, v1)
        self._count = self._read()

    def verdict(self) -> str:
        """Of the last death by SIGKILL: what the count says about it; nothing where there is no count."""
        before, self._count = self._count, self._read()
        if before is None or self._count is None:
            return ""
        if self._count == before:
            return f"No: the kernel has killed nobody for memory in this control group (oom_kill {before})"
        self._count = before + 1  # others may have died with it: each death is told
        return f"Yes: the kernel has killed for memory in this control group (oom_kill {before} -> {self._read()})"

    def _read(self) -> int | None:
        try:
            with open(self._file, encoding="ascii") as file:
                found = _COUNT.search(file.read())
        except (OSError, ValueError):
            return None
        return int(found[1]) if found else None


def _events(cgroup: str, v2: str, v1: str) -> str:
    """The file with the count. In a container its own group is the root of what it sees (cgroups(7))."""
    try:
        with open(cgroup, encoding="ascii", errors="replace") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return ""
    for controllers, root, name in (("memory", v1, "memory.oom_control"), ("", v2, "memory.events")):
        for fields in lines:
            if len(fields) == 3 and controllers in fields[1].split(","):
                inside = os.path.join(root, fields[2].lstrip("/"), name)
                return inside if os.path.exists(inside) else os.path.join(root, name)
    return ""


def casualties(slot: Slot) -> list[str]:
    """The requests that ended with the worker that had this slot, each with its time, the oldest first."""
    now = time.monotonic()
    return [f"{request} for {max(0.0, now - began):.1f} s" for began, request in notes.read(slot)]
