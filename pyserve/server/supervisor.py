"""Which workers should there be? Events in, actions out: no process, no signal, no clock in here.

The theory. There are as many seats (`seats.py`) as workers are wanted, and all of it follows from one
question asked after every event: which seat is empty, and may it be filled now?

    event                    holder                           heir (see `rolling`)
    Ready                    serves                           takes the seat; the holder is told to go
    Worn                     serves; an heir comes in turn    -
    Retiring, Oust           leaves the seat, a new one comes -
    Exited while serving     the seat is filled again         -
    Exited while booting     the seat waits, then is filled   the holder stays

What does not happen:

* A fork storm. A worker that dies before it is ready, or again and again within a second after that, makes its seat
  wait: each time twice as long, at most `BACK_OFF_MOST` seconds, until one has lived for `STEADY_AFTER` seconds. So a
  seat costs at most one fork per such a pause, whatever the workers do.
* Giving up after having served. A database that is away for a minute must not end the server: it goes on
  trying. Only while no worker has ever been ready a stated boot failure ends it at once, since the next try
  would say the same, and unexplained deaths end it after `BOOT_ATTEMPTS`. With `--reload` it never gives up: the
  seat waits for the next Restart.
* Judging workers while the master itself was stopped (a frozen container, a suspended machine): all
  heartbeats look old then. After such a pause everybody starts with a new one.
"""

from __future__ import annotations

import math
import random
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pyserve.server.events import (
    Action,
    Beat,
    BootFailed,
    Cause,
    Condemn,
    Dismiss,
    Event,
    Exited,
    Fewer,
    LetGo,
    Linger,
    More,
    News,
    Oust,
    Ready,
    Reason,
    Recall,
    Reopen,
    Restart,
    Retiring,
    Say,
    SpawnFailed,
    Started,
    Stop,
    Tick,
    Worn,
)
from pyserve.server.rolling import Rolling
from pyserve.server.seats import COULD_NOT_BOOT, Life, Member, Seat
from pyserve.server.staff import Policy, Staff, quick
from pyserve.server.stopping import MANNED, QUICK_TIME, Phase, Stopping

BOOT_ATTEMPTS: Final = 3

ABORT_TIME: Final = 2.0
"""Seconds that a silent worker has to log its stacks after SIGABRT, before SIGKILL."""
MASTER_ASLEEP: Final = 5.0

SLOW_BOOT: Final = 10.0
"""Seconds after which it is said that a worker still boots, and then again after each `SLOW_BOOT_AGAIN`. It is never
killed for that, as with gunicorn, whose heartbeat begins when a worker serves: what it does may well take minutes."""
SLOW_BOOT_AGAIN: Final = 60.0


@dataclass(frozen=True, slots=True)
class Estate:
    """What an earlier life of the master has left: its members, the age of the last one, how many were wanted. renewed:
    whether they are to be replaced."""

    members: Sequence[Member] = ()
    last_age: int = 0
    wanted: int = 0
    renewed: bool = True


