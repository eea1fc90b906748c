"""Seats and who sits on them: the supervisor's own books.

A seat is a wish for one worker. It has at most one **holder**, and while that is to be replaced an **heir** that boots
beside the holder and takes its place once it serves. Whoever was told to go, or retires by itself, has left
its seat at once and is only waited for.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Final

COULD_NOT_BOOT: Final = 3
"""Exit code of a worker that could not boot, and of a master without any that could."""

STEADY_AFTER: Final = 10.0
AT_ONCE_AFTER: Final = 1.0
AT_ONCE: Final = 5
BACK_OFF_FIRST: Final = 1.0
BACK_OFF_MOST: Final = 30.0


class Life(enum.Enum):
    """A worker's life as the master sees it. STUCK: was sent SIGABRT. LEAVING: told to go, or goes by
    itself."""

    BOOTING = "booting"
    READY = "ready"
    STUCK = "stuck"
    LEAVING = "leaving"


@dataclass(slots=True)
class Member:
    """One process, from the wish to spawn it until it was waited for. Times are monotonic seconds."""

    age: int
    seat: int
    slot: int
    old: bool = False
    """Of an earlier life of the master."""
    pid: int | None = None
    life: Life = Life.BOOTING
    ready_at: float | None = None
    beat: float = 0.0
    kill_at: float | None = None
    boot_code: int | None = None
    """What it said it would exit with, when it could not boot."""
    owes_reopen: bool = False
    """Logs were rotated while it booted, and it could not hear the signal."""
    worn_at: float | None = None
    """Since when it is to be replaced."""
    expires: float | None = None
    """When it has served for long enough."""
    born: float = 0.0
    remind_at: float = math.inf
    """When it is said next that it still boots."""


@dataclass(slots=True)
class Seat:
    number: int
    holder: Member | None = None
    heir: Member | None = None
    failures: int = 0
    not_before: float = 0.0

    def leave(self, member: Member) -> None:
        if self.heir is member:
            self.heir = None
        elif self.holder is member:
            self.holder, self.heir = self.heir, None

    def strike(self, now: float) -> None:
        """Its worker could not boot."""
        self.failures += 1
        self._pause(now, self.failures - 1)

    def lost(self, now: float, *, lived: float) -> None:
        """Its worker has died while it served. It is followed at once, unless that goes on and on."""
        if lived >= STEADY_AFTER:
            self.failures = 0
        if lived >= AT_ONCE_AFTER:
            self.not_before = 0.0
            return
        self.failures += 1
        self._pause(now, self.failures - 1 - AT_ONCE)

    def _pause(self, now: float, steps: int) -> None:
        pause = 0.0 if steps < 0 else min(BACK_OFF_FIRST * 2.0 ** min(steps, 10), BACK_OFF_MOST)
        self.not_before = now + pause
