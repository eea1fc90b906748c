"""The client's side of a WebSocket, as far as tests need it: it frames what it is told, also what is wrong."""

from pyserve.protocol.deflate import Agreement
from pyserve.protocol.websocket import Terms, WebSocket

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"\x37\xfa\x21\x3d"  # of the examples in RFC 6455 section 5.7


def masked(payload: bytes, mask: bytes = MASK) -> bytes:
    """Octet by octet, as RFC 6455 section 5.3 has it."""
    return bytes(octet ^ mask[at % 4] for at, octet in enumerate(payload))


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes = MASK, size: int | None = None
) -> bytes:
    """A client's frame. rsv: 4, 2 and 1 for the three bits. size: what the head says, where that is not so."""
    size = len(payload) if size is None else size
    first = bytes([fin << 7 | rsv << 4 | opcode])
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = b"\xfe" + size.to_bytes(2)
    else:
        length = b"\xff" + size.to_bytes(8)
    return first + length + mask + masked(payload, mask)


def close(code: int, reason: str = "") -> bytes:
    return frame(CLOSE, code.to_bytes(2) + reason.encode())


def read_frames(octets: bytes) -> list[tuple[int, bytes]]:
    """What a server has sent: (first octet, payload) of each frame; all must be there whole, unmasked and short."""
    frames = []
    at = 0
    while at < len(octets):
        first, size = octets[at], octets[at + 1]
        assert size < 128, "a server does not mask (RFC 6455 section 5.1)"
        at += 2
        if size > 125:
            width = 2 if size == 126 else 8
            size = int.from_bytes(octets[at : at + width])
            assert size > (125 if width == 2 else 65535), "a length that could be shorter"
            at += width
        assert len(octets) >= at + size, "cut short"
        frames.append((first, octets[at : at + size]))
        at += size
    return frames


def open_socket(
    *, max_size: int = 1000, max_queue: int = 1000, agreement: Agreement | None = None, held: bytes = b""
) -> WebSocket:
    """One that is open, and has received `held`."""
    socket = WebSocket(Terms(max_size, max_queue, True), agreement)
    socket.receive(held)
    return socket


def sent(socket: WebSocket) -> list[tuple[int, bytes]]:
    """Take what the socket wants written."""
    octets = b"".join(socket.out)
    socket.out.clear()
    return read_frames(octets)


def taken(socket: WebSocket) -> list[str | bytes]:
    """Take all messages."""
    messages = []
    while (message := socket.take()) is not None:
        messages.append(message)
        socket.proceed()
    return messages