class Supervisor:
    """Decides. The caller performs the actions in their order and reports what comes of them."""

    def __init__(
        self, policy: Policy, before: Estate | None = None, chance: Callable[[], float] = random.random
    ) -> None:
        """before: then `start` begins to replace who is left there. chance: a number from 0 to 1, by luck."""
        left = before or Estate()
        self._staff = Staff(policy, left.last_age)
        self._chance = chance
        present = [member for member in left.members if member.life is not Life.LEAVING]
        self._rolling = Rolling(self._staff, policy.workers, left.wanted if present and left.renewed else None)
        self._stopping = Stopping(self._staff)
        self._served = any(member.ready_at is not None for member in left.members)
        self._old_serve = before is not None
        self._last_tick: float | None = None
        self._judge_from = 0.0
        seats = max(policy.workers, *(member.seat + 1 for member in present), 0)
        self._staff.seats = [Seat(number) for number in range(seats)]
        for member in left.members:
            self._adopt(member)

    def _adopt(self, member: Member) -> None:
        """The oldest on a seat holds it. An heir that an interrupted renewal left is retired by `start`."""
        self._staff.members[member.age] = member
        member.old = True
        if member.life is not Life.LEAVING:
            seat = self._staff.seats[member.seat]
            seat.holder = seat.holder or member

    @property
    def phase(self) -> Phase:
        return self._stopping.phase

    @property
    def wanted(self) -> int:
        """How many workers there should be."""
        return self._rolling.wanted

    @property
    def ready(self) -> int:
        """How many workers serve and are to go on."""
        return sum(member.life is Life.READY for member in self._staff.members.values())

    @property
    def reloading(self) -> bool:
        """Whether there are old workers that new ones are to follow."""
        return self._rolling.renewing

    @property
    def last_age(self) -> int:
        return self._staff.age

    @property
    def members(self) -> list[Member]:
        """All processes, the oldest first: what a next life of this master adopts."""
        return list(self._staff.members.values())

    def due(self, now: float) -> float | None:
        """When the next Tick is needed at the latest; None when nothing but heartbeats is waited for."""
        times = [m.kill_at for m in self._staff.members.values() if m.kill_at is not None]
        if self._stopping.stop_at is not None:
            times.append(self._stopping.stop_at)
        if self.phase in MANNED:
            times += [s.not_before for s in self._staff.seats if s.holder is None and s.not_before > now]
        return min(times, default=None)

    def start(self, now: float) -> list[Action]:
        """The first workers."""
        self._last_tick = self._judge_from = now
        for member in self.members:
            if member.life is not Life.LEAVING and self._staff.seat_of(member) is None:
                self._staff.retire(member, now)
        return self._answer(now)

    def handle(self, event: Event, now: float) -> list[Action]:
        """One event at monotonic time `now`. Events about workers that are gone are ignored."""
        if isinstance(event, Started | SpawnFailed | Ready | BootFailed | Beat | Worn | Oust | Retiring | Exited):
            member = self._staff.members.get(event.age)
            if member is not None:
                self._about_worker(event, member, now)
        else:
            self._about_all(event, now)
        return self._answer(now)

    def _answer(self, now: float) -> list[Action]:
        staff = self._staff
        if self.phase in MANNED:
            self._fill_seats(now)
            if self.phase is Phase.SERVING:
                self._rolling.step(now)
        elif self.phase is not Phase.GONE and not staff.members:
            self._stopping.finish()
        out, staff.out = staff.out, []
        if (
            self._old_serve
            and self.phase is Phase.SERVING
            and not any(m.old and m.life is not Life.LEAVING for m in staff.members.values())
        ):
            self._old_serve = False
            out.insert(0, LetGo())  # before the last of them is told: it takes who waits, and is the last to close
        return out

    def _about_worker(self, event: Event, member: Member, now: float) -> None:
        match event:
            case Started(_, pid):
                member.pid = pid
                member.born, member.remind_at = now, now + SLOW_BOOT
                if member.life is Life.LEAVING:
                    self._staff.kill(member, signal.SIGTERM, Reason.STOP)
            case Ready():
                self._ready(member, now)
            case Beat(_, at):
                member.beat = max(member.beat, at)
            case Worn() | Oust() | Retiring():
                self._departs(event, member, now)
            case BootFailed(_, code):
                member.boot_code = code
                if member.life is Life.BOOTING:
                    member.kill_at = now + ABORT_TIME
            case SpawnFailed():
                self._gone(member, None, now)
            case Exited(_, code):
                self._gone(member, code, now)

    def _departs(self, event: Worn | Oust | Retiring, member: Member, now: float) -> None:
        """It goes, or is to go."""
        match event:
            case Worn(_, cause):
                self._worn(member, cause, now)
            case Oust() if self.phase is Phase.SERVING and member.life is not Life.LEAVING:
                self._staff.retire(member, now)
            case Retiring():
                self._ready(member, now)
                if member.life is Life.READY:
                    self._staff.leave(member, now)

    def _about_all(self, event: Event, now: float) -> None:
        match event:
            case Tick():
                self._tick(now)
            case Stop(manner):
                self._stopping.stop(manner, now)
            case Reopen():
                self._reopen()
            case _ if self.phase is not Phase.SERVING:
                pass
            case Restart():
                self._restart(now)
            case More() if self.wanted + 1 < self._staff.policy.capacity:  # one slot stays for an heir
                self._rolling.resize(self.wanted + 1, now)
            case More():
                self._staff.out.append(Say(News.NO_ROOM))
            case Fewer() if self.wanted > 1:
                self._rolling.resize(self.wanted - 1, now)
            case Fewer():
                self._staff.out.append(Say(News.LAST_WORKER))
            case Dismiss():
                self._rolling.resize(0, now)
            case Recall() if self.wanted == 0:
                self._rolling.resize(self._staff.policy.workers, now)

    def _fill_seats(self, now: float) -> None:
        for seat in self._staff.seats:
            if seat.holder is None and now >= seat.not_before and not self._rolling.withholds(seat):
                seat.holder = self._staff.spawn(seat.number)

    # One worker's life

    def _ready(self, member: Member, now: float) -> None:
        staff = self._staff
        if member.ready_at is None:
            # Also of one that was told to go just before it said so: it may have served, and so have cut somebody off.
            member.ready_at = member.beat = now
            self._served = True
            if self.phase is Phase.QUITTING:
                # It was told as one that boots is, and has taken the quick stop for a graceful one.
                staff.kill(member, signal.SIGQUIT, Reason.STOP)
        if member.life is not Life.BOOTING:
            return
        member.life = Life.READY
        member.kill_at = None
        if staff.policy.lifetime:
            member.expires = now + staff.policy.lifetime + staff.policy.lifetime_jitter * self._chance()
        if member.owes_reopen:
            staff.kill(member, signal.SIGUSR1, Reason.REOPEN)
        self._rolling.serves(member, now)
        seat = staff.seat_of(member)
        if seat is not None and seat.heir is member:
            old = seat.holder
            seat.holder, seat.heir = member, None
            if old is not None:
                staff.retire(old, now)

    def _worn(self, member: Member, cause: Cause, now: float) -> None:
        if member.worn_at is None and member.life is Life.READY and member.pid is not None:
            member.worn_at = now
            self._staff.out.append(Condemn(member.age, member.pid, cause))

    def _gone(self, member: Member, code: int | None, now: float) -> None:
        """The process has ended; `code` None when there never was one."""
        del self._staff.members[member.age]
        if self.phase not in MANNED:
            self._stopping.gone(member, code)
            return
        seat = self._staff.seat_of(member)
        if seat is None or member.life is Life.LEAVING:
            return
        was_heir = seat.heir is member
        seat.leave(member)
        if member.ready_at is None:
            self._boot_failure(seat, member, now)
            if was_heir and not self._rolling.renewing:
                self._staff.out.append(Say(News.SUCCESSOR_FAILED))
            if not member.old:
                self._rolling.failed()
        else:
            seat.lost(now, lived=now - member.ready_at)

    def _boot_failure(self, seat: Seat, member: Member, now: float) -> None:
        """boot_code: the exit code that the worker said it would end with, if it said anything."""
        stated = member.boot_code
        seat.strike(now)
        if self._staff.policy.awaits_changes and seat.holder is None:
            if all(other.not_before < math.inf for other in self._staff.seats):
                self._staff.out.append(Say(News.WAITING))
            seat.not_before = math.inf
            return
        if self._served or (stated is None and seat.failures < BOOT_ATTEMPTS):
            return
        self._stopping.give_up(stated or COULD_NOT_BOOT, now)

    # All workers

    def _restart(self, now: float) -> None:
        """Who develops waits for the new code, and nobody for the old workers' requests and streams."""
        self._rolling.renewing = False
        for seat in self._staff.seats:
            seat.failures = 0
            seat.not_before = 0.0
        for member in self._staff.members.values():
            if member.life is not Life.LEAVING:
                self._staff.leave(member, now)
                self._staff.stop(member, quick(member), now + QUICK_TIME, Reason.CHANGED)

    def _reopen(self) -> None:
        for member in self._staff.members.values():
            if member.life is Life.BOOTING:
                member.owes_reopen = True
            else:
                self._staff.kill(member, signal.SIGUSR1, Reason.REOPEN)

    def _tick(self, now: float) -> None:
        if self._last_tick is not None and now - self._last_tick > MASTER_ASLEEP:
            self._judge_from = now
        self._last_tick = now
        self._stopping.tick(now)
        for member in self._staff.members.values():
            if member.kill_at is not None and now >= member.kill_at:
                member.kill_at = None
                self._staff.kill(member, signal.SIGKILL, Reason.SILENT if member.life is Life.STUCK else Reason.LATE)
            elif member.life is Life.READY:
                self._judge(member, now)
            elif member.life is Life.BOOTING and now >= member.remind_at and member.pid is not None:
                member.remind_at = now + SLOW_BOOT_AGAIN
                seat = self._staff.seat_of(member)
                is_heir = seat is not None and seat.heir is member
                self._staff.out.append(Linger(member.age, member.pid, now - member.born, is_heir))

    def _judge(self, member: Member, now: float) -> None:
        """One that serves: for too long, or in silence?"""
        if 0 < self._staff.policy.timeout < now - max(member.beat, self._judge_from):
            member.life = Life.STUCK
            member.kill_at = now + ABORT_TIME
            self._staff.kill(member, signal.SIGABRT, Reason.SILENT)
        elif member.expires is not None and now >= member.expires:
            self._worn(member, Cause.LIFETIME, now)
