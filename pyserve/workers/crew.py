"""What both kinds of worker share: limits, the Date field, logs, counters, signals and the way to the end.

    RUNNING -> DRAINING   TERM, max_requests, or the master died: no new connections, the last request of each
            -> QUITTING   INT, QUIT, a second signal, or graceful_timeout is over: everything is cut

Signals, and whatever else ends a worker, only set `phase` and call `wake`; the worker looks at it in its own time.
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
import traceback
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from enum import Enum
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from pyserve.protocol.http1 import WireConfig
from pyserve.protocol.limits import Limits
from pyserve.protocol.parsers import PARSERS
from pyserve.workers.scoreboard import BYTES_IN, BYTES_OUT, ERRORS, REQUESTS, State

if TYPE_CHECKING:
    from pyserve.protocol.exchange import Exchange
    from pyserve.settings import Settings
    from pyserve.workers.access import AccessLog
    from pyserve.workers.application import Application
    from pyserve.workers.worker import WorkerContext

_UNLIMITED = sys.maxsize
_SERVER = b"Server: pyserve\r\n"
COULD_NOT_BOOT = 3
_RESERVE = 64  # descriptors for the application, logs, pipes and listeners


class Phase(Enum):
    """How far the worker is on its way to the end."""

    RUNNING = "running"
    DRAINING = "draining"
    QUITTING = "quitting"


class Connection(Protocol):
    """What the logs want to know of a connection. remote: the peer's address, "" on a unix socket."""

    @property
    def remote(self) -> str: ...


class Crew:
    """One worker's share of everything that is not sockets.

    config: of all its wires. counters: thread 0's words on the scoreboard, for a worker with one thread.
    connections: how many may be open at once.
    """

    def __init__(self, context: WorkerContext, application: Application, access: AccessLog | None) -> None:
        settings = context.settings
        self.context = context
        self.settings = settings
        self.application = application
        self.log = context.log
        self.access = access
        self.config = WireConfig(limits_of(settings), PARSERS[settings.http], _SERVER)
        self.counters = context.slot.thread(0).words
        self.connections = _connections(settings)
        self.phase = Phase.RUNNING
        self.drained_since = 0.0
        self._wake: Callable[[], None] = lambda: None
        self._second = 0
        self._counting = threading.Lock()
        self._requests_left = _requests_to_serve(settings)
        self.tick(time.time())

    # Time

    def tick(self, now: float) -> None:
        """Renew the Date field if a second has passed. now: seconds since the epoch."""
        second = int(now)
        if second != self._second:
            self._second = second
            self.config.date = b"Date: %b\r\n" % formatdate(second, usegmt=True).encode("ascii")

    # The beginning and the end

    def ready(self) -> None:
        """The worker serves: tell the master."""
        slot = self.context.slot
        slot.heartbeat = slot.booted_at = time.monotonic_ns()
        slot.state = State.READY
        self._tell(b"R")

    def fail(self, reason: str, code: int = COULD_NOT_BOOT) -> int:
        """The worker cannot serve: tell the master why, and return what to exit with."""
        self._tell(b"F" + bytes([code]) + reason.encode("utf-8", "replace"))
        return code

    def handle_signals(self, wake: Callable[[], None]) -> None:
        """Take over the worker's signals; `wake` makes the worker look at `phase`. For the main thread."""
        self._wake = wake
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGINT, self._on_quit)
        signal.signal(signal.SIGQUIT, self._on_quit)
        signal.signal(signal.SIGUSR1, self._on_usr1)
        for name in ("SIGHUP", "SIGTTIN", "SIGTTOU", "SIGUSR2", "SIGWINCH"):
            signal.signal(getattr(signal, name), signal.SIG_IGN)

    def drain(self) -> None:
        """Begin to end: to be called again has no effect."""
        if self.phase is Phase.RUNNING:
            self.phase = Phase.DRAINING
            self.drained_since = time.monotonic()
            self.config.retiring = True
            self.context.slot.state = State.DRAINING
        self._wake()

    def quit(self) -> None:
        """End at once."""
        self.drain()
        self.phase = Phase.QUITTING
        self._wake()

    @property
    def grace_over(self) -> bool:
        """Whether draining has taken all the time it may."""
        limit = self.settings.graceful_timeout
        return self.phase is not Phase.RUNNING and bool(limit) and time.monotonic() - self.drained_since > limit

    @property
    def drain_idle(self) -> float:
        """Seconds that an idle connection stays readable while the worker drains."""
        settings = self.settings
        return settings.keepalive if settings.drain_idle is None else settings.drain_idle

    def master_died(self) -> None:
        """End of file came from the master."""
        if self.phase is Phase.RUNNING:
            self.log.warning("The master has gone, worker %s drains", os.getpid())
        self.drain()

    def _on_term(self, number: int, frame: FrameType | None) -> None:
        if self.phase is Phase.RUNNING:
            self.drain()
        else:
            self.quit()

    def _on_quit(self, number: int, frame: FrameType | None) -> None:
        self.quit()

    def _on_usr1(self, number: int, frame: FrameType | None) -> None:
        self.log.reopen()
        if self.access is not None:
            self.access.reopen()

    def _tell(self, message: bytes) -> None:
        with suppress(OSError):  # a master that has died will be noticed
            os.write(self.context.ready_fd, message)

    # Exchanges

    def log_exchange(self, exchange: Exchange, connection: Connection, words: memoryview[int]) -> None:
        """An exchange is over: count it in the serving thread's words, and write its line to the access log."""
        words[REQUESTS] += 1
        words[BYTES_OUT] += exchange.body_sent
        if exchange.received:
            words[BYTES_IN] += exchange.received
        if exchange.complaint:
            self.log.warning("%s: %s", request_line(exchange), exchange.complaint)
        if self.access is not None and exchange.status:
            self.access.write(exchange, connection, exchange.finished - exchange.arrived, time.time())
        if self._requests_left < _UNLIMITED:
            self._count_down()

    def log_failure(self, exchange: Exchange, error: BaseException, words: memoryview[int]) -> None:
        """The application has raised: its traceback, once, with the request."""
        words[ERRORS] += 1
        text = "".join(traceback.format_exception(error)).rstrip()
        self.log.error("Error handling request %s\n%s", request_line(exchange), text)

    def log_refusal(self, connection: Connection, text: str) -> None:
        """A peer's message was refused."""
        self.log.info("Invalid request from %s: %s", connection.remote or "unix socket", text)

    def _count_down(self) -> None:
        with self._counting:
            self._requests_left -= 1
            if self._requests_left != 0:
                return
        self.log.info("Autorestarting worker after current request.")
        self._tell(b"D")
        self.drain()


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


def _connections(settings: Settings) -> int:
    """`worker_connections`, or as many as the descriptors allow."""
    if settings.worker_connections is not None:
        return settings.worker_connections
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(1, soft - _RESERVE) if soft != resource.RLIM_INFINITY else _UNLIMITED


def _requests_to_serve(settings: Settings) -> int:
    if not settings.max_requests:
        return _UNLIMITED
    return settings.max_requests + random.randint(0, settings.max_requests_jitter)


def dump_on_abort() -> None:
    """SIGABRT is the master's last word to a silent worker: write the stacks of all threads to stderr, then die of it.

    In C, as the interpreter may be what hangs.
    """
    faulthandler.enable(file=sys.__stderr__ or 2, all_threads=True)
