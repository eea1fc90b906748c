"""The thread that never serves: what wakes it, and that nothing stops it. The way to the end is in test_worker.py."""

import os
import signal
import threading
from typing import Any

import pytest

from pyserve.workers.crew import Phase
from pyserve.workers.thread_worker.doors import Doors
from tests.workers.clock import Clock
from tests.workers.hands import Manned, serving
from tests.workers.serving import PATIENCE, eventually, request


def hello(environ: dict[str, Any], start: Any) -> list[bytes]:
    start("200 OK", [("Content-Length", "5")])
    return [b"hello"]


@pytest.mark.parametrize(
    ("number", "phase"),
    [(signal.SIGTERM, Phase.DRAINING), (signal.SIGINT, Phase.QUITTING), (signal.SIGQUIT, Phase.QUITTING)],
)
def test_a_signal_is_heeded_while_the_main_thread_is_busy(number: signal.Signals, phase: Phase) -> None:
    """Handlers would wait for it; the numbers come through the pipe."""
    busy, go = threading.Event(), threading.Event()

    def application(environ: dict[str, Any], start: Any) -> list[bytes]:
        busy.set()
        go.wait(PATIENCE)
        return hello(environ, start)

    with serving(application) as served:
        client = served.connect()
        client.send(request())
        assert busy.wait(PATIENCE)
        os.write(served.deck.lookout.wakeup_fd, bytes([number]))
        eventually(lambda: served.crew.phase is phase)
        go.set()
        client.socket.close()
        assert served.ended() == 0


def test_the_masters_death_is_heard_once(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """Its end of file stays, and must not keep the lookout awake."""
    heard = []
    with serving(hello) as served:
        master_died = served.crew.master_died
        monkeypatch.setattr(served.crew, "master_died", lambda: (heard.append(served.crew.phase), master_died()))
        client = served.connect()
        assert client.get()[1] == b"hello"
        served.kill_master()
        eventually(lambda: served.crew.phase is Phase.DRAINING)
        clock.advance(0)
        assert heard == [Phase.RUNNING]
        client.socket.close()
        assert served.ended() == 0


def test_a_mistake_of_its_own_does_not_end_it(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    def fail(doors: Doors, owner: Any) -> None:
        raise LookupError("a bug")

    with serving(hello, keepalive=30.0) as served:
        client = served.connect()
        assert client.get()[1] == b"hello"
        monkeypatch.setattr(Doors, "look_again", fail)
        eventually(lambda: "Unhandled exception in the lookout" in served.log)
        clock.advance(40)
        assert client.rest() == b""  # deadlines are judged all the same


def test_a_mistake_in_each_turn_does_not_keep_it_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(doors: Doors, owner: Any) -> None:
        served.deck.lookout._due = 0.0  # so that the next turn looks, too
        raise LookupError("a bug")

    with serving(hello) as served:
        monkeypatch.setattr(Doors, "look_again", fail)
        eventually(lambda: "Unhandled exception in the lookout" in served.log)
        assert served.stop() == 0


def has_begun(served: Manned) -> bool:
    """Whether a connection that nobody serves just now is in the middle of a request."""
    return any(not connection.idle for connection in tuple(served.deck.table.parked.values()))


def test_only_who_is_late_is_ended(clock: Clock) -> None:
    with serving(hello, keepalive=30.0, header_timeout=60.0) as served:
        idle, begun = served.connect(), served.connect()
        assert idle.get()[1] == b"hello"
        begun.send(b"GET / HTTP/1.1\r\n")
        eventually(lambda: len(served.deck.table.parked) == 2)
        clock.advance(20)
        assert len(served.deck.table.open) == 2
        clock.advance(20)
        assert idle.rest() == b""
        idle.socket.close()
        eventually(lambda: len(served.deck.table.open) == 1)
        begun.send(b"Host: a\r\n\r\n")
        assert begun.response()[1] == b"hello"
        begun.send(b"GET /")
        eventually(lambda: has_begun(served))
        clock.advance(70)
        assert begun.rest().startswith(b"HTTP/1.1 408 ")


def test_to_be_woken_by_many_is_to_be_woken(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """A pipe that is full wakes as well, and whoever wakes never waits."""
    busy, go = threading.Event(), threading.Event()

    def wait(doors: Doors, owner: Any) -> None:
        busy.set()
        assert go.wait(PATIENCE)

    with serving(hello) as served:
        monkeypatch.setattr(Doors, "look_again", wait)
        assert busy.wait(PATIENCE)
        for _ in range(100_000):
            served.deck.lookout.wake()
        go.set()
        assert served.connect().get()[1] == b"hello"
        assert served.stop() == 0


def test_many_connections_are_judged_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """In between those who serve have the interpreter."""
    pauses: list[float] = []
    monkeypatch.setattr("pyserve.workers.thread_worker.lookout._AT_ONCE", 2)
    monkeypatch.setattr("pyserve.workers.thread_worker.lookout.sleep", pauses.append)
    with serving(hello) as served:
        clients = [served.connect() for _ in range(5)]
        for client in clients:
            assert client.get()[1] == b"hello"
        begun = len(pauses)
        eventually(lambda: len(pauses) >= begun + 2)
