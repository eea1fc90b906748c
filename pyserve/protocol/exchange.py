"""One request and its response, whatever wire they go over (RFC 9110).

The exchange knows what the semantics decide: whether a status has content, whether the length is kept, what a field
means to the server, whether the head has gone. How it stands on the wire (status line, chunks, keep-alive) is the
wire's. Both gateways speak only to this class.

    Receiving   BODY -> DONE            (the exchange begins when the head is complete)
    Sending     HEAD -> BODY -> DONE
"""

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, Protocol

from pyserve.protocol.errors import ApplicationError, Disconnected, ProtocolError
from pyserve.protocol.fields import OCTETS, Fields, Form, Meaning, are_lines, count_lines, options, response_names


class Receiving(Enum):
    """How far the request has come."""

    BODY = "body"
    DONE = "done"


class Sending(Enum):
    """How far the response has gone."""

    HEAD = "head"
    BODY = "body"
    DONE = "done"


# Enum members by names of their own: on the hot path a global is cheaper than an attribute of a class.
_HEAD, _BODY, _DONE = Sending.HEAD, Sending.BODY, Sending.DONE
_RECEIVED = Receiving.DONE
# Plain numbers, which Python compares and joins several times as fast as members of an enum.
_LENGTH, _CONNECTION, _HOP = int(Meaning.LENGTH), int(Meaning.CONNECTION), int(Meaning.HOP)


class FileSpan:
    """`count` octets of the open descriptor `fd` from `offset`, to be sent without passing through Python.

    It stands in a wire's `out` in the place of octets. `close` gives the descriptor back; whoever sends the span, or
    drops it unsent, calls it once.
    """

    __slots__ = ("close", "count", "fd", "offset")

    def __init__(self, fd: int, offset: int, count: int, close: Callable[[], None]) -> None:
        self.fd = fd
        self.offset = offset
        self.count = count
        self.close = close

    def __len__(self) -> int:
        return self.count


Data = bytes | FileSpan


class ResponseWire(Protocol):
    """What an exchange asks of its wire."""

    def send_informational(self, exchange: "Exchange", status: int, block: bytes) -> None: ...
    def send_head(self, exchange: "Exchange") -> None: ...
    def send_whole(self, exchange: "Exchange", data: Data) -> None: ...
    def send_data(self, data: Data) -> None: ...
    def end(self, exchange: "Exchange", trailers: bytes) -> None: ...
    def fail(self, exchange: "Exchange", error: ProtocolError) -> None: ...


# Statuses whose responses have no content (RFC 9110 sections 6.4.1, 15.3.5, 15.3.6 and 15.4.5)
_WITHOUT_CONTENT = frozenset((204, 205, 304))
# ... and of these no Content-Length of the application's either, as of a 2xx to CONNECT (RFC 9110 sections 8.6 and
# 9.3.6; 205 gets a zero of the wire's)
_NO_LENGTH = frozenset((204, 205))
_NO_DATA = b""

# The `length` of a request without content that asks for WebSocket: whoever looks for content has to look twice, and
# nobody else has to look at all.
UPGRADE = -1


