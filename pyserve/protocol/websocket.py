"""A WebSocket behind its handshake, without a socket: octets in, messages and octets out (RFC 6455, RFC 7692).

    OPEN -> CLOSING   we have sent a close frame and wait for the peer's; what comes before it is thrown away
         -> CLOSED    both have closed, the peer has failed, or the connection is lost; also from CLOSING

The driver's duties: hand in what it reads (`receive`, `receive_eof`), and after any call write what is in `out`. Frames
are looked at as long as there is room for their messages; once the application has taken some (`take`), `proceed` goes
on with what is `pending`; so it is to be called, in a while, where a single call would have looked at very many frames
and the socket is `behind`. One that is CLOSED is to be half-closed once `out` is written (section 7.1.1).

What comes is judged as it comes, not when the message is complete: a length that is too big when it is announced, text
that is not UTF-8 at the first octet that no text has there, and deflated data when it becomes too much. But what
has come whole before it is the application's, who may answer it: the connection fails when that is taken.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from pyserve.protocol.deflate import Agreement, Deflate
from pyserve.protocol.errors import Disconnected
from pyserve.protocol.websocket_frames import (
    COMPRESSED,
    FIN,
    Code,
    Failure,
    Opcode,
    extended_length,
    frame_head,
    read_close,
    unmask,
    write_close,
)
from pyserve.protocol.websocket_message import PartialMessage

_TURN = 1000  # frames that are looked at in one call: the smallest are 6 octets, and others wait meanwhile
_HELD = 65536  # octets of messages, or characters, that may wait to be taken; one more message is always let in
_COPIED = 16384  # octets of a payload that is copied behind its head
_CONTROL = 0x08  # the bit of an opcode
_DATA = (Opcode.TEXT, Opcode.BINARY)
_NOTHING = b""


class State(Enum):
    """How far the connection has come."""

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


_OPEN, _CLOSING, _CLOSED = State.OPEN, State.CLOSING, State.CLOSED


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all WebSockets of a worker.

    max_size: octets of a message, inflated. max_queue: messages that may wait to be taken. compresses: whether
    permessage-deflate is agreed to.
    """

    max_size: int
    max_queue: int
    compresses: bool


