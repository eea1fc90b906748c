"""A complete head: the request that it makes of an exchange (RFC 9112 sections 3, 5 and 6)."""

from typing import Any

import pytest

from pyserve.protocol import head as module
from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.exchange import Exchange
from pyserve.protocol.head import diagnose, read_head
from pyserve.protocol.limits import Limits
from pyserve.protocol.parsers import Malformed, Parser
from tests.protocol.conversation import LIMITS, both_parsers


class NoWire:
    """An exchange that only reads needs none."""


def read(octets: bytes, parse: Parser, limits: Limits = LIMITS) -> Exchange:
    exchange = Exchange(NoWire())  # type: ignore[arg-type]
    try:
        read_head(octets, parse, limits, exchange)
    except Malformed:
        raise diagnose(octets, limits) from None
    return exchange


def head(line: bytes, *lines: bytes, host: bytes = b"Host: a") -> bytes:
    return b"".join(each + b"\r\n" for each in (line, host, *lines, b""))


def get(*lines: bytes) -> bytes:
    return head(b"GET / HTTP/1.1", *lines)


# (name, octets, what is expected of the exchange)
HEADS: list[tuple[str, bytes, dict[str, Any]]] = [
    ("plain", get(), {
        "method": "GET", "target": b"/", "path": b"/", "query": b"", "version": "1.1", "fields": [(b"host", b"a")],
        "index": {b"host": b"a"}, "length": 0, "keep": True, "expects": False}),
    ("path and query", head(b"GET /a/%2F?b=c?d HTTP/1.1"), {
        "target": b"/a/%2F?b=c?d", "path": b"/a/%2F", "query": b"b=c?d"}),
    ("absolute form", head(b"GET http://A/b?c HTTP/1.1"), {
        "target": b"http://A/b?c", "path": b"/b", "query": b"c", "index": {b"host": b"A"}}),
    ("absolute form replaces Host", head(b"GET http://A/ HTTP/1.1", b"X: y"), {
        "fields": [(b"host", b"A"), (b"x", b"y")], "index": {b"host": b"A", b"x": b"y"}}),
    ("absolute form without Host", b"GET http://A:1/ HTTP/1.0\r\nX: y\r\n\r\n", {
        "fields": [(b"x", b"y"), (b"host", b"A:1")], "index": {b"x": b"y", b"host": b"A:1"}}),
    ("asterisk form", head(b"OPTIONS * HTTP/1.1"), {"method": "OPTIONS", "path": b"*", "query": b""}),
    ("authority form", head(b"CONNECT a:1 HTTP/1.1"), {
        "method": "CONNECT", "target": b"a:1", "path": b"", "query": b"", "keep": False}),
    ("CONNECT is never kept", head(b"CONNECT a:1 HTTP/1.1", b"Connection: keep-alive"), {"keep": False}),
    ("CONNECT with content", head(b"CONNECT a:1 HTTP/1.1", b"Content-Length: 5"), {"length": 5, "keep": False}),
    ("another method", head(b"brew /pot HTTP/1.1"), {"method": "brew", "path": b"/pot"}),
    ("HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n", {"version": "1.0", "keep": False, "fields": [], "index": {}}),
    ("HTTP/1.0, kept", b"GET / HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\n", {"keep": True}),
    ("HTTP/1.0, closed and kept", b"GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n", {"keep": False}),
    ("closed", get(b"Connection: Close"), {"keep": False}),
    ("closed in the second field", get(b"Connection: x", b"Connection: close"), {"keep": False}),
    ("kept", get(b"Connection: keep-alive"), {"keep": True}),
    ("repeated fields", get(b"A: 1", b"B: x", b"a: 2", b"A:"), {
        "fields": [(b"host", b"a"), (b"a", b"1"), (b"b", b"x"), (b"a", b"2"), (b"a", b"")],
        "index": {b"host": b"a", b"a": b"1, 2, ", b"b": b"x"}}),
    ("cookies", get(b"Cookie: a=1", b"cookie: b=2"), {"index": {b"host": b"a", b"cookie": b"a=1; b=2"}}),
    ("length", get(b"Content-Length: 017"), {"length": 17}),
    ("length of 18 digits", get(b"Content-Length: 999999999999999999"), {"length": 999999999999999999}),
    ("chunks", get(b"Transfer-Encoding: chunked"), {"length": None}),
    ("expects", get(b"Expect: 100-Continue", b"Content-Length: 1"), {"expects": True, "length": 1}),
    ("HTTP/1.0 expects nothing", b"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", {"expects": False}),
    ("no Host but an empty one", head(b"GET / HTTP/1.1", host=b"Host:"), {"index": {b"host": b""}}),
]  # fmt: skip


@both_parsers
@pytest.mark.parametrize(("octets", "expected"), [pytest.param(*h[1:], id=h[0]) for h in HEADS])
def test_requests(parse: Parser, octets: bytes, expected: dict[str, Any]) -> None:
    exchange = read(octets, parse)
    assert {name: getattr(exchange, name) for name in expected} == expected


