"""Answering with a WSGI application under the async worker: the connection in the loop, each request in a thread.

No two threads may touch a wire or its exchange at once, so they have one owner at a time:

    LOOP    nothing runs yet, or the thread waits for more of `wsgi.input`, or the exchange is over
    THREAD  the application runs. What arrives meanwhile is held back and given to the wire when the loop owns it again;
            what the application sends is handed to the loop

The one thing that the loop says in between is `exchange.gone`, a single store; a thread that outlives its exchange
meets only errors.
"""

import asyncio
import threading
from contextvars import copy_context
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING, Any

from pyserve.protocol.errors import Disconnected, ProtocolError
from pyserve.protocol.exchange import Data, Exchange, FileSpan, Receiving
from pyserve.protocol.wsgi import Environ, EnvironKeys, make_environ, serve
from pyserve.settings import Settings
from pyserve.workers.async_worker.pool import Pool, default_size
from pyserve.workers.async_worker.registry import Door, Registry
from pyserve.workers.async_worker.stream import Stream
from pyserve.workers.async_worker.writer import HIGH_WATER
from pyserve.workers.bodies import Bodies
from pyserve.workers.deadlines import Phase
from pyserve.workers.environ import Templates
from pyserve.workers.notes import METHODS, NOWHERE, note
from pyserve.workers.proxies import Keys, believed_as, variables_of
from pyserve.workers.thread_worker.sendfile import open_rest

if TYPE_CHECKING:
    from pyserve.protocol.proxy import ProxyHeader
    from pyserve.workers.request_hooks import RequestHooks
    from pyserve.workers.tls.channel import TlsChannel


class Owner(Enum):
    """Whose turn it is to touch wire and exchange."""

    LOOP = "loop"
    THREAD = "thread"


_LOOP = Owner.LOOP
_THREAD = Owner.THREAD


class Hall:
    """What the WSGI requests of one worker share: threads, environ keys, and the memory for content that arrives.

    make_environ: `protocol.wsgi`'s, or what calls a hook before it. call: the class of calls.
    """

    def __init__(self, settings: Settings, hooks: "RequestHooks | None" = None) -> None:
        self.make_environ = hooks.make_environ if hooks else make_environ
        self.pool = Pool(settings.threads if settings.threads > 1 else default_size())
        self.keys = Keys(settings)
        self.bodies = Bodies(settings.body_buffer_size, settings.body_buffer_total)
        self.call = Call


class Call:
    """One request in its thread (`protocol.wsgi.Driver`).

    handed: octets given to the loop, counted by the thread. taken: of these, octets for which the transport had room,
    counted by the loop. running: done when the application is.
    """

    __slots__ = ("_stream", "_turn", "environ", "exchange", "handed", "running", "taken")

    def __init__(self, stream: "WsgiStream", exchange: Exchange, environ: Environ) -> None:
        self._stream = stream
        self._turn = threading.Event()
        self.exchange = exchange
        self.environ = environ
        self.running = Running(loop=stream.registry.loop)
        self.handed = 0
        self.taken = 0

    def wake(self) -> None:
        """Let the thread look again; called by the loop."""
        self._turn.set()

    def run(self) -> None:
        """Call the application; the thread's whole work."""
        stream = self._stream
        error: BaseException | None = None
        try:
            # The thread's own context would carry variables from one request to the next.
            copy_context().run(serve, stream.registry.application, self.environ, self.exchange, self)
        except BaseException as raised:
            error = raised  # whatever the application lets through, it ends its own request and nothing else
        self.environ = {}  # whose wsgi.input holds this call
        try:
            stream.registry.loop.call_soon_threadsafe(stream.returned, self, error)
        except RuntimeError:
            pass  # the loop is closed, the process about to end

    def flush(self) -> None:
        """Hand what is in the wire's `out` to the loop; wait while the peer does not take it."""
        self._check()
        wire = self._stream.wire
        out, wire.out = wire.out, []
        self.handed += sum(map(len, out))
        self._tell_loop(self._stream.write_for, out)
        while self.handed - self.taken > HIGH_WATER:
            self._turn.clear()
            if self.handed - self.taken > HIGH_WATER and not self.exchange.gone:
                self._wait()
            self._check()

    def fill(self) -> None:
        """Wait until more content has come, or the request is over."""
        self._check()
        self._turn.clear()
        self._tell_loop(self._stream.lend)
        self._wait()
        if self.exchange.error is None:
            self._check()

    def span(self, file: Any) -> FileSpan | None:
        """Open what is left of a file for sendfile, or None when it is no plain file."""
        return open_rest(file)

    def _wait(self) -> None:
        """Wait for the peer: another thread may do other work meanwhile."""
        pool = self._stream.pool
        pool.step_aside(self)
        try:
            self._turn.wait()
        finally:
            pool.step_back(self)

    def cut_off(self) -> None:
        """Its client has stalled while others wait for a thread; called by the loop."""
        self._stream.reset()

    def _check(self) -> None:
        if self.exchange.gone:
            raise Disconnected("the peer has gone")

    def _tell_loop(self, what: Any, *data: Any) -> None:
        try:
            self._stream.registry.loop.call_soon_threadsafe(what, self, *data)
        except RuntimeError:
            raise Disconnected("the worker has ended") from None


