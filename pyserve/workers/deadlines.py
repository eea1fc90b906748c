"""What one scan a second judges of a connection: the peer's deadlines (no timer belongs to a connection).

    HEAD   header_timeout from the head's first octet, or from the connection's beginning, to its last
    BODY   body_timeout from the last octet, as long as somebody waits for more, and no slower than body_min_rate
    IDLE   keepalive from the end of the last response
    output write_timeout from the last octet that the peer took, while some wait, and no slower than write_min_rate
    linger `LINGER` from the half-close

and of a request the application's: request_timeout from the application's call to the end of the response (`overdue`).

A worker that ends waits for less: a head of which nothing more comes for `ARRIVING` seconds is closed; one that is
still coming has `_HEAD_AT_THE_END`. No request is lost by that: none had come whole, and 408 says that it may be sent
again (RFC 9110 section 15.5.9). A connection on which nothing was ever asked is idle like others, but has `ARRIVING`
in any case: its first request may be on its way.

A deadline is met late by up to the time between two scans (`Deadlines.step`). The rates are those of `pace`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import TYPE_CHECKING

from pyserve.protocol.http1 import Awaiting
from pyserve.workers.pace import Pace, regain
from pyserve.workers.scoreboard import TIMEOUTS_BODY, TIMEOUTS_HEADER, TIMEOUTS_KEEPALIVE, TIMEOUTS_WRITE

if TYPE_CHECKING:
    from pyserve.protocol.errors import ProtocolError
    from pyserve.settings import Settings
    from pyserve.workers.async_worker.stream import Stream

LINGER = 2.0  # seconds
# Octets thrown away after the half-close. What an upload that is answered early may have under way, in the buffers of
# both kernels: less, and clients that are only slow to look are reset, and many then do not read the answer. Who broke
# the protocol in another way than by too much content may go on without end, and gets less.
_ANSWERED = 16 * 1024 * 1024
_REFUSED = 1024 * 1024
ARRIVING = 2.0  # seconds of silence in which a head that is on its way comes, or at least begins
_HEAD_AT_THE_END = 5.0


def throws_away(octets: int, error: ProtocolError | None) -> bool:
    """Tell whether a lingering connection of which so many octets were thrown away may have more of them thrown away.
    error: the peer's, if that has ended the connection."""
    return octets <= (_ANSWERED if error is None or error.status == 413 else _REFUSED)


class Phase(Enum):
    """How far a connection has come."""

    SERVING = "serving"
    LINGERING = "lingering"  # all is handed to the transport; what comes is thrown away until the peer closes
    CLOSED = "closed"


@dataclass(slots=True)
class Deadlines:
    """Seconds, inf where there is none, and octets a second, 0 where there is no such limit.

    retired_at: since when idle connections are only waited for (monotonic). arriving, unasked: how long a head that has
    begun, and a connection without any, may be silent.
    """

    head: float
    body: float
    idle: float
    write: float
    body_rate: int = 0
    write_rate: int = 0
    retired_at: float = 0.0
    request: float = inf
    arriving: float = inf
    unasked: float = inf

    @classmethod
    def of(cls, settings: Settings) -> Deadlines:
        """What the settings say; 0 there is no deadline."""
        return cls(
            settings.header_timeout or inf,
            settings.body_timeout or inf,
            settings.keepalive or inf,
            settings.write_timeout or inf,
            settings.body_min_rate if settings.body_timeout else 0,
            settings.write_min_rate if settings.write_timeout else 0,
            request=settings.request_timeout or inf,
        )

    @property
    def step(self) -> float:
        """Seconds between two scans."""
        least = min(self.head, self.body, self.idle, self.write, self.request, self.arriving)
        return max(0.02, min(1.0, least / 4))

    def inward(self, message: int, octets: int) -> Pace:
        """The credit of a peer whose content is waited for; see `Pace`."""
        return Pace(self.body, self.body_rate, message, octets)

    def outward(self, message: int, octets: int) -> Pace:
        """The credit of a peer that is to take a response."""
        return Pace(self.write, self.write_rate, message, octets)

    def retire(self, now: float, idle: float) -> None:
        """From now on idle connections are waited for at most so long, and heads that do not come for no longer."""
        self.retired_at = now
        self.idle = min(self.idle, idle)
        self.head = min(self.head, _HEAD_AT_THE_END)
        self.arriving = ARRIVING
        self.unasked = max(self.idle, ARRIVING)


def overstays(stream: Stream, deadlines: Deadlines, now: float) -> bool:
    """Tell whether a connection of which our side is closed has lingered for long enough."""
    if stream.phase is not Phase.LINGERING:
        return False
    if stalls(stream, deadlines, now):
        return True
    if stream.progress >= 0:
        stream.began = now  # it lingers from when all is written
    return now - stream.began > LINGER


def missed(stream: Stream, deadlines: Deadlines, now: float) -> int | None:
    """Tell which deadline a connection that is served has missed: an index of the scoreboard's counters, or None."""
    if stream.phase is not Phase.SERVING:
        return None
    if stalls(stream, deadlines, now):
        return TIMEOUTS_WRITE
    awaiting = stream.wire.awaiting
    # Else octets wait for the peer to take them, or what it sends waits for the application.
    waits = stream.progress < 0 and stream.reading
    if awaiting is Awaiting.BODY:
        return TIMEOUTS_BODY if starves(stream, deadlines, now, waits and stream.awaited) else None
    if not waits or awaiting is Awaiting.NOTHING or stream.exchange is not None:
        return None
    silent = now - max(stream.touched, deadlines.retired_at)
    if stream.idle:
        if silent > (deadlines.idle if stream.wire.served else deadlines.unasked):
            return TIMEOUTS_KEEPALIVE
    elif stream.began and silent > deadlines.arriving:
        return TIMEOUTS_HEADER
    if awaiting is Awaiting.HEAD and stream.began and now - max(stream.began, deadlines.retired_at) > deadlines.head:
        return TIMEOUTS_HEADER
    return None


def starves(stream: Stream, deadlines: Deadlines, now: float, awaited: bool) -> bool:
    """Tell whether content is waited for, and none comes or it comes too slowly."""
    exchange = stream.wire.exchange
    if exchange is None:
        return False
    if not awaited:
        stream.touched = now  # the time runs from when somebody waits
    elif now - stream.touched > deadlines.body:
        return True
    if not deadlines.body_rate:
        return False
    pace = stream.pace
    if pace is None or pace.message != stream.wire.served:
        pace = stream.pace = deadlines.inward(stream.wire.served, exchange.received)
    return pace.look(exchange.received + stream.partial, now, awaited)


def stalls(stream: Stream, deadlines: Deadlines, now: float) -> bool:
    """Tell whether octets wait to be written and the peer takes none, or takes them too slowly.

    `stream.progress` is how many it has taken of all that were handed out, -1 while none wait; `stream.progressed` is
    when that last changed, or earlier for one that is slow.
    """
    waiting = stream.transport.get_write_buffer_size()
    if not waiting and not stream.sending_file:
        stream.progress = -1
        return False
    progress = stream.written - waiting
    if stream.progress < 0:
        stream.progressed = now
    else:
        stream.progressed = regain(stream.progressed, progress - stream.progress, now, deadlines.write_rate)
    stream.progress = progress
    return now - stream.progressed > deadlines.write
