"""A next life that cannot read its configuration, which was good in the trial just before: it waits, and is begun once
more. The workers of the life before serve meanwhile, so their master must not end; nor can it be one without settings.

A stop is as any other: nobody begins to connect any more, the workers drain or are cut, one that does not end in its
time is killed, and what the server had made in the file system goes with it. Only there is no log to say so in.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Final

from pyserve.server.bindfile import BindFile
from pyserve.server.control import Control
from pyserve.server.pidfile import Pidfile
from pyserve.server.sockets import Listeners
from pyserve.server.staff import LATE_MARGIN
from pyserve.server.stopping import QUICK_TIME
from pyserve.server.takeover import AGAIN, VARIABLE, Inheritance, Origin, left_behind
from pyserve.workers.scoreboard import Scoreboard

_LOOK: Final = 0.05  # seconds between two looks at which workers have ended
_QUICK: Final = (signal.SIGINT, signal.SIGQUIT)
_STOPS: Final = (signal.SIGTERM, *_QUICK)


def second_chance() -> Callable[[], int] | None:
    """In a life whose workers serve already, to be asked for before anything is read: what to call when the
    configuration is not good any more. It waits, and begins this life once more; HUP does that at once. It only returns
    when a stop signal has come and the workers have ended: the exit code."""
    left = left_behind()
    if left is None:
        return None
    origin, life = Origin.now(), os.environ[VARIABLE]

    def try_again() -> int:
        # All of them are held back until this life has its handlers.
        came = signal.sigtimedwait([*_STOPS, signal.SIGHUP], AGAIN)
        if came is None or came.si_signo not in _STOPS:
            origin.execute(life)
        assert came is not None
        return _stop(left, came.si_signo)

    return try_again


def _stop(left: Inheritance, number: int) -> int:
    """Stop what another life has begun; 1 where a worker was cut off."""
    listeners = Listeners(Listeners.take_over(left.listeners), backlog=0)
    listeners.shared = bool(left.parent or left.successor)
    with contextlib.ExitStack() as stack:
        if left.pidfile is not None:
            stack.callback(Pidfile(left.pidfile).remove)
        for made in (BindFile.take_over(left.bindfile), Control.take_over(left.control)):
            if made is not None:
                stack.callback(made.remove if isinstance(made, BindFile) else made.close)
        if left.board is not None:
            with contextlib.suppress(OSError, ValueError):
                Scoreboard.attach(left.board).stopping = True
        listeners.bar()
        listeners.close()
        return _end_workers({member.pid for member in left.members if member.pid}, number, left.patience)


def _end_workers(workers: set[int], number: int, patience: float) -> int:
    """Send them the signal and wait. A quick one may follow a slow one; who does not end in time is killed."""
    _send(workers, number)
    until = _until(number, patience)
    code = 0
    while True:
        for pid in tuple(workers):
            with contextlib.suppress(ChildProcessError):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if not ended:
                    continue
                code = code or int(status != 0)
            workers.discard(pid)
        if not workers:
            return code
        if time.monotonic() > until:
            _send(workers, signal.SIGKILL)
        came = signal.sigtimedwait(_QUICK, _LOOK)
        if came is not None and number not in _QUICK:
            number = came.si_signo
            _send(workers, number)
            until = _until(number, patience)


def _until(number: int, patience: float) -> float:
    seconds = QUICK_TIME if number in _QUICK else patience + LATE_MARGIN if patience else float("inf")
    return time.monotonic() + seconds


def _send(workers: set[int], number: int) -> None:
    for pid in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
