"""Answering with an ASGI application: one task for each request.

Where Python can (3.12 and later) the task starts at once: an application that waits for nothing has answered before
`data_received` returns, without a turn of the loop. Either way it runs in a copy of the context of its own, so that
context variables that a request sets are gone with it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from pyserve.protocol.asgi import Call, ScopeTemplate
from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.exchange import Data, Exchange, Sending
from pyserve.workers.async_worker.parting import peer_has_closed
from pyserve.workers.async_worker.spans import open_span
from pyserve.workers.async_worker.stream import Stream
from pyserve.workers.notes import METHODS, note
from pyserve.workers.proxies import believed_as

if TYPE_CHECKING:
    from pyserve.protocol.proxy import ProxyHeader
    from pyserve.protocol.websocket import WebSocket
    from pyserve.workers.tls.channel import TlsChannel

_DONE = Sending.DONE
_Task = asyncio.Task

if sys.version_info >= (3, 12):

    def _start(request: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None] | None:
        """Run a coroutine up to its first wait; return its task, None if it has ended."""
        task = _Task(request, loop=loop, eager_start=True)
        return None if task.done() else task

else:

    def _start(request: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None] | None:
        """Make a task of a coroutine, which begins in the next turn of the loop."""
        return _Task(request, loop=loop, name="request")  # a name of its own saves asyncio the making of one


class AsgiStream(Stream):
    """The driver of one connection to an ASGI application (`protocol.asgi.Driver`)."""

    __slots__ = ("_template", "socket")

    _template: ScopeTemplate
    socket: WebSocket  # once it is one

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._meet(self.transport.get_extra_info("peername"), self.door.reached(self.transport))

    def introduced(self, header: ProxyHeader) -> None:
        super().introduced(header)
        if header.client is not None:
            server = (header.server, None) if isinstance(header.server, str) else header.server
            self._meet(header.client, server)
        self._believe(believed_as(header, self.remote))

    def _meet(self, peer: Any, server: tuple[str, int | None] | None) -> None:
        """Note who is at the two ends."""
        registry = self.registry
        client = peer[:2] if isinstance(peer, tuple) else None
        self._template = ScopeTemplate(client, server, "http", registry.root_path, registry.state)
        self._believe(self.remote)

    def _believe(self, peer: str) -> None:
        """What requests say of their client is to be judged as if it were this peer who says it."""
        forwarding = self.registry.forwarding
        if forwarding is not None:
            self._template.forwarding = forwarding if peer in forwarding.trusted else None

    def secured(self, tls: TlsChannel) -> None:
        from pyserve.workers.tls.facts import extension_of

        self._template.secure(extension_of(tls))

    def begin(self, exchange: Exchange) -> None:
        registry = self.registry
        if registry.refuses_underscores and self._has_underscores(exchange):
            exchange.fail(400, "underscore in a field name (header_map refuse)")
            self.flush()
            return
        note(registry.notes, self.place, METHODS[exchange.method], exchange.target, exchange.arrived)
        task = _start(self._answer(exchange), registry.loop)
        if task is not None:
            registry.tasks[exchange] = task

    def upgrade(self, exchange: Exchange) -> None:
        websockets = self.registry.websockets
        assert websockets is not None
        self.__class__ = websockets.handshakes
        self.begin(exchange)

    def _has_underscores(self, exchange: Exchange) -> bool:
        """Whether a field's name has one that its sender may not use."""
        names = {name for name in exchange.index if b"_" in name}
        if self._template.forwarding is not None:
            allowed = self.registry.forwarder_names
            return bool(names - allowed) and b"*" not in allowed
        return bool(names)

    async def _answer(self, exchange: Exchange) -> None:
        registry = self.registry
        call = Call(exchange, self)
        try:
            await registry.application(self._template.make(exchange), call.receive, call.send)
        except BaseException as error:
            if isinstance(error, GeneratorExit) and not registry.loop.is_running():
                raise  # the loop has gone, and this coroutine goes after it
            # Whatever the application lets through, it ends its own request and nothing else.
            self._failed(exchange, error)
        else:
            if exchange.sending is not _DONE:
                self._unanswered(exchange)
        registry.ended(exchange)

    def left(self, exchange: Exchange) -> None:
        registry = self.registry
        if registry.grace is not None and exchange in registry.tasks:
            registry.loop.call_later(registry.grace, self._give_up, exchange)

    def look_for_the_end(self) -> None:
        exchange = self.exchange
        if exchange is not None and not exchange.peer_done and peer_has_closed(self.transport):
            exchange.peer_done = True
            self._wake()
            self.left(exchange)

    def take_leave(self) -> None:
        exchange = self.exchange
        if exchange is not None and exchange.sending is Sending.BODY and not exchange.peer_done:
            exchange.peer_done = True
            self._wake()

    def _give_up(self, exchange: Exchange) -> None:
        """The grace after a disconnect is over; work after a complete response is not meant by it."""
        task = self.registry.tasks.get(exchange)
        if task is not None and (exchange.sending is not _DONE or exchange.error is not None):
            task.cancel("the client has left")

    def _failed(self, exchange: Exchange, error: BaseException) -> None:
        if isinstance(error, ProtocolError):  # of the scope: the application was not called
            exchange.fail(error.status, error.text)
            self.flush()
            return
        self.registry.failed(exchange, error)
        self._give_answer(exchange, "the application failed")

    def _unanswered(self, exchange: Exchange) -> None:
        self.registry.unanswered(exchange)
        self._give_answer(exchange, "the application gave no answer")

    def _give_answer(self, exchange: Exchange, text: str) -> None:
        if self.exchange is exchange and not exchange.gone:
            exchange.fail(500, text)
            self.flush()

    def open_span(self, path: str) -> Coroutine[Any, Any, Data]:
        return open_span(self.registry.loop, path)
