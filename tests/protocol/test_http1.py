"""One connection: what is answered, in which order, and whether it is used again (RFC 9112)."""

import re

import pytest

from pyserve.protocol.exchange import Exchange
from pyserve.protocol.http1 import Awaiting, Http1Wire, Persistence, WireConfig
from pyserve.protocol.limits import Limits
from pyserve.protocol.parsers import PARSERS, Parser
from tests.protocol.conversation import (
    LIMITS,
    Conversation,
    Response,
    Seen,
    converse,
    read_responses,
    verdict,
)
from tests.protocol.messages import CHUNKED, GET, MESSAGES, fields, post

TAIL = b"GET /tail HTTP/1.1\r\nHost: a\r\n\r\n"
DRAIN = LIMITS.drain

both_parsers = pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS)


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


# Verdicts


@pytest.mark.parametrize(("octets", "expected"), [pytest.param(*m[2:], id=f"{m[1]} {m[0]}") for m in MESSAGES])
def test_one_verdict(octets: bytes, expected: str) -> None:
    found = verdict(octets)
    assert str(found) == expected
    if expected == "nothing":
        return
    behind = converse([octets + TAIL], PARSERS["httptools"]).verdict
    if found.closed:
        # Whatever stands behind the end of a connection is never looked at.
        assert behind == found
    else:
        assert behind.seen == (*found.seen, Seen("GET", b"/tail", "1.1", ((b"host", b"a"),), b""))
        assert str(behind) == expected + " 200"


SEEN = [
    ("fields in order, names in lower case, values without blanks around", b"GET /a?b HTTP/1.1\r\nHost:a\r\nB:\t1 \r\nA: 2\r\nB:3\r\n\r\n",
     Seen("GET", b"/a?b", "1.1", ((b"host", b"a"), (b"b", b"1"), (b"a", b"2"), (b"b", b"3")), b"")),
    ("no-break space and next line are no blanks", fields(b"X: \xa0a\x85"),
     Seen("GET", b"/", "1.1", ((b"host", b"a"), (b"x", b"\xa0a\x85")), b"")),
    ("the method as it is", b"brew / HTTP/1.1\r\nHost: a\r\n\r\n", Seen("brew", b"/", "1.1", ((b"host", b"a"),), b"")),
    ("the target as it is", b"GET /%41/../b//?%zz HTTP/1.0\r\n\r\n", Seen("GET", b"/%41/../b//?%zz", "1.0", (), b"")),
    ("a host from the target", b"GET http://A:1/b HTTP/1.0\r\n\r\n",
     Seen("GET", b"http://A:1/b", "1.0", ((b"host", b"A:1"),), b"")),
    ("content by its length", post(b"content-length: 5", content=b"a\r\n\0b"),
     Seen("POST", b"/", "1.1", ((b"host", b"a"), (b"content-length", b"5")), b"a\r\n\0b")),
    ("content of chunks, without extensions and trailers", post(b"TRANSFER-ENCODING: Chunked", content=b"2;x=y\r\na\r\r\n1\r\nb\r\n0\r\nT: t\r\n\r\n"),
     Seen("POST", b"/", "1.1", ((b"host", b"a"), (b"transfer-encoding", b"Chunked")), b"a\rb")),
]  # fmt: skip


@pytest.mark.parametrize(("octets", "expected"), [pytest.param(*m[1:], id=m[0]) for m in SEEN])
def test_what_the_application_sees(octets: bytes, expected: Seen) -> None:
    assert verdict(octets).seen == (expected,)


# Limits are exact (section 3 and 5, RFC 6585 section 5, RFC 9110 section 15.5.14)

SMALL = Limits(request_line=40, fields=4, field_size=50, body=10)


def line_of(size: int) -> bytes:
    return b"GET /" + b"a" * (size - len(b"GET / HTTP/1.1")) + b" HTTP/1.1\r\nHost: a\r\n\r\n"


