"""How signals reach the master's loop: Python writes each one's number to a socket that the loop watches.

Nothing is done in a handler, so a signal can never find the master in the middle of something. The one exception
is the start: while the master loads an application or waits for an address, nobody watches the socket, and as
process 1 of a container it would not even die of SIGTERM. Until `attend`, a signal that stops raises Interrupted.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator
from types import FrameType
from typing import Any

from pyserve.server import signals


class Interrupted(BaseException):
    """A signal wants the server stopped while it still starts."""


_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class Wakeup:
    """The wake-up socket and the handlers that make Python write to it. Main thread only."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._before: dict[signal.Signals, Any] = {}
        self._fd_before = -1
        self.interrupted: signal.Signals | None = None

    def install(self) -> None:
        """From here on no handled signal is lost, also one that came while it was blocked."""
        self._fd_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in signals.HANDLED:
            handler = self._interrupt if number in _STOPS else _wake
            self._before[number] = signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.HANDLED)

    def attend(self) -> None:
        """The loop watches now: stop signals are numbers like all the others."""
        for number in _STOPS:
            signal.signal(number, _wake)
        if self.interrupted:  # and somebody has swallowed the exception
            raise Interrupted

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = signal.Signals(number)
        raise Interrupted

    def fileno(self) -> int:
        return self._reader.fileno()

    def read(self) -> list[int]:
        """The numbers of the signals that came, in their order."""
        try:
            return list(self._reader.recv(4096))
        except BlockingIOError:
            return []

    def close(self) -> None:
        """Everything as it was before `install`."""
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before.clear()
        signal.set_wakeup_fd(self._fd_before)
        self._reader.close()
        self._writer.close()

    def leave_to_child(self) -> None:
        """In a fresh worker, with `blocked` around the fork: its signals are its own affair from here on."""
        signal.set_wakeup_fd(-1)
        for number in signals.WORKER_DEFAULTS:
            signal.signal(number, signal.SIG_DFL)
        for number in signals.WORKER_IGNORES:
            signal.signal(number, signal.SIG_IGN)
        self._reader.close()
        self._writer.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.HANDLED)


def _wake(number: int, frame: FrameType | None) -> None:
    """What counts is the number that Python has written already."""


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Hold handled signals back. Around a fork: one that comes before the child has let go of the master's
    handlers would be written to the master's socket, and stop the whole server instead of one worker."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals.HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
