"""Which workers should there be? Events in, actions out: no process, no signal, no clock in here.

The theory. There are as many seats (`seats.py`) as workers are wanted, and all of it follows from one
question asked after every event: which seat is empty, and may it be filled now?

    event                    holder                           heir (reload)
    Ready                    serves                           takes the seat; the holder is told to go
    Retiring                 leaves the seat, a new one comes -
    Exited while serving     the seat is filled again         -
    Exited while booting     the seat waits, then is filled   the reload ends, the holder stays

What does not happen:

* A fork storm. A worker that dies young, or before it is ready, makes its seat wait: each time twice as long,
  at most `BACK_OFF_MOST` seconds, until one has lived for `STEADY_AFTER` seconds. So a seat costs at most one
  fork per such a pause, whatever the workers do.
* Giving up after having served. A database that is away for a minute must not end the server: it goes on
  trying. Only while no worker has ever been ready a stated boot failure ends it at once, since the next try
  would say the same, and unexplained deaths end it after `BOOT_ATTEMPTS`. With `--reload` it never gives up: the
  seat waits for the next Restart.
* Judging workers while the master itself was stopped (a frozen container, a suspended machine): all
  heartbeats look old then. After such a pause everybody starts with a new one.
"""

from __future__ import annotations

import enum
import math
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pyserve.server.events import (
    Action,
    Announce,
    Beat,
    BootFailed,
    Event,
    Exited,
    Fewer,
    Finish,
    GiveUp,
    Kill,
    Manner,
    More,
    News,
    Ready,
    Reason,
    Release,
    Reload,
    Reopen,
    Restart,
    Retiring,
    Say,
    Spawn,
    SpawnFailed,
    Started,
    Stop,
    StopListening,
    Tick,
)
from pyserve.server.seats import COULD_NOT_BOOT, STEADY_AFTER, Life, Member, Seat

BOOT_ATTEMPTS: Final = 3

ABORT_TIME: Final = 2.0
"""Seconds that a silent worker has to log its stacks after SIGABRT, before SIGKILL."""
QUICK_TIME: Final = 2.0
"""Seconds that a worker has for a quick stop, as with gunicorn."""
LATE_MARGIN: Final = 5.0
"""A worker cuts its connections itself at `graceful_timeout`, and then has this long for the lifespan's shutdown."""
MASTER_ASLEEP: Final = 5.0


class Phase(enum.Enum):
    SERVING = "serving"
    ANNOUNCED = "announced"  # a graceful stop begins after `drain_delay`; until then the seats stay filled
    STOPPING = "stopping"
    QUITTING = "quitting"
    GONE = "gone"


_MANNED: Final = (Phase.SERVING, Phase.ANNOUNCED)
"""Who dies is replaced."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`workers` at the start, at most `capacity` processes at a time. Times in seconds, 0: no limit.

    awaits_changes: Restart comes when the application's files change; without that a worker that cannot boot is not
    worth another try.
    """

    workers: int
    capacity: int
    timeout: float
    graceful_timeout: float
    drain_delay: float = 0.0
    awaits_changes: bool = False


