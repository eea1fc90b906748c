"""Wires and what they want written."""

from pyserve.protocol.config import WireConfig
from pyserve.protocol.exchange import Exchange
from pyserve.protocol.http1 import Http1Wire
from pyserve.protocol.limits import Limits
from pyserve.protocol.parsers import PARSERS, Parser
from tests.protocol.conversation import (
    LIMITS,
    Response,
    read_responses,
)

TAIL = b"GET /tail HTTP/1.1\r\nHost: a\r\n\r\n"
DRAIN = LIMITS.drain


def open_wire(parse: Parser = PARSERS["httptools"], limits: Limits = LIMITS) -> Http1Wire:
    return Http1Wire(WireConfig(limits, parse))


def begin(octets: bytes, parse: Parser = PARSERS["httptools"], limits: Limits = LIMITS) -> tuple[Http1Wire, Exchange]:
    """A wire that has received `octets`, and the exchange that it has begun."""
    wire = open_wire(parse, limits)
    exchange = wire.receive(octets)
    assert exchange is not None
    return wire, exchange


def answer(exchange: Exchange, content: bytes = b"ok") -> None:
    exchange.send_head(200, None, [])
    exchange.send_body(content, False)


def sent(wire: Http1Wire) -> bytes:
    """Take what the wire wants written."""
    octets = b"".join(data for data in wire.out if isinstance(data, bytes))
    wire.out.clear()
    return octets


def only_response(wire: Http1Wire, method: str = "GET") -> Response:
    [response] = read_responses(sent(wire), [method], wire.closing)
    return response
