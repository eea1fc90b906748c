"""Seats and who sits on them: the supervisor's own books.

A seat is a wish for one worker. It has at most one **holder**, and during a reload an **heir** that boots
beside the holder and takes its place once it serves. Whoever was told to go, or retires by itself, has left
its seat at once and is only waited for.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

COULD_NOT_BOOT: Final = 3
"""Exit code of a worker that could not boot, and of a master without any that could."""

STEADY_AFTER: Final = 10.0
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
    generation: int
    pid: int | None = None
    life: Life = Life.BOOTING
    ready_at: float | None = None
    beat: float = 0.0
    kill_at: float | None = None
    boot_code: int | None = None
    """What it said it would exit with, when it could not boot."""
    owes_reopen: bool = False
    """Logs were rotated while it booted, and it could not hear the signal."""


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

    def strike(self, now: float, *, booted: bool) -> None:
        """Its worker died young. The first time a worker that had served is followed at once."""
        self.failures += 1
        steps = self.failures - 2 if booted else self.failures - 1
        pause = 0.0 if steps < 0 else min(BACK_OFF_FIRST * 2.0 ** min(steps, 10), BACK_OFF_MOST)
        self.not_before = now + pause