class Supervisor:
    """Decides. The caller performs the actions in their order and reports what comes of them."""

    def __init__(self, policy: Policy, adopted: Sequence[Member] = (), last_age: int = 0) -> None:
        """`adopted`: the `members` of an earlier life of this master; then `start` begins a reload."""
        self._policy = policy
        self._phase = Phase.SERVING
        self._seats = [Seat(number) for number in range(policy.workers)]
        self._members: dict[int, Member] = {}
        self._age = last_age
        self._generation = 1
        self._reloading = bool(adopted)
        self._served = any(member.ready_at is not None for member in adopted)
        self._exit_code = 0
        self._gave_up = False
        self._stop_at = 0.0  # once ANNOUNCED
        self._last_tick: float | None = None
        self._judge_from = 0.0
        self._out: list[Action] = []
        for member in adopted:
            self._adopt(member)

    def _adopt(self, member: Member) -> None:
        """The oldest on a seat holds it. An heir that an interrupted reload left is retired by `start`."""
        self._members[member.age] = member
        member.generation = 0
        if member.life is not Life.LEAVING and member.seat < len(self._seats):
            seat = self._seats[member.seat]
            seat.holder = seat.holder or member

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def wanted(self) -> int:
        """How many workers there should be."""
        return len(self._seats)

    @property
    def ready(self) -> int:
        """How many workers serve and are to go on."""
        return sum(member.life is Life.READY for member in self._members.values())

    @property
    def reloading(self) -> bool:
        """Whether there are old workers that new ones are to follow."""
        return self._reloading

    @property
    def last_age(self) -> int:
        return self._age

    @property
    def members(self) -> list[Member]:
        """All processes, the oldest first: what a next life of this master adopts."""
        return list(self._members.values())

    def due(self, now: float) -> float | None:
        """When the next Tick is needed at the latest; None when nothing but heartbeats is waited for."""
        times = [m.kill_at for m in self._members.values() if m.kill_at is not None]
        if self._phase is Phase.ANNOUNCED:
            times.append(self._stop_at)
        if self._phase in _MANNED:
            times += [s.not_before for s in self._seats if s.holder is None and s.not_before > now]
        return min(times, default=None)

    def start(self, now: float) -> list[Action]:
        """The first workers."""
        self._last_tick = self._judge_from = now
        for member in self.members:
            if member.life is not Life.LEAVING and self._seat_of(member) is None:
                self._retire(member, now)
        return self._answer(now)

    def handle(self, event: Event, now: float) -> list[Action]:
        """One event at monotonic time `now`. Events about workers that are gone are ignored."""
        if isinstance(event, Started | SpawnFailed | Ready | BootFailed | Beat | Retiring | Exited):
            member = self._members.get(event.age)
            if member is not None:
                self._about_worker(event, member, now)
        else:
            self._about_all(event, now)
        return self._answer(now)

    def _answer(self, now: float) -> list[Action]:
        if self._phase in _MANNED:
            self._fill_seats(now)
            if self._phase is Phase.SERVING:
                self._step_reload(now)
        elif self._phase is not Phase.GONE and not self._members:
            self._phase = Phase.GONE
            self._out.append(Finish(self._exit_code))
        out, self._out = self._out, []
        return out

    def _about_worker(self, event: Event, member: Member, now: float) -> None:
        match event:
            case Started(_, pid):
                member.pid = pid
                if member.life is Life.LEAVING:
                    self._kill(member, signal.SIGTERM, Reason.STOP)
            case Ready():
                self._ready(member, now)
            case Beat(_, at):
                member.beat = max(member.beat, at)
            case Retiring():
                self._ready(member, now)
                if member.life is Life.READY:
                    self._leave(member, now)
            case BootFailed(_, code):
                member.boot_code = code
                if member.life is Life.BOOTING:
                    member.kill_at = now + ABORT_TIME
            case SpawnFailed():
                self._gone(member, None, now)
            case Exited(_, code):
                self._gone(member, code, now)

    def _about_all(self, event: Event, now: float) -> None:
        match event:
            case Tick():
                self._tick(now)
            case Stop(manner):
                self._stop(manner, now)
            case Reopen():
                self._reopen()
            case _ if self._phase is not Phase.SERVING:
                pass
            case Reload():
                self._reload(now)
            case Restart():
                self._restart(now)
            case More() if len(self._seats) + 1 < self._policy.capacity:  # one slot stays for an heir
                self._seats.append(Seat(len(self._seats)))
            case More():
                self._out.append(Say(News.NO_ROOM))
            case Fewer():
                self._fewer(now)

    # Seats

    def _fill_seats(self, now: float) -> None:
        for seat in self._seats:
            if seat.holder is None and now >= seat.not_before:
                seat.holder = self._spawn(seat.number)

    def _step_reload(self, now: float) -> None:
        """One heir at a time, and the next only when the last one serves."""
        if not self._reloading or any(seat.heir for seat in self._seats):
            return
        old = [seat for seat in self._seats if seat.holder and seat.holder.generation < self._generation]
        if not old:
            self._reloading = False
            self._out.append(Say(News.RELOAD_DONE))
            return
        for seat in old:
            # A stuck holder is about to die, and is followed by a new worker anyway.
            if seat.holder and seat.holder.life is not Life.STUCK and now >= seat.not_before:
                seat.heir = self._spawn(seat.number)
                return

    def _spawn(self, seat: int) -> Member | None:
        taken = {member.slot for member in self._members.values()}
        slot = next((slot for slot in range(self._policy.capacity) if slot not in taken), None)
        if slot is None:
            return None
        self._age += 1
        member = self._members[self._age] = Member(self._age, seat, slot, self._generation)
        self._out.append(Spawn(self._age, seat, slot))
        return member

    def _seat_of(self, member: Member) -> Seat | None:
        if member.seat < len(self._seats):
            seat = self._seats[member.seat]
            if member is seat.holder or member is seat.heir:
                return seat
        return None

    def _fewer(self, now: float) -> None:
        if len(self._seats) == 1:
            self._out.append(Say(News.LAST_WORKER))
            return
        seat = self._seats.pop()
        self._out.append(Release(seat.number))
        for member in (seat.heir, seat.holder):
            if member is not None:
                self._retire(member, now)

    # One worker's life

    def _ready(self, member: Member, now: float) -> None:
        if member.ready_at is None:
            # Also of one that was told to go just before it said so: it may have served, and so have cut somebody off.
            member.ready_at = member.beat = now
            self._served = True
            if self._phase is Phase.QUITTING:
                # It was told as one that boots is, and has taken the quick stop for a graceful one.
                self._kill(member, signal.SIGQUIT, Reason.STOP)
        if member.life is not Life.BOOTING:
            return
        member.life = Life.READY
        member.kill_at = None
        if member.owes_reopen:
            self._kill(member, signal.SIGUSR1, Reason.REOPEN)
        seat = self._seat_of(member)
        if seat is not None and seat.heir is member:
            old = seat.holder
            seat.holder, seat.heir = member, None
            if old is not None:
                self._retire(old, now)

    def _retire(self, member: Member, now: float) -> None:
        """Tell it to go. A stuck one is on its way already."""
        if member.life is Life.STUCK:
            return
        self._leave(member, now)
        self._kill(member, signal.SIGTERM, Reason.RETIRED)

    def _leave(self, member: Member, now: float) -> None:
        seat = self._seat_of(member)
        if seat is not None:
            seat.leave(member)
            if member.ready_at is not None and now - member.ready_at >= STEADY_AFTER:
                seat.failures = 0
        member.life = Life.LEAVING
        member.kill_at = self._deadline(now)

    def _deadline(self, now: float) -> float | None:
        """When a worker told to go must be gone; None for never."""
        patience = self._policy.graceful_timeout
        return now + patience + LATE_MARGIN if patience else None

    def _gone(self, member: Member, code: int | None, now: float) -> None:
        """The process has ended; `code` None when there never was one."""
        del self._members[member.age]
        if self._phase not in _MANNED:
            # A worker that had not served had nothing to cut, and the master's signal may have found it
            # unprepared.
            if code != 0 and member.ready_at is not None and not self._gave_up:
                self._exit_code = 1
            return
        seat = self._seat_of(member)
        if seat is None or member.life is Life.LEAVING:
            return
        was_heir = seat.heir is member
        seat.leave(member)
        if member.ready_at is None:
            self._boot_failure(seat, member.boot_code, now)
            if was_heir:
                self._reloading = False
                self._out.append(Say(News.RELOAD_STOPPED))
        elif now - member.ready_at < STEADY_AFTER:
            seat.strike(now, booted=True)
        else:
            seat.failures = 0
            seat.not_before = 0.0

    def _boot_failure(self, seat: Seat, stated: int | None, now: float) -> None:
        """stated: the exit code that the worker said it would end with, if it said anything."""
        seat.strike(now, booted=False)
        if self._policy.awaits_changes and seat.holder is None:
            if all(other.not_before < math.inf for other in self._seats):
                self._out.append(Say(News.WAITING))
            seat.not_before = math.inf
            return
        if self._served or (stated is None and seat.failures < BOOT_ATTEMPTS):
            return
        self._gave_up = True
        self._exit_code = stated or COULD_NOT_BOOT
        self._out.append(GiveUp(self._exit_code))
        self._quit(now)

    # All workers

    def _reload(self, now: float) -> None:
        """From the beginning, also when a reload is under way: its heir has perhaps older code by now."""
        self._generation += 1
        self._reloading = True
        for seat in self._seats:
            seat.failures = 0
            seat.not_before = 0.0
            if seat.heir is not None:
                self._retire(seat.heir, now)

    def _restart(self, now: float) -> None:
        """Who develops waits for the new code, and nobody for the old workers' requests and streams."""
        self._reloading = False
        for seat in self._seats:
            seat.failures = 0
            seat.not_before = 0.0
        for member in self._members.values():
            if member.life is not Life.LEAVING:
                self._leave(member, now)
                self._stop_one(member, _quick(member), now + QUICK_TIME, Reason.CHANGED)

    def _reopen(self) -> None:
        for member in self._members.values():
            if member.life is Life.BOOTING:
                member.owes_reopen = True
            else:
                self._kill(member, signal.SIGUSR1, Reason.REOPEN)

    def _tick(self, now: float) -> None:
        if self._last_tick is not None and now - self._last_tick > MASTER_ASLEEP:
            self._judge_from = now
        self._last_tick = now
        if self._phase is Phase.ANNOUNCED and now >= self._stop_at:
            self._drain(now)
        for member in self._members.values():
            if member.kill_at is not None and now >= member.kill_at:
                member.kill_at = None
                self._kill(member, signal.SIGKILL, Reason.SILENT if member.life is Life.STUCK else Reason.LATE)
            elif member.life is Life.READY and 0 < self._policy.timeout < now - self._last_sign(member):
                member.life = Life.STUCK
                member.kill_at = now + ABORT_TIME
                self._kill(member, signal.SIGABRT, Reason.SILENT)

    def _last_sign(self, member: Member) -> float:
        return max(member.beat, self._judge_from)

    def _stop(self, manner: Manner, now: float) -> None:
        """INT and QUIT are quick at any time. TERM again changes nothing, as with gunicorn: service managers signal a
        process and its group."""
        if manner is Manner.QUICK:
            if self._phase in _MANNED:
                self._out.append(StopListening())
            if self._phase not in (Phase.QUITTING, Phase.GONE):
                self._quit(now)
        elif self._phase is Phase.SERVING:
            delay = self._policy.drain_delay
            if delay and any(member.life is Life.READY for member in self._members.values()):
                self._phase = Phase.ANNOUNCED
                self._stop_at = now + delay
                self._out.append(Announce(delay))
            else:
                self._drain(now)

    def _drain(self, now: float) -> None:
        self._phase = Phase.STOPPING
        self._out.append(StopListening())
        for member in self._members.values():
            if member.life is not Life.LEAVING:
                self._stop_one(member, signal.SIGTERM, self._deadline(now))

    def _quit(self, now: float) -> None:
        self._phase = Phase.QUITTING
        for member in self._members.values():
            self._stop_one(member, _quick(member), now + QUICK_TIME)

    def _stop_one(
        self, member: Member, number: signal.Signals, kill_at: float | None, reason: Reason = Reason.STOP
    ) -> None:
        if member.life is Life.STUCK:
            return
        member.life = Life.LEAVING
        member.kill_at = min((at for at in (kill_at, member.kill_at) if at is not None), default=None)
        self._kill(member, number, reason)

    def _kill(self, member: Member, number: signal.Signals, reason: Reason) -> None:
        if member.pid is not None:
            self._out.append(Kill(member.age, member.pid, number, reason))


def _quick(member: Member) -> signal.Signals:
    """SIGQUIT would make a worker that still boots, with the signal's default action, leave a core file."""
    return signal.SIGQUIT if member.ready_at is not None else signal.SIGTERM