class Exchange:
    """One request, and its response.

    The request, set by the wire before anyone sees it:
        method: str, case-sensitive. target: octets as sent; path and query: its parts, still percent-encoded.
        version: "1.0" or "1.1". fields: (lower-case name, value) in order; index: name -> value, repeated ones joined.
        length: octets of the content, None when chunked (`UPGRADE` is for the wire). keep: the connection may be used
        again, as far as this exchange goes. expects: the peer waits for 100 (Continue).
    The content as it arrives: `body`, taken with `take`; `received` octets so far.
    client: the address of the client as a trusted proxy has told it; "" where the peer is the client. For the log.
    The response: `status` (0 before the head), `block` (its field lines), `body_sent` octets of content.
        complaint: what the application did wrong without an error being possible, for the log.
        gone: the connection is lost, nothing can be sent. error: why the request is broken off, if it is.
        peer_done: the peer will send no more (FIN), yet reads its answer.
    Stamps in seconds of the driver's monotonic clock, 0.0 while unknown: arrived, parsed, called, answered, finished.
    """

    method: str
    target: bytes
    path: bytes
    query: bytes
    version: str
    fields: Fields
    index: dict[bytes, bytes]
    length: int | None
    keep: bool
    expects: bool
    declared: int | None
    has_content: bool
    left: int | None
    own: int
    reason: bytes | None

    __slots__ = (
        "answered", "arrived", "block", "body", "body_sent", "called", "client", "complaint", "declared", "error",
        "expects", "fields", "finished", "gone", "has_content", "index", "keep", "left", "length", "method", "own",
        "parsed", "path", "peer_done", "query", "reason", "received", "receiving", "sending", "status", "target",
        "version", "wire",
    )  # fmt: skip

    def __init__(self, wire: ResponseWire) -> None:
        self.wire = wire
        self.receiving = _RECEIVED
        self.sending: Sending = _HEAD
        self.body: bytearray | None = None
        self.received = 0
        self.error: ProtocolError | None = None
        self.gone = False
        self.peer_done = False
        self.status = 0
        self.body_sent = 0
        self.client = self.complaint = ""
        self.block = _NO_DATA
        self.arrived = self.parsed = self.called = self.answered = self.finished = 0.0

    # The request's content

    @property
    def buffered(self) -> int:
        """Octets of content that have arrived and are not taken."""
        return len(self.body) if self.body is not None else 0

    def store(self, content: bytes | bytearray) -> None:
        """Keep octets of content that have come; the wire calls this."""
        if self.body is None:
            self.body = bytearray(content)
        else:
            self.body += content

    def take(self, at_most: int = -1) -> bytes:
        """Take octets of content that have arrived: all, or at most so many; b"" when none wait."""
        body = self.body
        if not body:
            return b""
        if at_most < 0 or at_most >= len(body):
            self.body = None
            return bytes(body)
        data = bytes(body[:at_most])
        del body[:at_most]
        return data

    def send_continue(self) -> None:
        """Ask for the content if the peer waits to be asked (RFC 9110 section 10.1.1); at most once, else nothing."""
        if self.expects and self.sending is _HEAD and self.receiving is Receiving.BODY and not self.gone:
            self.expects = False
            if not self.received:
                self.wire.send_informational(self, 100, b"")

    # The response

    @property
    def response_fields(self) -> Fields:
        """(name, value) of the application's that are in the response's head, in order; none before it."""
        lines = self.block.split(b"\r\n")[:-1]
        return [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]

    def send_early_hints(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        """Send a 103 with `fields` before the response (RFC 8297); nothing to a peer of HTTP/1.0."""
        if self.gone:
            raise Disconnected("the peer has gone")
        if self.sending is not _HEAD:
            raise ApplicationError("early hints after the response has begun (RFC 8297)")
        if self.version != "1.0":
            self.wire.send_informational(self, 103, _encode(fields))

    def send_head(self, status: int, reason: bytes | None, fields: Iterable[Any], form: Form = OCTETS) -> None:
        """Set the response's head; it leaves together with the first data.

        status: 200 to 599. reason: None for the standard phrase. fields: (name, value), of octets or, in the form TEXT,
        of str in latin-1. Raises `ApplicationError`, or `Disconnected` when the exchange was broken off; may be called
        again as long as nothing has left, and then replaces the earlier head (PEP 3333, `exc_info`).
        """
        if self.sending is not _HEAD:
            if self.gone:  # answered by the server in the application's place: nobody's fault
                raise Disconnected("the peer has gone")
            raise ApplicationError("the response has begun already")
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise ApplicationError(f"status {status!r} is not in 200..599 (RFC 9110 section 15)")
        if reason is not None and count_lines(reason) != 0:
            raise ApplicationError("control character in the reason phrase (RFC 9112 section 4)")
        names, colon, end, nothing = form
        known = names.known
        self.declared = None
        self.own = 0
        pieces: list[Any] = []
        try:
            for name, value in fields:
                try:
                    meaning = known[name]
                except KeyError:
                    meaning = names.learn(name)
                if not meaning or self._heed(meaning, status, value):
                    pieces += (name, colon, value, end)
            block = nothing.join(pieces)
            if form is not OCTETS:
                block = block.encode("latin-1")
            if not are_lines(block, len(pieces) >> 2):
                raise _not_a_line()
            self.block = block
        except (TypeError, ValueError, AttributeError) as error:
            raise ApplicationError(f"response fields must be pairs of {names.kind.__name__}: {error}") from None
        self.status = status
        self.reason = reason
        self.has_content = self.method != "HEAD" and status not in _WITHOUT_CONTENT

    def announce(self, size: int) -> None:
        """Declare `size` octets of content unless the application has: all of it is at hand, in pieces."""
        if self.status and self.declared is None and (self.has_content or self.method == "HEAD"):
            self.declared = size

    def send_body(self, data: Data, more: bool) -> None:
        """Send octets of content; `more` says that others follow.

        The first call sends the head, the last one, with `more` False, completes the response. Raises
        `ApplicationError` out of order and `Disconnected` when the connection is lost.
        """
        if self.gone:
            _drop(data)
            raise Disconnected("the peer has gone")
        size = len(data)
        if self.sending is _HEAD:
            if not self.status:
                _drop(data)
                raise ApplicationError("data before the response's head")
            known = size and self.method == "HEAD" and self.status not in _WITHOUT_CONTENT
            if self.declared is None and not more and (self.has_content or known):
                self.declared = size  # the whole content is at hand
            if not more and size == self.declared and self.has_content:
                self._send_whole(data, size)
                return
            self.left = self.declared
            self.sending = _BODY
            self.wire.send_head(self)
        elif self.sending is _DONE:
            _drop(data)
            raise ApplicationError("data after the response was complete")
        if size:
            if size == self.left and self.has_content:
                self.left = 0
                self.body_sent += size
            else:
                data = self._measure(data, size)
            if data:
                self.wire.send_data(data)
        elif data is not _NO_DATA:
            _drop(data)
        if not more:
            self._end(b"")

    def send_trailers(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        """Complete the response with trailers, left out unless the peer takes them (RFC 9110 section 6.5.1)."""
        if self.gone:
            raise Disconnected("the peer has gone")
        if self.sending is not _BODY:
            raise ApplicationError("trailers before data, or after the response was complete")
        block = _encode(fields)
        self._end(block if b"trailers" in options(self.index.get(b"te", b"")) else b"")

    def fail(self, status: int, text: str) -> None:
        """Give up the response: answer `status` if nothing has left, else cut it short. The connection closes."""
        if self.sending is not _DONE:
            self.wire.fail(self, ProtocolError(status, text))

    def _heed(self, meaning: int, status: int, value: Any) -> bool:
        """Act on a field that means something to the server; return whether it is sent on."""
        if meaning == _LENGTH:
            # What is a digit to `str` alone is no octet, or none that `int` takes.
            if not (value.isdigit() and len(value) < 19) or self.own & _LENGTH:
                raise ApplicationError(f"invalid or second Content-Length {value!r} (RFC 9110 section 8.6)")
            if status in _NO_LENGTH or (status < 300 and self.method == "CONNECT"):
                return False
            self.declared = int(value)
        elif meaning == _CONNECTION:
            if b"close" in options(value if isinstance(value, bytes) else value.encode("latin-1")):
                self.keep = False
            return False
        elif meaning == _HOP:
            return False
        self.own |= meaning
        return True

    def _send_whole(self, data: Data, size: int) -> None:
        """Send the head and all of the content, as most responses leave."""
        if not size and data is not _NO_DATA:
            _drop(data)
            data = _NO_DATA
        self.left = 0
        self.body_sent = size
        self.sending = _DONE
        self.wire.send_whole(self, data)

    def _measure(self, data: Data, size: int) -> Data:
        """Hold data against the declared length and count it; return what may be sent of it."""
        if not self.has_content:
            if self.method != "HEAD":
                self.complaint = f"a {self.status} response has no content, {size} bytes were not sent"
            _drop(data)
            return _NO_DATA
        if self.left is not None:
            if size > self.left:
                self.complaint = f"more data than Content-Length ({self.declared}), the rest was not sent"
                size = self.left
                if not isinstance(data, FileSpan):
                    data = data[:size]
                elif size:
                    data.count = size
                else:
                    data.close()
                    data = _NO_DATA
            self.left -= size
        self.body_sent += size
        return data

    def _end(self, trailers: bytes) -> None:
        if self.left and self.has_content:
            self.complaint = f"{self.left} bytes less than Content-Length ({self.declared}), the connection was closed"
            self.keep = False
        self.sending = _DONE
        self.wire.end(self, trailers)


def _drop(data: Data) -> None:
    """Give up data that is not sent."""
    if isinstance(data, FileSpan):
        data.close()


def _encode(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Encode fields that the server itself need not look at."""
    pieces: list[bytes] = []
    for name, value in fields:
        if response_names.learn(name) in (_LENGTH, _CONNECTION, _HOP):
            raise ApplicationError(f"{name!r} may not stand in early hints or trailers (RFC 9110 section 6.5.1)")
        pieces += (name, b": ", value, b"\r\n")
    try:
        block = b"".join(pieces)
    except TypeError:
        raise ApplicationError("response field names and values must be bytes") from None
    if not are_lines(block, len(pieces) >> 2):
        raise _not_a_line()
    return block


def _not_a_line() -> ApplicationError:
    """A field of the application's is not one line (RFC 9112 section 11.1), or one that a client may refuse."""
    return ApplicationError("CR, LF or another control character in a response field (RFC 9110 section 5.5)")
