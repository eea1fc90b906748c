"""What the master needs before it can serve: got here one after the other, given back in reverse order."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyserve.server.bindfile import BindFile
from pyserve.server.children import Entry, pipe
from pyserve.server.control import Control, opened
from pyserve.server.hooks import MasterHooks
from pyserve.server.ownership import Owner
from pyserve.server.pidfile import SECOND, Pidfile, PidfileError
from pyserve.server.rebinding import Binding, rebind
from pyserve.server.sockets import BindError, Listeners
from pyserve.server.takeover import Handover, Inheritance, Origin, Record
from pyserve.server.wakeup import Interrupted, Wakeup
from pyserve.server.watching import Watch, begin
from pyserve.settings import Settings, SettingsError
from pyserve.workers.application import Application, ApplicationLoadError, choose_worker_class, load
from pyserve.workers.hooks import HookError
from pyserve.workers.logs.error_log import ErrorLog
from pyserve.workers.scoreboard import Scoreboard, Slot, room

if TYPE_CHECKING:
    from pyserve.workers.tls.certificates import Certificates

_PAUSES = (0.2, 0.5, 1.0, 1.0)  # seconds


@dataclass(frozen=True, slots=True)
class Equipment:
    """before: what an earlier life of this process, or the master that has started it, has left. alive: both ends of
    the pipe that the workers watch; nobody writes to it, and it ends with the master. application: loaded with
    `--preload` only. renews: the workers of the life before are to be replaced. certificates: for TLS.
    watch: with `--reload` only."""

    settings: Settings
    log: ErrorLog
    origin: Origin
    before: Inheritance | Handover | None
    entry: Entry
    wakeup: Wakeup
    listeners: Listeners
    board: Scoreboard
    alive: tuple[int, int]
    application: Application | None
    watch: Watch | None
    hooks: MasterHooks
    certificates: Certificates | None
    pidfile: Pidfile | None
    bindfile: BindFile | None
    control: Control | None
    record: Record
    renews: bool

    @property
    def past(self) -> Inheritance | None:
        """What an earlier life of this process has left."""
        return self.before if isinstance(self.before, Inheritance) else None

    def slot_of(self, index: int, age: int) -> Slot | None:
        """A worker's slot; None for an adopted worker that writes to a board which this life of the master cannot
        read."""
        if not 0 <= index < len(self.board):
            return None
        slot = self.board.slot(index)
        return slot if slot.age == age else None


@contextlib.contextmanager
def equipped(
    settings: Settings,
    log: ErrorLog,
    wakeup: Wakeup,
    origin: Origin,
    entry: Entry,
    before: Inheritance | Handover | None = None,
) -> Iterator[Equipment]:
    """Everything, ready to fork. Raises PidfileError, BindError, ApplicationLoadError, SettingsError or HookError.

    The wake-up is the caller's: a signal that stops raises Interrupted where all of this waits for something, after
    what was got is given back.
    """
    raise_descriptor_limit()
    past = before if isinstance(before, Inheritance) else None
    hooks = MasterHooks(settings, log, origin, past.lasting if past is not None else ())
    certificates = _certificates(settings, past)
    with contextlib.ExitStack() as stack:
        pidfile = _pidfile(settings, log, before)
        if pidfile is not None:
            stack.callback(pidfile.remove)
        watch = begin(settings, wakeup) if settings.reload else None
        if watch is not None:
            stack.callback(watch.close)
        if past is not None:
            hooks.starting(past.wanted)
        else:
            with wakeup.interruptible():
                hooks.starting(None)
        listeners, renews = _listeners(settings, log, before, wakeup)
        stack.callback(listeners.close)
        _say_where(listeners, log, is_tls=certificates is not None)
        bindfile = _bindfile(settings, listeners, log, before)
        if bindfile is not None:
            stack.callback(bindfile.remove)
        control = _control(settings, log, before)
        if control is not None:
            stack.callback(control.close)
        application = _application(settings, log, past, wakeup) if settings.preload_app else None
        _say_how(settings, application, log)
        alive = past.alive if past else pipe()
        stack.callback(_close, *alive)
        board = _board(settings, past)
        hooks.adopt(past.members if past else (), board)
        hooks.listening(listeners.of_seat(0, max(1, settings.workers)), application, again=past is not None)
        yield Equipment(
            settings=settings,
            log=log,
            origin=origin,
            before=before,
            entry=entry,
            wakeup=wakeup,
            listeners=listeners,
            board=board,
            alive=alive,
            application=application,
            watch=watch,
            hooks=hooks,
            certificates=certificates,
            pidfile=pidfile,
            bindfile=bindfile,
            control=control,
            record=past.record if past is not None else Record(),
            renews=renews,
        )


def _say_where(listeners: Listeners, log: ErrorLog, *, is_tls: bool) -> None:
    names = ",".join(listeners.names())
    log.info("Listening at: %s (%s)", names.replace("http://", "https://") if is_tls else names, os.getpid())


def _say_how(settings: Settings, application: Application | None, log: ErrorLog) -> None:
    """The class of worker; where only the application tells, the first worker says it."""
    worker_class = choose_worker_class(settings, application) if application else settings.worker_class
    if worker_class is not None:
        log.info("Using worker: %s", worker_class)


def read_certificates(settings: Settings) -> Certificates | None:
    """What TLS needs, or None without it. Raises `SettingsError` for files that cannot be used."""
    if not settings.certfile and settings.ssl_context_factory is None:
        if settings.keyfile:
            raise SettingsError(f"keyfile: {settings.keyfile[0]!r} given without certfile")
        return None
    from pyserve.workers.tls.certificates import Certificates

    return Certificates(settings)


def _certificates(settings: Settings, past: Inheritance | None) -> Certificates | None:
    """In a later life there are workers that serve on, and the files were good a moment ago, in the trial: whoever is
    about to replace them has some time for it."""
    for pause in _PAUSES if past is not None else ():
        try:
            return read_certificates(settings)
        except SettingsError:
            time.sleep(pause)
    return read_certificates(settings)


def preload(settings: Settings, log: ErrorLog) -> Application:
    """Load the application before the first fork. The workers share its memory: nothing that is there now is
    looked at by a garbage collection again, which would write to every object and so copy all pages."""
    application = load(settings)
    choose_worker_class(settings, application)
    threads = threading.active_count() - 1
    if threads:
        log.warning("The application started %d threads when it was loaded: the workers do not have them", threads)
    gc.collect()
    gc.freeze()
    return application


def told(error: BaseException) -> str:
    """An error's text, with the application's own traceback where there is one."""
    trace = error.traceback if isinstance(error, ApplicationLoadError | HookError) else None
    return f"{error}\n{trace.rstrip()}" if trace else str(error)


def raise_descriptor_limit() -> None:
    """The soft limit is a default for programs that use select(); every connection needs a descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def binding(settings: Settings) -> Binding:
    """Where the settings want to listen."""
    return Binding(settings.bind, settings.backlog, settings.reuse_port, Owner.of_sockets(settings))


