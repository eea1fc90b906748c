"""What one scan a second judges of a connection: the peer's deadlines (no timer belongs to a connection).

    HEAD   header_timeout from the head's first octet, or from the connection's beginning, to its last
    BODY   body_timeout from the last octet, as long as somebody waits for more
    IDLE   keepalive from the end of the last response
    output write_timeout from the last octet that the peer took, while some wait
    linger `LINGER` from the half-close

A deadline is met late by up to the time between two scans (`Deadlines.step`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import TYPE_CHECKING

from pyserve.protocol.http1 import Awaiting
from pyserve.workers.scoreboard import TIMEOUTS_BODY, TIMEOUTS_HEADER, TIMEOUTS_KEEPALIVE, TIMEOUTS_WRITE

if TYPE_CHECKING:
    from pyserve.settings import Settings
    from pyserve.workers.stream import Stream

LINGER = 2.0  # seconds


class Phase(Enum):
    """How far a connection has come."""

    SERVING = "serving"
    LINGERING = "lingering"  # all is handed to the transport; what comes is thrown away until the peer closes
    CLOSED = "closed"


@dataclass(slots=True)
class Deadlines:
    """Seconds; inf where there is none. retired_at: since when idle connections are only waited for (monotonic)."""

    head: float
    body: float
    idle: float
    write: float
    retired_at: float = 0.0

    @classmethod
    def of(cls, settings: Settings) -> Deadlines:
        """What the settings say; 0 there is no deadline."""
        return cls(
            settings.header_timeout or inf,
            settings.body_timeout or inf,
            settings.keepalive or inf,
            settings.write_timeout or inf,
        )

    @property
    def step(self) -> float:
        """Seconds between two scans."""
        return max(0.02, min(1.0, min(self.head, self.body, self.idle, self.write) / 4))

    def retire(self, now: float, idle: float) -> None:
        """From now on idle connections are waited for at most so long."""
        self.retired_at = now
        self.idle = min(self.idle, idle)


def overstays(stream: Stream, deadlines: Deadlines, now: float) -> bool:
    """Tell whether a connection of which our side is closed has lingered for long enough."""
    if stream.phase is not Phase.LINGERING:
        return False
    if stalls(stream, deadlines.write, now):
        return True
    if stream.progress >= 0:
        stream.began = now  # it lingers from when all is written
    return now - stream.began > LINGER


def missed(stream: Stream, deadlines: Deadlines, now: float) -> int | None:
    """Tell which deadline a connection that is served has missed: an index of the scoreboard's counters, or None."""
    if stream.phase is not Phase.SERVING:
        return None
    if stalls(stream, deadlines.write, now):
        return TIMEOUTS_WRITE
    if stream.progress >= 0 or not stream.reading:
        return None  # octets wait for the peer to take them, or what it sends waits for the application
    awaiting = stream.wire.awaiting
    if awaiting is Awaiting.BODY:
        return TIMEOUTS_BODY if now - stream.touched > deadlines.body and stream.awaited else None
    if awaiting is Awaiting.NOTHING or stream.exchange is not None:
        return None
    # A connection on which nothing was asked yet is as good as idle once the worker retires.
    waits = stream.idle and bool(stream.wire.served or deadlines.retired_at)
    if waits and now - max(stream.touched, deadlines.retired_at) > deadlines.idle:
        return TIMEOUTS_KEEPALIVE
    if awaiting is Awaiting.HEAD and stream.began and now - stream.began > deadlines.head:
        return TIMEOUTS_HEADER
    return None


def stalls(stream: Stream, limit: float, now: float) -> bool:
    """Tell whether octets wait to be written and the peer has taken none for `limit` seconds.

    `stream.progress` is how many it has taken of all that were handed out, -1 while none wait; `stream.progressed` is
    when that last changed.
    """
    waiting = stream.transport.get_write_buffer_size()
    if not waiting and not stream.sending_file:
        stream.progress = -1
        return False
    progress = stream.written - waiting
    if progress != stream.progress:
        stream.progress = progress
        stream.progressed = now
    return now - stream.progressed > limit
