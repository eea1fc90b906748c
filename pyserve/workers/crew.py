"""What both kinds of worker share: limits, the Date field, logs, counters, signals and the way to the end.

    RUNNING -> DRAINING   TERM, or the master died: no new connections, the last request of each
            -> QUITTING   INT, QUIT, or graceful_timeout is over: everything is cut

Before a stop of the whole server, while `--drain-delay` lasts, a worker is RUNNING and `stopping`: it goes on to
accept, and closes each connection after its response.

Signals, and whatever else ends a worker, only set `phase` and call `wake`; the worker looks at it in its own time. A
second TERM changes nothing: who signals a whole process group sends a worker the same signal as the master does.
"""

from __future__ import annotations

import faulthandler
import os
import random
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from enum import Enum
from itertools import count
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from pyserve.protocol.config import WireConfig
from pyserve.protocol.limits import Limits
from pyserve.protocol.parsers import PARSERS
from pyserve.workers.logs import access_logging
from pyserve.workers.scoreboard import BYTES_IN, BYTES_OUT, ERRORS, REQUESTS, State

if TYPE_CHECKING:
    from pyserve.protocol.exchange import Exchange
    from pyserve.settings import Settings
    from pyserve.workers.application import Application
    from pyserve.workers.logs.access import Access, AccessLog
    from pyserve.workers.request_hooks import RequestHooks
    from pyserve.workers.worker import WorkerContext

_UNLIMITED = sys.maxsize
_SERVER = b"Server: pyserve\r\n"
COULD_NOT_BOOT = 3
_DRAIN_IDLE = 5.0  # seconds, where connections are not kept and one may still be new
_RESERVE = 48  # descriptors that are left for the application, files and the worker's own, lest accepting starve


class Phase(Enum):
    """How far the worker is on its way to the end."""

    RUNNING = "running"
    DRAINING = "draining"
    QUITTING = "quitting"


class BootError(Exception):
    """The worker cannot serve; the text is one line for the log."""

    exit_code = COULD_NOT_BOOT


class Connection(Protocol):
    """What the logs want to know of a connection. remote: the peer's address, "" on a unix socket."""

    @property
    def remote(self) -> str: ...


class AskingConnection(Connection, Protocol):
    """One that has got as far as a request. place: where that is noted (`notes`)."""

    @property
    def place(self) -> int: ...


