"""One HTTP/1.1 connection without its socket: octets in, exchanges and octets out (RFC 9112).

The driver's duties: hand in what it reads (`receive`, `receive_eof`), start the exchange that comes back, and after any
call on the wire or one of its exchanges write what is in `out`. When an exchange is over, `proceed` gives the next one
that is already here (pipelining, section 9.3.2), or `closing` tells to half-close, linger and close (section 9.6).
`awaiting` tells which deadline applies; the wire itself knows no time, and hears of a missed one by `expire`.

    DONE, DONE, KEEP      next exchange
    BODY, DONE, KEEP      drain up to a limit, then next; else close          (section 9.3)
    *,    DONE, CLOSE     half-close, linger, close                           (section 9.6)
    DONE, *,    UPGRADE   a WebSocket, if it is agreed to: `switch`           (RFC 9110 section 7.8)
"""

from enum import Enum

from pyserve.protocol.chunked import ChunkedDecoder
from pyserve.protocol.config import WireConfig
from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.exchange import UPGRADE, Data, Exchange, FileSpan, Receiving, Sending
from pyserve.protocol.fields import Meaning
from pyserve.protocol.head import diagnose, read_head
from pyserve.protocol.limits import Scanner
from pyserve.protocol.parsers import Malformed
from pyserve.protocol.status import STATUS_LINES


class Awaiting(Enum):
    """What the wire waits for from the peer; each has its deadline."""

    HEAD = "head"  # a request's head, begun or the connection's first
    BODY = "body"
    IDLE = "idle"  # the next request, of which nothing has come
    NOTHING = "nothing"


class Persistence(Enum):
    """Whether the connection is used again; it never goes back."""

    KEEP = "keep"
    CLOSE = "close"
    UPGRADE = "upgrade"  # another protocol is asked for, or spoken: closed in the end


# Enum members by names of their own: on the hot path a global is cheaper than an attribute of a class.
_KEEP, _CLOSE = Persistence.KEEP, Persistence.CLOSE
_RECEIVED = Receiving.DONE
_LENGTH, _DATE, _SERVER = int(Meaning.LENGTH), int(Meaning.DATE), int(Meaning.SERVER)

# Data up to so many octets is copied behind a head or a chunk size of at most so many; more is not worth the copy.
_COPIED = 16384
_SHORT = 2048
_EMPTY = b""
_END_OF_HEAD = b"\r\n\r\n"


