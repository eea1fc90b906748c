"""The supervisor's staff: seats, members, and what may be done with one of them. Nothing is decided here.

What is to be done in the real world is gathered in `out`, in order.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Final

from pyserve.server.events import Action, Kill, Reason, Spawn
from pyserve.server.seats import STEADY_AFTER, Life, Member, Seat

LATE_MARGIN: Final = 5.0
"""A worker cuts its connections itself at `graceful_timeout`, and then has this long for the lifespan's shutdown."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`workers` at the start, at most `capacity` processes at a time. Times in seconds, 0: no limit.

    awaits_changes: Restart comes when the application's files change; without that a worker that cannot boot is not
    worth another try. lifetime: after so long a worker is replaced, and up to `lifetime_jitter` later. own_listeners:
    each seat has its own.
    """

    workers: int
    capacity: int
    timeout: float
    graceful_timeout: float
    drain_delay: float = 0.0
    awaits_changes: bool = False
    lifetime: float = 0.0
    lifetime_jitter: float = 0.0
    own_listeners: bool = False


class Staff:
    """seats: those that are wanted, by number, and during a reload to fewer workers the others behind them.
    members: all processes by age, the oldest first. age: of the last one that was spawned."""

    def __init__(self, policy: Policy, age: int) -> None:
        self.policy = policy
        self.seats: list[Seat] = []
        self.members: dict[int, Member] = {}
        self.age = age
        self.out: list[Action] = []

    def seat_of(self, member: Member) -> Seat | None:
        """Where it sits; None for one that has left."""
        if member.seat < len(self.seats):
            seat = self.seats[member.seat]
            if member is seat.holder or member is seat.heir:
                return seat
        return None

    def spawn(self, seat: int) -> Member | None:
        """A new member for the seat; None when there is no room on the scoreboard."""
        taken = {member.slot for member in self.members.values()}
        slot = next((slot for slot in range(self.policy.capacity) if slot not in taken), None)
        if slot is None:
            return None
        self.age += 1
        member = self.members[self.age] = Member(self.age, seat, slot)
        self.out.append(Spawn(self.age, seat, slot))
        return member

    def retire(self, member: Member, now: float) -> None:
        """Tell it to go. A stuck one is on its way already."""
        if member.life is Life.STUCK:
            return
        self.leave(member, now)
        self.kill(member, signal.SIGTERM, Reason.RETIRED)

    def leave(self, member: Member, now: float) -> None:
        """It goes: its seat is free for another."""
        seat = self.seat_of(member)
        if seat is not None:
            seat.leave(member)
            if member.ready_at is not None and now - member.ready_at >= STEADY_AFTER:
                seat.failures = 0
        member.life = Life.LEAVING
        member.kill_at = self.deadline(now)

    def clear(self, now: float, *, down_to: int) -> None:
        """Take away the seats behind so many, and tell those who sit there to go."""
        while len(self.seats) > down_to:
            seat = self.seats.pop()
            for member in (seat.heir, seat.holder):
                if member is not None:
                    self.retire(member, now)

    def stop(self, member: Member, number: signal.Signals, kill_at: float | None, reason: Reason) -> None:
        """End it for good. A stuck one is on its way already."""
        if member.life is Life.STUCK:
            return
        member.life = Life.LEAVING
        member.kill_at = min((at for at in (kill_at, member.kill_at) if at is not None), default=None)
        self.kill(member, number, reason)

    def kill(self, member: Member, number: signal.Signals, reason: Reason) -> None:
        """Send a signal, if there is a process yet."""
        if member.pid is not None:
            self.out.append(Kill(member.age, member.pid, number, reason))

    def deadline(self, now: float) -> float | None:
        """When a worker told to go must be gone; None for never."""
        patience = self.policy.graceful_timeout
        return now + patience + LATE_MARGIN if patience else None


def quick(member: Member) -> signal.Signals:
    """SIGQUIT would make a worker that still boots, with the signal's default action, leave a core file."""
    return signal.SIGQUIT if member.ready_at is not None else signal.SIGTERM
