"""ASGI 3: the exchange as scope, receive and send; and the lifespan (spec_version 2.5 and 2.0).

Nothing here makes an awaitable: what can be waited for is the driver's (`Driver`, `LifespanDriver`), and so are tasks,
opened files and logged tracebacks.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from enum import Enum
from typing import Any, Protocol
from urllib.parse import unquote

from pyserve.protocol.errors import ApplicationError, Disconnected
from pyserve.protocol.exchange import Data, Exchange, Receiving, Sending
from pyserve.protocol.fields import Fields
from pyserve.protocol.forwarded import Forwarding, Origin, split_host

Message = MutableMapping[str, Any]
Scope = dict[str, Any]
Application = Callable[[Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

_EXTENSIONS: dict[str, dict[str, Any]] = {
    "http.response.pathsend": {},
    "http.response.early_hint": {},
    "http.response.trailers": {},
}


_DONE = Sending.DONE
_VERSIONS = {"version": "3.0", "spec_version": "2.5"}


class Driver(Protocol):
    """What the gateway needs of the driver of one exchange."""

    def flush(self) -> None:
        """Hand what is in the wire's `out` to the transport; never waits and never fails."""

    def writable(self) -> Awaitable[None] | None:
        """None while the transport takes more, else something to await until it does."""

    def arrival(self) -> Awaitable[None]:
        """Something to await until the exchange changes: content came, the peer left, or the response is complete."""

    def taken(self) -> None:
        """Content was taken out of the exchange: there is room to read on."""

    def open_span(self, path: str) -> Awaitable[Data]:
        """Open the whole file at an absolute path for sending (in a thread); OSError when that fails."""


class ScopeTemplate:
    """What the scopes of one connection share; `make` adds what a request brings.

    forwarding: what a request may say of its client, where the peer is a trusted proxy.
    """

    __slots__ = ("_extensions", "_root_path", "_scheme", "_server", "_state", "client", "forwarding")

    def __init__(
        self,
        client: tuple[str, int] | None,
        server: tuple[str, int | None] | None,
        scheme: str,
        root_path: str,
        state: dict[str, Any] | None,
    ) -> None:
        """client, server: (host, port), or (path, None) for a unix socket's server. state: the lifespan's, or None."""
        self.client = client
        self._server = server
        self._scheme = scheme
        self._root_path = root_path
        self._state = state
        self._extensions = _EXTENSIONS
        self.forwarding: Forwarding | None = None

    def secure(self, tls: dict[str, Any]) -> None:
        """The connection is encrypted; tls: what the extension of that name says (ASGI TLS extension 0.2)."""
        self._scheme = "https"
        self._extensions = {**_EXTENSIONS, "tls": tls}

    def make(self, exchange: Exchange) -> Scope:
        """Build the scope of an `http` connection (ASGI HTTP spec 2.5); `state` is a shallow copy of the lifespan's.

        Raises `ProtocolError` where a trusted proxy contradicts itself.
        """
        raw_path = exchange.path
        path = raw_path.decode("ascii")
        if "%" in path:
            path = unquote(path)
        root_path = self._root_path
        if root_path:
            path = root_path + path
            raw_path = root_path.encode() + raw_path
        scope = {
            "type": "http",
            "asgi": _VERSIONS.copy(),
            "http_version": exchange.version,
            "server": self._server,
            "client": self.client,
            "scheme": self._scheme,
            "method": exchange.method,
            "root_path": root_path,
            "path": path,
            "raw_path": raw_path,
            "query_string": exchange.query,
            "headers": exchange.fields,
            "extensions": self._extensions.copy(),
        }
        if self._state is not None:
            scope["state"] = self._state.copy()
        forwarding = self.forwarding
        if forwarding is not None and not forwarding.names.isdisjoint(exchange.index):
            _set_origin(scope, exchange, forwarding.read(exchange))
        return scope


def _set_origin(scope: Scope, exchange: Exchange, origin: Origin) -> None:
    """Write what a trusted proxy says over what the connection says."""
    if origin.client is not None:
        scope["client"] = origin.client
        exchange.client = origin.client[0]
    if origin.scheme is not None:
        scope["scheme"] = origin.scheme
    if origin.host is not None:
        name, port = split_host(origin.host)
        scope["server"] = (name, port or (443 if scope["scheme"] == "https" else 80))
        scope["headers"] = [(b"host", origin.host), *(field for field in exchange.fields if field[0] != b"host")]
    if origin.port is not None:
        scope["server"] = (scope["server"][0] if scope["server"] else "", origin.port)


