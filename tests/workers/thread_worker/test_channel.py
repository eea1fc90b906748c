"""One connection's socket: writing without waiting, giving way, and the ways in which it ends."""

import socket
from collections.abc import Iterator
from time import monotonic
from types import SimpleNamespace

import pytest

from pyserve.protocol.config import WireConfig
from pyserve.protocol.parsers import PARSERS
from pyserve.settings import Settings
from pyserve.workers.crew import limits_of
from pyserve.workers.deadlines import ARRIVING, LINGER, Deadlines
from pyserve.workers.scoreboard import TIMEOUTS_KEEPALIVE
from pyserve.workers.thread_worker.channel import Channel, Stage
from pyserve.workers.thread_worker.table import READ, WRITE, Owner
from tests.protocol.http1_peer import answer
from tests.workers.serving import PATIENCE, eventually, request


class Deck:
    """As much of a deck as a channel needs; it is its own table, doors and bodies."""

    def __init__(self) -> None:
        settings = Settings()
        self.table = self.doors = self.bodies = self
        self.crew = SimpleNamespace(config=WireConfig(limits_of(settings), PARSERS["httptools"], b""))
        self.deadlines = Deadlines.of(settings)
        self.parked: list[int] = []  # what each parking waits for
        self.closings = 0

    def park(self, channel: Channel, owner: Owner, events: int) -> None:
        self.parked.append(events)
        channel.armed = events

    def forget(self, channel: Channel) -> None: ...
    def release(self, channel: Channel) -> None: ...

    def closed(self) -> None:
        self.closings += 1


class Case:
    """A channel and its peer."""

    def __init__(self, ours: socket.socket, peer: socket.socket) -> None:
        ours.setblocking(False)
        peer.settimeout(PATIENCE)
        self.peer = peer
        self.deck = Deck()
        self.owner = Owner(memoryview(bytearray(256)).cast("Q"))
        self.channel = Channel(self.deck, ours, "", 100.0)  # type: ignore[arg-type]

    def answer(self, content: bytes = b"ok") -> bool:
        """Answer one request; whether all of the response has gone."""
        exchange = self.channel.wire.receive(request())
        assert exchange is not None
        answer(exchange, content)
        return self.channel._push()

    @property
    def is_closed(self) -> bool:
        return self.channel.stage is Stage.CLOSED and self.channel.socket.fileno() < 0 and self.deck.closings == 1


@pytest.fixture
def case() -> Iterator[Case]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    case = Case(ours, peer)
    yield case
    case.channel.socket.close()
    peer.close()


# Writing


def test_what_the_peer_does_not_take_is_parked_and_goes_on_where_it_was(case: Case) -> None:
    content = bytes(range(256)) * 80_000
    assert not case.answer(content)
    case.channel._wait_to_write(case.owner, 100.0)
    assert case.channel.stage is Stage.WRITING
    assert case.deck.parked == [WRITE]
    assert case.channel.deadline == 100.0 + case.deck.deadlines.write
    received = bytearray()
    while not case.channel._push():
        received += case.peer.recv(1 << 20)
    case.channel.close(case.owner)
    received += b"".join(iter(lambda: case.peer.recv(1 << 20), b""))
    assert received.endswith(content)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")


def test_to_write_where_nobody_is_any_more_is_to_be_done(case: Case) -> None:
    case.peer.close()
    assert eventually_lost(case)
    assert not case.channel.wire.out


def eventually_lost(case: Case) -> bool:
    """Write until the peer's reset is here."""

    def lost() -> bool:
        case.channel.wire.out.append(b"x")
        return case.channel._push() and case.channel._lost

    eventually(lost)
    return True


# Giving way


def test_one_that_has_served_and_waits_may_give_way(case: Case) -> None:
    case.channel.heard = monotonic() + 60
    assert not case.channel.expendable, "nothing was asked on it yet"
    case.channel.heard = monotonic() - 2 * ARRIVING
    assert case.channel.expendable, "and nothing will"
    case.channel.heard = monotonic() + 60
    assert case.answer()
    assert case.channel.idle
    assert case.channel.expendable
    assert case.channel.give_way(case.owner)
    assert case.owner.words[TIMEOUTS_KEEPALIVE] == 1
    assert case.is_closed
    assert case.peer.recv(1000).endswith(b"ok")
    assert case.peer.recv(1000) == b""


