"""One connection: one verdict on all that comes, and one exchange after the other (RFC 9112)."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyserve.protocol.http1 import Awaiting, Persistence
from pyserve.protocol.limits import Limits
from pyserve.protocol.parsers import PARSERS, Parser
from tests.protocol.conversation import (
    Seen,
    both_parsers,
    converse,
    read_responses,
    verdict,
)
from tests.protocol.http1_peer import TAIL, answer, begin, open_wire, sent
from tests.protocol.messages import GET, MESSAGES, fields, post

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
