"""A PROXY header before what an async worker's connection is: read, and then out of the way.

The stream behind is made at once, so that the connection is counted, and ends when its deadlines do, from the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from pyserve.protocol.errors import ProtocolError
from pyserve.workers.proxies import Greetings, remote_of

if TYPE_CHECKING:
    from pyserve.protocol.proxy import ProxyReader
    from pyserve.workers.async_worker.stream import Stream
    from pyserve.workers.async_worker.tls_link import TlsLink


class ProxyLink(asyncio.Protocol):
    """One connection until its PROXY header is over, or until there turns out to be none."""

    __slots__ = ("_greetings", "_next", "_reader", "_transport")

    _reader: ProxyReader
    _transport: asyncio.Transport

    def __init__(self, greetings: Greetings, make: Callable[[], Stream | TlsLink]) -> None:
        """make: what is behind the header."""
        self._greetings = greetings
        self._next = make()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # of TCP and unix sockets it is a Transport
        self._next.connection_made(transport)
        reader = self._greetings.reader(remote_of(transport.get_extra_info("peername")))
        if reader is None:
            self._transport.set_protocol(self._next)
        else:
            self._reader = reader

    def data_received(self, data: bytes) -> None:
        try:
            rest = self._reader.feed(data)
        except ProtocolError as error:
            self._next.refuse_greeting(error)
            return
        if rest is None:
            return
        if self._reader.header is not None:
            self._next.introduced(self._reader.header)
        self._transport.set_protocol(self._next)
        if rest:
            self._next.data_received(rest)

    def eof_received(self) -> bool | None:
        return self._next.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._next.connection_lost(exc)
