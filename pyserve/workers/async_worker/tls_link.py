"""TLS between a transport and a stream of the async worker: a protocol to the one, a transport to the other.

Streams need not know of it: they are handed what was decrypted, and what they write is encrypted here. What they ask of
a transport's buffer is answered by the real one, so that back-pressure and deadlines count what is on the wire.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any

from pyserve.workers.async_worker.parting import half_close
from pyserve.workers.deadlines import Phase
from pyserve.workers.tls.certificates import Certificates
from pyserve.workers.tls.channel import State, TlsChannel, wrong_port

if TYPE_CHECKING:
    from pyserve.protocol.errors import ProtocolError
    from pyserve.protocol.proxy import ProxyHeader
    from pyserve.workers.async_worker.stream import Stream

_OPEN = State.OPEN
_SERVING = Phase.SERVING
_AT_ONCE = 65536  # octets that are encrypted in one go
_TURN = 16  # ... so often, before other connections have theirs


class TlsLink(asyncio.Transport, asyncio.Protocol):
    """One connection.

    What is large waits in plain text until the peer takes what was encrypted before: a response that an application
    holds whole is not held twice, and no other connection waits for all of it to be encrypted.
    """

    __slots__ = (
        "_backlog", "_blocked", "_ending", "_full", "_state", "_stream", "_strict", "_tls", "_told", "_transport",
        "_waiting",
    )  # fmt: skip

    _transport: asyncio.Transport

    def __init__(self, certificates: Certificates, make: Callable[[], Stream], *, strict: bool) -> None:
        """make: the stream that is to answer. strict: see `TlsSocket`."""
        super().__init__()
        self._tls = TlsChannel(certificates)
        self._state = State.HELLO
        self._strict = strict
        self._told = False  # the stream knows that the peer sends no more
        self._backlog: deque[memoryview] = deque()
        self._waiting = 0  # octets in it
        self._blocked = False  # the real transport holds more than its high-water mark
        self._full = False  # the stream was told to wait
        self._ending: Callable[[], None] | None = None  # what was asked for, to be done behind the backlog
        self._stream = make()

    # What the real transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # of TCP and unix sockets it is a Transport
        self._stream.connection_made(self)

    def data_received(self, data: bytes) -> None:
        stream = self._stream
        if stream.phase is not _SERVING:
            stream.data_received(data)  # which counts it and throws it away
            return
        tls = self._tls
        plain = tls.receive(data)
        if answer := tls.take():
            stream.written += len(answer)
            self._transport.write(answer)
        if tls.state is not self._state:
            self._advance(plain)
        if self._state is not _OPEN:
            return
        stream.partial = tls.partial
        if plain:
            stream.data_received(plain)
        elif stream.wire.exchange is not None:
            stream.touched = monotonic()  # a part of a record is a part of its content
        if tls.ended and not self._told:
            self._tell_end()

    def eof_received(self) -> bool:
        is_regular = self._tls.receive_eof()
        if self._told:
            return self._stream.phase is _SERVING  # what is still to be answered keeps the transport open
        self._told = True
        if self._strict and not is_regular:
            self._stream.reset()
            return False
        return self._stream.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stream.connection_lost(exc)
        self._state = State.FAILED
        self._tls.free()
        self._backlog.clear()
        del self._stream  # which has this as its transport: a circle

    def pause_writing(self) -> None:
        self._blocked = True
        self._regulate()

    def resume_writing(self) -> None:
        self._blocked = False
        self._work_off()
        self._regulate()

    def _regulate(self) -> None:
        """Tell the stream whether to wait, if that has changed; never that it need not from within its own write."""
        is_full = self._blocked or bool(self._backlog)
        if is_full is not self._full:
            self._full = is_full
            if is_full:
                self._stream.pause_writing()
            else:
                self._stream.resume_writing()

    def introduced(self, header: ProxyHeader) -> None:
        """A PROXY header has come before all else."""
        self._stream.introduced(header)

    def refuse_greeting(self, error: ProtocolError) -> None:
        """What came first is no PROXY header, and nothing else either."""
        self._stream.refuse_greeting(error)

    def _advance(self, plain: bytes) -> None:
        """The state has changed."""
        tls, stream = self._tls, self._stream
        before, self._state = self._state, tls.state
        if tls.state is _OPEN:
            stream.secured(tls)
        elif tls.state is State.PLAIN:
            stream.refuse(wrong_port(), plain)
        elif tls.state is State.FAILED:
            peer = stream.remote or "unix socket"
            stream.registry.crew.log.info("TLS with %s failed: %s", peer, tls.complaint)
            self._told = True
            if before is _OPEN:
                stream.reset()
            else:
                stream.expire()  # the alert that says why is to arrive

    def _tell_end(self) -> None:
        self._told = True
        if not self._stream.eof_received():
            self.close()

    # What the stream calls

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and write."""
        if self._state is _OPEN:
            if len(data) > _AT_ONCE or self._backlog:
                self._put_back([data])
            else:
                self._encrypt(data)
        elif self._state is State.PLAIN:
            self._transport.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Encrypt and write."""
        if self._state is _OPEN:
            self._put_back(list_of_data)
        elif self._state is State.PLAIN:
            self._transport.writelines(list_of_data)

    def _encrypt(self, data: bytes | bytearray | memoryview) -> None:
        records = self._tls.send(data)  # type: ignore[arg-type] # a bytearray is as good
        joined = records[0] if len(records) == 1 else b"".join(records)
        self._stream.written += len(joined) - len(data)  # it has counted what it handed over
        self._transport.write(joined)

    def _put_back(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        is_due = bool(self._backlog) or self._blocked  # somebody goes on with it already, or will
        for piece in pieces:
            self._backlog.append(memoryview(piece))
            self._waiting += len(piece)
        if not is_due:
            self._work_off()
        self._regulate()

    def _work_off(self) -> None:
        """Encrypt of the backlog what the transport takes."""
        backlog = self._backlog
        if not backlog:
            return
        for _ in range(_TURN):
            if not backlog or self._blocked:
                break
            piece = backlog.popleft()
            if len(piece) > _AT_ONCE:
                backlog.appendleft(piece[_AT_ONCE:])
                piece = piece[:_AT_ONCE]
            self._waiting -= len(piece)
            self._encrypt(piece)
        if not backlog:
            if self._ending is not None:
                self._ending()
        elif not self._blocked:
            registry = self._stream.registry
            registry.loop.call_soon(self._go_on, context=registry.context)

    def _go_on(self) -> None:
        if self._backlog and not self._blocked:
            self._work_off()
            self._regulate()

    def write_eof(self) -> None:
        """Say that no more comes (close_notify), and half-close once all is written."""
        if self._backlog:
            self._ending = self.write_eof
        else:
            self._say_goodbye()
            half_close(self._transport)

    def close(self) -> None:
        """Say that no more comes, and close once all is written."""
        if self._backlog:
            self._ending = self.close
        else:
            self._say_goodbye()
            self._transport.close()

    def _say_goodbye(self) -> None:
        if (farewell := self._tls.close()) and not self._transport.is_closing():
            self._stream.written += len(farewell)
            self._transport.write(farewell)

    def abort(self) -> None:
        self._transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As the real transport; besides `tls`, the `TlsChannel`."""
        return self._tls if name == "tls" else self._transport.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """The stream is of another class now; which methods are called is not kept here."""

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who takes what comes from the socket."""
        return self

    def is_closing(self) -> bool:
        return self._ending is not None or self._transport.is_closing()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        if self._state is State.HANDSHAKE:
            return 0  # a peer that does not take our part of it is late with a head, not slow with a response
        return self._transport.get_write_buffer_size() + self._waiting
