"""What the master says about its workers: the lines that people grep for, as gunicorn words them."""

from __future__ import annotations

import signal
import time
from typing import Final

from pyserve.server.children import Child
from pyserve.server.deaths import Killer, casualties, is_told
from pyserve.server.events import Cause, Condemn, Kill, Linger, News, Reason
from pyserve.workers.logs.error_log import ErrorLog
from pyserve.workers.scoreboard import Slot, State

_NEWS: Final = {
    News.RELOAD_DONE: "Reload: all workers are new",
    News.RELOAD_STOPPED: "Reload: a new worker could not boot, the old ones go on",
    News.NO_ROOM: "There is no room for another worker",
    News.LAST_WORKER: "One worker is the least",
    News.SUCCESSOR_FAILED: "A successor could not boot, the old worker goes on; it will be tried again",
    News.WAITING: "The application does not start: waiting for a change of its files",
}


_ENDING: Final = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT, signal.SIGKILL}


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

    def exit(self, child: Child, code: int, slot: Slot | None) -> bool:
        """A worker is gone. A reason that all workers share is told once, and not what the master cut short. Returns
        whether it has died while it served, and nobody knows in which request.

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
            served_on = bool(slot.booted_at) and slot.state is not State.DRAINING and not child.sent & _ENDING
            return served_on and not is_told(slot)
        return False

    def _tell_of_requests(self, child: Child, slot: Slot) -> None:
        """Which ones ended with a worker that had served, and had not let them finish."""
        count, which = casualties(slot) if slot.booted_at else (0, "")
        if count:
            self._log.error("Requests that ended with worker (pid:%s): %s", child.pid, which)
        elif which:
            self._log.info("Worker (pid:%s): %s", child.pid, which)

    def wary(self) -> None:
        """The next workers are."""
        self._log.info(
            "The next workers write down each request before it is served, so that another such death is told"
        )

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
    if not text:
        # A thread that holds the interpreter lock does not let the watcher publish; its own word is there.
        started = min((thread.started_ns for thread in slot.threads if thread.started_ns), default=0)
        text = "one request"
    return f": {text} for {(time.monotonic_ns() - started) / 1e9:.1f} s" if started else ""


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
