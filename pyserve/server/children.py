"""Worker processes: starting one, what it says through its pipe, and what became of it.

The pipe is written by the worker (`WorkerContext.ready_fd`): R when it serves, W when it should be replaced, D when it
retires by itself, F with an exit code and a reason when it cannot boot. Its end proves nothing: an application's own
children may hold it open, so `waitpid` decides who is gone.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyserve.server.events import BootFailed, Cause, Event, Ready, Retiring, Worn
from pyserve.server.seats import COULD_NOT_BOOT

if TYPE_CHECKING:
    from pyserve.workers.logs.error_log import ErrorLog
    from pyserve.workers.worker import WorkerContext

Entry = Callable[["WorkerContext"], int]

_READ = 65536


@dataclass(slots=True)
class Child:
    """One worker process as the arbiter knows it. `fd`: the read end of its pipe, None when it has ended."""

    age: int
    pid: int
    seat: int
    slot: int
    fd: int | None
    failure: bytearray | None = None
    """What came after F: the exit code's octet and the reason."""
    sent: set[signal.Signals] = field(default_factory=set)

    def read(self) -> list[Event]:
        """What the worker has said since the last call. Never waits; closes the pipe at its end."""
        events: list[Event] = []
        while self.fd is not None:
            try:
                octets = os.read(self.fd, _READ)
            except BlockingIOError:
                break
            if not octets:
                self.close()
                break
            events += self._understand(octets)
        return events

    def _understand(self, octets: bytes) -> list[Event]:
        events: list[Event] = []
        for at, octet in enumerate(octets):
            if self.failure is not None:
                begun = bool(self.failure)
                self.failure += octets[at:]
                if not begun:
                    events.append(BootFailed(self.age, self.failure[0]))
                break
            match octet:
                case 0x52:  # R
                    events.append(Ready(self.age))
                case 0x57:  # W
                    events.append(Worn(self.age, Cause.REQUESTS))
                case 0x44:  # D
                    events.append(Retiring(self.age))
                case 0x46:  # F
                    self.failure = bytearray()
        return events

    def reason(self) -> str | None:
        """Why it could not boot, if it said so."""
        return self.failure[1:].decode("utf-8", "replace").strip() if self.failure else None

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


def work(entry: Entry, context: WorkerContext) -> int:
    """Be the worker until it ends. Gives the exit code.

    What the worker lets out it should have caught: while it boots the master is told, as of any boot failure;
    later there is a traceback in the log.
    """
    try:
        return entry(context)
    except BaseException as error:
        expected = isinstance(error, SystemExit)
        reason = f"SystemExit: {error}" if expected else traceback.format_exc()
    if not context.slot.booted_at:
        with contextlib.suppress(OSError):
            os.write(context.ready_fd, b"F" + bytes([COULD_NOT_BOOT]) + reason.encode("utf-8", "replace"))
        return COULD_NOT_BOOT
    context.log.error("Exception in worker process: %s", reason)
    return 1


def end(code: int, log: ErrorLog) -> None:
    """End this process now, without the master's `finally` blocks and without waiting for the application's threads.

    Functions registered with `atexit` run, as they do in gunicorn's workers: libraries send their last data there.
    """
    try:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except BaseException as error:
        log.debug("Exception while the worker ended: %r", error)
    finally:
        os._exit(code & 0xFF)


def pipe() -> tuple[int, int]:
    """A pipe of which the read end never waits."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    return reader, writer