class Crew:
    """One worker's share of everything that is not sockets.

    config: of all its wires. counters: thread 0's words on the scoreboard, for a worker with one thread.
    connections: how many may be open at once. worn: it has asked to be replaced. request_hooks: where there is a hook
    around requests. certificates: for TLS, else None.
    """

    request_hooks: RequestHooks | None = None

    def __init__(self, context: WorkerContext, application: Application, access: AccessLog | None) -> None:
        settings = context.settings
        self.context = context
        self.settings: Settings = settings
        self.application = application
        self.log = context.log
        self.access: Access | None = access
        self._access_file = access
        self.config = WireConfig(limits_of(settings), PARSERS[settings.http])
        self.config.retiring = not settings.keepalive  # then no connection gets a second request
        self.config.server, self.config.extra = _lines_of(settings)
        self.counters = context.slot.thread(0).words
        self._notes = context.slot.notes
        self.connections = _connections(settings)
        self._is_scarce = not 0 < (settings.worker_connections or 0) <= self.connections
        self.certificates = context.certificates
        if self.certificates is not None and self.certificates.look(self.log, settled=True):
            self.log.debug("The certificates have changed since the master read them")
        self.phase = Phase.RUNNING
        self.drained_since = 0.0
        self.worn = False
        self._orphaned = False  # the master has died, and all workers retire
        self._wake: Callable[[], object] = _nothing
        self._abandoned = threading.RLock()
        self._second = 0
        self._offset = 0.0  # what turns seconds of the monotonic clock into seconds since the epoch
        self._requests = count(1)
        self._last_request = _requests_to_serve(settings)
        self.tick(time.time())

    # Time

    def tick(self, now: float) -> None:
        """Renew the Date field if a second has passed, and hear whether the server is about to stop.

        now: seconds since the epoch.
        """
        second = int(now)
        if second != self._second:
            self._second = second
            self._offset = now - time.monotonic()
            if self.settings.date_header:
                self.config.date = b"Date: %b\r\n" % formatdate(second, usegmt=True).encode("ascii")
            if self.certificates is not None and self.certificates.look(self.log):
                log = self.log.info if self.context.index == 0 else self.log.debug
                log("TLS goes on with new certificates")
            if self.stopping:
                self.config.retiring = True

    @property
    def stopping(self) -> bool:
        """Whether the whole server stops, or will when `--drain-delay` is over: then it is no longer to be chosen by
        balancers (a readiness check fails), and every response says `Connection: close`."""
        return self.context.scoreboard.stopping

    @property
    def is_last(self) -> bool:
        """Whether no other worker goes on when this one retires."""
        return self.stopping or self._orphaned

    @property
    def pulse(self) -> float:
        """Seconds between two heartbeats: at most one, and several in `timeout`."""
        timeout = self.settings.timeout
        return min(1.0, timeout / 4) if timeout else 1.0

    # The beginning and the end

    def choose_access_log(self) -> None:
        """Whatever configures `logging` has done so by now: decide how requests are logged."""
        self.access = access_logging.choose(self.settings, self.log, self._access_file)

    def ready(self) -> None:
        """The worker serves: tell the master."""
        slot = self.context.slot
        slot.heartbeat = slot.booted_at = time.monotonic_ns()
        slot.state = State.READY
        self._tell(b"R")

    def initialised(self) -> None:
        """The application is loaded, and signals are handled; nobody is served yet. Raises `HookError`."""
        if self.context.hooks is not None:
            self.context.hooks.initialised(self)

    def fail(self, reason: str, code: int = COULD_NOT_BOOT) -> int:
        """The worker cannot serve: tell the master why, and return what to exit with."""
        self._tell(b"F" + bytes([code]) + reason.encode("utf-8", "backslashreplace"))
        return code

    def handle_signals(self, wake: Callable[[], object]) -> None:
        """Take over the worker's signals; `wake` makes the worker look at `phase`. For the main thread.

        On ABRT, by which the master ends a worker that is stuck, faulthandler writes the stacks of all threads to the
        error log: in C, as the interpreter may be what hangs. Then, where the interpreter still runs, the worker_abort
        hook is called, and the process exits with 1.
        """
        self._wake = wake
        faulthandler.disable()  # were it enabled already, it would go on to the handler from before
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGABRT):
            signal.signal(number, self._handle)
        for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR2, signal.SIGWINCH):
            signal.signal(number, signal.SIG_IGN)
        if (fd := self.log.fileno()) >= 0:
            faulthandler.enable(fd, all_threads=True)

    def write_signals_to(self, fd: int) -> None:
        """Have the number of each signal written to `fd` as it comes; -1: no more. For the main thread.

        Handlers run in the main thread, which may be busy in C for long; another one hears at once, and calls
        `signalled`.
        """
        signal.set_wakeup_fd(fd, warn_on_full_buffer=False)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.signalled(number)

    def signalled(self, number: int) -> None:
        """Do what a signal asks for; in a signal handler or any thread, and twice is as good as once."""
        if number == signal.SIGTERM:
            self.drain()
        elif number in (signal.SIGINT, signal.SIGQUIT):
            if self.context.hooks is not None:
                self.context.hooks.interrupted()
            self.quit()
        elif number == signal.SIGUSR1:
            self.log.reopen()
            if self.access is not None:
                self.access.reopen()
        elif number == signal.SIGABRT:
            if self.context.hooks is not None:
                self.context.hooks.aborted()
            self.abandon(1)

    def drain(self) -> None:
        """Begin to end: to be called again has no effect."""
        if self.phase is Phase.RUNNING:
            self.drained_since = time.monotonic()  # first: other threads compare it once the phase has changed
            self.phase = Phase.DRAINING
            self.config.retiring = True
            self.context.slot.state = State.DRAINING
            if self.worn and not self.stopping:
                self.log.info("Autorestarting worker after current request.")
        self._wake()

    def quit(self) -> None:
        """End at once."""
        self.drain()
        self.phase = Phase.QUITTING
        self._wake()

    def abandon(self, code: int) -> None:
        """End the process here and now, from any thread: something does not let go."""
        with self._abandoned:  # whoever comes second waits for the end, unless it has interrupted the first
            if self.access is not None:
                self.access.flush()
            self.log.info("Worker exiting (pid: %s)", os.getpid())
            if self.context.hooks is not None:
                self.context.hooks.leaves()
            os._exit(code)

    @property
    def grace_over(self) -> bool:
        """Whether draining has taken all the time it may."""
        limit = self.settings.graceful_timeout
        return self.phase is not Phase.RUNNING and bool(limit) and time.monotonic() - self.drained_since > limit

    @property
    def drain_idle(self) -> float:
        """Seconds that an idle connection stays readable while the worker drains."""
        settings = self.settings
        return settings.keepalive or _DRAIN_IDLE if settings.drain_idle is None else settings.drain_idle

    @property
    def stream_grace(self) -> float:
        """Seconds that streams go on undisturbed while the worker drains."""
        settings = self.settings
        return settings.graceful_timeout / 2 if settings.stream_grace is None else settings.stream_grace

    def master_died(self) -> None:
        """End of file came from the master."""
        self._orphaned = True
        if self.phase is Phase.RUNNING:
            self.log.warning("The master has gone, worker %s drains", os.getpid())
        self.drain()

    def retire(self) -> None:
        """It should be replaced: the master, in its own time, starts a successor, and when that serves ends this one,
        which goes on until then. To be called again has no effect."""
        if self.phase is Phase.RUNNING and not self.worn:
            self.worn = True
            self._tell(b"W")

    def _tell(self, message: bytes) -> None:
        with suppress(OSError):  # a master that has died will be noticed
            os.write(self.context.ready_fd, message)

    # Exchanges

    def log_exchange(self, exchange: Exchange, connection: AskingConnection, words: memoryview[int]) -> None:
        """An exchange is over: wipe its note, count it in the serving thread's words, and write its line to the access
        log.

        Its stamps `arrived` and `finished` are set. A `status` of 0 says that it was never answered.
        """
        self._notes[connection.place] = 0
        words[REQUESTS] += 1
        words[BYTES_OUT] += exchange.body_sent
        if exchange.received:
            words[BYTES_IN] += exchange.received
        if exchange.complaint:
            self.log.warning("%s: %s", request_line(exchange), exchange.complaint)
        if self.access is not None:
            finished = exchange.finished
            self.access.write(exchange, connection, finished - exchange.arrived, finished + self._offset)
        if self._last_request and next(self._requests) == self._last_request:
            self.retire()

    def log_failure(self, exchange: Exchange, error: BaseException, words: memoryview[int]) -> None:
        """The application has raised: its traceback, once, with the request."""
        words[ERRORS] += 1
        self.log.exception("Error handling request %s", request_line(exchange), exc_info=error)

    def say_full(self) -> None:
        """As many connections are open as may be, and somebody waits. Said once, where no setting wants it so."""
        if self._is_scarce:
            self._is_scarce = False
            text = "File descriptors allow for no more than %d connections: idle ones give way, others wait"
            self.log.warning(text, self.connections)

    def log_refusal(self, connection: Connection, text: str) -> None:
        """A peer's message was refused before there was an exchange."""
        self.log.info("Invalid request from %s: %s", connection.remote or "unix socket", text)


