"""One connection of the async worker: an `asyncio.Protocol` between a transport and a wire.

    data_received -> wire.receive -> exchange -> begin (what that does is the subclass's)
    wire.out -> flush -> transport.write, or the queue behind a file that is being sent

The rules:

* Reading goes on during an exchange, so that a peer that leaves is noticed; it pauses while more than `HIGH_WATER`
  octets wait to be taken.
* FIN is not death: what was asked for whole is answered in full. Loss is: waiters wake and find `exchange.gone`.
* The next request that is already here begins from the loop (`call_soon`), never from inside a `send` or a task:
  a peer that pipelines without end must neither nest calls nor keep others waiting.
* No timer belongs to a connection; `deadlines.check` looks at all of them about once a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.exchange import Data, Exchange, Receiving, Sending
from pyserve.protocol.http1 import Awaiting, Http1Wire, Persistence
from pyserve.workers.async_worker.lane import SMALL
from pyserve.workers.async_worker.parting import forget, half_close, shut_down
from pyserve.workers.async_worker.registry import Door, Registry
from pyserve.workers.async_worker.waiters import Waiters
from pyserve.workers.async_worker.writer import HIGH_WATER, Writer
from pyserve.workers.deadlines import Phase, throws_away
from pyserve.workers.pace import Pace
from pyserve.workers.proxies import remote_of

if TYPE_CHECKING:
    from pyserve.protocol.proxy import ProxyHeader
    from pyserve.workers.tls.channel import TlsChannel


_BURST = 0.001  # seconds
_GATHERED = 8  # pieces
_SMALL = 16384  # octets of a piece that is worth gathering
_PRESSING = HIGH_WATER // 2  # octets that count as large: see `Writer.press`

_DONE = Sending.DONE
_CLOSE, _UPGRADE = Persistence.CLOSE, Persistence.UPGRADE
_SERVING = Phase.SERVING


class Stream(Writer):
    """The driver of one connection.

    remote: the peer's address as text, "" on a unix socket.
    exchange: the one being answered, or None.
    touched: when octets last came or a response ended (monotonic seconds, as all times here).
    began: when the head that is awaited began, 0.0 while nothing of it has come; once lingering, when that began.
    partial: octets that have come of a TLS record that is not complete. slow: whether it is in the slow lane (`lane`).
    place: where its requests are noted (`workers/notes.py`).
    progress, progressed, pace: see `deadlines.stalls` and `deadlines.starves`.
    """

    __slots__ = (
        "_arrivals", "_discarded", "_due", "_peer_done", "_pieces_of", "_reading", "_wrote", "began", "door",
        "exchange", "pace", "partial", "place", "progress", "progressed", "registry", "remote", "slow", "touched",
        "wire",
    )  # fmt: skip

    def __init__(self, registry: Registry, door: Door) -> None:
        super().__init__(registry.loop)
        self.registry = registry
        self.door = door
        self.wire = Http1Wire(registry.config)
        self.exchange: Exchange | None = None
        self.remote = ""
        self.touched = self.began = 0.0
        self.progress = -1
        self.progressed = 0.0
        self.pace: Pace | None = None
        self.partial = 0
        self.slow = False
        self._pieces_of = -1  # `wire.served` when something last came that completed nothing
        self.place = 0
        self._arrivals: Waiters | None = None  # for the exchange to change
        self._due = False  # `_flush_gathered` will be called
        self._wrote = 0.0  # when a piece of a response last left
        self._reading = True
        self._peer_done = False
        self._discarded = 0

    # What subclasses give

    def begin(self, exchange: Exchange) -> None:
        """Start answering `exchange`, which is `self.exchange`."""
        raise NotImplementedError

    def upgrade(self, exchange: Exchange) -> None:
        """Start answering `exchange`, which asks for WebSocket; only where the wire's configuration has it."""
        raise NotImplementedError

    def left(self, exchange: Exchange) -> None:
        """The peer will send no more, or has gone, before the response to `exchange` was complete."""

    def take_leave(self) -> None:
        """The worker ends: an application that streams is told that its client has left, and may go on to send."""

    def introduced(self, header: ProxyHeader) -> None:
        """A PROXY header has told who the client is; nothing else has come yet."""
        if header.client is not None:
            self.remote = remote_of(header.client)

    def look(self, now: float) -> bool:
        """Called from time to time where requests may take only so long: whether the present one has, and is over."""
        return False

    def secured(self, tls: TlsChannel) -> None:
        """The TLS handshake is over; before that nothing is received."""

    def look_for_the_end(self) -> None:
        """Called from time to time, as nothing tells of a peer that leaves while reading is paused."""

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.touched = self.began = monotonic()
        self.remote = remote_of(self.transport.get_extra_info("peername"))
        self.registry.made(self)

    def data_received(self, data: bytes) -> None:
        self.touched = now = monotonic()
        exchange = self.wire.receive(data)
        if exchange is None:
            self._fed(len(data), now)
            return
        exchange.arrived = now
        self.began = 0.0
        self.exchange = exchange
        self.begin(exchange)
        if len(data) > HIGH_WATER:
            self._regulate()

    def eof_received(self) -> bool:
        self._peer_done = True
        if self.phase is not _SERVING:
            return False
        self.wire.receive_eof()
        exchange = self.exchange
        self.flush()
        if exchange is not None:
            self._wake()
            self.left(exchange)
        else:
            self._next()
        # What is still to be answered keeps the transport open; `close` closes it.
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave_lane()
        if exc is None and self.phase is not Phase.CLOSED:
            shut_down(self.transport)
        self._stop_writing()
        self._lose()
        self.registry.lost(self)

    def _lose(self) -> None:
        """Nothing can be sent any more."""
        exchange = self.exchange
        self.wire.lose()
        self.wire.exchange = None  # they hold each other
        if exchange is not None:
            self.exchange = None
            self.registry.finished(exchange, self)
            self.left(exchange)
        self._wake()

    # Outwards

    def flush(self) -> None:
        """Hand what is in the wire's `out` to the transport, and notice the end of the response."""
        exchange = self.exchange
        if exchange is None or exchange.sending is _DONE:
            self._write_out()
            if exchange is not None:
                self._finish(exchange)
        elif not self._is_gathering(self.wire.out):
            self._write_out()
            if self.transport.is_closing():
                # A write has failed; `connection_lost` will tell, but an application that never waits must know now.
                exchange.gone = True

    def _write_out(self) -> None:
        out = self.wire.out
        if len(out) == 1 and type(data := out[0]) is bytes and self._spans is None and self.phase is _SERVING:
            out.clear()
            self.written += len(data)
            self.transport.write(data)
            if len(data) > _PRESSING:
                self.press()
        elif out:
            self.wire.out = []
            self.write_pieces(out)

    def _is_gathering(self, out: list[Data]) -> bool:
        """Whether to wait for more of a response whose small pieces follow each other in no time.

        A system call for each costs more than all else. They leave when a millisecond has passed since some have, or
        when the application waits for something; so one that is slow, or blocks the loop, has each piece sent at once.
        """
        now = monotonic()
        if now - self._wrote > _BURST or len(out) >= _GATHERED or not out or max(map(len, out)) > _SMALL:
            self._wrote = now
            return False
        if not self._due:
            self._due = True
            self._soon(self._flush_gathered)
        return True

    def _flush_gathered(self) -> None:
        self._due = False
        self._write_out()

    def refuse_greeting(self, error: ProtocolError) -> None:
        """What came first is no PROXY header, and nothing else either: close without an answer."""
        self.registry.refused(self, error)
        self.transport.abort()

    def refuse(self, error: ProtocolError, received: bytes) -> None:
        """What has come, in part `received`, is nothing for this port: answer, and close."""
        self.wire.refuse(error, received)
        self._fed(0, monotonic())

    def _has_room(self) -> None:
        super()._has_room()
        if self.wire.closing:
            self.close()
        elif self.exchange is None:
            self._soon(self._next)

    # From one exchange to the next

    def _finish(self, exchange: Exchange) -> None:
        """The response to `exchange` is complete, though the application may run on."""
        self.exchange = None
        self.registry.finished(exchange, self)
        if self._arrivals is not None:
            self._arrivals.wake()
        wire = self.wire
        if wire.persistence is _CLOSE:
            self.close()
        elif self._paused or self._spans is not None:
            self.pause_reading()  # one that asks for more than it takes must not fill the memory
        elif wire.ahead or self._peer_done:
            self._soon(self._next)
        elif not self._reading:
            self.resume_reading()

    def _soon(self, function: Callable[[], None]) -> None:
        self.registry.loop.call_soon(function, context=self.registry.context)

    def _next(self) -> None:
        """Begin the next exchange, if its head is here and the peer takes what it has asked for so far."""
        if self.exchange is not None or self.full or self.phase is not _SERVING:
            return
        exchange = self.wire.proceed()
        if exchange is None:
            self._fed(0, monotonic())
            return
        exchange.arrived = monotonic()
        self.began = 0.0
        self.exchange = exchange
        self._regulate()
        self.begin(exchange)

    def _fed(self, size: int, now: float) -> None:
        """Octets have come, or FIN, and no exchange began with them."""
        if self.phase is not _SERVING:
            self._discarded += size
            if not throws_away(self._discarded, self.wire.error):
                self.transport.abort()
            return
        self.flush()
        if self.exchange is not None:
            self._wake()
        elif self.wire.closing:
            self.close()
            return
        elif self.wire.persistence is _UPGRADE and self.wire.exchange is not None:
            self.began = 0.0
            self.exchange = exchange = self.wire.exchange
            exchange.arrived = now
            self.upgrade(exchange)
        elif not self.began and self.wire.awaiting is Awaiting.HEAD:
            self.began = now
        self._regulate()
        if size and not self.slow:
            self._came_in_part(size)

    def _came_in_part(self, size: int) -> None:
        """Octets have come and begin no request. One such piece is what many clients send, apart from the head."""
        lane, served = self.registry.lane, self.wire.served
        if self._pieces_of != served:
            self._pieces_of = served
        elif size < SMALL and lane is not None and self.reading and self.trickles:
            lane.take(self)

    @property
    def trickles(self) -> bool:
        """Whether a part of a request has come and the rest has not."""
        exchange = self.exchange
        if self.phase is not _SERVING:
            return False
        return self.wire.pending > 0 if exchange is None else exchange.receiving is Receiving.BODY

    def _leave_lane(self) -> None:
        if self.slow and self.registry.lane is not None:
            self.registry.lane.release(self)

    # Inwards

    @property
    def reading(self) -> bool:
        """Whether what the peer sends is read."""
        return self._reading and not self._peer_done

    def _regulate(self) -> None:
        """Pause reading while too much waits to be taken, by the application or the peer; resume when there is room."""
        exchange = self.exchange
        if self.full if exchange is None else self.wire.pending + exchange.buffered > HIGH_WATER:
            self.pause_reading()
        else:
            self.resume_reading()

    def pause_reading(self) -> None:
        """Leave what the peer sends in the kernel."""
        if self._reading:
            self._reading = False
            self._leave_lane()
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on, if reading was paused."""
        if not self._reading and not self._peer_done and self.phase is _SERVING:
            self._reading = True
            self.touched = monotonic()  # the peer could not send meanwhile
            self.transport.resume_reading()

    def taken(self) -> None:
        """Content was taken out of the exchange: there is room to read on."""
        if not self._reading:
            self._regulate()

    def arrival(self) -> asyncio.Future[None]:
        """Something to await until an exchange changes."""
        if self._arrivals is None:
            self._arrivals = Waiters(self.registry.loop)
        return self._arrivals.wait()

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for content: the application, or nobody is left to take it but the wire."""
        return self.exchange is None or bool(self._arrivals)

    def _wake(self) -> None:
        if self._arrivals is not None:
            self._arrivals.wake()

    # The end

    def close(self) -> None:
        """Half-close, linger, close (RFC 9112 section 9.6), once nothing is left to be written.

        Also where the client has wished the close: some send a line end behind their last content, or a request more
        than they should, and would get a reset in the place of the response.
        """
        if self._spans is not None or self.phase is not _SERVING:
            return
        if self.wire.cut:
            self.reset()
            return
        if self.wire.error is not None:
            self.registry.refused(self, self.wire.error)
        self.phase = Phase.LINGERING
        self.began = monotonic()
        if self._peer_done:
            self.transport.close()
            return
        half_close(self.transport)
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()

    def drop(self) -> None:
        """Close at once a connection on which nothing is under way: its place is needed."""
        self.phase = Phase.LINGERING
        self.wire.expire()
        self.transport.close()

    def cut_off(self) -> None:
        """End at once, whatever is under way."""
        if self.idle:
            self.drop()
        elif self.wire.ends_by_close:
            self.reset()
        else:
            self.transport.abort()

    def reset(self) -> None:
        """Break the connection off, so that the peer cannot take it for a regular end."""
        if self.phase is not Phase.CLOSED:
            self.phase = Phase.CLOSED
            forget(self.transport)
            self.transport.abort()

    @property
    def idle(self) -> bool:
        """Whether the connection waits for a request of which nothing has come."""
        wire = self.wire
        if self.exchange is not None or wire.exchange is not None or wire.pending:
            return False
        return self.phase is _SERVING and not wire.closing

    @property
    def busy(self) -> bool:
        """Whether something would be lost if the connection ended now; a head that has come in part is nothing yet."""
        if self.sending_file or self.transport.get_write_buffer_size():
            return True
        return self.phase is _SERVING and (self.exchange is not None or self.wire.exchange is not None)

    def expire(self) -> None:
        """The deadline of what the wire awaits has passed."""
        self.wire.expire()
        self._fed(0, self.touched)