class WebSocket:
    """The server's side of one WebSocket.

    out: octets to write, in order; the driver empties it. state: see above. code, reason: why it closed, once it is not
    open: the peer's, or ours if we were first. error: what the peer did wrong, for the log. received: octets; sent:
    those of payload. agreed: both sides have sent a close frame, and nothing more is to come. behind: frames were left
    for another call of `proceed`, though there is room for their messages.
    """

    __slots__ = (
        "_ahead", "_deflate", "_eof", "_failure", "_fin", "_held", "_left", "_mask", "_message", "_messages",
        "_position", "_terms", "agreed", "behind", "code", "error", "out", "reason", "received", "sent", "state",
    )  # fmt: skip

    def __init__(self, terms: Terms, agreement: Agreement | None) -> None:
        self._terms = terms
        self._deflate = Deflate(agreement) if agreement is not None else None
        self.out: list[bytes] = []
        self.state = _OPEN
        self.code: int = Code.ABNORMAL
        self.reason = self.error = ""
        self.received = self.sent = 0
        self.behind = False
        self._eof = self.agreed = False
        self._failure: Failure | None = None  # the application is to have what came before it
        self._messages: deque[str | bytes] = deque()
        self._held = 0  # in them
        self._ahead: bytes | bytearray = _NOTHING  # what has come and is not used, from `_position` on
        self._position = 0
        self._message: PartialMessage | None = None  # of which the last frame has not come whole
        self._fin = False  # ... this is it
        self._mask = _NOTHING
        self._left = 0  # octets to come of the frame's payload

    # What the driver asks and says

    @property
    def pending(self) -> int:
        """Octets that have come and were not looked at, for want of room or time, or as a frame's head is not whole."""
        return len(self._ahead) - self._position

    @property
    def full(self) -> bool:
        """Whether what has come is to be dealt with before more is read."""
        return (
            self.behind
            or self._failure is not None
            or len(self._messages) >= self._terms.max_queue
            or self._held > _HELD
        )

    @property
    def waits(self) -> bool:
        """Whether a message waits to be taken."""
        return bool(self._messages)

    def receive(self, data: bytes) -> None:
        """Take octets."""
        self.received += len(data)
        if self.state is _CLOSED:
            return
        if self._ahead:
            if isinstance(self._ahead, bytes):
                self._ahead = bytearray(self._ahead[self._position :])
            else:
                del self._ahead[: self._position]
            self._position = 0
            self._ahead += data
        else:
            self._ahead = data
        self.proceed()

    def receive_eof(self) -> None:
        """The peer sends no more (FIN): without a close frame, which may have come already, the connection is lost."""
        self._eof = True
        if not (self.pending and self.full):
            self.lose()

    def proceed(self) -> None:
        """Look at frames that have come."""
        at_most, messages = self._terms.max_queue, self._messages
        if self._failure is not None:
            return
        self.behind = False
        looked = 0
        try:
            while self._ahead and len(messages) < at_most and self._held <= _HELD:
                if looked == _TURN:
                    self.behind = True
                    return
                looked += 1
                if self._left:
                    self._receive_payload()
                elif not self._receive_frame():
                    break
            if self._eof and not self.full:
                self.lose()
        except Failure as failure:
            if messages:
                self._failure = failure
            else:
                self._fail(failure)

    def take(self) -> str | bytes | None:
        """The next message, None when none is here. That may be the end: see `state`."""
        if not self._messages:
            if self._failure is not None:
                self._fail(self._failure)
            return None
        message = self._messages.popleft()
        self._held -= len(message)
        return message

    def send(self, message: str | bytes) -> None:
        """Send a message. Raises `Disconnected` unless the socket is open."""
        if self.state is not _OPEN:
            raise Disconnected("the WebSocket is closed")
        if isinstance(message, str):
            opcode, payload = Opcode.TEXT, message.encode("utf-8")
        else:
            opcode, payload = Opcode.BINARY, message
        if self._deflate is not None:
            deflated = self._deflate.deflate(payload)
            if deflated is not None:
                self._write(opcode, deflated, FIN | COMPRESSED)
                return
        self._write(opcode, payload)

    def ping(self) -> None:
        """Ask for a sign of life."""
        if self.state is _OPEN:
            self._write(Opcode.PING, _NOTHING)

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame; unless the socket is open, nothing. Raises `ApplicationError` for a code there is not."""
        if self.state is _OPEN:
            self._close(write_close(code, reason), code, reason)
            self._messages.clear()  # nobody takes them any more
            self._held = 0

    def fail(self, code: Code, reason: str) -> None:
        """Close without waiting for the peer, of whom nothing is to be expected (section 7.1.7)."""
        if self.state is _OPEN:
            self._close(write_close(code, reason), code, reason)
        self._end()

    def lose(self) -> None:
        """The connection is lost. What has come whole can still be taken."""
        self._end()

    # Inwards

    def _use(self, end: int) -> None:
        if end < len(self._ahead):
            self._position = end
        else:
            self._ahead = _NOTHING
            self._position = 0

    def _receive_frame(self) -> bool:
        """Look at a frame's head, and at what is here of its payload; False where the head is not here whole."""
        ahead, at = self._ahead, self._position
        if len(ahead) < at + 2:
            return False
        first, size = ahead[at], ahead[at + 1] & 0x7F
        if not ahead[at + 1] & 0x80:
            raise Failure(Code.PROTOCOL_ERROR, "a frame that is not masked (RFC 6455 section 5.1)")
        at += 2
        if first & _CONTROL:
            return self._receive_control(first, size, at)
        self._check_data(first)
        if size > 125:
            width = 2 if size == 126 else 8
            if len(ahead) < at + width:
                return False
            size = extended_length(size, ahead[at : at + width])
            at += width
        message = self._message
        before = message.size if message is not None and not message.deflated else 0
        if before + size > self._terms.max_size and self.state is _OPEN:
            raise Failure(Code.TOO_BIG, "the message is too big")
        start = at + 4
        if len(ahead) < start:
            return False
        self._mask = bytes(ahead[at:start])
        self._fin = first >= FIN
        self._left = size
        if message is None:
            self._message = PartialMessage(first & 0x0F == Opcode.TEXT, self._inflater(first), self._terms.max_size)
        self._use(start)
        self._receive_payload()
        return True

    def _inflater(self, first: int) -> Deflate | None:
        return self._deflate if first & COMPRESSED else None

    def _check_data(self, first: int) -> None:
        """Judge the first octet of a frame of data (sections 5.2 and 5.4, RFC 7692 section 6)."""
        opcode = first & 0x0F
        reserved = 0x70 if self._deflate is None or opcode == Opcode.CONTINUATION else 0x30
        if first & reserved or (opcode and opcode not in _DATA):
            raise Failure(Code.PROTOCOL_ERROR, "reserved bit or opcode (RFC 6455 section 5.2)")
        if (opcode == Opcode.CONTINUATION) is (self._message is None):
            raise Failure(Code.PROTOCOL_ERROR, "fragments out of order (RFC 6455 section 5.4)")

    def _receive_payload(self) -> None:
        """Take what is here of the payload of a frame of data."""
        ahead, at = self._ahead, self._position
        size = min(len(ahead) - at, self._left)
        payload = unmask(ahead[at : at + size], self._mask)
        self._use(at + size)
        self._left -= size
        is_last = self._fin and not self._left
        if self._left and size & 3:
            self._mask = self._mask[size & 3 :] + self._mask[: size & 3]
        message = self._message
        assert message is not None
        if self.state is _CLOSING:
            pass
        elif is_last:
            whole = message.end(payload)
            self._messages.append(whole)
            self._held += len(whole)
        else:
            message.add(payload)
        if is_last:
            self._message = None

    def _receive_control(self, first: int, size: int, at: int) -> bool:
        """Look at a control frame (section 5.5), once it is here whole."""
        opcode = first & 0x0F
        if first & 0x70 or opcode > Opcode.PONG:
            raise Failure(Code.PROTOCOL_ERROR, "reserved bit or opcode (RFC 6455 section 5.2)")
        if size > 125 or first < FIN:
            raise Failure(Code.PROTOCOL_ERROR, "a control frame in fragments, or too long (RFC 6455 section 5.5)")
        start = at + 4
        if len(self._ahead) < start + size:
            return False
        payload = unmask(self._ahead[start : start + size], bytes(self._ahead[at:start]))
        self._use(start + size)
        if opcode == Opcode.CLOSE:
            self._receive_close(payload)
        elif opcode == Opcode.PING and self.state is _OPEN:
            self._write(Opcode.PONG, bytes(payload))
        return True

    def _receive_close(self, payload: bytes | bytearray) -> None:
        """The peer closes, or has closed after us (section 5.5.1)."""
        code, reason = read_close(payload)
        if self.state is _OPEN:
            self._close(bytes(payload[:2]), code, reason)
        self.agreed = True
        self._end()

    def _fail(self, failure: Failure) -> None:
        self.error = failure.text
        self.fail(failure.code, failure.text)

    def _end(self) -> None:
        self._failure = None
        self.state = _CLOSED
        self.behind = False
        self._ahead = _NOTHING
        self._position = self._left = 0
        self._message = self._deflate = None

    # Outwards

    def _close(self, payload: bytes, code: int, reason: str) -> None:
        self._write(Opcode.CLOSE, payload)
        self.code, self.reason = code, reason
        self.state = _CLOSING

    def _write(self, opcode: Opcode, payload: bytes, flags: int = FIN) -> None:
        size = len(payload)
        head = frame_head(opcode, size, flags)
        self.sent += size
        if size <= _COPIED:
            self.out.append(head + payload)
        else:
            self.out += (head, payload)
