"""One connection: what is answered, in which order, and whether it is used again (RFC 9112)."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyserve.protocol.errors import Disconnected
from pyserve.protocol.exchange import Exchange, FileSpan, Receiving
from pyserve.protocol.http1 import Awaiting, Http1Wire, Persistence, WireConfig
from pyserve.protocol.limits import Limits
from pyserve.protocol.parsers import PARSERS, Parser
from tests.protocol.conversation import (
    LIMITS,
    Response,
    Seen,
    both_parsers,
    converse,
    read_responses,
    verdict,
)
from tests.protocol.messages import CHUNKED, GET, MESSAGES, fields, post

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
    ("fields in order, names in lower case, values without blanks around",
     b"GET /a?b HTTP/1.1\r\nHost:a\r\nB:\t1 \r\nA: 2\r\nB:3\r\n\r\n",
     Seen("GET", b"/a?b", "1.1", ((b"host", b"a"), (b"b", b"1"), (b"a", b"2"), (b"b", b"3")), b"")),
    ("no-break space and next line are no blanks", fields(b"X: \xa0a\x85"),
     Seen("GET", b"/", "1.1", ((b"host", b"a"), (b"x", b"\xa0a\x85")), b"")),
    ("the method as it is", b"brew / HTTP/1.1\r\nHost: a\r\n\r\n", Seen("brew", b"/", "1.1", ((b"host", b"a"),), b"")),
    ("the target as it is", b"GET /%41/../b//?%zz HTTP/1.0\r\n\r\n", Seen("GET", b"/%41/../b//?%zz", "1.0", (), b"")),
    ("a host from the target", b"GET http://A:1/b HTTP/1.0\r\n\r\n",
     Seen("GET", b"http://A:1/b", "1.0", ((b"host", b"A:1"),), b"")),
    ("content by its length", post(b"content-length: 5", content=b"a\r\n\0b"),
     Seen("POST", b"/", "1.1", ((b"host", b"a"), (b"content-length", b"5")), b"a\r\n\0b")),
    ("content of chunks, without extensions and trailers",
     post(b"TRANSFER-ENCODING: Chunked", content=b"2;x=y\r\na\r\r\n1\r\nb\r\n0\r\nT: t\r\n\r\n"),
     Seen("POST", b"/", "1.1", ((b"host", b"a"), (b"transfer-encoding", b"Chunked")), b"a\rb")),
]  # fmt: skip


@pytest.mark.parametrize(("octets", "expected"), [pytest.param(*m[1:], id=m[0]) for m in SEEN])
def test_what_the_application_sees(octets: bytes, expected: Seen) -> None:
    assert verdict(octets).seen == (expected,)


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


# Pipelining (section 9.3.2) and what the wire waits for


@both_parsers
def test_exchanges_come_one_at_a_time_and_in_order(parse: Parser) -> None:
    targets = [b"/%d" % n for n in range(20)]
    octets = b"".join(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target for target in targets)
    wire = open_wire(parse)
    exchange = wire.receive(octets)
    for target in targets:
        assert exchange is not None
        assert exchange.target == target
        assert wire.proceed() is None  # the one before is not over
        assert wire.receive(b"") is None
        answer(exchange, target)
        exchange = wire.proceed()
    assert exchange is None
    assert wire.pending == 0
    assert wire.served == 20
    assert [response.content for response in read_responses(sent(wire), closed=False)] == targets


def test_what_was_sent_ahead_waits_until_the_response_is_complete() -> None:
    wire, exchange = begin(GET)
    assert wire.receive(TAIL[:9]) is None
    assert wire.receive(TAIL[9:]) is None
    assert wire.pending == len(TAIL)
    answer(exchange)
    following = wire.proceed()
    assert following is not None
    assert following.target == b"/tail"
    assert wire.pending == 0


def test_what_the_wire_awaits() -> None:
    wire = open_wire()
    assert wire.awaiting is Awaiting.HEAD  # a connection that never speaks has the head's deadline
    wire.receive(GET[:5])
    assert wire.awaiting is Awaiting.HEAD
    exchange = wire.receive(GET[5:])
    assert exchange is not None
    assert wire.awaiting is Awaiting.NOTHING
    answer(exchange)
    assert wire.proceed() is None
    assert wire.awaiting is Awaiting.IDLE
    wire.receive(b"\r\n")
    assert wire.awaiting is Awaiting.IDLE  # an empty line behind content begins no request
    wire.receive(b"P")
    assert wire.awaiting is Awaiting.HEAD
    exchange = wire.receive(post(b"Content-Length: 2", content=b"a")[1:])
    assert exchange is not None
    assert wire.awaiting is Awaiting.BODY
    wire.receive(b"b")
    assert wire.awaiting is Awaiting.NOTHING
    answer(exchange)
    assert wire.awaiting is Awaiting.IDLE
    exchange = wire.receive(post(b"Content-Length: 100000"))
    assert exchange is not None
    answer(exchange)
    assert wire.closing
    assert wire.awaiting is Awaiting.NOTHING  # the content is not waited for any more


def test_the_buffer_holds_only_what_is_not_used() -> None:
    wire = open_wire()
    for _ in range(100):
        exchange = wire.receive(GET + GET[:10])
        assert exchange is not None
        answer(exchange)
        assert wire.proceed() is None
        assert wire.pending == 10
        exchange = wire.receive(GET[10:])
        assert exchange is not None
        answer(exchange)
    assert wire.pending == 0


# Content (section 6.3) and 100 (Continue) (RFC 9110 section 10.1.1)


@both_parsers
@pytest.mark.parametrize(
    ("head", "content", "last"),
    [
        (post(b"Content-Length: 6"), [b"ab", b"cd", b"ef"], b""),
        (CHUNKED, [b"2\r\nab\r\n2", b"\r\ncd\r", b"\n2\r\nef\r\n"], b"0\r\n\r\n"),
    ],
    ids=["length", "chunks"],
)
def test_content_is_there_to_take_as_it_comes(parse: Parser, head: bytes, content: list[bytes], last: bytes) -> None:
    wire, exchange = begin(head, parse)
    taken = []
    for piece in content:
        assert wire.receive(piece) is None
        taken.append(exchange.take())
    wire.receive(last + TAIL)
    assert taken == [b"ab", b"cd", b"ef"]
    assert exchange.receiving is Receiving.DONE
    assert exchange.received == 6
    assert wire.pending == len(TAIL)
    answer(exchange)
    assert wire.proceed() is not None


EXPECT = post(b"Expect: 100-continue", b"Content-Length: 2")


@both_parsers
def test_continue_is_said_once(parse: Parser) -> None:
    wire, exchange = begin(EXPECT, parse)
    assert sent(wire) == b""
    exchange.send_continue()
    exchange.send_continue()
    assert sent(wire) == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.receive(b"ab")
    exchange.send_continue()
    answer(exchange)
    assert only_response(wire).informational == ()
    assert not wire.closing


@pytest.mark.parametrize(
    ("why", "octets"),
    [
        ("not asked for", post(b"Content-Length: 2")),
        ("content has begun", EXPECT + b"a"),
        ("content is here", EXPECT + b"ab"),
        ("no content", fields(b"Expect: 100-continue")),
        ("no content by its length", post(b"Expect: 100-continue", b"Content-Length: 0")),
        ("HTTP/1.0", b"PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
    ],
)
def test_continue_is_not_said(why: str, octets: bytes) -> None:
    wire, exchange = begin(octets)
    exchange.send_continue()
    assert sent(wire) == b""


def test_continue_is_not_said_behind_the_response() -> None:
    wire, exchange = begin(EXPECT)
    exchange.send_head(200, None, [])
    exchange.send_body(b"a", True)
    sent(wire)
    exchange.send_continue()
    assert sent(wire) == b""


def test_a_peer_that_waits_for_continue_in_vain_loses_the_connection() -> None:
    """It may send its content or not, and what comes then could not be told apart."""
    wire, exchange = begin(EXPECT)
    answer(exchange)
    assert only_response(wire)[b"connection"] == b"close"
    assert wire.closing


# Content that nobody reads (section 9.3)


@both_parsers
@pytest.mark.parametrize(
    ("octets", "rest"),
    [
        (post(b"Content-Length: %d" % DRAIN), b"a" * DRAIN),
        (post(b"Content-Length: %d" % (DRAIN + 1)) + b"a", b"a" * DRAIN),
        (CHUNKED, b"10000\r\n" + b"a" * DRAIN + b"\r\n0\r\n\r\n"),
    ],
    ids=["length", "length, some of it here", "chunks"],
)
def test_a_little_unread_content_is_thrown_away(parse: Parser, octets: bytes, rest: bytes) -> None:
    wire, exchange = begin(octets, parse)
    answer(exchange)
    assert only_response(wire)[b"connection"] is None
    assert wire.proceed() is None
    assert wire.awaiting is Awaiting.BODY
    for i in range(0, len(rest), 1000):
        assert wire.receive(rest[i : i + 1000]) is None
        assert exchange.buffered < 2
    following = wire.receive(TAIL)
    assert following is not None
    assert following.target == b"/tail"


@both_parsers
def test_unread_content_and_the_next_request_in_one_piece(parse: Parser) -> None:
    wire, exchange = begin(post(b"Content-Length: 10"), parse)
    answer(exchange)
    following = wire.receive(b"0123456789" + TAIL)
    assert following is not None
    assert following.target == b"/tail"


def test_much_unread_content_ends_the_connection_and_the_head_says_so() -> None:
    wire, exchange = begin(post(b"Content-Length: %d" % (DRAIN + 1)))
    answer(exchange)
    assert only_response(wire)[b"connection"] == b"close"
    assert wire.closing
    assert wire.receive(b"a" * (DRAIN + 1) + TAIL) is None


def test_much_unread_content_in_chunks_ends_the_connection() -> None:
    wire, exchange = begin(CHUNKED)
    answer(exchange)
    assert only_response(wire)[b"connection"] is None
    wire.receive(b"10001\r\n" + b"a" * DRAIN)
    assert not wire.closing
    wire.receive(b"a")
    assert wire.closing
    assert wire.error is None  # the peer has done no wrong


@both_parsers
@pytest.mark.parametrize("head", [CHUNKED, post(b"Content-Length: 40000")], ids=["chunks", "length"])
def test_each_unread_content_has_the_whole_limit(parse: Parser, head: bytes) -> None:
    wire = open_wire(parse)
    for _ in range(4):
        exchange = wire.receive(head)
        assert exchange is not None
        answer(exchange)
        chunked = head is CHUNKED
        wire.receive(b"9c40\r\n" * chunked + b"a" * 40000 + b"\r\n0\r\n\r\n" * chunked)
        assert not wire.closing


def test_content_may_be_read_after_the_response_has_begun() -> None:
    wire, exchange = begin(post(b"Content-Length: 100000"))
    exchange.send_head(200, None, [])
    exchange.send_body(b"a", True)
    assert not wire.closing
    wire.receive(b"b" * 100000)
    assert exchange.take() == b"b" * 100000
    exchange.send_body(b"c", False)
    assert only_response(wire).content == b"ac"
    assert wire.closing


def test_unread_content_that_is_malformed_ends_the_connection_without_a_second_answer() -> None:
    wire, exchange = begin(CHUNKED)
    answer(exchange)
    assert only_response(wire).status == 200
    wire.receive(b"x\r\n")
    assert sent(wire) == b""
    assert wire.closing


# The peer's end (FIN) and other ends (section 8 and 9.6)


@both_parsers
@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"", "nothing close"),
        (GET, "200 close"),
        (GET + b"\r\n", "200 close"),
        (GET + GET, "200 200 close"),
        (GET[:-1], "400 close"),
        (GET + b"G", "200 400 close"),
        (b"\r", "400 close"),
        (post(b"Content-Length: 2", content=b"a"), "400 close"),
        (CHUNKED + b"0\r\n", "400 close"),
        (CHUNKED + b"0\r\n\r\n", "200 close"),
    ],
)
def test_what_was_asked_for_whole_is_answered_after_the_peer_has_ended(
    parse: Parser, octets: bytes, expected: str
) -> None:
    assert str(verdict(octets, eof=True)) == expected


@both_parsers
def test_the_last_response_to_a_peer_that_has_ended_says_close(parse: Parser) -> None:
    wire, exchange = begin(GET + GET, parse)
    wire.receive_eof()
    assert exchange.peer_done
    assert not exchange.gone
    answer(exchange)
    following = wire.proceed()
    assert following is not None
    answer(following)
    assert wire.proceed() is None
    assert wire.closing
    assert [response[b"connection"] for response in read_responses(sent(wire))] == [None, b"close"]


def test_an_end_between_two_exchanges_hides_no_request() -> None:
    wire, exchange = begin(GET + TAIL)
    answer(exchange)
    wire.receive_eof()  # before the driver proceeds
    following = wire.proceed()
    assert following is not None
    answer(following)
    assert wire.proceed() is None
    assert wire.closing
    assert [response.status for response in read_responses(sent(wire))] == [200, 200]


def test_an_end_within_content_breaks_the_exchange_off() -> None:
    wire, exchange = begin(post(b"Content-Length: 2", content=b"a"))
    wire.receive_eof()
    assert exchange.error is not None
    assert exchange.gone
    assert only_response(wire).status == 400
    with pytest.raises(Disconnected):
        answer(exchange)


@both_parsers
@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"", b""),
        (GET[:5], b"HTTP/1.1 408 "),
        (post(b"Content-Length: 2", content=b"a"), b"HTTP/1.1 408 "),
        (CHUNKED, b"HTTP/1.1 408 "),
    ],
)
def test_a_deadline_that_passes(parse: Parser, octets: bytes, expected: bytes) -> None:
    wire = open_wire(parse)
    wire.receive(octets)
    wire.expire()
    assert wire.closing
    found = sent(wire)
    assert found[: len(expected)] == expected
    assert bool(found) == bool(expected)


def test_an_idle_connection_expires_without_a_word() -> None:
    wire, exchange = begin(GET)
    answer(exchange)
    sent(wire)
    wire.expire()
    assert sent(wire) == b""
    assert wire.closing
    assert wire.error is None


def test_a_lost_connection() -> None:
    closed = []
    wire, exchange = begin(GET)
    exchange.send_head(200, None, [])
    exchange.send_body(FileSpan(0, 0, 5, lambda: closed.append(1)), True)
    wire.lose()
    assert wire.out == []
    assert closed == [1]
    assert exchange.gone
    with pytest.raises(Disconnected):
        exchange.send_body(b"a", False)
    assert wire.receive(GET) is None


def test_losing_a_connection_twice_or_before_it_has_begun_is_nothing() -> None:
    wire = open_wire()
    wire.lose()
    wire.lose()
    assert wire.closing
    assert wire.proceed() is None


# Any mistake in a message leads to one verdict

CUT_IN = [
    b"", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b"\0", b"\x7f", b"\xff", b":", b";", b",", b"=", b"/", b"#",
    b"0", b"5", b"a" * 60, b"HTTP/1.0", b"HEAD", b"CONNECT a:1", b"Host: b\r\n", b"Content-Length: 3\r\n",
    b"Expect: x\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Upgrade: x\r\n", GET,
]  # fmt: skip


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """A message of the table with some octets cut out, put in or repeated."""
    octets = draw(st.sampled_from([message[2] for message in MESSAGES]))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(octets)))
        stop = min(len(octets), start + draw(st.integers(0, 8)))
        piece = draw(st.sampled_from([*CUT_IN, octets[start:stop] * 2]))
        octets = octets[:start] + piece + octets[stop:]
    return octets


@given(mutants(), st.lists(st.integers(0, 400), max_size=5), st.booleans())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_one_verdict_on_mutants(octets: bytes, at: list[int], eof: bool) -> None:
    limits = Limits(100, 5, 60, 100, 100)
    edges = sorted({0, len(octets), *(i for i in at if i < len(octets))})
    pieces = [octets[i:j] for i, j in pairwise(edges)]
    verdicts = [
        converse(each, parse, limits, eof=eof).verdict for parse in PARSERS.values() for each in ([octets], pieces)
    ]
    assert all(other == verdicts[0] for other in verdicts), verdicts