def _listeners(
    settings: Settings, log: ErrorLog, before: Inheritance | Handover | None, wakeup: Wakeup
) -> tuple[Listeners, bool]:
    """The sockets, and whether old workers are to be replaced. Where there are some, an address that cannot be had is
    no reason to end: then they go on, at the addresses of before."""

    def pause(seconds: float) -> None:
        with wakeup.interruptible():
            time.sleep(seconds)

    there = Listeners.take_over(before.listeners) if before is not None else []
    is_life = isinstance(before, Inheritance)
    try:
        listeners, renews = rebind(there, binding(settings), log, None if is_life else pause), True
    except BindError as error:
        if not is_life:
            raise
        log.error("Reload: %s; the old workers go on", error)
        listeners, renews = Listeners(there, settings.backlog), False
    if before is not None:
        listeners.shared = isinstance(before, Handover) or bool(before.parent or before.successor)
    return listeners, renews


def _bindfile(
    settings: Settings, listeners: Listeners, log: ErrorLog, before: Inheritance | Handover | None
) -> BindFile | None:
    """The file with our addresses, written. One that cannot be had ends a server that starts, and none that runs."""
    last = BindFile.take_over(before.bindfile) if isinstance(before, Inheritance) else None
    wanted = BindFile(settings.bind_file) if settings.bind_file is not None else None
    if wanted is not None:
        try:
            wanted.write(listeners.binds())
        except OSError as error:
            text = f"Can't write the bind file {wanted.path}: {error.strerror}"
            if before is None:
                raise BindError(text) from error
            log.error("%s", text)
            return last
    if last is not None and (wanted is None or wanted.path != last.path):
        last.remove()
    return wanted


def _pidfile(settings: Settings, log: ErrorLog, before: Inheritance | Handover | None) -> Pidfile | None:
    """The file with our number, written. One that cannot be had ends a server that starts, and none that runs."""
    second = SECOND if before is not None and before.parent else ""
    last = Pidfile(before.pidfile) if isinstance(before, Inheritance) and before.pidfile else None
    wanted = Pidfile(settings.pidfile + second) if settings.pidfile is not None else None
    if wanted is not None:
        try:
            wanted.create()
        except PidfileError as error:
            if not isinstance(before, Inheritance):
                raise
            log.error("Reload: %s", error)
            return last
    if last is not None and (wanted is None or wanted.path != last.path):
        last.remove()
    return wanted


def _control(settings: Settings, log: ErrorLog, before: Inheritance | Handover | None) -> Control | None:
    """The control socket; a second master's is beside that of the first until it is alone, as with the pid file."""
    last = Control.take_over(before.control) if isinstance(before, Inheritance) else None
    path = settings.control_socket if not settings.control_socket_disable else None
    second = SECOND if path is not None and before is not None and before.parent else ""
    return opened(path and path + second, settings.control_socket_mode, last, log)


def _application(settings: Settings, log: ErrorLog, before: Inheritance | None, wakeup: Wakeup) -> Application | None:
    try:
        with wakeup.interruptible():
            return preload(settings, log)
    except (Interrupted, ApplicationLoadError, SettingsError) as error:
        if before is None:
            raise
        # There are workers, which serve on. After a signal the loop is about to read it, and stops them in good order;
        # else the trial went well and this did not, and new workers will try for themselves.
        if wakeup.interrupted is None:
            log.error("%s", told(error))
        wakeup.interrupted = None
        return None


def _board(settings: Settings, before: Inheritance | None) -> Scoreboard:
    """One thread more than serve: the watcher counts, too."""
    slots, threads = room(settings.workers), settings.threads + 1
    if before is not None and before.board is not None:
        with contextlib.suppress(OSError, ValueError):
            board = Scoreboard.attach(before.board)
            if len(board) >= slots and board.threads == threads:
                return board
    for member in before.members if before is not None else ():
        member.slot = -1  # of a board that is no more
    return Scoreboard(slots, threads)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