# What is wrong first decides, in the same words for both libraries: (name, octets, status, words)
WRONG = [
    ("request line", head(b"GET /"), 400, "request line"),
    ("request line before fields", head(b"GET /", b"bad"), 400, "request line"),
    ("method", head(b"G(T / HTTP/1.1"), 400, "method"),
    ("method before version", head(b"G(T / HTTP/9.9"), 400, "method"),
    ("version", head(b"GET / HTTP/9.9"), 505, "HTTP/1.0 and HTTP/1.1"),
    ("no version", head(b"GET / HTTP/x"), 400, "version"),
    ("target", head(b"GET a HTTP/1.1"), 400, "target"),
    ("fragment", head(b"GET /#a HTTP/1.1"), 400, "fragment"),
    ("octet in the request line", head(b"GET /\xe9 HTTP/1.1"), 400, "RFC 9112 section"),
    ("field", get(b"bad"), 400, "malformed field line"),
    ("field before Host", head(b"GET / HTTP/1.1", b"bad", host=b"Host: <"), 400, "malformed field line"),
    ("folded", get(b"A: b", b" c"), 400, "folded"),
    ("control", get(b"A: \x01"), 400, "octet"),
    ("two Hosts", get(b"HOST: a"), 400, "more than one Host"),
    ("two lengths", get(b"Content-Length: 1", b"content-length: 1"), 400, "more than one Content-Length"),
    ("two codings", get(b"Transfer-Encoding: a", b"Transfer-Encoding: chunked"), 400, "more than one Transfer"),
    ("no Host", head(b"GET / HTTP/1.1", host=b"X: y"), 400, "no Host"),
    ("Host", head(b"GET / HTTP/1.1", host=b"Host: <"), 400, "invalid Host"),
    ("Host in HTTP/1.0", head(b"GET / HTTP/1.0", host=b"Host: <"), 400, "invalid Host"),
    ("another Host", head(b"GET http://b/ HTTP/1.1"), 400, "differs"),
    ("Host before framing", head(b"GET / HTTP/1.1", b"Content-Length: x", host=b"X: y"), 400, "no Host"),
    ("Host before coding", head(b"GET / HTTP/1.1", b"Transfer-Encoding: x, chunked", host=b"X: y"), 400, "no Host"),
    ("length", get(b"Content-Length: x"), 400, "invalid Content-Length"),
    ("length, empty", get(b"Content-Length:"), 400, "invalid Content-Length"),
    ("length, list", get(b"Content-Length: 1, 1"), 400, "invalid Content-Length"),
    ("length, 19 digits", get(b"Content-Length: 1000000000000000000"), 400, "invalid Content-Length"),
    ("both", get(b"Content-Length: 1", b"Transfer-Encoding: chunked"), 400, "both"),
    ("coding in HTTP/1.0", head(b"GET / HTTP/1.0", b"Transfer-Encoding: chunked"), 400, "HTTP/1.0"),
    ("coding not last", get(b"Transfer-Encoding: chunked, gzip"), 400, "last"),
    ("coding without chunked", get(b"Transfer-Encoding: gzip"), 400, "last"),
    ("coding not known", get(b"Transfer-Encoding: gzip, chunked"), 501, "not implemented"),
    ("CONNECT and wrong framing", head(b"CONNECT a:1 HTTP/1.1", b"Content-Length: x"), 400, "Content-Length"),
    ("CONNECT and both framings",
     head(b"CONNECT a:1 HTTP/1.1", b"Content-Length: 1", b"Transfer-Encoding: chunked"), 400, "both"),
    ("framing before expectation", get(b"Content-Length: x", b"Expect: y"), 400, "Content-Length"),
    ("expectation", get(b"Expect: y"), 417, "100-continue"),
    ("expectation, list", get(b"Expect: 100-continue, y"), 417, "100-continue"),
]  # fmt: skip


@both_parsers
@pytest.mark.parametrize(("octets", "status", "words"), [pytest.param(*w[1:], id=w[0]) for w in WRONG])
def test_wrong_heads(parse: Parser, octets: bytes, status: int, words: str) -> None:
    with pytest.raises(ProtocolError) as raised:
        read(octets, parse)
    assert raised.value.status == status
    assert words in raised.value.text


@both_parsers
def test_a_peer_cannot_fill_memory_with_methods_and_hosts(parse: Parser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_methods", {})
    monkeypatch.setattr(module, "_hosts", set())
    read(b"%b / HTTP/1.1\r\nHost: %b\r\n\r\n" % (b"M" * 3000, b"h" * 3000), parse)
    assert not module._methods
    assert not module._hosts
    for n in range(2 * module._KNOWN_AT_MOST):
        exchange = read(b"M%d / HTTP/1.1\r\nHost: h%d\r\n\r\n" % (n, n), parse)
        assert exchange.method == f"M{n}"
    assert len(module._methods) == len(module._hosts) == module._KNOWN_AT_MOST


@both_parsers
def test_what_is_remembered_as_good_does_not_make_the_bad_good(parse: Parser) -> None:
    read(head(b"CONNECT a:1 HTTP/1.1"), parse)
    read(head(b"GET / HTTP/1.1"), parse)
    for octets in (head(b"CONNECT / HTTP/1.1"), get(b"Host: a"), head(b"GET http://b/ HTTP/1.1")):
        with pytest.raises(ProtocolError):
            read(octets, parse)


@both_parsers
def test_repeated_fields_are_joined_in_order_however_many(parse: Parser) -> None:
    limits = Limits(10_000, 10_000, 10_000, 0)
    exchange = read(get(*(b"A: %d" % n for n in range(9000))), parse, limits)
    assert exchange.index[b"a"] == b", ".join(b"%d" % n for n in range(9000))
