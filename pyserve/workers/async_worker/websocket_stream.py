"""A connection of the async worker that asks for WebSocket, and one that has it.

    AsgiStream -> HandshakeStream   a request asks; the application is called as it is for any other
               -> WebSocketStream   it agrees: octets go to the socket, no longer to the wire

A connection changes its class on the way, so that what speaks HTTP need not ask on every call whether it still does.
No deadline of HTTP's applies behind the handshake but `write_timeout`, to a peer that takes nothing of what waits.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, cast

from pyserve.protocol.asgi_websocket import WebSocketCall, websocket_scope
from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.exchange import Sending
from pyserve.protocol.websocket import State, WebSocket
from pyserve.protocol.websocket_frames import Code
from pyserve.protocol.websocket_handshake import Handshake, refuse
from pyserve.workers.async_worker.asgi_stream import AsgiStream
from pyserve.workers.async_worker.registry import Registry
from pyserve.workers.async_worker.websockets import WebSockets
from pyserve.workers.deadlines import Phase
from pyserve.workers.notes import note
from pyserve.workers.scoreboard import BYTES_IN, BYTES_OUT

if TYPE_CHECKING:
    from pyserve.protocol.exchange import Exchange

_OPEN, _CLOSED = State.OPEN, State.CLOSED
_SERVING = Phase.SERVING


class HandshakeStream(AsgiStream):
    """One that is asked for (`protocol.asgi_websocket.WebSocketDriver`). To be mixed with other classes of streams."""

    __slots__ = ()

    @property
    def _websockets(self) -> WebSockets:
        websockets = self.registry.websockets
        assert websockets is not None
        return websockets

    async def _answer(self, exchange: Exchange) -> None:
        registry = self.registry
        try:
            handshake = Handshake(exchange, compresses=self._websockets.terms.compresses)
            call = WebSocketCall(exchange, handshake, self)
            scope = websocket_scope(self._template, exchange, handshake)
            await registry.application(scope, call.receive, call.send)
        except BaseException as error:
            if isinstance(error, GeneratorExit) and not registry.loop.is_running():
                raise  # the loop has gone, and this coroutine goes after it
            self._failed(exchange, error)
        else:
            self._returned(exchange)
        registry.ended(exchange)

    def open(self, handshake: Handshake, block: bytes) -> WebSocket:
        """Agree: the handshake is over for the access log, while what was asked for begins."""
        exchange, websockets = self.exchange, self._websockets
        assert exchange is not None
        ahead = self.wire.switch(exchange, block)
        Registry.finished(self.registry, exchange, self)
        note(self.registry.notes, self.place, b"WebSocket", exchange.target, exchange.arrived)
        self._write_out()
        self.socket = socket = WebSocket(websockets.terms, handshake.agreement)
        self.__class__ = websockets.kind
        self.transport.set_protocol(self)  # uvloop has kept the methods of the class before
        stream = cast("WebSocketStream", self)
        websockets.opened(stream)
        if ahead or exchange.peer_done:
            socket.receive(ahead)
            if exchange.peer_done:
                socket.receive_eof()
            self._soon(stream._attend)
        return socket

    def _failed(self, exchange: Exchange, error: BaseException) -> None:
        if isinstance(error, ProtocolError) and exchange.sending is Sending.HEAD:
            refuse(exchange, error)
            self.flush()
        else:
            super()._failed(exchange, error)

    def _returned(self, exchange: Exchange) -> None:
        if exchange.sending is not Sending.DONE:
            self._unanswered(exchange)


class WebSocketStream(HandshakeStream):
    """One that is open. To be mixed with other classes of streams."""

    __slots__ = ()

    # What the transport calls

    def data_received(self, data: bytes) -> None:
        self.touched = now = monotonic()
        if self.phase is not _SERVING:
            self._fed(len(data), now)
            return
        self.socket.receive(data)
        self._attend()

    def eof_received(self) -> bool:
        self._peer_done = True
        if self.phase is not _SERVING:
            return False
        self.socket.receive_eof()
        self._attend()
        return True

    def _lose(self) -> None:
        self.socket.lose()
        self._over()

    # What happens on the socket

    def _attend(self) -> None:
        """Something has come, or has been looked at: answer it, tell the application, and see whether to read on."""
        socket = self.socket
        if self.exchange is None:
            return
        if socket.out:
            self.flush()
        if socket.state is _CLOSED:
            self._part()
            return
        if socket.waits:
            self._wake()
        if socket.behind:
            self._soon(self._go_on)
        self._regulate()

    def _go_on(self) -> None:
        """Look at frames that have come, for which there may be room now."""
        self.socket.proceed()
        self._attend()

    def _regulate(self) -> None:
        if self.socket.full or self.full:
            self.pause_reading()
        else:
            self.resume_reading()

    def taken(self) -> None:
        if not self._reading:
            self.socket.proceed()
            self._attend()

    def _has_room(self) -> None:
        super()._has_room()
        self._regulate()

    def _part(self) -> None:
        """Close what both sides have closed (section 7.1.1); a peer that has failed may be sending still: linger."""
        self._flush_gathered()
        if self.socket.error:
            self.registry.refused(self, ProtocolError(400, self.socket.error))
        self._over()
        if self.socket.agreed and self.phase is _SERVING:
            self.phase = Phase.LINGERING
            self.began = monotonic()
            self.transport.close()
        else:
            self.close()

    def _over(self) -> None:
        """Whatever comes now is not the application's."""
        exchange = self.exchange
        if exchange is None:
            return
        self.exchange = None
        self.wire.lose()
        self.wire.exchange = None  # they hold each other
        counters, socket = self.registry.crew.counters, self.socket
        counters[BYTES_OUT] += socket.sent
        counters[BYTES_IN] += socket.received
        self._websockets.closed(self)
        self.registry.notes[self.place] = 0
        self.registry.parted(exchange)
        self.left(exchange)
        self._wake()

    # Outwards

    def flush(self) -> None:
        socket = self.socket
        if socket.out and not self._is_gathering(socket.out):  # type: ignore[arg-type] # it only looks
            self._flush_gathered()
        if self.transport.is_closing():
            # A write has failed; `connection_lost` will tell, but an application that never waits must know now.
            socket.lose()
            if self.exchange is not None:
                self.exchange.gone = True

    def _flush_gathered(self) -> None:
        self._due = False
        out, self.socket.out = self.socket.out, []
        if out:
            self.write_pieces(out)  # type: ignore[arg-type] # there is no FileSpan among them

    # How it ends from this side

    def take_leave(self) -> None:
        """The worker ends: the peer may come to another (1012, as uvicorn has it)."""
        if self.socket.state is _OPEN:
            self.socket.close(Code.SERVICE_RESTART)
            self.flush()
            self._wake()

    def give_up(self, code: Code, reason: str) -> None:
        """End it without waiting for the peer's close frame."""
        self.socket.fail(code, reason)
        self._attend()

    def cut_off(self) -> None:
        if self.phase is _SERVING:
            self.give_up(Code.SERVICE_RESTART, "")
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def ping(self) -> None:
        """Ask the peer for a sign of life."""
        self.socket.ping()
        self.flush()

    def _failed(self, exchange: Exchange, error: BaseException) -> None:
        self.registry.failed(exchange, error)
        self._end(Code.SERVER_ERROR)

    def _returned(self, exchange: Exchange) -> None:
        self._end(Code.NORMAL)

    def _end(self, code: Code) -> None:
        """The application has ended; who has not closed by now closes."""
        if self.socket.state is _OPEN:
            self.socket.close(code)
            self.flush()

    # What is HTTP's

    def look(self, now: float) -> bool:
        return False  # --request-timeout is for the handshake

    def look_for_the_end(self) -> None:
        """What a peer has sent before it left is still to be taken; if it takes nothing, a ping will tell."""


def equip(registry: Registry, kind: type[AsgiStream]) -> None:
    """Let the connections of a worker become WebSockets. kind: their class until then."""
    registry.config.upgrades = True
    registry.websockets = websockets = WebSockets(registry, registry.crew.settings)
    websockets.handshakes = type("Handshake", (HandshakeStream, kind), {"__slots__": ()})
    websockets.kind = type("WebSocket", (WebSocketStream, kind), {"__slots__": ()})
