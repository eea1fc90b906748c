"""What holds for any octets on a connection: both parsers and all cuts lead to the verdict of the reference."""

from collections.abc import Iterable
from random import Random

from pyserve.protocol.exchange import Exchange, Receiving
from pyserve.protocol.limits import Limits
from pyserve.protocol.parsers import PARSERS
from tests.fuzz.findings import finding
from tests.fuzz.reference import Reading, Request, read
from tests.protocol.conversation import LIMITS, Conversation, Seen, Verdict, converse

SMALL = Limits(request_line=60, fields=5, field_size=50, body=100, drain=100)
TINY_BODY = Limits(request_line=4094, fields=100, field_size=8190, body=5)
ALL_LIMITS = (LIMITS, LIMITS, SMALL, TINY_BODY)


def draw_limits(random: Random) -> Limits:
    """Those that hold for most servers, or some that messages of the grammar come close to."""
    if random.randrange(3):
        return random.choice(ALL_LIMITS)
    lines, sizes = random.randrange(14, 70), random.randrange(1, 60)
    return Limits(lines, random.randrange(7), sizes, random.choice([0, 1, 5, 12, 100]), random.choice([0, 1, 5, 100]))


# What might make a whole message of one that has not ended: every end of these, and with a few octets between.
_GOOD_ENDS = (
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"/ HTTP/1.0\r\n\r\n",
    b"a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"A: b\r\nHost: a\r\n\r\n",
    b"A: b\r\n\r\n",
    b"chunked\r\n\r\n0\r\n\r\n",
    b'1;a="b"\r\na\r\n0\r\nA: b\r\n\r\n',
    b'"\r\na\r\n0\r\n\r\n',
    b"a" * 130 + b"\r\n0\r\n\r\n",
)
COMPLETIONS = sorted({end[start:] for end in _GOOD_ENDS for start in range(len(end))})


def check(octets: bytes, limits: Limits, cuts: Iterable[list[bytes]], eof: bool) -> Reading:
    """Hold all that reads `octets` against each other; return the reference's reading.

    cuts: ways to send them, besides whole. eof: whether the client's end comes behind them. Raises `Finding`.
    """
    reading = read(octets, limits)
    try:
        _check(octets, limits, [[octets], *cuts], eof, reading)
    except Exception as error:
        raise finding(octets, limits, eof, reading, error) from error
    return reading


def _check(octets: bytes, limits: Limits, ways: list[list[bytes]], eof: bool, reading: Reading) -> None:
    first: Verdict | None = None
    for pieces in ways:
        sent = b""
        for name, parse in PARSERS.items():
            conversation = converse(pieces, parse, limits)
            if not eof:
                _check_accounts(conversation, octets, reading)
            else:
                conversation.end()
            verdict = conversation.verdict
            first = first or verdict
            assert verdict == first, (name, pieces, verdict, first)
            if conversation.wire.error is None:  # else the words may differ, if not what they amount to
                sent = sent or bytes(conversation.sent)
                assert bytes(conversation.sent) == sent, (name, pieces)
            _check_end(conversation)
    assert first is not None
    _check_reading(first, reading, octets, limits, eof)


def _check_reading(verdict: Verdict, reading: Reading, octets: bytes, limits: Limits, eof: bool) -> None:
    """The verdict is the one that the reference's reading leads to."""
    assert verdict.seen == tuple(_seen(request) for request in reading.requests), (verdict, reading)
    answered = (200,) * len(reading.requests)
    refusals = verdict.statuses[len(answered) :]
    assert verdict.statuses[: len(answered)] == answered, (verdict, reading)
    assert len(refusals) <= 1, verdict
    cut_short = eof and not reading.closed and reading.whole < len(octets)
    if reading.faults:
        assert refusals, (verdict, reading)
        assert refusals[0] in reading.faults, (verdict, reading)
    elif refusals and not (cut_short and refusals[0] == 400):
        # It was refused before it has ended. So nothing that may follow can make it good.
        assert not reading.closed, (verdict, reading)
        readings = [read(octets + completion, limits) for completion in COMPLETIONS]
        assert all(r.faults or len(r.requests) == len(reading.requests) for r in readings), (verdict, reading)
        assert any(refusals[0] in r.faults for r in readings), (verdict, reading)
    elif cut_short:
        assert refusals, (verdict, reading)
    assert verdict.closed == (reading.closed or eof or bool(refusals)), (verdict, reading)


def _seen(request: Request) -> Seen:
    return Seen(request.method, request.target, request.version, request.fields, request.content)


def _check_accounts(conversation: Conversation, octets: bytes, reading: Reading) -> None:
    """Each octet that has come belongs to a message, or waits: octets in are octets accounted for."""
    wire = conversation.wire
    if wire.closing:
        return
    exchange = wire.exchange
    if exchange is None:
        assert wire.pending == len(octets) - reading.whole, (wire.pending, reading)
        assert reading.begun is None
        return
    assert exchange.receiving is Receiving.BODY
    begun = reading.begun
    assert begun is not None
    assert _as_begun(exchange) == _seen(begun), (_as_begun(exchange), begun)
    assert exchange.received == len(begun.content) == exchange.buffered
    # Lines of a chunked content are kept until they are whole; trailers are taken as they come.
    assert wire.pending in (0, len(octets) - reading.position), (wire.pending, reading)


def _as_begun(exchange: Exchange) -> Seen:
    return Seen(exchange.method, exchange.target, exchange.version, tuple(exchange.fields), bytes(exchange.body or b""))


def _check_end(conversation: Conversation) -> None:
    """Behind the end of a connection nothing happens any more, whatever comes."""
    wire = conversation.wire
    if not wire.closing:
        return
    assert wire.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") is None
    assert wire.receive(b"\r\n\r\n") is None
    assert wire.proceed() is None
    wire.receive_eof()
    wire.expire()
    assert wire.proceed() is None
    assert not wire.out
    assert wire.closing
