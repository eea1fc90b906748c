"""The access log: one line for each response; what it says is `access_format`'s.

Lines are gathered and written in batches, as a system call for each would cost more than all the rest.
"""

import os
import threading
import weakref
from collections.abc import Callable
from typing import Protocol

from pyserve.workers.logs.access_format import Answered, Peer, compile_format
from pyserve.workers.logs.error_log import ErrorLog
from pyserve.workers.logs.log_file import STDOUT, LogFile

_FLUSH_AT = 64 * 1024  # octets gathered that are not left waiting for the next tick


class Access(Protocol):
    """What a worker needs of its access log, wherever that goes; see `AccessLog`.

    wants_environ: whether it looks at the `environ` of a connection.
    """

    @property
    def wants_environ(self) -> bool: ...
    def write(self, exchange: Answered, connection: Peer, seconds: float, now: float) -> None: ...
    def tick(self) -> None: ...
    def flush(self) -> None: ...
    def reopen(self) -> None: ...
    def close(self) -> None: ...


class AccessLog:
    """Gathers lines and writes them in batches.

    destination: a path, or `-` for stdout. report: where a file that cannot be written is reported, the error log if
    None. `ValueError` for a format that cannot be printed.

    The worker's duties: call `tick` at least every 0.1 s, `flush` when it stops, `reopen` on SIGUSR1. All methods may
    be called from any thread, and `reopen` from a signal handler.
    """

    __slots__ = ("__weakref__", "_errors", "_file", "_gathered", "_lines", "_lock", "_render", "wants_environ")

    def __init__(
        self, destination: str, access_log_format: str, errors: ErrorLog, report: Callable[[str], None] | None = None
    ) -> None:
        self._render = compile_format(access_log_format)
        self.wants_environ = "}e" in access_log_format
        self._errors = errors
        self._file = LogFile(destination, STDOUT, report or errors.error)
        self.forget()
        _open_logs.add(self)

    def write(self, exchange: Answered, connection: Peer, seconds: float, now: float) -> None:
        """Log an exchange. seconds: how long it took; now: the time of day in seconds since the epoch."""
        try:
            line = self._render(exchange, connection, seconds, now)
        except Exception:
            self._errors.exception("The access log could not describe a request")
            return
        self._lines.append(line)
        # Two threads may lose an addition to each other; the sum only decides when to write early.
        self._gathered += len(line)
        if self._gathered > _FLUSH_AT:
            self._write_gathered(wait=0)

    def put(self, line: bytes) -> None:
        """Log a line of others, line end included."""
        self._lines.append(line)
        self._gathered += len(line)
        if self._gathered > _FLUSH_AT:
            self._write_gathered(wait=0)

    def tick(self) -> None:
        """Write what has been gathered."""
        if self._lines:
            self._write_gathered(wait=0)

    def flush(self) -> None:
        """Write what has been gathered, also what another thread is just writing."""
        # The wait ends because a signal handler may interrupt the very thread that is writing.
        self._write_gathered(wait=1)

    def reopen(self) -> None:
        """Open the file anew; lines gathered so far still go to the old one."""
        self._write_gathered(wait=0)
        self._file.reopen()

    def close(self) -> None:
        """Write what has been gathered and close the file."""
        self.flush()
        self._file.close()

    def forget(self) -> None:
        """Drop what has been gathered: after a fork it is the parent's to write, and the lock may be nobody's."""
        self._lines: list[bytes] = []
        self._gathered = 0
        self._lock = threading.Lock()

    @property
    def lost(self) -> int:
        """Lines that could not be written."""
        return self._file.lost

    def _write_gathered(self, wait: float) -> None:
        lock = self._lock
        if not (lock.acquire(timeout=wait) if wait else lock.acquire(blocking=False)):
            return
        try:
            # Other threads append meanwhile, so the list is emptied and not replaced: a line appended to a list that
            # was just replaced would be lost.
            lines = self._lines[:]
            del self._lines[: len(lines)]
            self._gathered = 0
            if lines:
                self._file.write(b"".join(lines))
        finally:
            lock.release()


_open_logs: weakref.WeakSet[AccessLog] = weakref.WeakSet()


def _forget_all() -> None:
    for log in _open_logs:
        log.forget()


os.register_at_fork(after_in_child=_forget_all)


class AccessSettings(Protocol):
    """What the access log needs to know of the settings."""

    @property
    def accesslog(self) -> str | None: ...
    @property
    def access_log_format(self) -> str: ...


def setup(settings: AccessSettings, errors: ErrorLog, report: Callable[[str], None] | None = None) -> AccessLog | None:
    """Open the access log that the settings ask for, None when they ask for none; the rest is as of `AccessLog`."""
    if not settings.accesslog:
        return None
    return AccessLog(settings.accesslog, settings.access_log_format, errors, report)