LIMITED = [
    ("request line", line_of(40), "200"),
    ("request line + 1", line_of(41), "414 close"),
    ("request line + 1, nothing behind", line_of(41)[:41], "414 close"),
    ("request line, its end to come", line_of(40)[:40], "nothing"),
    ("request line, its CR here", line_of(40)[:41], "nothing"),
    ("request line + many", line_of(400), "414 close"),
    ("request line + 1 without an end", b"a" * 41, "414 close"),
    ("a bad octet within the limit", b"GET /\0" + b"a" * 50, "400 close"),
    ("a bad octet behind the limit", b"GET /" + b"a" * 50 + b"\0", "414 close"),
    ("bare LF behind the limit", b"GET /" + b"a" * 50 + b"\n", "414 close"),
    ("request line + 1 and a field + 1", line_of(41)[:-2] + b"X: " + b"a" * 99 + b"\r\n\r\n", "414 close"),
    ("field", fields(b"X: " + b"a" * 47), "200"),
    ("field + 1", fields(b"X: " + b"a" * 48), "431 close"),
    ("field + 1, nothing behind", fields(b"X: " + b"a" * 48)[:-4], "431 close"),
    ("field, its CR here", fields(b"X: " + b"a" * 47)[:-3], "nothing"),
    ("field + many", fields(b"X: " + b"a" * 480), "431 close"),
    ("field of a long name", fields(b"X" * 49 + b":"), "200"),
    ("field of a name + 1", fields(b"X" * 50 + b":"), "431 close"),
    ("field + 1 of blanks", fields(b"X:" + b" " * 49), "431 close"),
    ("folded line + 1", fields(b"X:", b" " * 51), "400 close"),
    ("bad octet in a field + 1", fields(b"X:\0" + b"a" * 50), "400 close"),
    ("bad octet behind a field's limit", fields(b"X:" + b"a" * 50 + b"\0"), "431 close"),
    ("fields", fields(b"A:", b"B:", b"C:"), "200"),
    ("fields + 1", fields(b"A:", b"B:", b"C:", b"D:"), "431 close"),
    ("fields + 1 and no Host", b"GET / HTTP/1.1\r\n" + b"A:\r\n" * 5 + b"\r\n", "431 close"),
    ("fields + 1, the head's end to come", fields(b"A:", b"B:", b"C:", b"D:")[:-2], "431 close"),
    ("fields + 1 of the same name", fields(b"A:", b"A:", b"A:", b"A:"), "431 close"),
    ("fields + 1 behind a bad line", b"GET /\xe9 HTTP/1.1\r\n" + b"A:\r\n" * 5 + b"\r\n", "400 close"),
    ("fields + 1 behind a folded one", b"GET / HTTP/1.1\r\nA:\r\n b\r\n" + b"A:\r\n" * 4 + b"\r\n", "400 close"),
    ("content", post(b"Content-Length: 10", content=b"a" * 10), "200"),
    ("content + 1", post(b"Content-Length: 11"), "413 close"),
    ("content + 1 with Expect", post(b"Content-Length: 11", b"Expect: 100-continue"), "413 close"),
    ("content + 1 without Host", b"POST / HTTP/1.1\r\nContent-Length: 11\r\n\r\n", "400 close"),
    ("content in chunks", CHUNKED + b"9\r\n123456789\r\n1\r\n1\r\n0\r\n\r\n", "200"),
    ("content in a chunk + 1", CHUNKED + b"b\r\n", "413 close"),
    ("content in chunks + 1", CHUNKED + b"9\r\n123456789\r\n2\r\n", "413 close"),
    ("content of a chunk near 2**60", CHUNKED + b"fffffffffffffff\r\n", "413 close"),
    ("trailers", CHUNKED + b"0\r\nA:\r\nB:\r\nC:\r\nD:\r\n\r\n", "200"),
    ("trailers + 1", CHUNKED + b"0\r\nA:\r\nB:\r\nC:\r\nD:\r\nE:\r\n", "431 close"),
    ("trailer", CHUNKED + b"0\r\n" + b"T" * 49 + b":\r\n\r\n", "200"),
    ("trailer + 1", CHUNKED + b"0\r\n" + b"T" * 50 + b":\r\n", "431 close"),
    ("trailer without end", CHUNKED + b"0\r\n" + b"T" * 51, "431 close"),
]  # fmt: skip


