"""What the master says about its workers: the lines that people grep for, as gunicorn words them."""

from __future__ import annotations

import signal
import time
from typing import Final

from pyserve.server.children import Child
from pyserve.server.deaths import Killer, casualties
from pyserve.server.events import Cause, Condemn, Kill, Linger, News, Reason
from pyserve.workers import notes
from pyserve.workers.logs.error_log import ErrorLog
from pyserve.workers.scoreboard import NOTES, Slot

_NEWS: Final = {
    News.RELOAD_DONE: "Reload: all workers are new",
    News.RELOAD_STOPPED: "Reload: a new worker could not boot, the old ones go on",
    News.NO_ROOM: "There is no room for another worker",
    News.LAST_WORKER: "One worker is the least",
    News.SUCCESSOR_FAILED: "A successor could not boot, the old worker goes on; it will be tried again",
    News.WAITING: "The application does not start: waiting for a change of its files",
}

_A_LINE: Final = 20  # requests


class Reports:
    """Writes them to the error log."""

    def __init__(self, log: ErrorLog) -> None:
        self._log = log
        self._reason: str | None = None
        self._killer = Killer()

    def forget(self) -> None:
        """Things have changed: the same reason is worth telling again."""
        self._reason = None

    def news(self, news: News) -> None:
        say = self._log.info if news is News.RELOAD_DONE else self._log.warning
        say("%s", _NEWS[news])

    def announce(self, delay: float) -> None:
        self._log.info("Stopping in %g s: until then connections are accepted, and closed after a response", delay)

    def condemn(self, order: Condemn) -> None:
        """A worker is going to be replaced. Of --max-requests it says so itself, when it begins."""
        say = self._log.debug if order.cause is Cause.REQUESTS else self._log.info
        say("Worker (pid:%s) has reached its %s and will be replaced", order.pid, order.cause.value)

    def linger(self, order: Linger) -> None:
        """A worker does not come to serve."""
        meanwhile = ", the old worker serves on" if order.heir else ""
        self._log.warning("Worker (pid:%s) is still booting after %d s%s", order.pid, order.seconds, meanwhile)

    def give_up(self, code: int) -> None:
        self._log.error("No worker can boot: giving up with exit code %s", code)

    def kill(self, order: Kill, slot: Slot | None) -> None:
        """A worker is about to be sent a signal."""
        if order.signal is signal.SIGABRT:
            self._log.critical("WORKER TIMEOUT (pid:%s)%s", order.pid, _occupation(slot))
        elif order.signal is signal.SIGKILL:
            late = "did not end in time" if order.reason is Reason.LATE else "did not end by SIGABRT"
            self._log.warning("Worker (pid:%s) %s: SIGKILL", order.pid, late)
        else:
            self._log.debug("Worker (pid:%s): %s, %s", order.pid, order.signal.name, order.reason.value)

    def exit(self, child: Child, code: int, slot: Slot | None) -> None:
        """A worker is gone. A reason that all workers share is told once, and not what the master cut short.

        slot: what it has written to the scoreboard.
        """
        by_master = -code in child.sent
        reason = child.reason()
        if reason and reason != self._reason and not by_master:
            self._reason = reason
            self._log.error("Worker (pid:%s) could not boot: %s", child.pid, reason)
        if code == 0 or (by_master and code != -signal.SIGKILL):
            self._log.debug("Worker (pid:%s) is gone", child.pid)
        elif code > 0:
            self._log.error("Worker (pid:%s) exited with code %s.", child.pid, code)
        elif code == -signal.SIGKILL and not by_master:
            verdict = self._killer.verdict()
            self._log.error(
                "Worker (pid:%s) was sent SIGKILL! Perhaps out of memory?%s", child.pid, verdict and f" {verdict}"
            )
        else:
            self._log.error("Worker (pid:%s) was sent %s!", child.pid, _name(-code))
        if code and not (by_master and code != -signal.SIGKILL) and slot is not None:
            self._tell_of_requests(child, slot)

    def _tell_of_requests(self, child: Child, slot: Slot) -> None:
        """Which ones ended with a worker that had served, and had not let them finish."""
        if not slot.booted_at:
            return
        lost = casualties(slot)
        if not lost:
            self._log.info("Worker (pid:%s): no request ended with it", child.pid)
        for first in range(0, len(lost), _A_LINE):
            which = f"{len(lost)} in progress" if not first else f"{first + 1} and on of {len(lost)}"
            named = ", ".join(lost[first : first + _A_LINE])
            self._log.error("Requests that ended with worker (pid:%s): %s: %s", child.pid, which, named)
        if not notes.is_all(slot):
            text = "Worker (pid:%s): those on descriptors from %d on are not known"
            self._log.warning(text, child.pid, NOTES)

    def served(self, child: Child, slot: Slot) -> None:
        """A worker is gone: what it has counted."""
        counted = slot.totals()
        self._log.debug(
            "Worker (pid:%s) served %d requests, errors: %d, bytes in: %d, out: %d, "
            "timeouts: header %d, body %d, keep-alive %d, write %d, request %d",
            child.pid,
            counted.requests,
            counted.errors,
            counted.bytes_in,
            counted.bytes_out,
            counted.header,
            counted.body,
            counted.keepalive,
            counted.write,
            counted.request,
        )


def _occupation(slot: Slot | None) -> str:
    """`: GET /slow for 31.2 s`, as far as the worker has told."""
    if slot is None:
        return ""
    text, started = slot.published() or ("", 0)
    if text:
        return f": {text} for {(time.monotonic_ns() - started) / 1e9:.1f} s"
    # A thread that holds the interpreter lock does not let the watcher publish; the notes are there.
    oldest, *others = casualties(slot) or [""]
    return f": {oldest}{f' (and {len(others)} others)' if others else ''}" if oldest else ""


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
