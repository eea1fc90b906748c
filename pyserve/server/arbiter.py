"""The master: finds out what happened, asks the supervisor, does what it says.

One loop, one thread (a fork copies only the thread that calls it). It waits for signals (`Wakeup`), for the
workers' pipes, and for the next deadline; then it reaps, looks at the scoreboard, and lets the supervisor know
that time has passed. The files beside this one hold what it needs: `supervisor` decides, `children` are the
processes, `sockets` what they listen at, `takeover` the next life of this process.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from pyserve import __version__
from pyserve.server import children, signals, takeover
from pyserve.server.children import Child, Entry
from pyserve.server.equipment import Equipment, equipped, preload, told
from pyserve.server.events import (
    Action,
    Beat,
    Event,
    Exited,
    Finish,
    GiveUp,
    Kill,
    Ready,
    Release,
    Reload,
    Reopen,
    Retiring,
    Say,
    Spawn,
    SpawnFailed,
    Started,
    Stop,
    StopListening,
    Tick,
)
from pyserve.server.pidfile import PidfileError
from pyserve.server.reports import Reports
from pyserve.server.sockets import BindError
from pyserve.server.supervisor import Phase, Policy, Supervisor
from pyserve.server.takeover import Origin
from pyserve.server.wakeup import Wakeup, blocked
from pyserve.settings import EXIT_CONFIGURATION, Settings, SettingsError
from pyserve.workers import logs
from pyserve.workers.application import ApplicationLoadError, prepare_import_path
from pyserve.workers.logs import ErrorLog
from pyserve.workers.scoreboard import Slot, State
from pyserve.workers.worker import WorkerContext, run

TICK: Final = 1.0
"""Seconds between two looks at the heartbeats."""

EXIT_MASTER_BROKE: Final = 255
"""As with gunicorn. The workers notice that the master is gone, and drain."""


class Arbiter:
    """Performs. `run` returns when all workers are gone."""

    def __init__(self, equipment: Equipment) -> None:
        self._is = equipment
        self._log = equipment.log
        self._reports = Reports(equipment.log)
        self._supervisor = _supervisor(equipment)
        self._children: dict[int, Child] = {}
        self._trial: int | None = None
        self._exit_code: int | None = None
        self._todo: deque[Action] = deque()
        self._selector = selectors.DefaultSelector()
        self._selector.register(equipment.wakeup, selectors.EVENT_READ, self._hear_signals)
        pipes = equipment.before.pipes if equipment.before else {}
        for member in self._supervisor.members:
            if member.pid is not None:
                fd = pipes.get(member.age)
                self._watch(Child(member.age, member.pid, member.seat, member.slot, fd))

    def run(self) -> int:
        """Serve until told to stop; the exit code."""
        if self._is.wakeup.stop_waits() is None:  # else nobody is worth starting
            self._do(self._supervisor.start(time.monotonic()))
        while self._exit_code is None:
            for key, _ in self._selector.select(self._pause()):
                key.data()
            self._reap()
            self._read_board()
            self._tell(Tick())
        self._selector.close()
        return self._exit_code

    def _pause(self) -> float:
        now = time.monotonic()
        due = self._supervisor.due(now)
        return TICK if due is None else min(TICK, max(0.0, due - now))

    # Events

    def _tell(self, event: Event) -> None:
        if isinstance(event, Ready | Reload):
            self._reports.forget()
        self._do(self._supervisor.handle(event, time.monotonic()))

    def _hear_signals(self) -> None:
        for number in self._is.wakeup.read():
            row = signals.BY_NUMBER.get(number)
            if row is None or self._exit_code is not None:
                continue
            if not row.quiet:
                self._log.info("Handling signal: %s", signals.short_name(row.signal))
            match row.event:
                case None:
                    continue
                case Reload() if self._is.settings.preload_app:
                    self._begin_next_life()
                    continue
                case Reopen():
                    self._log.reopen()
                case Stop():
                    self._end_trial()
            self._tell(row.event)

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
            if pid == self._trial:
                self._trial = None
                self._next_life(code)
            elif child := self._children.pop(pid, None):
                self._bury(child, code)
            else:
                self._log.debug("Reaped process %s, which is no worker", pid)

    def _bury(self, child: Child, code: int) -> None:
        self._hear_worker(child)()
        if child.fd is not None:  # a process that the application started holds the other end
            self._selector.unregister(child.fd)
            child.close()
        self._reports.exit(child, code)
        slot = self._slot_of(child)
        if slot is not None:
            if slot.state is State.DRAINING:
                self._tell(Retiring(child.age))  # so quickly that nobody had seen it
            self._reports.served(child, slot)
            slot.clear()
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

    def _slot_of(self, child: Child) -> Slot | None:
        """None for an adopted worker that writes to a board which this life of the master cannot read."""
        if child.slot >= len(self._is.board):
            return None
        slot = self._is.board.slot(child.slot)
        return slot if slot.age == child.age else None

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
            case Release(seat):
                self._is.listeners.release(seat)
            case StopListening():
                self._is.listeners.close()
            case Say(news):
                self._reports.news(news)
            case GiveUp(code):
                self._reports.give_up(code)
            case Finish(code):
                self._exit_code = code

    def _spawn(self, wish: Spawn) -> None:
        try:
            listeners = self._is.listeners.of_seat(wish.seat)
            reader, writer = children.pipe()
        except OSError as error:
            self._log.error("Can't start a worker: %s", error)
            self._tell(SpawnFailed(wish.age))
            return
        slot = self._is.board.slot(wish.slot)
        slot.clear(wish.age, State.BOOTING)
        context = WorkerContext(
            settings=self._is.settings,
            listeners=listeners,
            slot=slot,
            scoreboard=self._is.board,
            index=wish.seat,
            age=wish.age,
            ready_fd=writer,
            master_fd=self._is.alive[0],
            application=self._is.application,
            log=self._log,
            multiprocess=self._supervisor.wanted > 1,
        )
        self._fork(context, reader)

    def _fork(self, context: WorkerContext, reader: int) -> None:
        try:
            with blocked():
                pid = os.fork()
                if pid == 0:
                    self._be_worker(context, reader)
        except OSError as error:
            self._log.error("Can't fork a worker: %s", error)
            os.close(reader)
            os.close(context.ready_fd)
            self._tell(SpawnFailed(context.age))
            return
        os.close(context.ready_fd)
        self._watch(Child(context.age, pid, context.index, context.slot.index, reader))
        self._tell(Started(context.age, pid))

    def _be_worker(self, context: WorkerContext, reader: int) -> None:
        """In the new process: let go of all that is the master's, work, end."""
        code = 1
        try:
            self._is.wakeup.leave_to_child()
            self._selector.close()
            os.close(reader)
            os.close(self._is.alive[1])
            for child in self._children.values():
                child.close()
            self._is.listeners.keep_only(context.index)
            context.slot.pid = os.getpid()
            self._log.info("Booting worker with pid: %s", os.getpid())
            code = children.work(self._is.entry, context)
        finally:
            children.end(code, self._log)

    def _kill(self, order: Kill) -> None:
        child = self._children.get(order.pid)
        if child is None:
            return
        self._reports.kill(order, self._slot_of(child))
        child.sent.add(order.signal)
        try:
            os.kill(order.pid, order.signal)
        except ProcessLookupError:
            pass  # it is gone, and waitpid is about to tell

    # The next life of this process (HUP with --preload)

    def _begin_next_life(self) -> None:
        if self._supervisor.phase is not Phase.SERVING:
            return
        self._end_trial()
        try:
            self._trial = takeover.try_out(self._is.origin)
        except OSError as error:
            self._log.error("Reload: can't try out the new code: %s", error)

    def _end_trial(self) -> None:
        """Another one is wanted, or none. The old one is reaped as a stranger."""
        if self._trial is not None:
            os.kill(self._trial, signal.SIGKILL)
            self._trial = None

    def _next_life(self, code: int) -> None:
        if self._supervisor.phase is not Phase.SERVING:
            return
        if code != 0:
            self._log.error("Reload: the new code does not start (exit code %s), the old workers go on", code)
            return
        listeners, fds = self._is.listeners.hand_over()
        pipes = {child.age: child.fd for child in self._children.values() if child.fd is not None}
        inheritance = takeover.Inheritance(
            listeners=listeners,
            board=self._is.board.fd,
            alive=self._is.alive,
            wakeup=self._is.wakeup.ends,
            members=self._supervisor.members,
            pipes=pipes,
            last_age=self._supervisor.last_age,
            wanted=self._supervisor.wanted,
        )
        self._log.info("Reload: the master starts itself anew")
        try:
            takeover.live_again(self._is.origin, inheritance, fds)
        except OSError as error:
            self._log.error("Reload: can't start anew, the old workers go on: %s", error)


