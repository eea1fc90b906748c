"""A client of the worker that has asked for WebSocket."""

from typing import Any

from tests.protocol.websocket_peer import CLOSE, TEXT, close, frame
from tests.workers.serving import Client, Served

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\n{{more}}\r\n"
)


def handshake(path: str = "/", *fields: str) -> bytes:
    return HANDSHAKE.format(path=path, more="".join(f"{field}\r\n" for field in fields)).encode("latin-1")


class Peer:
    """One connection. head: the response to the handshake."""

    def __init__(self, served: Served, *fields: str, ahead: bytes = b"", path: str = "/") -> None:
        """ahead: sent in one piece with the handshake."""
        self.client: Client = served.connect()
        self.client.send(handshake(path, *fields) + ahead)
        self.head = self.client.until(b"\r\n\r\n")

    def say(self, text: str) -> None:
        self.client.send(frame(TEXT, text.encode()))

    def hear(self) -> str | bytes:
        """The payload of the next frame, text as text."""
        first, payload = self.frame()
        return payload.decode() if first == 0x81 else payload

    def frame(self) -> tuple[int, bytes]:
        first, size = self.client.take(2)
        if size > 125:
            size = int.from_bytes(self.client.take(2 if size == 126 else 8))
        return first, self.client.take(size)

    def ended(self) -> int:
        """Read up to a close frame and answer it; its code. The worker has to close the connection then."""
        while (found := self.frame())[0] != 0x80 | CLOSE:
            pass
        code = int.from_bytes(found[1][:2])
        self.client.send(close(code))
        assert self.client.rest() == b""
        return code


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Send back what comes."""
    assert scope["type"] == "websocket", scope
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
