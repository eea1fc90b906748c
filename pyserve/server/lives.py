"""Other lives and other masters, as the master's loop sees them (`takeover` is how they begin).

HUP    a trial begins; when it has passed, this process executes itself anew
USR2   a second master is started at the same sockets. It has its number in a pid file of its own, until this one
       ends and it is alone: then it takes the name over. While there are two, unix sockets stay in their places.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from dataclasses import replace

from pyserve.server import takeover
from pyserve.server.children import Child
from pyserve.server.equipment import Equipment
from pyserve.server.pidfile import SECOND, PidfileError
from pyserve.server.supervisor import Supervisor

_MOST = 16384
_WARNING = "pyserve: warning: "
_ERROR = "pyserve: "


class Lives:
    """trial: the process that tries out a next life. parent: the master that has started this one, as long as it lives.
    successor: the one that this has started. Process numbers, 0 for none."""

    def __init__(self, equipment: Equipment) -> None:
        self._is = equipment
        self._log = equipment.log
        self._said = -1  # what the trial writes to stderr
        self.trial = 0
        self.parent = equipment.before.parent if equipment.before is not None else 0
        self.successor = equipment.past.successor if equipment.past is not None else 0
        server = equipment.hooks.server
        server.master_pid, server.reexec_pid, server.master_name = self.parent, self.successor, self.name

    @property
    def name(self) -> str:
        """What gunicorn calls this master in its log."""
        return "Master.2" if self.parent else "Master"

    # HUP

    def begin_trial(self) -> None:
        """Another one that is under way is worth nothing any more: things have changed since."""
        self.end_trial()
        try:
            self._said = _scratch()
        except OSError as error:
            self._log.error("Reload: can't be tried out, the old workers go on: %s", error)
            return
        try:
            self.trial = takeover.try_out(self._is.origin, self._is.listeners.addresses(), self._said)
        except OSError as error:
            os.close(self._said)
            self._log.error("Reload: can't be tried out, the old workers go on: %s", error)

    def end_trial(self) -> None:
        """Another one is wanted, or none. The old one is reaped as a stranger."""
        if self.trial:
            os.kill(self.trial, signal.SIGKILL)
            self.trial = 0
            self._heard()

    def trial_ended(self, code: int, supervisor: Supervisor, family: Iterable[Child]) -> None:
        """Begin the next life if it went well; only returns when this life goes on."""
        self.trial = 0
        said = self._heard()
        if code != takeover.PASSED:
            why = said or ("the command cannot be run a second time" if code == 0 else "it said nothing")
            self._log.error("Reload: this would not start (exit code %s), the old workers go on: %s", code, why)
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
            record=replace(self._is.record, reloads=self._is.record.reloads + 1),
            pidfile=self._is.pidfile.path if self._is.pidfile is not None else None,
            bindfile=self._is.bindfile.hand_over() if self._is.bindfile is not None else None,
            control=self._is.control.hand_over() if self._is.control is not None else None,
            parent=self.parent,
            successor=self.successor,
            lasting=sorted(self._is.hooks.lasting),
            patience=self._is.settings.graceful_timeout,
        )
        self._log.info("Reload: the master starts itself anew")
        try:
            takeover.live_again(self._is.origin, inheritance, fds)
        except OSError as error:
            self._log.error("Reload: can't start anew, the old workers go on: %s", error)

    def _heard(self) -> str:
        """What the trial had to say: the error in one line, then what else there is. No warnings."""
        try:
            text = os.pread(self._said, _MOST, 0).decode("utf-8", "replace")
        finally:
            os.close(self._said)
        lines = [line for line in text.splitlines() if not line.startswith(_WARNING)]
        errors = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
        return "\n".join([*errors, *(line for line in lines if not line.startswith(_ERROR))]).strip()

    # USR2

    def upgrade(self) -> None:
        """Start a second master."""
        if self.successor or self.parent:
            self._log.warning("USR2 signal ignored. %s exists.", "Child" if self.successor else "Parent")
            return
        listeners, fds = self._is.listeners.hand_over()
        handover = takeover.Handover(listeners, os.getpid())
        try:
            self.successor = takeover.start_beside(self._is.origin, handover, fds, self._before_upgrade)
        except OSError as error:
            self._log.error("Can't start a new master: %s", error)
            return
        self._is.listeners.shared = True
        self._is.hooks.server.reexec_pid = self.successor
        self._log.info("A new master is started (pid:%s)", self.successor)

    def _before_upgrade(self) -> None:
        """In the process that is about to become the new master."""
        if not self._is.hooks.pre_exec():
            os._exit(1)

    def successor_ended(self, code: int) -> None:
        """The new master is gone: this one is alone, and goes on as it was."""
        self._log.warning("The new master (pid:%s) has ended with code %s", self.successor, code)
        self.successor = self._is.hooks.server.reexec_pid = 0
        self._is.listeners.shared = bool(self.parent)
        if self._is.bindfile is not None:
            self._is.bindfile.restore()

    def look_for_parent(self) -> None:
        """Called about once a second: is the master gone that has started this one?"""
        if not self.parent or os.getppid() == self.parent:
            return
        self._log.info("Master has been promoted.")
        self._is.listeners.shared = bool(self.successor)
        gone, self.parent = self.parent, 0
        self._is.hooks.server.master_pid, self._is.hooks.server.master_name = 0, self.name
        self._take_names(gone)

    def _take_names(self, gone: int) -> None:
        """Go on under the names that the master had which is gone."""
        pidfile, control = self._is.pidfile, self._is.control
        try:
            if pidfile is not None:
                pidfile.rename(pidfile.path.removesuffix(SECOND), gone)
        except PidfileError as error:
            self._log.error("%s", error)
        try:
            if control is not None:
                control.promote()
        except OSError as error:
            self._log.error("The control socket stays at %s: %s", control.path if control else "", error.strerror)


def _scratch() -> int:
    """A file without a name."""
    return os.memfd_create("pyserve-trial") if hasattr(os, "memfd_create") else os.open(os.devnull, os.O_RDWR)
