"""TLS between a transport and a stream of the async worker: a protocol to the one, a transport to the other.

Streams need not know of it: they are handed what was decrypted, and what they write is encrypted here. What they ask of
a transport's buffer is answered by the real one, so that back-pressure and deadlines count what is on the wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any

from pyserve.workers.certificates import Certificates
from pyserve.workers.deadlines import Phase
from pyserve.workers.parting import half_close
from pyserve.workers.tls import State, TlsChannel, wrong_port

if TYPE_CHECKING:
    from pyserve.protocol.errors import ProtocolError
    from pyserve.protocol.proxy import ProxyHeader
    from pyserve.workers.stream import Stream

_OPEN = State.OPEN
_SERVING = Phase.SERVING
_JOINED = 65536  # octets of records that are worth joining


class TlsLink(asyncio.Transport, asyncio.Protocol):
    """One connection."""

    __slots__ = ("_state", "_stream", "_strict", "_tls", "_told", "_transport")

    _transport: asyncio.Transport

    def __init__(self, certificates: Certificates, make: Callable[[], Stream], *, strict: bool) -> None:
        """make: the stream that is to answer. strict: see `TlsSocket`."""
        super().__init__()
        self._tls = TlsChannel(certificates)
        self._state = State.HELLO
        self._strict = strict
        self._told = False  # the stream knows that the peer sends no more
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
            return True  # what is still to be answered keeps the transport open
        self._told = True
        if self._strict and not is_regular:
            self._stream.reset()
            return False
        return self._stream.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stream.connection_lost(exc)
        self._state = State.FAILED
        self._tls.free()
        del self._stream  # which has this as its transport: a circle

    def pause_writing(self) -> None:
        self._stream.pause_writing()

    def resume_writing(self) -> None:
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
            self._write_records(self._tls.send(data), len(data))  # type: ignore[arg-type] # a bytearray is as good
        elif self._state is State.PLAIN:
            self._transport.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Encrypt and write; small pieces share records no more than when written one by one."""
        pieces = list(list_of_data)
        if self._state is _OPEN:
            records: list[bytes] = []
            for piece in pieces:
                records += self._tls.send(piece)  # type: ignore[arg-type] # as above
            self._write_records(records, sum(map(len, pieces)))
        elif self._state is State.PLAIN:
            self._transport.writelines(pieces)

    def _write_records(self, records: list[bytes], plain: int) -> None:
        size = sum(map(len, records))
        self._stream.written += size - plain  # it has counted what it handed over
        if len(records) == 1:
            self._transport.write(records[0])
        elif size <= _JOINED:
            self._transport.write(b"".join(records))
        else:
            self._transport.writelines(records)

    def write_eof(self) -> None:
        """Say that no more comes (close_notify), and half-close once all is written."""
        self._say_goodbye()
        half_close(self._transport)

    def close(self) -> None:
        """Say that no more comes, and close once all is written."""
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

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()
