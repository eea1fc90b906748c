"""ASGI 3: a WebSocket as scope, receive and send (spec_version 2.4, with the extension `websocket.http.response`).

    CONNECTING -> OPEN     websocket.accept
               -> DENIED   websocket.close (403), or a response of the application's: websocket.http.response.start
    OPEN       -> CLOSED   websocket.close; or the peer closes, or is lost, which the socket itself knows

As in `asgi.py`, nothing here makes an awaitable.
"""

from collections.abc import Awaitable
from enum import Enum
from typing import Any, Protocol

from pyserve.protocol.asgi import Message, Scope, ScopeTemplate
from pyserve.protocol.errors import ApplicationError, Disconnected
from pyserve.protocol.exchange import Exchange, Sending
from pyserve.protocol.websocket import State, WebSocket
from pyserve.protocol.websocket_frames import Code
from pyserve.protocol.websocket_handshake import Handshake

_SCHEMES = {"http": "ws", "https": "wss"}
_DENIAL = "websocket.http.response"


class WebSocketDriver(Protocol):
    """What the gateway needs of the driver of one WebSocket; the first three are as of an exchange's."""

    def flush(self) -> None: ...
    def writable(self) -> Awaitable[None] | None: ...
    def arrival(self) -> Awaitable[None]: ...

    def open(self, handshake: Handshake, block: bytes) -> WebSocket:
        """The handshake is agreed to, with the field lines `block`: send them, and go on as a WebSocket."""

    def taken(self) -> None:
        """A message was taken, or asked for in vain: there may be room to read on, or the socket may be closed."""


def websocket_scope(template: ScopeTemplate, exchange: Exchange, handshake: Handshake) -> Scope:
    """Build the scope of a `websocket` connection (ASGI WebSocket spec 2.4). Raises as `ScopeTemplate.make` does."""
    scope = template.make(exchange)
    del scope["method"]
    extensions = {name: about for name, about in scope["extensions"].items() if name == "tls"}
    scope.update(
        type="websocket",
        asgi={"version": "3.0", "spec_version": "2.4"},
        scheme=_SCHEMES[scope["scheme"]],
        subprotocols=handshake.subprotocols.copy(),
        extensions={_DENIAL: {}, **extensions},
    )
    return scope


class Phase(Enum):
    """How far the application has come."""

    CONNECTING = "connecting"
    DENIED = "denied"
    OPEN = "open"
    CLOSED = "closed"


class WebSocketCall:
    """One call of the application: its `receive` and `send`. socket: None until the handshake is agreed to."""

    __slots__ = ("_driver", "_exchange", "_handshake", "_phase", "_told", "socket")

    def __init__(self, exchange: Exchange, handshake: Handshake, driver: WebSocketDriver) -> None:
        self._exchange = exchange
        self._handshake = handshake
        self._driver = driver
        self._phase = Phase.CONNECTING
        self._told = False  # websocket.connect has been given
        self.socket: WebSocket | None = None

    async def receive(self) -> Message:
        """Wait for a message, or for the end (`websocket.disconnect`), which can be asked for again and again."""
        if not self._told:
            self._told = True
            return {"type": "websocket.connect"}
        exchange = self._exchange
        while True:
            socket = self.socket
            if socket is not None:
                message = socket.take()
                if message is not None or socket.state is not State.OPEN:
                    self._driver.taken()
                if message is not None:
                    return {"type": "websocket.receive", "text" if isinstance(message, str) else "bytes": message}
                if socket.state is not State.OPEN:
                    return {"type": "websocket.disconnect", "code": socket.code, "reason": socket.reason}
            elif exchange.gone or exchange.peer_done or exchange.sending is Sending.DONE:
                return {"type": "websocket.disconnect", "code": Code.ABNORMAL.value, "reason": ""}
            await self._driver.arrival()

    async def send(self, message: Message) -> None:
        """Accept, deny, send or close; waits while the peer does not read.

        Raises `ApplicationError` for a message that is wrong or out of order, and `Disconnected` (an OSError) once the
        connection is closed, by whomever.
        """
        kind = message["type"]
        socket = self.socket
        if socket is not None:
            self._send_open(kind, message, socket)
        elif self._phase is Phase.CONNECTING:
            self._answer(kind, message)
        elif kind == f"{_DENIAL}.body" and self._phase is Phase.DENIED:
            self._exchange.send_body(_octets(message.get("body", b"")), message.get("more_body", False))
        else:
            raise _out_of_order(kind, self._phase)
        self._driver.flush()
        writable = self._driver.writable()
        if writable is not None:
            await writable

    def _send_open(self, kind: str, message: Message, socket: WebSocket) -> None:
        if kind == "websocket.send":
            text = message.get("text")
            socket.send(_octets(message.get("bytes")) if text is None else _text(text))
        elif kind != "websocket.close":
            raise _out_of_order(kind, self._phase)
        elif socket.state is not State.OPEN:
            raise Disconnected("the WebSocket is closed")
        else:
            socket.close(message.get("code", Code.NORMAL.value), message.get("reason") or "")
            self._phase = Phase.CLOSED
            self._exchange.sending = Sending.DONE  # what the application does from now on is not for the client

    def _answer(self, kind: str, message: Message) -> None:
        """The application's first word decides."""
        exchange = self._exchange
        if exchange.gone:
            raise Disconnected("the peer has gone")
        if kind == "websocket.accept":
            block = self._handshake.block(message.get("subprotocol"), list(message.get("headers", ())))
            self._phase = Phase.OPEN
            self.socket = self._driver.open(self._handshake, block)
        elif kind == "websocket.close":
            self._phase = Phase.CLOSED
            exchange.send_head(403, None, [])
            exchange.send_body(b"", False)
        elif kind == f"{_DENIAL}.start":
            exchange.send_head(message["status"], None, list(message.get("headers", ())))
            self._phase = Phase.DENIED
        else:
            raise _out_of_order(kind, self._phase)


def _octets(data: Any) -> bytes:
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise ApplicationError(f"the data must be bytes, not {type(data).__name__} (ASGI)")


def _text(text: Any) -> str:
    if isinstance(text, str):
        return text
    raise ApplicationError(f"the text must be str, not {type(text).__name__} (ASGI)")


def _out_of_order(kind: str, phase: Phase) -> ApplicationError:
    return ApplicationError(f"message {kind!r} of a WebSocket that is {phase.value} (ASGI)")
