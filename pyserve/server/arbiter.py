"""The master: finds out what happened, asks the supervisor, does what it says.

One loop, one thread (a fork copies only the thread that calls it). It waits for signals (`Wakeup`), for the
workers' pipes, and for the next deadline; then it reaps, looks at the scoreboard, and lets the supervisor know
that time has passed. The files beside this one hold what it needs: `supervisor` decides, `children` are the
processes, `spawning` forks them, `sockets` are what they listen at, `lives` the next life of this process.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from pyserve.server import signals
from pyserve.server.children import Child
from pyserve.server.equipment import Equipment
from pyserve.server.events import (
    Action,
    Announce,
    Beat,
    Cause,
    Condemn,
    Dismiss,
    Event,
    Exited,
    Fewer,
    Finish,
    GiveUp,
    Kill,
    LetGo,
    Linger,
    Manner,
    More,
    Ready,
    Recall,
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
    Upgrade,
    Worn,
)
from pyserve.server.gauges import Gauges
from pyserve.server.lives import Lives
from pyserve.server.ownership import give_logs
from pyserve.server.reports import Reports
from pyserve.server.seats import Life
from pyserve.server.spawning import Spawner
from pyserve.server.staff import Policy
from pyserve.server.stopping import Phase
from pyserve.server.supervisor import Estate, Supervisor
from pyserve.server.systemd import Health, Notifier
from pyserve.server.watching import Watch
from pyserve.server.weighing import Scales
from pyserve.workers.scoreboard import Slot, State

TICK: Final = 1.0
"""Seconds between two looks at the heartbeats."""


class Arbiter:
    """Performs. `run` returns when all workers are gone."""

    def __init__(self, equipment: Equipment) -> None:
        self._is = equipment
        self._log = equipment.log
        self._reports = Reports(equipment.log)
        self._gauges = Gauges(equipment.log, equipment.listeners if equipment.settings.enable_backlog_metric else None)
        self._supervisor = _supervisor(equipment)
        self._children: dict[int, Child] = {}
        self._lives = Lives(equipment)
        self._scales = Scales(equipment.settings.max_worker_memory, equipment.log)
        self._weighed = 0.0
        self._exit_code: int | None = None
        self._todo: deque[Action] = deque()
        self._selector = selectors.DefaultSelector()
        self._service = Notifier(os.environ, equipment.log, reloading=equipment.past is not None)
        self._spawner = Spawner(equipment, self._children, self._selector)
        self._selector.register(equipment.wakeup, selectors.EVENT_READ, self._hear_signals)
        if (watch := equipment.watch) is not None and watch.fd is not None:
            self._selector.register(watch.fd, selectors.EVENT_READ, partial(self._hear_watch, watch, watch.fd))
        if equipment.control is not None:
            from pyserve.server.control_desk import Desk  # which hardly any server needs

            equipment.control.attend(self._selector, Desk(equipment, self._supervisor, self._heed).answer)
        pipes = equipment.past.pipes if equipment.past else {}
        for member in self._supervisor.members:
            if member.pid is not None:
                fd = pipes.get(member.age)
                self._watch(Child(member.age, member.pid, member.seat, member.slot, fd))

    def run(self) -> int:
        """Serve until told to stop; the exit code."""
        if self._is.wakeup.stop_waits() is None and not self._is.hooks.broken:  # else nobody is worth starting
            self._do(self._supervisor.start(time.monotonic()))
        while self._exit_code is None:
            self._heed_hooks()
            for key, _ in self._selector.select(self._pause()):
                key.data()
            self._reap()
            self._read_board()
            self._lives.look_for_parent()
            if self._is.control is not None:
                self._is.control.look(time.monotonic())
            self._tell(Tick())
            self._service.look(self._health(), time.monotonic())
            self._gauges.look(len(self._children), time.monotonic())
        self._selector.close()
        return self._exit_code

    def _pause(self) -> float:
        now = time.monotonic()
        due = self._supervisor.due(now) if not self._is.hooks.broken else now
        pause = TICK if due is None else min(TICK, max(0.0, due - now))
        return min(pause, self._service.due(now))

    def _health(self) -> Health:
        supervisor = self._supervisor
        return Health(
            ready=supervisor.ready,
            wanted=supervisor.wanted,
            reloading=supervisor.reloading or bool(self._lives.trial),
            stopping=supervisor.phase is not Phase.SERVING,
            successor=self._lives.successor,
        )

    # Events

    def _tell(self, event: Event) -> None:
        if isinstance(event, Ready | Restart):
            self._reports.forget()
        actions = self._supervisor.handle(event, time.monotonic())
        self._is.hooks.count_changed(self._supervisor.wanted)
        self._do(actions)

    def _heed_hooks(self) -> None:
        """What hooks ask for: the end, by raising, or another number of workers."""
        hooks = self._is.hooks
        if hooks.broken and self._supervisor.phase in (Phase.SERVING, Phase.STOPPING):
            self._tell(Stop(Manner.QUICK))
        wish, hooks.server.wish = hooks.server.wish, None
        change = wish - self._supervisor.wanted if wish is not None else 0
        for _ in range(abs(change)):
            self._tell(More() if change > 0 else Fewer())

    def _hear_signals(self) -> None:
        for number in self._is.wakeup.read():
            row = signals.BY_NUMBER.get(number)
            if row is None or self._exit_code is not None:
                continue
            if not row.quiet:
                self._log.info("Handling signal: %s", signals.short_name(row.signal))
            self._heed(row.event)

    def _heed(self, wish: Event | None) -> None:
        """A signal's meaning."""
        match wish:
            case None:
                return
            case Reload():
                self._hang_up()
            case Upgrade():
                if self._supervisor.phase is Phase.SERVING:
                    self._lives.upgrade()
            case Dismiss() if not self._lives.successor:
                self._log.debug("SIGWINCH ignored: no other master serves")
            case Dismiss():
                self._log.info("Handling signal: winch")
                self._log.info("graceful stop of workers")
                self._tell(wish)
            case _:
                if isinstance(wish, Reopen):
                    give_logs(self._is.settings)
                    self._log.reopen()
                elif isinstance(wish, Stop):
                    self._lives.end_trial()
                self._tell(wish)

    def _hang_up(self) -> None:
        """HUP. Workers that were dismissed come back at once, without anything being read: that is the way back when
        what a new master has read is no good."""
        if self._supervisor.phase is not Phase.SERVING:
            return
        self._log.info("Hang up: %s", self._lives.name)
        if self._supervisor.wanted:
            self._service.reloading()
            self._lives.begin_trial()
        else:
            self._tell(Recall())

    def _hear_watch(self, watch: Watch, fd: int) -> None:
        if watch.read(self._log):
            self._tell(Restart())
        if watch.fd is None:
            self._selector.unregister(fd)

    def _hear_worker(self, child: Child) -> Callable[[], None]:
        def hear() -> None:
            fd = child.fd
            events = child.read()
            if child.fd is None and fd is not None:
                self._selector.unregister(fd)
            for event in events:
                self._tell(event)

        return hear

    def _watch(self, child: Child) -> None:
        self._children[child.pid] = child
        if child.fd is not None:
            self._selector.register(child.fd, selectors.EVENT_READ, self._hear_worker(child))

    def _reap(self) -> None:
        """As process 1 also wait for strangers: orphans whose parents left them to us."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            if pid == self._lives.trial:
                self._lives.trial_ended(code, self._supervisor, self._children.values())
            elif pid == self._lives.successor:
                self._lives.successor_ended(code)
            elif child := self._children.pop(pid, None):
                self._bury(child, code)
            else:
                self._log.debug("Reaped process %s, which is no worker", pid)

    def _bury(self, child: Child, code: int) -> None:
        self._hear_worker(child)()
        if child.fd is not None:  # a process that the application started holds the other end
            self._selector.unregister(child.fd)
            child.close()
        slot = self._slot_of(child)
        self._reports.exit(child, code, slot)
        if slot is not None:
            if slot.state is State.DRAINING:
                self._tell(Retiring(child.age))  # so quickly that nobody had seen it
            self._reports.served(child, slot)
        self._is.hooks.child_exit(child.pid)
        if slot is not None:
            slot.clear()
        self._scales.forget(child.age)
        self._tell(Exited(child.age, code))

    def _read_board(self) -> None:
        now = time.monotonic()
        for child in list(self._children.values()):
            slot = self._slot_of(child)
            if slot is None:
                self._tell(Beat(child.age, now))
            elif slot.state is State.DRAINING:
                self._tell(Retiring(child.age))
            else:
                self._tell(Beat(child.age, slot.heartbeat / 1e9))
        self._weigh(now)

    def _weigh(self, now: float) -> None:
        """Once in a while, and only those that serve."""
        if not self._is.settings.max_worker_memory or now - self._weighed < TICK / 2:
            return
        self._weighed = now
        for member in self._supervisor.members:
            serves = member.life is Life.READY and member.worn_at is None and member.pid is not None
            if serves and member.pid and self._scales.is_too_heavy(member.age, member.pid):
                self._tell(Worn(member.age, Cause.MEMORY))

    def _slot_of(self, child: Child) -> Slot | None:
        return self._is.slot_of(child.slot, child.age)

    # Actions

    def _do(self, actions: list[Action]) -> None:
        """Perform them in order, and what follows from them after them."""
        nested = bool(self._todo)
        self._todo.extend(actions)
        if nested:
            return
        while self._todo:
            self._perform(self._todo[0])
            self._todo.popleft()

    def _perform(self, action: Action) -> None:
        match action:
            case Spawn():
                self._spawn(action)
            case Kill():
                self._kill(action)
            case Announce(delay):
                self._is.board.stopping = True
                self._reports.announce(delay)
            case Condemn():
                self._reports.condemn(action)
            case Linger():
                self._reports.linger(action)
            case LetGo():
                self._is.listeners.let_go()
            case StopListening():
                self._is.board.stopping = True
                self._is.listeners.bar()
                self._is.listeners.close()
            case Say(news):
                self._reports.news(news)
            case GiveUp(code):
                self._reports.give_up(code)
            case Finish(code):
                self._exit_code = code

    def _spawn(self, wish: Spawn) -> None:
        child = self._spawner.spawn(wish, self._supervisor.wanted)
        if child is None:
            self._tell(SpawnFailed(wish.age))
            return
        self._watch(child)
        self._tell(Started(child.age, child.pid))

    def _kill(self, order: Kill) -> None:
        child = self._children.get(order.pid)
        if child is None:
            return
        self._reports.kill(order, self._slot_of(child))
        child.sent.add(order.signal)
        self._is.record.killed += order.signal in (signal.SIGTERM, signal.SIGKILL)
        try:
            os.kill(order.pid, order.signal)
        except ProcessLookupError:
            pass  # it is gone, and waitpid is about to tell


def _supervisor(equipment: Equipment) -> Supervisor:
    settings, past = equipment.settings, equipment.past
    policy = Policy(
        workers=settings.workers if equipment.renews or past is None else past.wanted,
        capacity=len(equipment.board),
        timeout=settings.timeout,
        graceful_timeout=settings.graceful_timeout,
        drain_delay=settings.drain_delay,
        lifetime=settings.max_worker_lifetime,
        lifetime_jitter=settings.max_worker_lifetime_jitter,
        own_listeners=equipment.listeners.per_seat,
        awaits_changes=equipment.watch is not None,
    )
    if past is None:
        return Supervisor(policy)
    return Supervisor(policy, Estate(past.members, past.last_age, past.wanted, equipment.renews))
