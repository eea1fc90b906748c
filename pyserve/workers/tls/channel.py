"""TLS on one connection without its socket: octets of the wire in, octets of HTTP out, and the other way round.

Both kinds of worker drive the same object. Its driver's duties: hand in what it reads (`receive`, `receive_eof`), after
any call write what `take` gives, and look at `state`.

    HELLO      nothing has come yet, and nothing is allocated: a connection that only opens costs nothing
    HANDSHAKE  the peer speaks TLS
    OPEN       done: what `receive` returns is HTTP, and `send` may be called
    PLAIN      the first octet is not TLS's: an HTTP client at the wrong port, to be told so in plain text
    FAILED     what has come is not TLS, or is refused; `complaint` says how. What `take` gives is the alert for it

`receive` returns all that the octets so far can be decrypted to: nothing is ever left inside that a poller could not
see. Records are read and made one by one, so that the buffers of OpenSSL, which never shrink, stay as small as one.
"""

from __future__ import annotations

import ssl
from enum import Enum

from pyserve.protocol.errors import ProtocolError
from pyserve.workers.tls.certificates import Certificates, reason

RECORD = 16384  # octets of plain text in a record at most (RFC 8446 section 5.1)

_HANDSHAKE = 0x16  # ContentType handshake: how every ClientHello begins
_PRINTABLE = range(0x20, 0x7F)


class State(Enum):
    """How far a connection has come; see above."""

    HELLO = "hello"
    HANDSHAKE = "handshake"
    OPEN = "open"
    PLAIN = "plain"
    FAILED = "failed"


_OPEN = State.OPEN


def wrong_port() -> ProtocolError:
    """What a PLAIN peer is told; the words and the status are nginx's."""
    return ProtocolError(400, "plain HTTP request was sent to HTTPS port")


class TlsChannel:
    """See above.

    ended: the peer sends no more, as it says (close_notify) or as the connection's end does. partial: octets that have
    come of a record that is not complete. complaint: why it has failed, "" where the peer has only gone.
    """

    __slots__ = (
        "_certificates", "_closed", "_incoming", "_outgoing", "complaint", "connection", "ended", "partial", "state",
    )  # fmt: skip

    connection: ssl.SSLObject
    _incoming: ssl.MemoryBIO
    _outgoing: ssl.MemoryBIO

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates
        self._closed = False
        self.state = State.HELLO
        self.ended = False
        self.partial = 0
        self.complaint = ""

    def receive(self, data: bytes) -> bytes:
        """Take octets; return what they say, which may be nothing. Of a PLAIN peer: as they came."""
        if self.state is State.HELLO:
            self._begin(data)
        if self.state is State.PLAIN:
            return data
        if len(data) <= RECORD:
            return b"" if self.ended else self._decrypt(data)
        pieces = []
        start = 0
        while start < len(data) and not self.ended:
            pieces.append(self._decrypt(data[start : start + RECORD]))
            start += RECORD
        return b"".join(pieces)

    def receive_eof(self) -> bool:
        """The peer has closed. False where it did so without saying it in TLS: more may have been cut off."""
        is_regular = self.ended or self.state in (State.HELLO, State.PLAIN)
        self.ended = True
        if self.state is State.HANDSHAKE:
            self._fail("")
        return is_regular

    def send(self, data: bytes | memoryview) -> list[bytes]:
        """Encrypt octets; return them as records, behind what else was to be written."""
        connection, outgoing = self.connection, self._outgoing
        size = len(data)
        if size <= RECORD:
            connection.write(data)
            return [outgoing.read()]
        view = memoryview(data)
        pieces = []
        done = 0
        while done < size:
            done += connection.write(view[done : done + RECORD])
            pieces.append(outgoing.read())
        return pieces

    def take(self) -> bytes:
        """What is to be written for TLS itself."""
        if self.state in (State.HELLO, State.PLAIN) or not self._outgoing or not self._outgoing.pending:
            return b""
        return self._outgoing.read()

    def close(self) -> bytes:
        """Say that nothing more will be sent (close_notify); returns what is to be written for it."""
        if self.state is _OPEN and not self._closed:
            self._closed = True
            try:
                self.connection.unwrap()
            except (ssl.SSLError, OSError):
                pass  # it wants to see the peer's, for which nobody waits
            return self._outgoing.read()
        return self.take()

    def free(self) -> None:
        """The connection is gone: give back what OpenSSL holds, which is not little, and need no collector for it."""
        if self.state not in (State.HELLO, State.PLAIN):
            self._fail(self.complaint)
            self.connection = self._incoming = self._outgoing = None  # type: ignore[assignment] # nobody asks any more

    @property
    def certificate(self) -> str | None:
        """What the server has shown, in PEM."""
        return self._certificates.leaf(self.connection.context)

    # Inside

    def _begin(self, data: bytes) -> None:
        first = data[0]
        if first != _HANDSHAKE:
            is_text = first in _PRINTABLE or first in b"\r\n"
            self.state = State.PLAIN
            if not is_text:
                self._outgoing = ssl.MemoryBIO()
                self._fail("what came is neither TLS nor HTTP")
            return
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.connection = self._certificates.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.state = State.HANDSHAKE

    def _decrypt(self, data: bytes) -> bytes:
        incoming = self._incoming
        incoming.write(data)
        if self.state is State.OPEN:
            self.partial += len(data)
        elif not self._shake_hands():
            return b""
        connection = self.connection
        try:
            plain = connection.read(RECORD)
            self.partial = 0
            if incoming.pending or connection.pending():
                plain = self._decrypt_more(plain)
        except ssl.SSLError as error:
            self._end(error)
            return b""
        if not plain:
            self.ended = True
        return plain

    def _decrypt_more(self, first: bytes) -> bytes:
        """The records behind the first one."""
        pieces = [first]
        try:
            while piece := self.connection.read(RECORD):
                pieces.append(piece)
        except ssl.SSLError as error:
            self._end(error)
        else:
            self.ended = True
        return b"".join(pieces)

    def _shake_hands(self) -> bool:
        try:
            self.connection.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            self._fail(reason(error))
            return False
        except Exception as error:  # a callback of the application's own context
            self._fail(repr(error))
            return False
        self.state = _OPEN
        return True

    def _end(self, error: ssl.SSLError) -> None:
        """Reading has stopped: for want of octets, at close_notify, or because something is wrong."""
        if isinstance(error, ssl.SSLZeroReturnError):
            self.ended = True
        elif not isinstance(error, ssl.SSLWantReadError):
            self._fail(reason(error))

    def _fail(self, complaint: str) -> None:
        self.state = State.FAILED
        self.ended = True
        self.complaint = complaint
