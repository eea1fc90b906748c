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

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from pyserve.protocol.exchange import Data, Exchange, FileSpan, Sending
from pyserve.protocol.http1 import Awaiting, Http1Wire, Persistence
from pyserve.workers.deadlines import Phase
from pyserve.workers.parting import forget, shut_down
from pyserve.workers.registry import Door, Registry
from pyserve.workers.spans import SpanQueue
from pyserve.workers.waiters import Waiters

HIGH_WATER = 65536  # octets, in either direction
LINGER_OCTETS = 1024 * 1024  # thrown away after the half-close

_DONE = Sending.DONE
_CLOSE = Persistence.CLOSE


_SERVING = Phase.SERVING


class Stream(asyncio.Protocol):
    """The driver of one connection.

    remote: the peer's address as text, "" on a unix socket.
    exchange: the one being answered, or None.
    touched: when octets last came or a response ended (monotonic seconds, as all times here).
    began: when the head that is awaited began, 0.0 while nothing of it has come; once lingering, when that began.
    written: octets handed out so far. progress, progressed: see `deadlines.stalls`.
    """

    __slots__ = (
        "_arrivals", "_discarded", "_paused", "_peer_done", "_reading", "_room", "_spans", "_turn",
        "began", "door", "exchange", "phase", "progress", "progressed", "registry", "remote", "touched", "transport",
        "wire", "written",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, registry: Registry, door: Door) -> None:
        self.registry = registry
        self.door = door
        self.wire = Http1Wire(registry.config)
        self.exchange: Exchange | None = None
        self.phase = _SERVING
        self.remote = ""
        self.touched = self.began = 0.0
        self.written = 0
        self._turn = HIGH_WATER
        self.progress = -1
        self.progressed = 0.0
        self._paused = False  # the transport holds more than its high-water mark
        self._room: Waiters | None = None  # for the transport to take more
        self._arrivals: Waiters | None = None  # for the exchange to change
        self._spans: SpanQueue | None = None  # while a file is being sent: what goes out goes there
        self._reading = True
        self._peer_done = False
        self._discarded = 0

    # What subclasses give

    def begin(self, exchange: Exchange) -> None:
        """Start answering `exchange`, which is `self.exchange`."""
        raise NotImplementedError

    def left(self, exchange: Exchange) -> None:
        """The peer will send no more, or has gone, before the response to `exchange` was complete."""

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment] # of TCP and unix sockets it is a Transport
        self.touched = self.began = monotonic()
        # uvloop's own low-water mark is 16 octets: the peer would wait for each refill.
        self.transport.set_write_buffer_limits(HIGH_WATER, HIGH_WATER // 4)
        peer = self.transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.remote = peer[0]
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
        if exc is None and self.phase is not Phase.CLOSED:
            shut_down(self.transport)
        self.phase = Phase.CLOSED
        if self._spans is not None:
            self._spans.stop()
        self._lose()
        if self._room is not None:
            self._room.wake()
        self.registry.lost(self)

    def _lose(self) -> None:
        """Nothing can be sent any more."""
        exchange = self.exchange
        self.wire.lose()
        if exchange is not None:
            self.exchange = None
            self.registry.finished(exchange, self)
            self.left(exchange)
        self._wake()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._spans is not None:
            self._spans.resume()
        else:
            self._has_room()

    # Outwards

    def flush(self) -> None:
        """Hand what is in the wire's `out` to the transport, and notice the end of the response."""
        out = self.wire.out
        if out:
            data = out[0]
            if len(out) == 1 and type(data) is bytes and self._spans is None and self.phase is _SERVING:
                out.clear()
                self.written += len(data)
                self.transport.write(data)
            else:
                self.wire.out = []
                self.write_pieces(out)
        exchange = self.exchange
        if exchange is not None:
            if exchange.sending is _DONE:
                self._finish(exchange)
            elif self.transport.is_closing():
                # A write has failed; `connection_lost` will tell, but an application that never waits must know now.
                exchange.gone = True

    def write_pieces(self, out: list[Data]) -> None:
        """Hand any data to the transport, or to the queue behind a file that is on its way."""
        if self.phase is not _SERVING:
            for piece in out:
                if isinstance(piece, FileSpan):
                    piece.close()
        elif self._spans is not None or any(isinstance(piece, FileSpan) for piece in out):
            if self._spans is None:
                self._spans = SpanQueue(self.registry.loop, self)
            self._spans.extend(out)
        else:
            self.write(b"".join(out))  # type: ignore[arg-type] # there is no FileSpan among them

    def write(self, data: bytes) -> None:
        """Write to the transport."""
        if self.phase is _SERVING:
            self.written += len(data)
            self.transport.write(data)

    def count(self, octets: int) -> None:
        """Note octets that have gone past the transport (`spans.Outlet`)."""
        self.written += octets

    def sent(self) -> None:
        """Everything behind a file, and the file, has been sent (`spans.Outlet`)."""
        self._spans = None
        if self.wire.closing:
            self.close()
        if not self.full:
            self._has_room()

    def _has_room(self) -> None:
        if self._room is not None:
            self._room.wake()
        if self.exchange is None:
            self._soon(self._next)

    def limit(self, octets: int) -> bool:
        """Set the transport's high-water mark; tell whether it holds more (`spans.Outlet`)."""
        if self.phase is Phase.CLOSED:
            return False
        self.transport.set_write_buffer_limits(octets, octets // 4)
        return self._paused

    def writable(self) -> Awaitable[None] | None:
        """None while the transport takes more, else something to await until it does.

        A response to a fast reader may never meet a full buffer: after each `HIGH_WATER` octets others have their turn.
        """
        if not self.full:
            if self.written < self._turn:
                return None
            self._turn = self.written + HIGH_WATER
            return asyncio.sleep(0)
        return self.room()

    @property
    def full(self) -> bool:
        """Whether what was handed out has not gone far enough for more."""
        return (self._paused or self._spans is not None) and self.phase is _SERVING

    def room(self) -> asyncio.Future[None]:
        """Something to await until the transport may take more."""
        if self._room is None:
            self._room = Waiters(self.registry.loop)
        return self._room.wait()

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
        elif wire.pending or self._peer_done:
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
        exchange.peer_done = self._peer_done
        self.began = 0.0
        self.exchange = exchange
        self._regulate()
        self.begin(exchange)

    def _fed(self, size: int, now: float) -> None:
        """Octets have come, or FIN, and no exchange began with them."""
        if self.phase is not _SERVING:
            self._discarded += size
            if self._discarded > LINGER_OCTETS:
                self.transport.abort()
            return
        self.flush()
        if self.exchange is not None:
            self._wake()
        elif self.wire.closing:
            self.close()
            return
        elif not self.began and self.wire.awaiting is Awaiting.HEAD:
            self.began = now
        self._regulate()

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
        """Half-close, linger, close (RFC 9112 section 9.6), once nothing is left to be written."""
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
        try:
            self.transport.write_eof()
        except OSError:  # asyncio shuts the socket down at once, and finds that the peer has reset it
            self.transport.abort()
            return
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
    def sending_file(self) -> bool:
        """Whether a file, or what follows it, waits to be sent."""
        return self._spans is not None

    @property
    def idle(self) -> bool:
        """Whether the connection waits for a request of which nothing has come."""
        wire = self.wire
        if self.exchange is not None or wire.exchange is not None or wire.pending:
            return False
        return self.phase is _SERVING and not wire.closing

    @property
    def busy(self) -> bool:
        """Whether something would be lost if the connection ended now."""
        if self.sending_file or self.transport.get_write_buffer_size():
            return True
        return self.phase is _SERVING and not self.idle

    def expire(self) -> None:
        """The deadline of what the wire awaits has passed."""
        self.wire.expire()
        self._fed(0, self.touched)
