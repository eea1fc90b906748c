"""Which deadline a connection has missed, case by case, without sockets and without time."""

from dataclasses import dataclass, field
from math import inf
from typing import Any

import pytest

from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.http1 import Awaiting
from pyserve.settings import Settings
from pyserve.workers.deadlines import LINGER, Deadlines, Phase, missed, overstays, stalls, throws_away
from pyserve.workers.scoreboard import TIMEOUTS_BODY, TIMEOUTS_HEADER, TIMEOUTS_KEEPALIVE, TIMEOUTS_WRITE

NOW = 1000.0


@dataclass
class Arriving:
    """A request whose content is on its way."""

    received: int = 0


@dataclass
class Wire:
    awaiting: Awaiting = Awaiting.IDLE
    served: int = 1
    exchange: Any = field(default_factory=Arriving)


@dataclass
class Transport:
    waiting: int = 0

    def get_write_buffer_size(self) -> int:
        return self.waiting


@dataclass
class Stream:
    """What `missed` looks at."""

    phase: Phase = Phase.SERVING
    wire: Wire = field(default_factory=Wire)
    transport: Transport = field(default_factory=Transport)
    touched: float = NOW
    began: float = 0.0
    written: int = 0
    progress: int = -1
    progressed: float = 0.0
    reading: bool = True
    awaited: bool = True
    idle: bool = False
    exchange: Any = None
    sending_file: bool = False
    pace: Any = None
    partial: int = 0


def deadlines(**changes: float) -> Deadlines:
    return Deadlines(**{"head": 10.0, "body": 10.0, "idle": 10.0, "write": 10.0} | changes)


HEAD, BODY, IDLE, NOTHING = Awaiting.HEAD, Awaiting.BODY, Awaiting.IDLE, Awaiting.NOTHING


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        # the next request of which nothing has come
        (Stream(wire=Wire(IDLE), idle=True, touched=NOW - 9), None),
        (Stream(wire=Wire(IDLE), idle=True, touched=NOW - 11), TIMEOUTS_KEEPALIVE),
        # a connection on which nothing was asked yet has the head's deadline
        (Stream(wire=Wire(HEAD, 0), idle=True, touched=NOW - 11, began=NOW - 9), None),
        (Stream(wire=Wire(HEAD, 0), idle=True, touched=NOW - 11, began=NOW - 11), TIMEOUTS_HEADER),
        # a head that has begun: octets that come do not help
        (Stream(wire=Wire(HEAD), touched=NOW, began=NOW - 9), None),
        (Stream(wire=Wire(HEAD), touched=NOW, began=NOW - 11), TIMEOUTS_HEADER),
        # the next head is here, but its turn has not come
        (Stream(wire=Wire(HEAD), touched=NOW - 50), None),
        (Stream(wire=Wire(HEAD), touched=NOW - 50, began=NOW - 50, exchange=object()), None),
        # content: from the last octet, and only while somebody waits for more
        (Stream(wire=Wire(BODY), touched=NOW - 9, exchange=object()), None),
        (Stream(wire=Wire(BODY), touched=NOW - 11, exchange=object()), TIMEOUTS_BODY),
        (Stream(wire=Wire(BODY), touched=NOW - 11, exchange=object(), awaited=False), None),
        (Stream(wire=Wire(BODY), touched=NOW - 11, exchange=object(), reading=False), None),
        # ... and what is left of it when the response is complete
        (Stream(wire=Wire(BODY), touched=NOW - 11), TIMEOUTS_BODY),
        # the application's turn
        (Stream(wire=Wire(NOTHING), touched=NOW - 500, exchange=object()), None),
        # a response that the peer does not take
        (Stream(wire=Wire(IDLE), idle=True, transport=Transport(1), written=9, progress=8, progressed=NOW - 9), None),
        (
            Stream(wire=Wire(IDLE), idle=True, transport=Transport(1), written=9, progress=8, progressed=NOW - 11),
            TIMEOUTS_WRITE,
        ),
        (Stream(wire=Wire(IDLE), transport=Transport(1), written=9, progress=7, progressed=NOW - 11), None),
        (Stream(wire=Wire(IDLE), sending_file=True, written=9, progress=9, progressed=NOW - 11), TIMEOUTS_WRITE),
        # while the peer takes it, the next request is not waited for
        (
            Stream(wire=Wire(IDLE), idle=True, touched=NOW - 500, transport=Transport(1), written=9, progress=7),
            None,
        ),
        (Stream(phase=Phase.LINGERING, wire=Wire(IDLE), idle=True, touched=NOW - 500), None),
        (Stream(phase=Phase.CLOSED, wire=Wire(IDLE), idle=True, touched=NOW - 500), None),
    ],
)
def test_missed(stream: Any, expected: int | None) -> None:
    assert missed(stream, deadlines(), NOW) == expected


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (Stream(wire=Wire(IDLE), idle=True, touched=NOW - 11), None),
        (Stream(wire=Wire(IDLE), idle=True, touched=NOW - 500), None),
        (Stream(wire=Wire(HEAD, 0), idle=True, touched=NOW - 500, began=NOW - 5), None),
    ],
)
def test_a_retiring_worker_waits_for_idle_connections_from_then_on(stream: Any, expected: int | None) -> None:
    limits = deadlines()
    limits.retire(NOW - 1, 2.0)
    assert missed(stream, limits, NOW) is None
    assert missed(stream, limits, NOW + 1.5) == TIMEOUTS_KEEPALIVE