class Running(asyncio.Future[None]):
    """That a thread runs the application, among tasks that can be cancelled: it cannot."""

    def cancel(self, msg: object = None) -> bool:
        return False


class WsgiStream(Stream):
    """The driver of one connection to a WSGI application.

    environ: that of the exchange in progress, for the access log. held: see `Bodies`.
    """

    __slots__ = (
        "_asked", "_call", "_hall", "_held", "_held_octets", "_keys", "_owner", "_template", "_templates", "environ",
        "held",
    )  # fmt: skip

    _keys: EnvironKeys
    _template: Environ

    def __init__(self, registry: Registry, door: Door, hall: Hall, templates: Templates) -> None:
        super().__init__(registry, door)
        self.environ: Environ | None = None
        self.held = 0
        self._hall = hall
        self._templates = templates
        self._owner = _LOOP
        self._call: Call | None = None  # until it has returned
        self._asked = -1  # octets the thread has, while it waits for more; else -1
        self._held: list[bytes] = []
        self._held_octets = 0

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        extra = self.transport.get_extra_info
        self._template = self._templates.make(extra("socket"), extra("peername"))
        self._keys = self._hall.keys.of(self.remote)

    def introduced(self, header: "ProxyHeader") -> None:
        super().introduced(header)
        if header.client is not None:
            self._template = self._templates.make(self.transport.get_extra_info("socket"), header.client)
        self._keys = self._hall.keys.of(believed_as(header, self.remote))
        self._template.update(variables_of(header))

    def secured(self, tls: "TlsChannel") -> None:
        from pyserve.workers.tls.facts import environ_of

        self._template.update(environ_of(tls))

    def data_received(self, data: bytes) -> None:
        if self._owner is _LOOP:
            super().data_received(data)
            return
        self.touched = monotonic()
        self._held.append(data)
        self._held_octets += len(data)
        if self._held_octets > HIGH_WATER:
            self.pause_reading()

    def eof_received(self) -> bool:
        if self._owner is _LOOP:
            return super().eof_received()
        self._peer_done = True
        return True

    def _lose(self) -> None:
        if self._owner is _LOOP:
            super()._lose()
        elif self.exchange is not None:
            self.exchange.gone = True
            self.registry.notes[self.place] = 0
            self.place = NOWHERE  # another connection will have the descriptor before its thread comes back
        if self._call is not None:
            self._call.wake()
        else:
            self._hall.bodies.release(self)

    def cut_off(self) -> None:
        exchange = self.exchange
        if self._owner is _THREAD and exchange is not None:
            # Its thread may not come back before the process ends: the log is told now, and not again.
            exchange.gone = True
            self.exchange = None
            self.registry.finished(exchange, self)
        super().cut_off()

    # From the head to the thread

    def begin(self, exchange: Exchange) -> None:
        note(self.registry.notes, self.place, METHODS[exchange.method], exchange.target, exchange.arrived)
        if exchange.receiving is Receiving.BODY:
            exchange.send_continue()
            self.flush()
        self._gather(exchange)

    def _gather(self, exchange: Exchange) -> None:
        """Start the thread once the content is here, or as much of it as may be held."""
        if not self._hall.bodies.hold(self, exchange.buffered) or exchange.receiving is Receiving.DONE:
            self._start(exchange)
        else:
            self._regulate()

    def _start(self, exchange: Exchange) -> None:
        registry = self.registry
        try:
            self.environ = self._hall.make_environ(exchange, self._template, self._keys)
        except ProtocolError as error:
            exchange.fail(error.status, error.text)
            self.flush()
            return
        self._call = call = self._hall.call(self, exchange, self.environ)
        self._owner = _THREAD
        registry.tasks[exchange] = call.running
        self._hall.pool.submit(call.run)
        stalled = self._hall.pool.stalled()
        if stalled is not None:
            stalled.cut_off()

    # What the thread tells, in the loop

    def write_for(self, call: Call, out: list[Data]) -> None:
        """Write what the application sends."""
        size = sum(map(len, out))
        self.write_pieces(out)
        if self.full:
            self.room().add_done_callback(lambda _: self._took(call, size))
        else:
            self._took(call, size)

    def _took(self, call: Call, size: int) -> None:
        call.taken += size
        call.wake()

    def lend(self, call: Call) -> None:
        """The thread waits for more content; the wire is the loop's until that has come."""
        self._asked = call.exchange.buffered
        self._take_over()

    def returned(self, call: Call, error: BaseException | None) -> None:
        """The application is done with a request."""
        exchange = call.exchange
        self._call = None
        self._hall.pool.done()
        self._hall.bodies.release(self)
        if error is not None:
            self.registry.failed(exchange, error)
            if self.exchange is exchange and not exchange.gone:
                exchange.fail(500, "the application failed")
        self._take_over()
        self.environ = None
        call.running.set_result(None)
        self.registry.ended(exchange)

    def _take_over(self) -> None:
        """Own the wire again, and give it what has been held back."""
        self._owner = _LOOP
        if self.phase is Phase.CLOSED:
            super()._lose()
            return
        self.flush()
        held = b"".join(self._held)
        self._held.clear()
        self._held_octets = 0
        if held:
            super().data_received(held)
        else:
            self._wake()
        if self._peer_done and self._owner is _LOOP:
            super().eof_received()
        # With more requests here, the next one is due and decides.
        if self._owner is _LOOP and (self.exchange is not None or not self.wire.pending):
            self._regulate()

    # What the stream tells

    def _wake(self) -> None:
        exchange = self.exchange
        if exchange is None or self._owner is not _LOOP:
            return
        if self._call is None:
            self._gather(exchange)
        elif exchange.buffered > self._asked or exchange.receiving is Receiving.DONE:
            self._give_back(self._call)

    def _finish(self, exchange: Exchange) -> None:
        call = self._call
        super()._finish(exchange)
        if call is not None:
            self._give_back(call)
        else:
            self._hall.bodies.release(self)

    def _give_back(self, call: Call) -> None:
        self._asked = -1
        if self.exchange is not None:
            self._owner = _THREAD
        call.wake()

    def _regulate(self) -> None:
        exchange = self.exchange
        is_gathered = exchange is not None and self._call is None and exchange.receiving is Receiving.BODY
        if self._asked >= 0 or is_gathered:
            self.resume_reading()  # somebody waits for more than is here, however much that is
        else:
            super()._regulate()

    @property
    def pool(self) -> Pool:
        """Where the application runs."""
        return self._hall.pool

    @property
    def awaited(self) -> bool:
        return self._owner is _LOOP