class Http1Wire:
    """The server's side of one HTTP/1.x connection.

    ahead: octets that have come and are not used yet, from `_position` on; empty when there are none.
    out: octets and file spans to write, in order; the driver empties it. exchange: the one in progress, or None.
    error: the protocol error that ended the connection, for the log. cut: a response was broken off after its head in
    a way that only a reset shows to the peer.
    """

    __slots__ = (
        "_chunked", "_decoder", "_drained", "_empty_line", "_eof", "_left", "_position", "_scanner",
        "ahead", "config", "cut", "error", "exchange", "out", "persistence", "served",
    )  # fmt: skip

    def __init__(self, config: WireConfig) -> None:
        self.config = config
        self.out: list[Data] = []
        self.exchange: Exchange | None = None
        self.persistence = _KEEP
        self.served = 0  # exchanges begun on this connection
        self.error: ProtocolError | None = None
        self.cut = False
        self.ahead: bytes | bytearray = _EMPTY
        self._position = 0  # up to here the buffer is used
        self._scanner: Scanner | None = None  # of a head that has come in part
        self._decoder: ChunkedDecoder | None = None
        self._left = 0  # octets of content to come, where a length says so
        self._drained = 0  # octets of content thrown away after the response
        self._empty_line = -1  # `served` when an empty line was passed over
        self._chunked = False  # the response's coding
        self._eof = False

    # What the driver asks and says

    @property
    def awaiting(self) -> Awaiting:
        if self.exchange is not None:
            receives = self.exchange.receiving is Receiving.BODY and not self.closing
            return Awaiting.BODY if receives else Awaiting.NOTHING
        if self.persistence is _CLOSE:
            return Awaiting.NOTHING
        return Awaiting.IDLE if self.served and not self.pending else Awaiting.HEAD

    @property
    def pending(self) -> int:
        """Octets that have come and are not used: part of a head, or what a peer sent ahead."""
        return len(self.ahead) - self._position

    @property
    def closing(self) -> bool:
        """Nothing more will be received or sent: write what is in `out`, half-close, linger, close."""
        exchange = self.exchange
        return self.persistence is _CLOSE and (exchange is None or exchange.sending is Sending.DONE)

    @property
    def ends_by_close(self) -> bool:
        """Whether only the close ends the content that is being sent: a peer cannot tell a cut from an end then."""
        exchange = self.exchange
        if exchange is None or exchange.sending is not Sending.BODY or self._chunked:
            return False
        return exchange.declared is None and exchange.has_content

    def receive(self, data: bytes) -> Exchange | None:
        """Take octets; return an exchange to start when they complete its head, or None where `persistence` is UPGRADE.

        While an exchange is in progress its content is taken and what follows is kept: the driver stops reading when
        `pending` or the exchange's `buffered` is more than it wants to hold.
        """
        if self.exchange is None:
            if self.persistence is _CLOSE:
                return None
            if not self.ahead and data.endswith(_END_OF_HEAD):
                try:
                    return self._begin(data)  # one whole head and nothing else, as most requests come
                except Malformed:
                    pass  # more than that, or less: the ordinary way tells
        elif self.closing:
            return None
        if self.ahead:
            self._compact()
            self.ahead += data
        else:
            self.ahead = data
        return self.proceed()

    def receive_eof(self) -> None:
        """The peer will send no more (FIN). What it has asked for whole is still answered."""
        self._eof = True
        exchange = self.exchange
        if self.closing:
            return
        if exchange is None:
            if self._scanner is not None or self.pending < 2:
                self._end_of_heads()
            return  # else whole requests may wait for `proceed`
        exchange.peer_done = True
        if exchange.receiving is Receiving.BODY:
            self._refuse(_cut_short())

    def proceed(self) -> Exchange | None:
        """Go on with what has been received; return the next exchange to start, if its head is here."""
        exchange = self.exchange
        if exchange is not None:
            if exchange.receiving is Receiving.BODY and not self.closing:
                self._receive_body(exchange)
            if self.exchange is not None:
                return None
        return self._receive_head()

    def expire(self) -> None:
        """The deadline of what the wire awaits has passed: answer 408 if something has begun, and close."""
        if self.awaiting is Awaiting.BODY or (self.awaiting is Awaiting.HEAD and self.pending):
            self._refuse(ProtocolError(408, "the request took too long (RFC 9110 section 15.5.9)"))
        else:
            self.persistence = _CLOSE

    def refuse(self, error: ProtocolError, received: bytes = b"") -> None:
        """What has come, in part `received`, is no HTTP/1 for this port: answer `error`, and close."""
        self._refuse(error, received)

    def switch(self, exchange: Exchange, block: bytes) -> bytes:
        """Agree to an upgrade: 101 leaves, with field lines `block`. Returns what has come behind the request, which is
        the new protocol's, as is all that comes from now on (RFC 9110 section 7.8)."""
        config = self.config
        exchange.status, exchange.block, exchange.sending = 101, block, Sending.BODY
        exchange.declared, exchange.has_content = None, False
        self.out.append(b"".join((STATUS_LINES[101], config.date, config.server, block, b"\r\n")))
        ahead = bytes(self.ahead[self._position :])
        self._use(len(self.ahead))
        return ahead

    def lose(self) -> None:
        """The connection is reset or a write failed: nothing can be sent any more."""
        self.persistence = _CLOSE
        for data in self.out:
            if isinstance(data, FileSpan):
                data.close()
        self.out.clear()
        if self.exchange is not None:
            self.exchange.gone = True

    # Inwards

    def _use(self, end: int) -> None:
        """Octets before `end` are used; a buffer of which nothing is left is none."""
        if end < len(self.ahead):
            self._position = end
        else:
            self.ahead = _EMPTY
            self._position = 0

    def _compact(self) -> None:
        """Make the buffer one that can grow and that holds only what is not used."""
        if isinstance(self.ahead, bytes):
            self.ahead = bytearray(self.ahead[self._position :])
        else:
            del self.ahead[: self._position]
        self._position = 0

    def _receive_head(self) -> Exchange | None:
        if self.persistence is _CLOSE:
            return None
        if self._scanner is not None:
            return self._receive_rest_of_head()
        buffer = self.ahead
        if buffer.startswith(b"\r\n", self._position) and self._empty_line != self.served:
            # One empty line before a request line is passed over, as old clients send one after content; more are
            # no client's (RFC 9112 section 2.2: "at least one").
            self._empty_line = self.served
            self._use(self._position + 2)
            buffer = self.ahead
        end = buffer.find(_END_OF_HEAD, self._position) + 4
        if end < 4:
            return self._receive_rest_of_head()
        head = bytes(buffer[self._position : end])
        self._use(end)
        return self._begin_or_diagnose(head)

    def _receive_rest_of_head(self) -> Exchange | None:
        """Judge a head that has come in part, as far as it has come."""
        if self._position or isinstance(self.ahead, bytes):
            self._compact()
        buffer = self.ahead
        if len(buffer) > 1 or (buffer and buffer != b"\r"):
            if self._scanner is None:
                self._scanner = Scanner(self.config.limits, 0)
            try:
                end = self._scanner.scan(buffer)
            except ProtocolError as error:
                self._refuse(error)
                return None
            if end >= 0:
                self._scanner = None
                head = bytes(memoryview(buffer)[:end])  # a slice of a bytearray would be copied twice
                self._use(end)
                return self._begin_or_diagnose(head)
        if self._eof:
            self._end_of_heads()
        return None

    def _end_of_heads(self) -> None:
        if self.pending:
            self._refuse(ProtocolError(400, "head cut short (RFC 9112 section 8)"))
        self.persistence = _CLOSE

    def _begin_or_diagnose(self, head: bytes) -> Exchange | None:
        try:
            return self._begin(head)
        except Malformed:
            self._refuse(diagnose(head, self.config.limits), head)
            return None

    def _begin(self, head: bytes) -> Exchange | None:
        exchange = Exchange(self)
        config = self.config
        try:
            read_head(head, config.parse, config.limits, exchange)
        except ProtocolError as error:
            self._refuse(error, head)
            return None
        self.exchange = exchange
        self.served += 1
        if exchange.length != 0:
            if exchange.length == UPGRADE:
                return self._asked(exchange)
            exchange.receiving = Receiving.BODY
            self._drained = 0
            if exchange.length is None:
                self._decoder = ChunkedDecoder(config.limits)
            else:
                self._left = exchange.length
            self._receive_body(exchange)
            if self._eof and exchange.receiving is Receiving.BODY and exchange.error is None:
                self._refuse(_cut_short())
            if exchange.error is not None:
                return None
        if self._eof:
            exchange.peer_done = True
        return exchange

    def _asked(self, exchange: Exchange) -> Exchange | None:
        """WebSocket is asked for. Where it may be had, `persistence` tells so: the exchange is not to be answered as
        others are, and its connection is not used for another."""
        exchange.length = 0
        exchange.peer_done = self._eof
        if not self.config.upgrades:
            return exchange
        exchange.keep = False
        self.persistence = Persistence.UPGRADE
        return None

    def _receive_body(self, exchange: Exchange) -> None:
        """Take the content that has come; past the response's end it is thrown away (RFC 9112 section 9.3)."""
        buffer = self.ahead
        content: bytes | bytearray
        if self._decoder is None:
            end = min(len(buffer), self._position + self._left)
            content = buffer[self._position : end]
            self._left -= len(content)
            self._use(end)
            done = not self._left
        else:
            content = bytearray()
            try:
                self._use(self._decoder.feed(buffer, self._position, content))
            except ProtocolError as error:
                self._refuse(error)
                return
            done = self._decoder.done
        if content:
            exchange.received += len(content)
            if exchange.sending is Sending.DONE:
                self._drained += len(content)
            else:
                exchange.store(content)
        if done:
            exchange.receiving = _RECEIVED
            self._decoder = None
        if exchange.sending is Sending.DONE:
            self._settle(exchange)

    def _refuse(self, error: ProtocolError, head: bytes = b"") -> None:
        """Answer the peer's error; the connection is not used again. head: where it is not in the buffer any more."""
        # Its traceback holds the frames that hold what has come: a cycle, and memory until a collection finds it.
        error.__traceback__ = error.__context__ = None
        self.error = error
        if self.exchange is not None:
            self.fail(self.exchange, error)
        else:
            self.persistence = _CLOSE
            begins = head or self.ahead[self._position : self._position + 5]
            self.out.append(self.config.refusal(error, with_content=not begins.startswith(b"HEAD ")))
        # What else has come is read by nobody, and would be held for as long as the connection lingers.
        self.ahead = _EMPTY
        self._position = 0

    # Outwards: what an exchange asks of its wire

    def send_informational(self, exchange: Exchange, status: int, block: bytes) -> None:
        self.out.append(STATUS_LINES[status] + block + b"\r\n")

    def send_whole(self, exchange: Exchange, data: Data) -> None:
        """A response of which all is at hand, its length declared."""
        config = self.config
        if (
            exchange.own == _LENGTH
            and exchange.keep
            and exchange.receiving is _RECEIVED
            and exchange.version == "1.1"
            and exchange.reason is None
            and self.persistence is _KEEP
            and not (self._eof or config.retiring)
            and type(data) is bytes
            and len(data) <= _COPIED
        ):
            # As most leave, `_head` having nothing to add and `_settle` nothing to decide.
            head = (STATUS_LINES[exchange.status], config.date, config.server, exchange.block, b"\r\n", data)
            self.out.append(b"".join(head))
            self.exchange = None
            return
        pieces = self._head(exchange)
        if isinstance(data, bytes) and len(data) <= _COPIED:
            pieces.append(data)
            self.out.append(b"".join(pieces))
        else:
            self.out += (b"".join(pieces), data)
        self._settle(exchange)

    def send_head(self, exchange: Exchange) -> None:
        """The head of a response whose content follows in pieces, or that has none."""
        self.out.append(b"".join(self._head(exchange)))

    def _head(self, exchange: Exchange) -> list[bytes]:
        """status-line, field lines, and the framing of what follows (RFC 9112 sections 4, 6.1 and 9.6)."""
        config = self.config
        status = exchange.status
        own = exchange.own
        keep = exchange.keep and not config.retiring
        if self._eof or exchange.receiving is not _RECEIVED:
            keep = keep and not self._is_last(exchange)
        self._chunked = False
        framing = b"\r\n"
        if exchange.declared is not None:
            if not own & _LENGTH and status not in (204, 205):
                framing = b"Content-Length: %d\r\n\r\n" % exchange.declared
        elif status == 205:
            framing = b"Content-Length: 0\r\n\r\n"
        elif exchange.has_content:
            if exchange.version == "1.1":
                self._chunked = True
                framing = b"Transfer-Encoding: chunked\r\n\r\n"
            else:
                keep = False
        if not keep:
            if exchange.method == "CONNECT" and status < 300:  # ends with the connection (RFC 9110 section 9.3.6)
                self._chunked = False
                framing = b"\r\n"
            framing = b"Connection: close\r\n" + framing
            self.persistence = _CLOSE
        elif exchange.version == "1.0":
            framing = b"Connection: keep-alive\r\n" + framing
        return [
            STATUS_LINES[status] if exchange.reason is None else b"HTTP/1.1 %d %b\r\n" % (status, exchange.reason),
            _EMPTY if own & _DATE else config.date,
            config.extra if own & _SERVER else config.server,
            exchange.block,
            framing,
        ]

    def send_data(self, data: Data) -> None:
        """Octets of content, as a chunk where the response is chunked (RFC 9112 section 7.1)."""
        out = self.out
        if isinstance(data, bytes) and len(data) <= _COPIED:
            if self._chunked:
                data = b"%x\r\n%b\r\n" % (len(data), data)
            if out and isinstance(last := out[-1], bytes) and len(last) < _SHORT:
                out[-1] = last + data  # head and data, or last data and last chunk, leave in one piece
            else:
                out.append(data)
        elif self._chunked:
            out += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            out.append(data)

    def end(self, exchange: Exchange, trailers: bytes) -> None:
        """last-chunk, trailer section, and the verdict on the connection."""
        if self._chunked:
            self._chunked = False
            self.send_data(b"0\r\n%b\r\n" % trailers)
        self._settle(exchange)

    def fail(self, exchange: Exchange, error: ProtocolError) -> None:
        """Answer `error` in the place of the exchange's response, or break that off where it has begun."""
        exchange.error = error
        exchange.keep = False
        self.persistence = _CLOSE
        if exchange.sending is Sending.HEAD:
            exchange.status = error.status
            exchange.block = _EMPTY
            with_content = exchange.method != "HEAD"
            exchange.body_sent = len(error.text) + 1 if with_content else 0
            self.out.append(self.config.refusal(error, with_content=with_content))
        elif exchange.sending is Sending.BODY:
            self.cut = self.ends_by_close
        exchange.sending = Sending.DONE
        exchange.gone = True

    # Persistence

    def _is_last(self, exchange: Exchange) -> bool:
        """Tell, before the head leaves, whether this response must be the connection's last."""
        if exchange.receiving is not _RECEIVED and self._too_much_is_unread(exchange):
            return True
        return self._eof and not self.pending

    def _settle(self, exchange: Exchange) -> None:
        """The response is complete: decide whether the connection is used again (RFC 9112 section 9.3)."""
        if not exchange.keep or self.persistence is _CLOSE:
            self.persistence = _CLOSE
        elif exchange.receiving is _RECEIVED:
            self.exchange = None
        elif self._too_much_is_unread(exchange):
            self.persistence = _CLOSE

    def _too_much_is_unread(self, exchange: Exchange) -> bool:
        # A peer that waits for 100 in vain may send its content or not: what follows could not be told apart.
        return exchange.expects or max(self._left, self._drained) > self.config.limits.drain


def _cut_short() -> ProtocolError:
    return ProtocolError(400, "content cut short (RFC 9112 section 8)")
