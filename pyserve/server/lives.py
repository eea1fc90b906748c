"""The next life of the master, as its loop sees it: a trial begins, it ends, and then the process executes itself anew
(`takeover` is how)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

from pyserve.server import takeover
from pyserve.server.children import Child
from pyserve.server.equipment import Equipment
from pyserve.server.supervisor import Supervisor


class Lives:
    """trial: the process that tries out the new code, or None."""

    def __init__(self, equipment: Equipment) -> None:
        self._is = equipment
        self._log = equipment.log
        self.trial: int | None = None

    def begin_trial(self) -> None:
        """Another one that is under way is worth nothing any more."""
        self.end_trial()
        try:
            self.trial = takeover.try_out(self._is.origin)
        except OSError as error:
            self._log.error("Reload: can't try out the new code: %s", error)

    def end_trial(self) -> None:
        """Another one is wanted, or none. The old one is reaped as a stranger."""
        if self.trial is not None:
            os.kill(self.trial, signal.SIGKILL)
            self.trial = None

    def trial_ended(self, code: int, supervisor: Supervisor, family: Iterable[Child]) -> None:
        """Begin the next life if it went well; only returns when this life goes on."""
        self.trial = None
        if code != 0:
            self._log.error("Reload: the new code does not start (exit code %s), the old workers go on", code)
            return
        listeners, fds = self._is.listeners.hand_over()
        inheritance = takeover.Inheritance(
            listeners=listeners,
            board=self._is.board.fd,
            alive=self._is.alive,
            wakeup=self._is.wakeup.ends,
            members=supervisor.members,
            pipes={child.age: child.fd for child in family if child.fd is not None},
            last_age=supervisor.last_age,
            wanted=supervisor.wanted,
        )
        self._log.info("Reload: the master starts itself anew")
        try:
            takeover.live_again(self._is.origin, inheritance, fds)
        except OSError as error:
            self._log.error("Reload: can't start anew, the old workers go on: %s", error)