@pytest.mark.parametrize(("octets", "expected"), [pytest.param(*m[1:], id=m[0]) for m in LIMITED])
def test_limits_are_exact(octets: bytes, expected: str) -> None:
    assert str(verdict(octets, SMALL)) == expected


def test_limits_hold_for_the_second_request_too() -> None:
    assert str(verdict(line_of(40) + fields(b"A:", b"B:", b"C:"), SMALL)) == "200 200"
    assert str(verdict(line_of(40) + line_of(41), SMALL)) == "200 414 close"


@both_parsers
def test_an_endless_head_is_not_kept(parse: Parser) -> None:
    conversation = Conversation(parse, SMALL)
    conversation.feed(b"GET / HTTP/1.1\r\nX: ")
    while not conversation.wire.closing:
        conversation.feed(b"a" * 7)
        assert conversation.wire.pending < 100
    assert str(conversation.verdict) == "431 close"


# Error responses

ERRORS = [
    (400, b"GET / HTTP/1.1\r\nHost: <script>\r\n\r\n"),
    (400, b"GET /<script>#<script> HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"<script> / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, fields(b"<script>: a")),
    (400, CHUNKED + b"<script>\r\n"),
    (413, CHUNKED + b"a;a=\"<script>\"\r\n"),
    (414, b"GET /<script>" + b"a" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    (417, fields(b"Expect: <script>")),
    (431, fields(b"X: <script>" + b"a" * 9000)),
    (501, fields(b"Transfer-Encoding: <script>, chunked")),
    (505, b"GET /<script> HTTP/3.0\r\nHost: a\r\n\r\n"),
]  # fmt: skip


@both_parsers
@pytest.mark.parametrize(("status", "octets"), ERRORS)
def test_error_responses_are_short_and_say_nothing_of_the_input(parse: Parser, status: int, octets: bytes) -> None:
    conversation = converse([octets], parse, Limits(4094, 100, 8190, 9))
    [response] = read_responses(bytes(conversation.sent))
    assert response.status == status
    assert response.whole
    assert response[b"connection"] == b"close"
    assert response[b"content-length"] == b"%d" % len(response.content)
    assert response[b"date"] == b"today"
    assert response[b"server"] == b"pyserve"
    assert response[b"content-type"] == b"text/plain; charset=utf-8"
    assert re.fullmatch(rb"[ -~]+ \(RFC \d{4} sections? [\d. and]+\)\n", response.content)
    assert b"script" not in conversation.sent
    assert conversation.wire.error is not None
    assert conversation.wire.error.status == status


@both_parsers
@pytest.mark.parametrize(
    "octets",
    [
        b"HEAD / HTTP/1.1\r\n\r\n",
        b"HEAD /\r\n",
        b"HEAD / HTTP/1.1\r\n X: y\r\n",
        b"HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    ],
)
def test_an_error_response_to_head_has_no_content(parse: Parser, octets: bytes) -> None:
    conversation = converse([octets], parse, eof=True)
    [response] = read_responses(bytes(conversation.sent), ["HEAD"])
    assert response.status == 400
    assert response.whole
    assert int(response[b"content-length"] or 0) > 0


def test_reading_goes_on_nowhere_after_an_error() -> None:
    wire = open_wire()
    assert wire.receive(b"BAD\r\n\r\n") is None
    assert wire.closing
    assert wire.persistence is Persistence.CLOSE
    assert wire.awaiting is Awaiting.NOTHING
    before = sent(wire)
    assert wire.receive(GET) is None
    assert wire.proceed() is None
    wire.receive_eof()
    assert sent(wire) == b""
    assert read_responses(before)[0].status == 400
