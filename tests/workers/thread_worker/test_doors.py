"""Accepting: the limit, descriptors, other workers, and the last call."""

import os
import resource
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pyserve.workers.scoreboard import State
from pyserve.workers.thread_worker.doors import RESERVE, Accepting, Doors
from tests.workers.hands import Manned, serving
from tests.workers.serving import eventually, exertion, request


@pytest.fixture(params=[1, 4])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def hello(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    start("200 OK", [("Content-Length", "5")])
    return [b"hello"]


def state(served: Manned) -> Accepting:
    accepting: Accepting = served.deck.doors.state
    return accepting


# The limit; more of it in test_worker


def test_nobody_gives_way_while_nobody_waits(threads: int) -> None:
    with serving(hello, threads, worker_connections=2) as served:
        first, second = served.connect(), served.connect()
        for _ in range(3):
            assert first.get()[1] == second.get()[1] == b"hello"
        assert served.slot.connections == 2
        assert state(served) is Accepting.OPEN


def test_the_limit_under_pressure(threads: int) -> None:
    """Ten times as many clients as may be connected, one request each: all are answered."""
    with serving(hello, threads, worker_connections=5) as served:
        clients = [served.connect() for _ in range(50)]
        for client in clients:
            client.send(request())
        for client in clients:
            assert client.response()[1] == b"hello"
        assert served.slot.connections <= 5


def test_who_lingers_gives_way_too(threads: int) -> None:
    with serving(hello, threads, worker_connections=1) as served:
        refused = served.connect()
        refused.send(b"\x16\x03\x01")
        refused.until(b"\r\n")
        assert served.connect().get()[1] == b"hello"


# Descriptors


@pytest.fixture
def few_descriptors() -> Iterator[int]:
    """Sets the limit a little above what is in use; the first number of the reserve."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = max(int(fd) for fd in os.listdir("/proc/self/fd")) + 40 + RESERVE
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    yield limit - RESERVE
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_descriptors_run_out(threads: int, few_descriptors: int) -> None:
    with serving(hello, threads, keepalive=60.0) as served:
        client = served.connect()
        client.get()
        held = []
        while not held or held[-1] < few_descriptors:
            held.append(os.dup(0))  # as an application that opens files
        late = [served.connect() for _ in range(3)]
        for one in late:
            one.send(request())
        eventually(lambda: state(served) is Accepting.STARVED)
        eventually(lambda: "Accepting pauses: few file descriptors are left" in served.log)
        assert late[0].response()[1] == b"hello"  # whoever was let in is served
        for fd in held:
            os.close(fd)
        for one in late[1:]:
            assert one.response()[1] == b"hello"
        assert state(served) is Accepting.OPEN
        assert served.log.count("Accepting pauses: ") == 1


def test_no_descriptor_is_left_at_all(threads: int, few_descriptors: int) -> None:
    with serving(hello, threads) as served:
        late = [socket.socket() for _ in range(3)]
        held = []
        while True:
            try:
                held.append(os.dup(0))
            except OSError:
                break
        for one in late:
            one.settimeout(10)
            one.connect(served.listener.getsockname())
            one.sendall(request())
        eventually(lambda: state(served) is Accepting.STARVED)
        for fd in held:
            os.close(fd)
        for one in late:
            assert one.recv(65536).endswith(b"hello")
            one.close()
        eventually(lambda: served.log.count("Accepting pauses: ") == 1)


# Other workers


def test_who_has_more_than_its_share_steps_back(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a moment: nobody else calls it back."""
    monkeypatch.setattr(Doors, "look_again", lambda doors, owner: None)
    with serving(hello, threads, multiprocess=True) as served:
        other = served.crew.context.scoreboard.slot(1)
        other.state = State.READY
        clients = [served.connect() for _ in range(6)]
        for client in clients:
            assert client.get()[1] == b"hello"
        eventually(lambda: state(served) is Accepting.OPEN)
        other.connections = 100
        for _ in range(3):
            assert served.connect().get()[1] == b"hello"


def test_a_listener_that_fails_is_no_busy_loop(threads: int) -> None:
    with serving(hello, threads) as served:
        served.listener.shutdown(socket.SHUT_RDWR)  # for all who share it
        eventually(lambda: "Accepting pauses: [Errno 22]" in served.log)
        eventually(lambda: exertion(0.5) < 0.2, "its rest")


def test_when_the_whole_server_stops_all_who_wait_are_taken(threads: int) -> None:
    """Whatever the limit: nobody else would, and the kernel would reset them."""
    with serving(hello, threads, worker_connections=1) as served:
        first = served.connect()
        first.send(b"GET / HTTP/1.1\r\n")
        waiting = [served.connect() for _ in range(3)]
        for client in waiting:
            client.send(request())
        eventually(lambda: state(served) is Accepting.FULL)
        served.crew.context.scoreboard.stopping = True
        served.crew.drain()
        for client in waiting:
            assert client.response()[1] == b"hello"
        first.send(b"Host: a\r\n\r\n")
        assert first.response()[1] == b"hello"
        for client in (first, *waiting):
            client.socket.close()
        assert served.ended() == 0
