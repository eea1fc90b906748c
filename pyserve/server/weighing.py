"""How much memory workers hold (`--max-worker-memory`).

Resident memory, as proc(5) tells it: pages that a worker shares with the others, such as a preloaded application's,
count as well. A limit that a worker exceeds already when it begins to serve would have it replaced for ever, and in
vain: that is said once, and nothing is done.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from pyserve.workers.logs.error_log import ErrorLog

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_MIB: Final = 1024 * 1024


def resident(pid: int) -> int | None:
    """Octets that the process holds in memory; None where /proc does not tell."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return None


class Scales:
    """limit: octets; 0: nobody is weighed."""

    def __init__(self, limit: int, log: ErrorLog, weigh: Callable[[int], int | None] = resident) -> None:
        self._limit = limit
        self._log = log
        self._weigh = weigh
        self._first: dict[int, int] = {}
        self._said = False

    def is_too_heavy(self, age: int, pid: int) -> bool:
        """Whether a worker that serves has grown over the limit. age: its spawn number."""
        weight = self._weigh(pid) if self._limit else None
        if weight is None:
            return False
        first = self._first.setdefault(age, weight)
        if weight <= self._limit:
            return False
        if first <= self._limit:
            return True
        if not self._said:
            self._said = True
            self._log.warning(
                "--max-worker-memory is %.1f MiB, and a worker that begins to serve holds %.1f MiB: none is replaced",
                self._limit / _MIB,
                first / _MIB,
            )
        return False

    def forget(self, age: int) -> None:
        """It is gone."""
        self._first.pop(age, None)