@pytest.mark.parametrize("told", [False, True], ids=["waits unread", "is in the wire"])
def test_one_that_was_asked_something_stays(case: Case, told: bool) -> None:
    assert case.answer()
    case.channel.armed = READ
    case.peer.sendall(b"G")
    eventually(case.channel._has_sent)
    if told:
        assert case.channel.wire.receive(case.channel.socket.recv(1)) is None
        assert not case.channel.idle
    assert case.channel.arriving is told
    assert case.channel.missed_by_nobody is told, "a head that does not come whole is nothing"
    assert not case.channel.give_way(case.owner)
    assert case.deck.parked == [READ]
    assert case.owner.words[TIMEOUTS_KEEPALIVE] == 0
    assert case.channel.stage is Stage.READING


def test_a_fin_is_nothing_that_was_asked(case: Case) -> None:
    assert case.answer()
    case.peer.shutdown(socket.SHUT_WR)
    assert not case.channel._has_sent()
    assert case.channel.missed_by_nobody


# The end (RFC 9112 section 9.6)


def test_the_end_in_stages(case: Case) -> None:
    case.channel._conclude(case.owner, 100.0)
    assert case.peer.recv(1) == b""
    assert case.channel.stage is Stage.LINGERING
    assert case.channel.deadline == 100.0 + LINGER
    case.peer.sendall(b"too late")
    eventually(case.channel._has_sent)
    case.channel._discard(case.owner)
    case.channel._discard(case.owner)  # nothing there: it waits on
    assert case.deck.parked == [READ, READ, READ]
    case.peer.close()
    eventually(lambda: case.channel._discard(case.owner) or case.channel.stage is Stage.CLOSED)
    assert case.is_closed


def test_no_more_than_a_limit_is_discarded(case: Case) -> None:
    case.channel._conclude(case.owner, 100.0)
    case.peer.setblocking(False)
    sent = 0
    while case.channel.stage is Stage.LINGERING:
        try:
            sent += case.peer.send(b"x" * 65536)
        except BlockingIOError:
            pass
        case.channel._discard(case.owner)
        assert sent < 50_000_000
    assert case.is_closed


def test_who_has_sent_fin_is_not_waited_for(case: Case) -> None:
    case.channel._eof = True
    case.channel._conclude(case.owner, 100.0)
    assert case.is_closed


def test_close_is_for_all_who_hold_it(case: Case) -> None:
    """A child process of the application may."""
    with case.channel.socket.dup():
        case.channel.close(case.owner)
        assert case.peer.recv(1) == b""


def test_a_reset_is_no_regular_end(case: Case) -> None:
    case.channel.reset(case.owner)
    assert case.is_closed
    with pytest.raises(ConnectionResetError):
        case.peer.recv(1)


def test_a_lost_connection_ends_by_a_reset(case: Case) -> None:
    case.channel._lose()
    case.channel._conclude(case.owner, 100.0)
    with pytest.raises(ConnectionResetError):
        case.peer.recv(1)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_the_end_of_the_process_does_not_end_a_response(case: Case, version: str) -> None:
    """A response that only the close ends would look complete."""
    exchange = case.channel.wire.receive(b"GET / HTTP/%b\r\nHost: a\r\n\r\n" % version.encode())
    assert exchange is not None
    exchange.send_head(200, None, [])
    exchange.send_body(b"half", True)
    assert case.channel._push()
    case.channel.spoil()
    case.channel.socket.close()
    if version == "1.0":
        with pytest.raises(ConnectionResetError):
            b"".join(iter(lambda: case.peer.recv(1000), b""))
    else:
        assert b"".join(iter(lambda: case.peer.recv(1000), b"")).endswith(b"4\r\nhalf\r\n")
