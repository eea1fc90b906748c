"""Requests that ask for another protocol: what the wire does (RFC 9110 section 7.8, RFC 6455 section 4.2.1)."""

import pytest

from pyserve.protocol.config import WireConfig
from pyserve.protocol.exchange import Sending
from pyserve.protocol.http1 import Awaiting, Http1Wire, Persistence
from pyserve.protocol.parsers import PARSERS, Parser
from tests.protocol.conversation import LIMITS, both_parsers
from tests.protocol.http1_peer import TAIL, answer, sent
from tests.protocol.messages import fields, post

ASKS = [b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
KEY = ASKS[-1]


def open_wire(parse: Parser = PARSERS["httptools"]) -> Http1Wire:
    return Http1Wire(WireConfig(LIMITS, parse, upgrades=True))


UPGRADES = [
    ("as browsers ask", fields(*ASKS)),
    (
        "in another case, among other options",
        fields(b"connection: keep-alive, UPGRADE", b"UPGRADE: h2c, WebSocket", KEY),
    ),
    ("fields that come twice", fields(b"Connection: a", b"Connection: upgrade", b"Upgrade: b", *ASKS[1:])),
    ("no content, in so many words", fields(*ASKS, b"Content-Length: 0")),
    ("no key, which is for the handshake to say", fields(*ASKS[:2], b"Sec-WebSocket-Version: 8")),
]
ORDINARY = [
    ("nothing of RFC 6455", fields(*ASKS[:2])),
    ("what came before it", fields(*ASKS[:2], b"Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5")),
    ("no Connection", fields(*ASKS[1:])),
    ("another Connection", fields(*ASKS[1:], b"Connection: keep-alive")),
    ("no Upgrade", fields(b"Connection: upgrade", KEY)),
    ("another Upgrade", fields(b"Connection: upgrade", b"Upgrade: websockets", KEY)),
    ("another method", post(*ASKS)),
    ("content", fields(*ASKS, b"Content-Length: 2") + b"ab"),
    ("content in chunks", fields(*ASKS, b"Transfer-Encoding: chunked") + b"0\r\n\r\n"),
    ("HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
]


@both_parsers
@pytest.mark.parametrize("octets", [pytest.param(octets, id=name) for name, octets in UPGRADES])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_what_asks(octets: bytes, step: int, parse: Parser) -> None:
    wire = open_wire(parse)
    for at in range(0, len(octets), step):
        assert wire.persistence is Persistence.KEEP
        assert wire.receive(octets[at : at + step]) is None
    assert wire.persistence is Persistence.UPGRADE
    assert wire.exchange is not None
    assert wire.exchange.length == 0
    assert wire.awaiting is Awaiting.NOTHING
    assert not wire.closing


@both_parsers
@pytest.mark.parametrize("octets", [pytest.param(octets, id=name) for name, octets in ORDINARY])
def test_what_does_not(octets: bytes, parse: Parser) -> None:
    wire = open_wire(parse)
    assert wire.receive(octets) is not None
    assert wire.persistence is Persistence.KEEP


@pytest.mark.parametrize("octets", [pytest.param(octets, id=name) for name, octets in UPGRADES])
def test_where_nobody_upgrades_it_is_a_request_like_others(octets: bytes) -> None:
    wire = open_wire()
    wire.config.upgrades = False
    exchange = wire.receive(octets)
    assert exchange is not None
    assert exchange.length == 0
    answer(exchange)
    assert wire.persistence is Persistence.KEEP
    assert b"close" not in sent(wire)


def test_what_comes_behind_belongs_to_the_other_protocol() -> None:
    wire = open_wire()
    wire.config.date = b"Date: now\r\n"
    assert wire.receive(fields(*ASKS) + TAIL) is None
    assert wire.receive(TAIL) is None
    exchange = wire.exchange
    assert exchange is not None
    assert wire.switch(exchange, b"Upgrade: websocket\r\n") == TAIL + TAIL
    assert sent(wire) == b"HTTP/1.1 101 Switching Protocols\r\nDate: now\r\nUpgrade: websocket\r\n\r\n"
    assert (exchange.status, exchange.sending) == (101, Sending.BODY)
    assert wire.pending == 0


def test_an_answer_instead_is_the_last_one() -> None:
    wire = open_wire()
    assert wire.receive(fields(*ASKS) + TAIL) is None
    assert wire.exchange is not None
    answer(wire.exchange)
    assert b"Connection: close" in sent(wire)
    assert wire.closing
    assert wire.proceed() is None


def test_a_client_that_has_left_may_ask() -> None:
    wire = open_wire()
    octets = fields(*ASKS)
    wire.receive(octets[:-1])
    wire.receive(octets[-1:])
    wire.receive_eof()
    assert wire.exchange is not None
    assert wire.exchange.peer_done
