"""What the master hands to a worker process."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyserve.settings import Settings
    from pyserve.workers.application import Application
    from pyserve.workers.logs import ErrorLog
    from pyserve.workers.scoreboard import Scoreboard, Slot


@dataclass(slots=True)
class WorkerContext:
    """Everything a worker is born with. The master has forked; this is the child's.

    The signals that the master handles are back at their defaults (USR1, USR2, HUP, TTIN, TTOU, WINCH are
    ignored) until the worker sets its own; the slot is cleared, holds pid and age, and says BOOTING.
    """

    settings: Settings
    listeners: list[socket.socket]
    """Listening, non-blocking. With `reuse_port` they are this seat's own, else shared with all workers."""
    slot: Slot
    scoreboard: Scoreboard
    index: int
    """The worker's seat, from 0. Its successor gets the same one, also while this one still drains."""
    age: int
    """The spawn number, from 1; never given twice."""
    ready_fd: int
    """Write end of the pipe to the master: `b"R"` once the worker serves; later `b"D"` when it retires by
    itself, so that the master starts the successor at once; `b"F"` + one octet exit code + the reason in
    UTF-8 when it cannot boot, and then it exits with that code (3: could not boot, 4: the application could
    not be loaded)."""
    master_fd: int
    """Read end of a pipe that the master never writes to. End of file means that the master died: drain and
    exit."""
    application: Application | None
    """With `--preload` the loaded application; None: the worker loads it."""
    log: ErrorLog
    multiprocess: bool
    """Whether the application may run in another process at the same time (`wsgi.multiprocess`)."""
