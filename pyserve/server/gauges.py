"""What the master measures for statsd, told through its log as gunicorn tells it: text for the log at level debug, and
the metric in `extra`."""

from __future__ import annotations

import socket
import sys
from typing import Final

from pyserve.server.sockets import Listeners
from pyserve.workers.logs.error_log import ErrorLog

PERIOD: Final = 1.0
"""Seconds between two looks at what waits to be accepted."""


class Gauges:
    """gunicorn.workers whenever their number has changed, and gunicorn.backlog once in `PERIOD` where listeners are
    given."""

    def __init__(self, log: ErrorLog, listeners: Listeners | None) -> None:
        self._log = log
        self._listeners = listeners
        self._workers = -1
        self._due = 0.0

    def look(self, workers: int, now: float) -> None:
        """Tell what has changed. now: monotonic seconds."""
        if workers != self._workers:
            self._workers = workers
            extra = {"metric": "gunicorn.workers", "value": workers, "mtype": "gauge"}
            self._log.debug("%d workers", workers, extra=extra)
        if self._listeners is not None and now >= self._due:
            self._due = now + PERIOD
            waiting = sum(map(waiting_at, self._listeners.all()))
            extra = {"metric": "gunicorn.backlog", "value": waiting, "mtype": "histogram"}
            self._log.debug("socket backlog: %d", waiting, extra=extra)


def waiting_at(listener: socket.socket) -> int:
    """How many connections wait to be accepted; 0 for unix sockets, of which nobody knows.

    That is `tcpi_unacked` of `struct tcp_info` (linux/tcp.h), which for a listener is the length of its queue.
    """
    try:
        info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28)
    except (AttributeError, OSError):
        return 0
    return int.from_bytes(info[24:28], sys.byteorder)
