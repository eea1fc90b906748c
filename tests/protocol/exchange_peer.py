"""Exchanges over a wire of their own, and what a client reads of them."""

from typing import Any

from pyserve.protocol.config import WireConfig
from pyserve.protocol.exchange import Exchange
from pyserve.protocol.http1 import Http1Wire
from pyserve.protocol.parsers import PARSERS
from tests.protocol.conversation import LIMITS, Response, read_responses

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\n\r\n"
OLD_KEPT = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
OLD_HEAD = b"HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
CONNECT = b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
TAKES_TRAILERS = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers\r\n\r\n"


def begin(octets: bytes = GET, **config: Any) -> tuple[Http1Wire, Exchange]:
    wire = Http1Wire(WireConfig(LIMITS, PARSERS["httptools"], **config))
    exchange = wire.receive(octets)
    assert exchange is not None
    return wire, exchange


def sent(wire: Http1Wire) -> bytes:
    octets = b"".join(data for data in wire.out if isinstance(data, bytes))
    wire.out.clear()
    return octets


def send(exchange: Exchange, pieces: list[bytes]) -> None:
    """Send the content in these pieces, the last of which completes it."""
    for left, piece in zip(reversed(range(len(pieces))), pieces, strict=True):
        exchange.send_body(piece, left > 0)


def read(wire: Http1Wire, request: bytes = GET) -> Response:
    [response] = read_responses(sent(wire), [request.split()[0].decode()], wire.closing)
    return response


LENGTH, CODING, NONE = b"content-length", b"transfer-encoding", b""
THREE = [(b"Content-Length", b"3")]
