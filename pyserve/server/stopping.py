"""How the server ends: the manner, the deadlines, the exit code."""

from __future__ import annotations

import enum
import signal
from typing import Final

from pyserve.server.events import Announce, Finish, GiveUp, Manner, Reason, StopListening
from pyserve.server.seats import Life, Member
from pyserve.server.staff import Staff, quick

QUICK_TIME: Final = 2.0
"""Seconds that a worker has for a quick stop, as with gunicorn."""


class Phase(enum.Enum):
    SERVING = "serving"
    ANNOUNCED = "announced"  # a graceful stop begins after `drain_delay`; until then the seats stay filled
    STOPPING = "stopping"
    QUITTING = "quitting"
    GONE = "gone"


MANNED: Final = (Phase.SERVING, Phase.ANNOUNCED)
"""Who dies is replaced."""


class Stopping:
    """phase: how far the server is on its way to the end. stop_at: when a stop that was announced begins."""

    def __init__(self, staff: Staff) -> None:
        self._staff = staff
        self._exit_code = 0
        self._gave_up = False
        self.stop_at: float | None = None
        self.phase = Phase.SERVING

    def stop(self, manner: Manner, now: float) -> None:
        """INT and QUIT are quick at any time. TERM again changes nothing, as with gunicorn: service managers signal a
        process and its group."""
        if manner is Manner.QUICK:
            if self.phase in MANNED:
                self._staff.out.append(StopListening())
            if self.phase not in (Phase.QUITTING, Phase.GONE):
                self._quit(now)
        elif self.phase is Phase.SERVING:
            delay = self._staff.policy.drain_delay
            if delay and any(member.life is Life.READY for member in self._staff.members.values()):
                self.phase = Phase.ANNOUNCED
                self.stop_at = now + delay
                self._staff.out.append(Announce(delay))
            else:
                self._drain(now)

    def tick(self, now: float) -> None:
        """Begin a stop that was announced, if it is time."""
        if self.phase is Phase.ANNOUNCED and self.stop_at is not None and now >= self.stop_at:
            self._drain(now)

    def give_up(self, code: int, now: float) -> None:
        """No worker can boot, and the next one could not either."""
        self._gave_up = True
        self._exit_code = code
        self._staff.out.append(GiveUp(code))
        self._quit(now)

    def gone(self, member: Member, code: int | None) -> None:
        """A process has ended on the way. One that had not served had nothing to cut, and the master's signal may have
        found it unprepared."""
        if code != 0 and member.ready_at is not None and not self._gave_up:
            self._exit_code = 1

    def finish(self) -> None:
        """Nobody is left."""
        self.phase = Phase.GONE
        self._staff.out.append(Finish(self._exit_code))

    def _drain(self, now: float) -> None:
        self.phase = Phase.STOPPING
        self.stop_at = None
        self._staff.out.append(StopListening())
        for member in self._staff.members.values():
            if member.life is not Life.LEAVING:
                self._staff.stop(member, signal.SIGTERM, self._staff.deadline(now), Reason.STOP)

    def _quit(self, now: float) -> None:
        self.phase = Phase.QUITTING
        self.stop_at = None
        for member in self._staff.members.values():
            self._staff.stop(member, quick(member), now + QUICK_TIME, Reason.STOP)
