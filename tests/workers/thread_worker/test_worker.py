"""The sync worker as a whole: slow clients by the hundred, limits, and the way to the end."""

import os
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from pyserve.workers.scoreboard import State
from pyserve.workers.thread_worker import patience, relay
from pyserve.workers.thread_worker.doors import Doors
from pyserve.workers.thread_worker.lookout import Lookout
from tests.workers.both import has_read
from tests.workers.clock import Clock
from tests.workers.hands import Manned, serving
from tests.workers.serving import PATIENCE, Client, eventually, exertion, request

Start = Callable[..., Any]
CROWD = 200


@pytest.fixture(params=[1, 4])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def hello(environ: dict[str, Any], start: Start) -> list[bytes]:
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


class Gate:
    """An application that answers /wait only when told to, and counts who is in it."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.waiting = 0

    def __call__(self, environ: dict[str, Any], start: Start) -> list[bytes]:
        if environ["PATH_INFO"] == "/wait":
            self.waiting += 1
            assert self.open.wait(PATIENCE)
            self.waiting -= 1
        return hello(environ, start)


# Slow clients


def test_a_crowd_that_sends_an_octet_at_a_time() -> None:
    octets = request("/slow")
    with serving(hello, threads=4) as served:
        crowd = [served.connect() for _ in range(CROWD)]
        quick = served.connect()
        for octet in octets[:20]:
            for client in crowd:
                client.send(bytes([octet]))
            assert quick.get()[1] == b"hello"
        for client in crowd:
            client.send(octets[20:])
        for client in crowd:
            assert client.response()[1] == b"hello"


@pytest.mark.parametrize("form", ["block", "list", "file"])
def test_a_crowd_that_does_not_read(form: str, tmp_path: Any) -> None:
    data = b"x" * (1 << 20)
    path = tmp_path / "data"
    path.write_bytes(data)

    def application(environ: dict[str, Any], start: Start) -> Any:
        if environ["PATH_INFO"] == "/":
            return hello(environ, start)
        start("200 OK", [("Content-Length", str(len(data)))])
        if form == "file":
            return environ["wsgi.file_wrapper"](path.open("rb"))
        return [data] if form == "block" else [data[: 1 << 19], data[1 << 19 :]]

    with serving(application, threads=4) as served:
        crowd = [small_window(served) for _ in range(CROWD)]
        for client in crowd:
            client.send(request("/big"))
        for client in crowd:
            client.until(b"\r\n\r\n")
        quick = served.connect()
        for client in crowd[:10]:
            client.take(1)
            assert quick.get()[1] == b"hello"
        assert crowd[0].take(len(data) - 1) == data[1:]
        for client in crowd:
            client.socket.close()


def small_window(served: Manned) -> Client:
    """A client of which the kernel takes little while nobody reads."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(PATIENCE)
    connection.connect(served.listener.getsockname())
    return Client(connection)