def _supervisor(equipment: Equipment) -> Supervisor:
    settings, before = equipment.settings, equipment.before
    policy = Policy(
        workers=before.wanted if before else settings.workers,
        capacity=len(equipment.board),
        timeout=settings.timeout,
        graceful_timeout=settings.graceful_timeout,
    )
    return Supervisor(policy, before.members if before else (), before.last_age if before else 0)


def serve(settings: Settings, *, entry: Entry | None = None) -> int:
    """Run the server until a signal ends it; the exit code of the process (see `docs/signals.md`).

    entry: what a worker process runs, instead of `pyserve.workers.worker.run`.
    """
    origin = Origin.now()  # before --chdir: the next life reads the same relative paths once more
    prepare_import_path(settings)
    log = logs.setup(settings)
    if takeover.is_trial():
        return _trial(settings, log)
    before = takeover.inherited()
    wakeup = Wakeup(before.wakeup if before else None)
    log.info("Starting pyserve %s", __version__)
    try:
        wakeup.install()
        with equipped(settings, log, wakeup, origin, entry or run, before) as equipment:
            return Arbiter(equipment).run()
    except BaseException as error:
        return _exit_code(error, wakeup, log)
    finally:
        wakeup.close()
        log.info("Shutting down: Master")


def _trial(settings: Settings, log: ErrorLog) -> int:
    """Before a reload, in a process of its own: could this server start?"""
    if not takeover.is_same_version():
        log.error("Reload: pyserve itself has another version now (%s), that needs a restart", __version__)
        return EXIT_CONFIGURATION
    try:
        preload(settings, log)
    except (ApplicationLoadError, SettingsError) as error:
        log.error("%s", told(error))
        return error.exit_code
    return 0


def _exit_code(error: BaseException, wakeup: Wakeup, log: ErrorLog) -> int:
    """What the end of a server by an exception means, told in the log."""
    if wakeup.interrupted:  # what an application that is being loaded makes of the exception does not matter
        log.info("Handling signal: %s, while starting", signals.short_name(wakeup.interrupted))
        return 0
    match error:
        case BindError() | PidfileError():
            code = EXIT_CONFIGURATION
        case ApplicationLoadError() | SettingsError():
            code = error.exit_code
        case Exception():
            log.exception("Unhandled exception in the master")
            return EXIT_MASTER_BROKE
        case _:
            raise error
    log.error("%s", told(error))
    return code