class Call:
    """One call of the application: its `receive` and `send`."""

    __slots__ = ("_delivered", "_driver", "_ended", "_exchange", "_trailers")

    def __init__(self, exchange: Exchange, driver: Driver) -> None:
        self._exchange = exchange
        self._driver = driver
        self._delivered = False  # the last http.request has been given
        self._trailers: Fields | None = None  # gathered once http.response.start has announced some
        self._ended = False  # the last http.response.body has been given, and trailers may follow

    async def receive(self) -> Message:
        """Wait for content, or for the peer to leave or the response to be complete (`http.disconnect`)."""
        exchange = self._exchange
        if exchange.expects:
            exchange.send_continue()
            self._driver.flush()
        while not (exchange.gone or exchange.sending is _DONE):
            if not self._delivered and (exchange.body or exchange.receiving is Receiving.DONE):
                body = exchange.take()
                more = exchange.receiving is Receiving.BODY
                self._delivered = not more
                if body:
                    self._driver.taken()
                return {"type": "http.request", "body": body, "more_body": more}
            if exchange.peer_done:
                break
            await self._driver.arrival()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Send a part of the response; waits while the peer does not read.

        Raises `ApplicationError` for a message that is wrong or out of order and `Disconnected` (an OSError) when the
        peer has gone.
        """
        kind = message["type"]
        exchange = self._exchange
        driver = self._driver
        if kind == "http.response.body":
            more = message.get("more_body", False)
            if self._trailers is not None:
                more = self._until_trailers(more)
            body = message.get("body", b"")
            exchange.send_body(body if isinstance(body, bytes) else _octets(body), more)
        elif kind == "http.response.start":
            if exchange.gone:
                raise Disconnected("the peer has gone")
            if exchange.status:
                raise ApplicationError("http.response.start sent twice (ASGI)")
            fields = message.get("headers", ())
            exchange.send_head(message["status"], None, fields if isinstance(fields, list) else list(fields))
            if message.get("trailers", False):
                self._trailers = []
            return
        else:
            await self._send_extension(kind, message)
        driver.flush()
        if exchange.sending is not _DONE:  # after a response nothing waits for room
            writable = driver.writable()
            if writable is not None:
                await writable

    async def _send_extension(self, kind: str, message: Message) -> None:
        exchange = self._exchange
        if kind == "http.response.pathsend":
            if not exchange.status or self._ended:
                raise ApplicationError("http.response.pathsend before http.response.start or after the body (ASGI)")
            span = await self._driver.open_span(message["path"])
            self._ended = True
            exchange.send_body(span, self._trailers is not None)
        elif kind == "http.response.trailers":
            if self._trailers is None:
                raise ApplicationError("http.response.trailers were not announced in http.response.start (ASGI)")
            if not self._ended:
                raise ApplicationError("http.response.trailers before the last http.response.body (ASGI)")
            self._trailers.extend(message.get("headers", ()))
            if not message.get("more_trailers", False):
                exchange.send_trailers(self._trailers)
        elif kind == "http.response.early_hint":
            exchange.send_early_hints([(b"link", link) for link in message.get("links", ())])
        else:
            raise ApplicationError(f"unknown message type {kind!r} (ASGI)")

    def _until_trailers(self, more: bool) -> bool:
        """Note a body where trailers are announced, which have the last word: there is always more."""
        if self._ended:
            raise ApplicationError("http.response.body after the last one (ASGI)")
        self._ended = not more
        return True


def _octets(body: object) -> bytes:
    """Make bytes of what an application may use in their place."""
    if isinstance(body, bytearray | memoryview):
        return bytes(body)
    raise ApplicationError(f"the body must be bytes, not {type(body).__name__} (ASGI)")


class LifespanDriver(Protocol):
    """What the lifespan needs of the worker."""

    def shutdown(self) -> Awaitable[None]:
        """Something to await until the worker stops."""

    def progressed(self) -> None:
        """The lifespan's `phase` has changed."""


class Phase(Enum):
    """How far the lifespan has come."""

    STARTING = "starting"
    STARTED = "started"
    STOPPED = "stopped"
    FAILED = "failed"  # the application said so, or raised after it had taken part
    UNSUPPORTED = "unsupported"  # the application raised or returned before it took part


class Lifespan:
    """The `lifespan` scope: one call of the application around all others (ASGI lifespan 2.0).

    The worker runs `run` as a task and looks at `phase` whenever `progressed` is called. `reason` says why it failed:
    the application's message, or the exception `error`.
    """

    def __init__(self, application: Application, state: dict[str, Any], driver: LifespanDriver) -> None:
        self._application = application
        self._driver = driver
        self._state = state
        self._asked = False  # startup has been given to the application
        self._answered = False  # the application has sent a lifespan message: it takes part
        self.phase = Phase.STARTING
        self.reason = ""
        self.error: BaseException | None = None

    async def run(self) -> None:
        """Call the application; it returns, or raises, at the end of its lifespan."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        try:
            await self._application(scope, self.receive, self.send)
        except BaseException as error:
            # Whatever it is: an application without lifespan may leave by any exception (ASGI lifespan, "Scope").
            if self.phase not in (Phase.FAILED, Phase.STOPPED):
                self.error = error
                self._move(Phase.FAILED if self._answered else Phase.UNSUPPORTED, repr(error))
            if not isinstance(error, Exception):
                raise
        else:
            if self.phase is Phase.STARTING:
                self._move(Phase.UNSUPPORTED, "the application returned without an answer to lifespan.startup")
            elif self.phase is Phase.STARTED:
                self._move(Phase.STOPPED)

    async def receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        await self._driver.shutdown()
        return {"type": "lifespan.shutdown"}

    async def send(self, message: Message) -> None:
        kind = message["type"]
        # An application that does not look at the scope's type answers as if to a request: it does not take part.
        self._answered = self._answered or kind.startswith("lifespan.")
        if kind == "lifespan.startup.complete" and self.phase is Phase.STARTING:
            self._move(Phase.STARTED)
        elif kind == "lifespan.shutdown.complete" and self.phase is Phase.STARTED:
            self._move(Phase.STOPPED)
        elif kind in ("lifespan.startup.failed", "lifespan.shutdown.failed") and self.phase is not Phase.STOPPED:
            self._move(Phase.FAILED, str(message.get("message", "")))
        else:
            raise ApplicationError(f"lifespan message {kind!r} while {self.phase.value} (ASGI lifespan)")

    def _move(self, phase: Phase, reason: str = "") -> None:
        self.phase = phase
        self.reason = reason
        self._driver.progressed()
