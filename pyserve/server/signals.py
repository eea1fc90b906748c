"""The one table of signals. `python -m pyserve.server.signals` prints docs/signals.md from it.

A handler does nothing but exist: Python then writes the signal's number to the wake-up descriptor, and the
master's loop looks it up here.
"""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from typing import Final

from pyserve.server.events import Dismiss, Event, Fewer, Manner, More, Reload, Reopen, Stop, Upgrade


@dataclass(frozen=True, slots=True)
class Row:
    """What one signal means. `event` None: the master only wakes up (or only says that it heard)."""

    signal: signal.Signals
    event: Event | None
    master: str
    worker: str
    quiet: bool = False


TABLE: Final = (
    Row(
        signal.SIGTERM,
        Stop(Manner.GRACEFUL),
        "Graceful stop, after `--drain-delay`: no new connections, requests in progress have `--graceful-timeout` "
        "seconds to finish, and idle connections, also of clients that have not read their response yet, "
        "`--drain-idle` seconds for one more. INT or QUIT meanwhile makes it quick; TERM again changes nothing.",
        "Graceful stop of this worker. The master starts another one.",
    ),
    Row(
        signal.SIGINT,
        Stop(Manner.QUICK),
        "Quick stop: workers have 2 seconds. Ctrl-C sends this to the workers, too.",
        "Quick stop of this worker.",
    ),
    Row(signal.SIGQUIT, Stop(Manner.QUICK), "Quick stop, like INT.", "Quick stop of this worker."),
    Row(
        signal.SIGHUP,
        Reload(),
        "Reload. The configuration is read again, and with `--preload` the application is loaded, in a process of "
        "its own first: when something is wrong there, the log says so and nothing changes. Else the master starts "
        "itself anew, with the same process number and the same sockets, and replaces one worker after the other: "
        "each old one stops gracefully when its successor is ready. A new worker that cannot boot ends the reload, "
        "and the old ones go on. After WINCH: its workers again, at once, and nothing is read.",
        "Ignored.",
    ),
    Row(signal.SIGTTIN, More(), "One worker more.", "Ignored."),
    Row(signal.SIGTTOU, Fewer(), "One worker less, down to one.", "Ignored."),
    Row(
        signal.SIGUSR1,
        Reopen(),
        "Open the log files anew, in the master and in all workers (after log rotation).",
        "Open the log files anew, in this worker.",
    ),
    Row(
        signal.SIGUSR2,
        Upgrade(),
        "Start a second master, of the program as it is installed now, at the same sockets. Its process number is in "
        "the pid file with `.2` at the end. Then TERM to the old one (or QUIT, when its workers have gone after WINCH) "
        "leaves the new one alone, which takes the pid file over; or, to go back, HUP to the old one (after WINCH) "
        "and TERM to the new one.",
        "Ignored.",
    ),
    Row(
        signal.SIGWINCH,
        Dismiss(),
        "While there is a second master: all workers of this one stop gracefully, and none comes. Else ignored, as a "
        "terminal sends it when its size changes.",
        "Ignored.",
        quiet=True,
    ),
    Row(signal.SIGCHLD, None, "A process has ended: it is waited for.", "The application's own affair.", quiet=True),
    Row(
        signal.SIGABRT,
        None,
        "Not handled.",
        "Sent by the master when the worker was silent for `--timeout` seconds: it logs the stack of every thread "
        "and ends with code 1. SIGKILL follows 2 seconds later.",
        quiet=True,
    ),
)

HANDLED: Final = tuple(row.signal for row in TABLE if row.signal is not signal.SIGABRT)
"""The signals that the master installs a handler for."""

WORKER_IGNORES: Final = (
    signal.SIGHUP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
)
"""What a fresh worker ignores; it gives USR1 a meaning once it can."""

WORKER_DEFAULTS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD, signal.SIGABRT)
"""What has its default action in a fresh worker: while it boots, the signals that stop it just end it."""

BY_NUMBER: Final = {int(row.signal): row for row in TABLE}


def short_name(number: signal.Signals) -> str:
    """`term` for SIGTERM, as gunicorn's log lines have it."""
    return number.name.removeprefix("SIG").lower()


def document() -> str:
    """The text of docs/signals.md."""
    lines = [
        "# Signals",
        "",
        "<!-- Made by `python -m pyserve.server.signals > docs/signals.md`; a test compares. -->",
        "",
        "| signal | to the master (the process in `--pid`) | to one worker |",
        "|---|---|---|",
    ]
    lines += [f"| {row.signal.name.removeprefix('SIG')} | {row.master} | {row.worker} |" for row in TABLE]
    lines += [
        "",
        "While a worker boots, TERM, INT and QUIT end it at once. When the master dies, its workers notice, stop",
        "gracefully and end.",
        "",
        "Exit codes of the master: 0 after a clean stop, 1 when a worker had to be cut off or the server could not",
        "listen, 2 for a wrong command line, 3 when no worker could boot, 4 when the application could not be loaded.",
        "A setting that is wrong ends it with 2 when it was given on the command line and with 1 anywhere else; so",
        "does `--worker-class sync` with an ASGI application.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
