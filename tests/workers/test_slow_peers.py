"""Deadlines over sockets, for either kind of worker: each is answered with 408 or by closing, counted by its kind, and
can be turned off."""

import select
import socket
import threading
from typing import Any

import pytest

from pyserve.workers import deadlines
from pyserve.workers.async_worker import registry
from pyserve.workers.scoreboard import State
from pyserve.workers.thread_worker import channel
from tests.tls import TlsPeer
from tests.workers.both import BOTH, HUGE, has_read, timeouts, working
from tests.workers.clock import Clock
from tests.workers.serving import PATIENCE, Client, eventually, request

OFF = {**dict.fromkeys(("header_timeout", "body_timeout", "write_timeout"), 0.0), "keepalive": 3600.0}
SHORT = 0.3
LONG = 30.0  # where the test has the clock

CHUNKED = request("/read", "Transfer-Encoding: chunked", method="POST")
BODY = request("/read", "Content-Length: 100000", method="POST")
UNREAD = request("/", "Content-Length: 60000", method="POST")

# (name, what is sent at first, what is sent again and again, which deadline applies, how the answer begins)
TRICKLES: list[tuple[str, bytes, bytes, str, bytes]] = [
    ("a request line", b"GET /", b"x", "header_timeout", b"HTTP/1.1 408 "),
    ("a field", b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"x", "header_timeout", b"HTTP/1.1 408 "),
    ("fields", b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n", "header_timeout", b"HTTP/1.1 408 "),
    ("content", BODY, b"x", "body_timeout", b"HTTP/1.1 408 "),
    ("chunks", CHUNKED, b"1\r\nx\r\n", "body_timeout", b"HTTP/1.1 408 "),
    ("one chunk", CHUNKED + b"fffff\r\n", b"x", "body_timeout", b"HTTP/1.1 408 "),
    ("a chunk's size", CHUNKED + b"1;", b"x", "body_timeout", b"HTTP/1.1 408 "),
    ("trailers", CHUNKED + b"0\r\n", b"X: y\r\n", "body_timeout", b"HTTP/1.1 408 "),
]
KINDS = ("header_timeout", "body_timeout", "keepalive", "write_timeout")


def counted(kind: str, times: int = 1) -> tuple[int, ...]:
    """So many deadlines of this kind were missed, and no other."""
    return tuple(times if kind == other else 0 for other in KINDS)


def trickle(client: Client, piece: bytes) -> bytes:
    """Send a piece every few milliseconds until the worker answers; the answer."""
    client.socket.settimeout(0.02)
    for _ in range(500):
        try:
            return client.socket.recv(65536)
        except TimeoutError:
            client.send(piece)
    raise AssertionError("octets that come one by one are taken for ever")


@BOTH
@pytest.mark.parametrize("kind", ["header_timeout", "body_timeout"])
def test_what_trickles_in(way: str, kind: str, clock: Clock) -> None:
    """All cases of one deadline at the same time, and a piece of each every few seconds."""
    cases = [case for case in TRICKLES if case[3] == kind]
    with working(way, **{**OFF, kind: LONG}) as worker:
        clients = [worker.connect() for _ in cases]
        for client, (_, begins, *_) in zip(clients, cases, strict=True):
            client.send(begins)
        unanswered = dict(zip(clients, cases, strict=True))
        for _ in range(100):
            for client, (name, _, piece, _, begins) in tuple(unanswered.items()):
                if select.select([client.socket], [], [], 0)[0]:
                    assert client.socket.recv(65536).startswith(begins), name
                    del unanswered[client]
                else:
                    client.send(piece)
            if not unanswered:
                break
            eventually(lambda: has_read(worker))
            clock.advance(LONG / 6)
        assert not unanswered, "octets that come one by one are taken for ever"
        assert timeouts(worker) == counted(kind, len(cases))


@BOTH
@pytest.mark.parametrize("begun", [b"", b"x" * 5000], ids=["gathered", "streamed"])
def test_content_for_an_application_that_has_begun(way: str, begun: bytes) -> None:
    """A body that is larger than what is held back for it is read by the application as it comes."""
    with working(way, **{**OFF, "body_timeout": SHORT, "body_buffer_size": 1000}) as worker:
        client = worker.connect()
        client.send(BODY + begun)
        assert trickle(client, b"x").startswith(b"HTTP/1.1 408 ")
        assert timeouts(worker) == counted("body_timeout")


@BOTH
def test_content_that_the_application_has_not_read(way: str) -> None:
    """It is thrown away, and the connection kept, but not for as long as the client likes."""
    with working(way, **{**OFF, "body_timeout": SHORT}) as worker:
        client = worker.connect()
        client.send(UNREAD + b"x" * 10)
        if way == "async":  # a WSGI application begins when the content is there
            client.response()
            assert trickle(client, b"x") == b""
        else:
            assert trickle(client, b"x").startswith(b"HTTP/1.1 408 ")
        assert timeouts(worker) == counted("body_timeout")


@BOTH
def test_the_rate_is_an_average_and_can_be_turned_off(way: str, clock: Clock) -> None:
    """Pauses shorter than the timeout are no matter then, however little comes between them."""
    with working(way, **{**OFF, "body_timeout": LONG, "body_min_rate": 0}) as worker:
        client = worker.connect()
        client.send(request("/read", "Content-Length: 10", method="POST"))
        for _ in range(10):
            eventually(lambda: has_read(worker))
            clock.advance(LONG / 3)
            client.send(b"x")
        assert client.response()[1] == b"10"
        assert timeouts(worker) == (0, 0, 0, 0)


@BOTH
def test_content_that_comes_fast_enough(way: str, clock: Clock) -> None:
    with working(way, **{**OFF, "body_timeout": LONG, "body_min_rate": 1000, "body_buffer_size": 1000}) as worker:
        client = worker.connect()
        client.send(request("/read", "Content-Length: 100000", method="POST"))
        for _ in range(20):
            client.send(b"x" * 5000)
            eventually(lambda: has_read(worker))
            clock.advance(4)
        assert client.response()[1] == b"100000"
        assert timeouts(worker) == (0, 0, 0, 0)


# (name, what is sent, which deadline applies, how the answer begins)
SILENCE: list[tuple[str, bytes, str, bytes]] = [
    ("nothing ever", b"", "header_timeout", b""),
    ("an empty line", b"\r\n", "header_timeout", b""),
    ("half a head", b"GET / HTTP/1.1\r\nHost: a\r\n", "header_timeout", b"HTTP/1.1 408 "),
    ("half a body", BODY + b"half", "body_timeout", b"HTTP/1.1 408 "),
    ("no further request", request("/"), "keepalive", b"HTTP/1.1 200 "),
    ("half of a further request", request("/") + b"GET /", "header_timeout", b"HTTP/1.1 200 "),
]


@BOTH
@pytest.mark.parametrize("kind", ["header_timeout", "body_timeout", "keepalive"])
def test_who_falls_silent(way: str, kind: str, clock: Clock) -> None:
    cases = [case for case in SILENCE if case[2] == kind]
    with working(way, **{**OFF, kind: LONG}) as worker:
        clients = [worker.connect() for _ in cases]
        for client, (_, octets, *_) in zip(clients, cases, strict=True):
            client.send(octets)
        eventually(lambda: worker.slot.connections == len(cases) and has_read(worker))
        eventually(lambda: clock.advance(2 * LONG) or timeouts(worker) == counted(kind, len(cases)))
        for client, (name, *_, begins) in zip(clients, cases, strict=True):
            answer = client.rest()
            assert answer.startswith(begins), name
            assert bool(answer) == bool(begins), name
        assert timeouts(worker) == counted(kind, len(cases))


@BOTH
def test_at_the_end_a_head_that_does_not_come_is_not_waited_for(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "ARRIVING", SHORT)
    with working(way, **OFF, drain_idle=100.0, graceful_timeout=100.0) as worker:
        silent, begun = worker.connect(), worker.connect()
        begun.send(b"GET / HTTP/1.1\r\nHos")
        eventually(lambda: worker.slot.connections == 2)
        worker.crew.drain()  # type: ignore[attr-defined]
        assert begun.rest().startswith(b"HTTP/1.1 408 ")
        assert silent.get()[1] == b"hello", "it is idle, and has as long as others"
        begun.socket.close()
        silent.socket.close()
        assert worker.ended() == 0  # type: ignore[attr-defined]


@BOTH
def test_at_the_end_who_never_asks_is_let_go(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "ARRIVING", SHORT)
    with working(way, **OFF, drain_idle=0.0, graceful_timeout=100.0) as worker:
        silent = worker.connect()
        eventually(lambda: worker.slot.connections == 1)
        worker.crew.drain()  # type: ignore[attr-defined]
        assert silent.rest() == b""
        silent.socket.close()
        assert worker.ended() == 0  # type: ignore[attr-defined]


@BOTH
def test_at_the_end_a_head_that_comes_is_answered(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "ARRIVING", LONG)
    with working(way, **OFF) as worker:
        begun = worker.connect()
        begun.send(b"GET / HTTP/1.1\r\nHos")
        eventually(lambda: worker.slot.connections == 1)
        worker.crew.drain()  # type: ignore[attr-defined]
        eventually(lambda: worker.slot.state is State.DRAINING)
        begun.send(b"t: a\r\n\r\n")
        head, body = begun.response()
        assert body == b"hello"
        assert b"\r\nconnection: close\r\n" in head.lower()
        begun.socket.close()
        assert worker.ended() == 0  # type: ignore[attr-defined]


@BOTH
def test_a_head_that_has_not_come_when_all_is_cut_off_is_no_failure(way: str) -> None:
    with working(way, **OFF, graceful_timeout=0.1) as worker:
        begun = worker.connect()
        begun.send(b"GET / HTTP/1.1\r\nHos")
        eventually(lambda: worker.slot.connections == 1 and has_read(worker))
        if hasattr(worker, "deck"):  # whose thread gives the connection back a moment after it has read
            eventually(lambda: worker.deck.table.parked)
        worker.crew.drain()  # type: ignore[attr-defined]
        assert worker.ended() == 0  # type: ignore[attr-defined]


@BOTH
def test_who_is_silent_gives_way_to_who_waits(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (channel, registry):
        monkeypatch.setattr(module, "ARRIVING", 0.1)
    with working(way, **OFF, worker_connections=2) as worker:
        silent = [worker.connect(), worker.connect()]
        eventually(lambda: worker.slot.connections == 2)
        assert worker.connect().get()[1] == b"hello"
        assert silent[0].rest() == b""


@BOTH
def test_all_of_it_turned_off(way: str, clock: Clock) -> None:
    """Nobody is closed within an hour."""
    with working(way, **OFF) as worker:
        clients = [worker.connect() for _ in SILENCE]
        for client, (_, octets, *_) in zip(clients, SILENCE, strict=True):
            client.send(octets)
        eventually(lambda: worker.slot.connections == len(clients) and has_read(worker))
        clock.advance(OFF["keepalive"] - 100)
        assert timeouts(worker) == (0, 0, 0, 0)
        assert worker.slot.connections == len(clients)


# Clients that read slowly


def reader(worker: Any, path: str) -> Client:
    """Ask with as little room for the answer as the kernel grants."""
    listener = worker.listener
    connection = socket.socket(listener.family)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    connection.settimeout(PATIENCE)
    connection.connect(listener.getsockname())
    client = Client(TlsPeer(connection) if worker.crew.certificates is not None else connection)
    worker._clients.append(client)
    client.send(request(path))
    client.take(1000)
    return client


ENCRYPTED = pytest.mark.parametrize("kind", ["tcp", "tls"])


@BOTH
@ENCRYPTED
@pytest.mark.parametrize("path", ["/endless", "/huge"])
def test_who_takes_nothing(way: str, kind: str, path: str) -> None:
    with working(way, kind=kind, **{**OFF, "write_timeout": 1.0}) as worker:
        client = reader(worker, path)
        eventually(lambda: timeouts(worker) == counted("write_timeout"))
        eventually(lambda: worker.slot.connections == 0)
        with pytest.raises(ConnectionResetError):
            client.rest()


@BOTH
@pytest.mark.parametrize("path", ["/endless", "/huge"])
def test_who_takes_a_little_now_and_then(way: str, path: str) -> None:
    with working(way, **{**OFF, "write_timeout": 0.5, "write_min_rate": 100_000_000}) as worker:
        client = reader(worker, path)
        taken = 0
        with pytest.raises((ConnectionResetError, BrokenPipeError)):  # noqa: PT012 - whenever it comes
            while taken < HUGE:
                taken += len(client.socket.recv(65536))
                threading.Event().wait(0.02)
        assert taken < HUGE // 2
        assert timeouts(worker) == counted("write_timeout")


@BOTH
@ENCRYPTED
def test_who_takes_a_little_is_served_without_a_rate(way: str, kind: str, clock: Clock) -> None:
    with working(way, kind=kind, **{**OFF, "write_timeout": LONG, "write_min_rate": 0}) as worker:
        client = reader(worker, "/endless")
        for _ in range(10):
            client.take(1_500_000)
            clock.advance(LONG / 3)
        assert timeouts(worker) == (0, 0, 0, 0)