def request_line(exchange: Exchange) -> bytes:
    """The request as the log shows it; the log escapes it."""
    return b"%b %b HTTP/%b" % (exchange.method.encode("ascii"), exchange.target, exchange.version.encode("ascii"))


def limits_of(settings: Settings) -> Limits:
    """The wire's limits; 0 in a setting is no limit."""
    return Limits(
        request_line=settings.limit_request_line or _UNLIMITED,
        fields=settings.limit_request_fields or _UNLIMITED,
        field_size=settings.limit_request_field_size or _UNLIMITED,
        body=settings.limit_request_body or _UNLIMITED,
    )


def _lines_of(settings: Settings) -> tuple[bytes, bytes]:
    """Field lines of every response: with Server, and without. A Server among them takes the place of our own."""
    extra = b"".join(field.encode("latin-1") + b"\r\n" for field in settings.headers)
    named = any(field.lower().startswith("server:") for field in settings.headers)
    return (_SERVER if settings.server_header and not named else b"") + extra, extra


def _connections(settings: Settings) -> int:
    """`worker_connections`, and no more than descriptors are left for."""
    wanted = settings.worker_connections or _UNLIMITED
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, max(1, soft - _open_descriptors() - _RESERVE))


def _open_descriptors() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return _RESERVE


def _requests_to_serve(settings: Settings) -> int:
    """The number of the request after which the worker asks to be replaced; 0 for never."""
    if not settings.max_requests:
        return 0
    return settings.max_requests + random.randint(0, settings.max_requests_jitter)


def _nothing() -> None:
    pass