@pytest.mark.parametrize(
    ("stream", "waited", "expected"),
    [
        # nothing was ever asked on it
        (Stream(wire=Wire(HEAD, 0), idle=True, touched=NOW - 500), 99.0, None),
        (Stream(wire=Wire(HEAD, 0), idle=True, touched=NOW - 500), 100.1, TIMEOUTS_KEEPALIVE),
        (Stream(wire=Wire(HEAD, 0), idle=True, touched=NOW + 1), 100.1, None),
        (Stream(wire=Wire(IDLE), idle=True, touched=NOW - 500), 99.0, None),
        # a head that has begun
        (Stream(wire=Wire(HEAD), touched=NOW - 5, began=NOW - 5), 1.9, None),
        (Stream(wire=Wire(HEAD), touched=NOW - 5, began=NOW - 5), 2.1, TIMEOUTS_HEADER),
        (Stream(wire=Wire(HEAD), touched=NOW + 4, began=NOW - 5), 4.9, None),
        (Stream(wire=Wire(HEAD), touched=NOW + 5, began=NOW - 5), 5.1, TIMEOUTS_HEADER),
        (Stream(wire=Wire(HEAD), touched=NOW + 5, began=NOW + 1), 5.1, None),
        # one that is here, but its turn has not come
        (Stream(wire=Wire(HEAD), touched=NOW - 50), 50.0, None),
    ],
)
def test_what_has_not_come_is_not_waited_for_at_the_end(stream: Any, waited: float, expected: int | None) -> None:
    limits = deadlines(head=1000.0, idle=1000.0)
    limits.retire(NOW, 100.0)
    assert missed(stream, limits, NOW + waited) == expected


def test_a_first_request_may_be_on_its_way_also_where_idle_connections_are_not_kept() -> None:
    limits = deadlines(idle=5.0)
    limits.retire(NOW, 0.0)
    never_asked: Any = Stream(wire=Wire(HEAD, 0), idle=True, touched=NOW - 500)
    assert missed(never_asked, limits, NOW + 1.9) is None
    assert missed(never_asked, limits, NOW + 2.1) == TIMEOUTS_KEEPALIVE


def test_retiring_does_not_lengthen_what_is_shorter() -> None:
    limits = deadlines(idle=1.0)
    limits.retire(NOW, 5.0)
    assert limits.idle == 1.0


def test_a_stall_is_counted_from_the_last_progress() -> None:
    stream: Any = Stream(transport=Transport(100), written=100)
    limits = deadlines()
    assert not stalls(stream, limits, NOW)
    stream.written, stream.transport.waiting = 150, 149
    assert not stalls(stream, limits, NOW + 9)
    stream.written, stream.transport.waiting = 250, 249  # more is handed out, none of it taken
    assert not stalls(stream, limits, NOW + 18)
    assert stalls(stream, limits, NOW + 20)
    stream.transport.waiting = 0
    assert not stalls(stream, limits, NOW + 21)
    assert stream.progress == -1