@pytest.mark.parametrize("what", ["download", "upload"])
def test_threads_that_wait_for_their_clients_are_freed(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More streams stall than there are threads, and no reliefs: the ones that stall longest give way."""
    monkeypatch.setattr(relay, "_MOST", 0)
    closed: list[int] = []

    def blocks() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            closed.append(1)

    def application(environ: dict[str, Any], start: Start) -> Any:
        if environ["PATH_INFO"] == "/":
            return hello(environ, start)
        if what == "upload":
            try:
                environ["wsgi.input"].read()
            finally:
                closed.append(1)
        start("200 OK", [])
        return blocks()

    with serving(application, threads=3, body_buffer_size=10) as served:
        stalled = [served.connect() for _ in range(5)]
        for client in stalled:
            client.send(request("/stall", "Content-Length: 100", method="POST") + b"x" * 50)
            if what == "download":
                client.send(b"x" * 50)
        quick = served.connect()
        assert quick.get()[1] == b"hello"  # within the client's patience, and long before any deadline
        eventually(lambda: len(closed) == 3)  # two may wait on
        eventually(lambda: served.slot.connections == 3)
        assert "Traceback" not in served.log


def test_who_makes_progress_is_not_cut(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(relay, "_MOST", 0)
    monkeypatch.setattr(patience, "STALLED", 30.0)

    def application(environ: dict[str, Any], start: Start) -> list[bytes]:
        environ["wsgi.input"].read()
        return hello(environ, start)

    with serving(application, threads=2, body_buffer_size=1, body_timeout=0.0) as served:
        clients = [served.connect() for _ in range(2)]
        for client in clients:
            client.send(request("/", "Content-Length: 8", method="POST") + b"xx")
        waiting = served.deck.patience._since
        eventually(lambda: len(waiting) == 2)
        for _ in range(5):
            clock.advance(20)
            now = clock()
            for client in clients:
                client.send(b"x")
            eventually(lambda: sum(since >= now for since in tuple(waiting.values())) == 2)  # noqa: B023 - called here
        for client in clients:
            client.send(b"x")
            assert client.response()[1] == b"hello"


# Limits


def test_idle_connections_give_way_at_the_limit(threads: int) -> None:
    with serving(hello, threads, worker_connections=2) as served:
        parked = served.deck.table.parked
        first = served.connect()
        assert first.get()[1] == b"hello"
        eventually(lambda: len(parked) == 1)  # which may be after the answer
        second = served.connect()
        assert second.get()[1] == b"hello"
        eventually(lambda: len(parked) == 2)
        third = served.connect()
        assert third.get()[1] == b"hello"
        assert first.rest() == b""
        assert second.get()[1] == b"hello"
        assert third.get()[1] == b"hello"
        eventually(lambda: served.slot.connections == 2)


def test_accepting_pauses_when_nobody_is_idle(threads: int) -> None:
    gate = Gate()
    with serving(gate, threads, worker_connections=3) as served:
        busy = [served.connect() for _ in range(3)]
        for client in busy:
            client.send(b"GET / HT")  # has begun, and so is not idle
        eventually(lambda: served.slot.connections == 3)
        waiting = served.connect()
        waiting.send(request())
        eventually(lambda: served.deck.crowded)
        assert not select.select([waiting.socket], [], [], 0.05)[0]
        busy[0].send(b"TP/1.1\r\nHost: a\r\n\r\n")  # and is idle then
        assert busy[0].response()[1] == b"hello"
        assert waiting.response()[1] == b"hello"
        assert busy[0].rest() == b""
        waiting.socket.close()
        busy[1].socket.close()
        eventually(lambda: served.slot.connections == 1)
        again = served.connect()
        assert again.get()[1] == b"hello"


def test_a_request_that_waits_unread_is_not_idle(clock: Clock) -> None:
    """All threads are busy, the client has sent its request: neither room nor a deadline may take it away."""
    gate = Gate()
    with serving(gate, keepalive=30.0, worker_connections=2) as served:
        client = served.connect()
        client.get()
        busy = served.connect()
        busy.send(request("/wait"))
        eventually(lambda: gate.waiting)
        client.send(request())
        eventually(lambda: not has_read(served))
        clock.advance(100)
        gate.open.set()
        assert client.response()[1] == b"hello"


def test_retiring_after_enough_requests(threads: int) -> None:
    with serving(hello, threads, max_requests=3, drain_idle=0.1) as served:
        client = served.connect()
        for _ in range(3):
            client.get()
        served.hear(b"W")
        client.get()  # until its successor serves, and the master says so
        served.crew.drain()
        assert served.ended() == 0
        assert client.rest() == b""


# The end


def refuses(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass  # just now
    return False


def test_draining_answers_the_last_request(threads: int) -> None:
    gate = Gate()
    with serving(gate, threads) as served:
        idle, busy, silent = served.connect(), served.connect(), served.connect()
        idle.get()
        busy.send(request("/wait"))
        eventually(lambda: gate.waiting)
        served.crew.drain()
        eventually(lambda: served.deck.doors.state.value == "closed")
        address = served.listener.getsockname()
        served.listener.close()
        eventually(lambda: refuses(address))
        gate.open.set()
        for client in (busy, idle):
            if client is idle:
                client.send(request())
            head, body = client.response()
            assert body == b"hello"
            assert b"\r\nConnection: close\r\n" in head
            assert client.rest() == b""
            client.socket.close()
        silent.socket.close()
        assert served.ended() == 0


def test_draining_takes_what_waits_at_the_listener() -> None:
    gate = Gate()
    with serving(gate) as served:
        busy = served.connect()
        busy.send(request("/wait"))
        eventually(lambda: gate.waiting)
        waiting = [served.connect() for _ in range(5)]
        for client in waiting:
            client.send(request())
        served.crew.drain()
        eventually(lambda: served.slot.connections == 6)
        gate.open.set()
        for client in (busy, *waiting):
            assert client.response()[1] == b"hello"
            client.socket.close()
        assert served.ended() == 0


def test_draining_leaves_what_waits_to_others() -> None:
    with serving(hello) as served:
        other = served.crew.context.scoreboard.slot(1)
        other.state = type(other.state)(2)  # READY
        served.crew.drain()
        eventually(lambda: served.deck.doors.state.value == "closed")
        assert served.ended() == 0


def test_draining_waits_for_idle_connections_only_so_long(threads: int) -> None:
    with serving(hello, threads, drain_idle=0.2) as served:
        idle, silent = served.connect(), served.connect()
        idle.get()
        served.crew.drain()
        assert idle.rest() == b""
        assert silent.rest() == b""
        idle.socket.close()
        silent.socket.close()
        assert served.ended() == 0


def test_draining_ends_after_graceful_timeout(threads: int) -> None:
    gate = Gate()
    with serving(gate, threads, graceful_timeout=0.3) as served:
        busy, slow = served.connect(), served.connect()
        busy.send(request("/wait"))
        slow.send(b"GET /")
        eventually(lambda: gate.waiting)
        served.crew.drain()
        eventually(lambda: served.crew.abandoned == 1 or not served.thread.is_alive())
        gate.open.set()
        assert served.ended() == 1
        assert "cut off" in served.log


@pytest.mark.parametrize("busy", [False, True])
def test_quitting_closes_at_once(threads: int, busy: bool) -> None:
    gate = Gate()
    with serving(gate, threads) as served:
        idle = served.connect()
        idle.get()
        eventually(lambda: served.deck.table.parked)  # a moment after the answer
        if busy:
            served.connect().send(request("/wait"))
            eventually(lambda: gate.waiting)
        served.crew.quit()
        with pytest.raises(ConnectionResetError):
            idle.rest()
        gate.open.set()
        assert served.ended() == 0


def test_the_master_dies() -> None:
    gate = Gate()
    with serving(gate) as served:
        client = served.connect()
        client.send(request("/wait"))
        eventually(lambda: gate.waiting)
        served.kill_master()
        eventually(lambda: served.crew.config.retiring)
        gate.open.set()
        assert b"\r\nConnection: close\r\n" in client.response()[0]
        client.socket.close()
        assert served.ended() == 0
        assert "The master has gone" in served.log


# What the master sees


def test_the_master_knows_before_anybody_is_served(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or else it might stop a worker that has served, and think that nobody can have been cut off."""
    seen = []
    open_doors = Doors.open

    def look(doors: Doors) -> None:
        seen.append(doors._deck.crew.context.slot.state)
        open_doors(doors)

    monkeypatch.setattr(Doors, "open", look)
    with serving(hello, threads) as served:
        assert served.connect().get()[1] == b"hello"
    assert seen == [State.READY]


def test_heartbeats(threads: int) -> None:
    gate = Gate()
    before = time.monotonic_ns()
    with serving(gate, threads) as served:
        slot = served.slot
        began = slot.heartbeat
        assert before <= began <= time.monotonic_ns()
        eventually(lambda: slot.heartbeat > began)
        client = served.connect()
        asked = time.monotonic_ns()
        client.send(request("/wait?secret"))
        eventually(lambda: slot.published())
        text, started = slot.published() or ("", 0)
        assert text == "GET /wait?secret"
        assert asked <= started <= time.monotonic_ns()
        if threads == 1:
            assert slot.heartbeat == started  # silent since then
            time.sleep(1.1)
            assert slot.heartbeat == started
        else:
            beat = slot.heartbeat
            eventually(lambda: slot.heartbeat > max(beat, started))
        gate.open.set()
        client.response()
        eventually(lambda: slot.published() is None and slot.heartbeat > started + 1e9)


def test_progress_is_not_silence() -> None:
    """A client that reads slowly is not a worker that hangs."""

    def application(environ: dict[str, Any], start: Start) -> Iterator[bytes]:
        start("200 OK", [])
        while not stop.is_set():
            yield b"x" * 1000
            time.sleep(0.01)

    stop = threading.Event()
    with serving(application) as served:
        client = served.connect()
        client.send(request())
        eventually(lambda: served.slot.published())
        began = (served.slot.published() or ("", 0))[1]
        eventually(lambda: served.slot.heartbeat > began + 1e9)
        stop.set()
        client.until(b"0\r\n\r\n")


def test_access_lines_are_written_soon(threads: int, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the lookout would sleep."""
    monkeypatch.setattr(Lookout, "_pause", lambda lookout, lines: 0.1 if lines else 3600.0)
    path = tmp_path / "access.log"
    with serving(hello, threads, accesslog=str(path), access_log_format="%(r)s %(s)s %({REQUEST_METHOD}e)s") as served:
        client = served.connect()
        for number in range(1, 4):
            eventually(lambda: served.deck.drowsy)
            client.get(f"/{number}")
            eventually(lambda: f"GET /{number} HTTP/1.1 200 GET\n" in path.read_text())  # noqa: B023 - called here


def test_an_idle_worker_sleeps(threads: int) -> None:
    with serving(hello, threads) as served:
        served.connect().get()
        eventually(lambda: exertion(1.0) < 0.1, "its sleep")


def test_descriptors_are_given_back(threads: int) -> None:
    def held() -> Counter[str]:
        """All but the scoreboards': a process has one."""
        found: Counter[str] = Counter()
        for fd in os.listdir("/proc/self/fd"):
            with suppress(FileNotFoundError):  # that of the listing
                found[os.readlink(f"/proc/self/fd/{fd}")] += 1
        return Counter({link: count for link, count in found.items() if "memfd" not in link})

    with serving(hello, threads):
        pass
    before = held()
    with serving(hello, threads) as served:
        for _ in range(20):
            served.connect().get()
        assert held() - before
    assert not held() - before


def test_idle_connections_are_not_missed_when_the_time_is_over(threads: int) -> None:
    with serving(hello, threads, keepalive=60.0, graceful_timeout=0.1) as served:
        idle, silent = served.connect(), served.connect()
        idle.get()
        eventually(lambda: len(served.deck.table.parked) == 2)
        served.crew.drain()
        assert idle.rest() == silent.rest() == b""
        assert served.ended() == 0
        assert "cut off" not in served.log


def test_a_cut_is_not_taken_for_an_end(threads: int) -> None:
    gate = Gate()

    def application(environ: dict[str, Any], start: Start) -> Any:
        start("200 OK", [])
        yield b"part"
        gate.open.wait(PATIENCE)

    with serving(application, threads, graceful_timeout=0.1) as served:
        client = served.connect()
        client.send(b"GET / HTTP/1.0\r\n\r\n")  # to which no length is told, and no chunks are sent
        client.until(b"part")
        served.crew.drain()
        eventually(lambda: served.crew.abandoned == 1 or not served.thread.is_alive())
        (connection,) = served.deck.table.open
        connection.socket.close()  # as the end of the process does
        with pytest.raises(ConnectionResetError):
            client.rest()
        gate.open.set()
