"""The opening handshake of a WebSocket: what a request asks for, and how that is agreed to (RFC 6455 section 4.2)."""

from base64 import b64encode
from binascii import Error, a2b_base64
from hashlib import sha1

from pyserve.protocol import deflate
from pyserve.protocol.errors import ApplicationError, ProtocolError
from pyserve.protocol.exchange import Exchange
from pyserve.protocol.fields import TOKEN, Fields, Meaning, are_lines, response_names

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
_VERSION = b"13"
_OLD = ProtocolError(426, "this server speaks version 13 of WebSocket (RFC 6455 section 4.2.2)")

# What a server may leave to nobody else in a 101 (section 4.2.2), beside what is a wire's own.
_OURS = frozenset((b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-protocol"))
_WIRES = frozenset((Meaning.LENGTH, Meaning.CONNECTION, Meaning.HOP))


class Handshake:
    """What a request asks for.

    subprotocols: in the client's order. agreement: on compression, or None. Raises `ProtocolError` 400 where it is
    malformed, and 426 for another version.
    """

    __slots__ = ("_extensions", "_key", "agreement", "subprotocols")

    def __init__(self, exchange: Exchange, *, compresses: bool) -> None:
        """exchange: one that the wire has found to ask for WebSocket. compresses: whether to agree to that."""
        index = exchange.index
        if index.get(b"sec-websocket-version") != _VERSION:
            raise ProtocolError(_OLD.status, _OLD.text)
        self._key = _checked_key(index.get(b"sec-websocket-key", b""))
        self.subprotocols = _tokens(index.get(b"sec-websocket-protocol", b""))
        self.agreement: deflate.Agreement | None = None
        self._extensions = b""
        found = deflate.negotiate(index.get(b"sec-websocket-extensions", b""))
        if found is not None and compresses:
            self.agreement, self._extensions = found

    def block(self, subprotocol: str | None, fields: Fields) -> bytes:
        """The field lines of a 101 (section 4.2.2), with an application's. Raises `ApplicationError`."""
        accept = b64encode(sha1(self._key + _GUID, usedforsecurity=False).digest())
        lines = [b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: " + accept]
        if subprotocol is not None:
            if not TOKEN.fullmatch(subprotocol.encode("latin-1", "replace")):
                raise ApplicationError(f"{subprotocol!r} is no subprotocol (RFC 6455 section 4.2.2)")
            lines.append(b"Sec-WebSocket-Protocol: " + subprotocol.encode("ascii"))
        if self._extensions:
            lines.append(b"Sec-WebSocket-Extensions: " + self._extensions)
        lines += [b"%b: %b" % field for field in fields if _is_the_applications(field)]
        block = b"\r\n".join((*lines, b""))
        if not are_lines(block, len(lines)):
            raise ApplicationError("CR, LF or another control character in a response field (RFC 9110 section 5.5)")
        return block


def _is_the_applications(field: tuple[bytes, bytes]) -> bool:
    meaning = response_names.learn(field[0])
    if field[0].lower() in _OURS:
        raise ApplicationError(f"{field[0]!r} is the server's to send (ASGI: see `subprotocol`)")
    return meaning not in _WIRES


def refuse(exchange: Exchange, error: ProtocolError) -> None:
    """Answer a handshake that cannot be. 426 says what could (RFC 9110 section 15.5.22, RFC 6455 section 4.4)."""
    text = error.text.encode("ascii") + b"\n"
    exchange.send_head(error.status, None, [(b"Content-Type", b"text/plain; charset=utf-8")])
    if error.status == _OLD.status:
        exchange.block += b"Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    exchange.send_body(text, False)


def _checked_key(key: bytes) -> bytes:
    """16 octets in base64, of which one field is there (section 4.2.1 point 5)."""
    try:
        if len(key) == 24 and len(a2b_base64(key, strict_mode=True)) == 16:
            return key
    except Error:
        pass
    raise ProtocolError(400, "invalid Sec-WebSocket-Key (RFC 6455 section 4.2.1)")


def _tokens(value: bytes) -> list[str]:
    """The subprotocols that are asked for (section 11.3.4): 1#token."""
    names = [name for item in value.split(b",") if (name := item.strip(b" \t"))]
    if not all(map(TOKEN.fullmatch, names)):
        raise ProtocolError(400, "invalid Sec-WebSocket-Protocol (RFC 6455 section 4.2.1)")
    return [name.decode("ascii") for name in names]
