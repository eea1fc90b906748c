"""One connection: content that nobody reads, ends of either side, deadlines (RFC 9112 section 9)."""

import pytest

from pyserve.protocol.errors import Disconnected
from pyserve.protocol.exchange import FileSpan, Receiving
from pyserve.protocol.http1 import Awaiting
from pyserve.protocol.parsers import Parser
from tests.protocol.conversation import (
    both_parsers,
    read_responses,
    verdict,
)
from tests.protocol.http1_peer import DRAIN, TAIL, answer, begin, only_response, open_wire, sent
from tests.protocol.messages import CHUNKED, GET, fields, post

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


def test_half_a_request_behind_a_whole_one_is_refused_in_its_turn() -> None:
    wire, exchange = begin(GET + GET[:9])
    wire.receive_eof()
    answer(exchange)
    assert wire.proceed() is None
    assert wire.closing
    assert [response.status for response in read_responses(sent(wire))] == [200, 400]


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


def test_a_refused_connection_holds_nothing_of_what_has_come() -> None:
    """It lingers; neither its wire nor the traceback of its error may keep megabytes for as long."""
    wire = open_wire()
    wire.receive(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 100_000)
    assert wire.error is not None
    assert wire.error.status == 431
    assert wire.error.__traceback__ is None
    assert not wire.pending
