"""How signals reach the master's loop: Python writes each one's number to a socket that the loop watches.

Nothing is done in a handler, so a signal can never find the master in the middle of something. The one exception
is the start: while the master loads an application or waits for an address, nobody watches the socket, and as
process 1 of a container it would not even die of SIGTERM. There, a signal that stops raises Interrupted
(`interruptible`).
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
_ROOM = 4096


class Wakeup:
    """The wake-up socket and the handlers that make Python write to it. Main thread only.

    interrupted: the signal for which Interrupted was raised.
    """

    def __init__(self, ends: tuple[int, int] | None = None) -> None:
        """ends: of the socket that an earlier life of this process has left; what was written to it is read here."""
        if ends is None:
            self._reader, self._writer = socket.socketpair()
        else:
            self._reader, self._writer = (socket.socket(fileno=fd) for fd in ends)
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._before: dict[signal.Signals, Any] = {}
        self._fd_before = -1
        self.interrupted: signal.Signals | None = None

    def install(self) -> None:
        """From here on no handled signal is lost, also one that came while it was blocked."""
        self._fd_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in signals.HANDLED:
            self._before[number] = signal.signal(number, _wake)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.HANDLED)

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Raise Interrupted for a signal that stops, from one that waits in the socket to one that comes within.

        Whoever swallows the exception meets it again at the end. The signal's number stays in the socket.
        """
        try:
            for number in _STOPS:
                signal.signal(number, self._interrupt)
            if self.interrupted is None and (waiting := self.stop_waits()) is not None:
                self._interrupt(waiting, None)
            yield
        finally:
            for number in _STOPS:
                signal.signal(number, _wake)
        if self.interrupted:
            raise Interrupted

    def stop_waits(self) -> signal.Signals | None:
        """The first signal in the socket that is to stop the server; nothing is read."""
        try:
            waiting = self._reader.recv(_ROOM, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        return next((signal.Signals(number) for number in waiting if number in _STOPS), None)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = signal.Signals(number)
        raise Interrupted

    @property
    def ends(self) -> tuple[int, int]:
        """The descriptors of the socket, for the next life of this process."""
        return self._reader.fileno(), self._writer.fileno()

    def fileno(self) -> int:
        return self._reader.fileno()

    def read(self) -> list[int]:
        """The numbers of the signals that came, in their order."""
        try:
            return list(self._reader.recv(_ROOM))
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