def test_who_takes_an_octet_now_and_then_is_too_slow() -> None:
    stream: Any = Stream(transport=Transport(1000), written=1000)
    limits = deadlines(write_rate=10)
    for second in range(0, 11, 5):
        stream.transport.waiting -= 1
        assert not stalls(stream, limits, NOW + second)
    stream.transport.waiting -= 1
    assert stalls(stream, limits, NOW + 11)
    stream.transport.waiting -= 100  # ten seconds' worth
    assert not stalls(stream, limits, NOW + 12)


def test_content_that_comes_octet_by_octet_is_too_slow() -> None:
    stream: Any = Stream(wire=Wire(BODY), exchange=object())
    limits = deadlines(body_rate=10)
    late = []
    for second in range(13):
        stream.touched = NOW + second
        stream.wire.exchange.received += 1
        late.append(missed(stream, limits, NOW + second))
    assert late == [None] * 12 + [TIMEOUTS_BODY]


def test_only_time_in_which_content_is_waited_for_counts() -> None:
    stream: Any = Stream(wire=Wire(BODY), exchange=object(), touched=NOW + 1000)
    limits = deadlines(body_rate=10)
    now = NOW
    for _ in range(5):
        for awaited in (True, True, False):  # a second of each three
            stream.awaited = awaited
            assert missed(stream, limits, now) is None
            now += 1
    stream.awaited = True
    assert [missed(stream, limits, now + second) for second in (0, 1)] == [None, TIMEOUTS_BODY]
    stream.wire.served += 1  # the next request begins anew
    assert missed(stream, limits, now + 2) is None


def test_lingering_begins_when_all_is_written() -> None:
    stream: Any = Stream(Phase.LINGERING, transport=Transport(10), written=10, began=NOW - 50)
    assert not overstays(stream, deadlines(write=5), NOW)
    stream.transport.waiting = 5
    assert not overstays(stream, deadlines(write=5), NOW + 4)
    stream.transport.waiting = 0
    assert not overstays(stream, deadlines(), NOW + 4 + LINGER - 0.1)
    assert overstays(stream, deadlines(), NOW + 4 + LINGER + 0.1)
    assert not overstays(stream.__class__(began=NOW - 50), deadlines(), NOW)


def test_lingering_does_not_outlast_a_peer_that_takes_nothing() -> None:
    stream: Any = Stream(Phase.LINGERING, transport=Transport(10), written=10, began=NOW)
    assert not overstays(stream, deadlines(write=5), NOW)
    assert overstays(stream, deadlines(write=5), NOW + 6)


def test_what_the_settings_say() -> None:
    limits = Deadlines.of(Settings(header_timeout=1, body_timeout=0, keepalive=2, write_timeout=3))
    assert limits == Deadlines(1, inf, 2, 3, 0, 240)
    assert Deadlines.of(Settings(body_min_rate=7, write_timeout=0)).body_rate == 7
    assert Deadlines.of(Settings(body_min_rate=7, write_timeout=0)).write_rate == 0


@pytest.mark.parametrize(("shortest", "step"), [(inf, 1.0), (30.0, 1.0), (2.0, 0.5), (0.001, 0.02)])
def test_the_time_between_two_scans(shortest: float, step: float) -> None:
    assert deadlines(head=inf, body=inf, idle=inf, write=shortest).step == step


@pytest.mark.parametrize(
    ("mebibytes", "status", "goes_on"),
    [
        (16, None, True),  # an upload that was answered early
        (17, None, False),
        (16, 413, True),  # ... because it is too large
        (17, 413, False),
        (1, 400, True),
        (2, 400, False),  # who sends what is no HTTP may go on for ever
        (2, 431, False),
    ],
)
def test_what_is_thrown_away_after_the_answer(mebibytes: int, status: int | None, goes_on: bool) -> None:
    error = ProtocolError(status, "of the peer's") if status else None
    assert throws_away(mebibytes * 1024 * 1024, error) is goes_on
