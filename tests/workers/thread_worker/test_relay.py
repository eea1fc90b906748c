"""Streams that stall hold no thread that others need."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from pyserve.workers.thread_worker.hand import Hand
from tests.workers.hands import Manned, serving
from tests.workers.serving import PATIENCE, Client, eventually, request

Start = Callable[..., Any]
BLOCK = b"x" * 65536
MANY = 40


class Streams:
    """An application that answers /stream with blocks without end, /read with what it has read, and else "hello".

    ended: streams that were closed. clashes: how often it found itself running twice. threads: in which it said hello.
    """

    def __init__(self) -> None:
        self.ended = 0
        self.clashes = 0
        self.threads: set[str] = set()
        self._alone = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Start) -> Any:
        path = environ["PATH_INFO"]
        if path == "/read":
            environ["wsgi.input"].read()
        if path == "/stream":
            start("200 OK", [])
            return self._blocks()
        with suppress(RuntimeError):
            self._run()
        start("200 OK", [("Content-Length", "5")])
        self.threads.add(threading.current_thread().name)
        return [b"hello"]

    def _blocks(self) -> Iterator[bytes]:
        try:
            while True:
                self._run()
                yield BLOCK
        finally:
            self.ended += 1

    def _run(self) -> None:
        if not self._alone.acquire(blocking=False):
            self.clashes += 1
            return
        for _ in range(3):
            threading.Event().wait(0.0005)  # lets other threads run, if there are any
        self._alone.release()


def stalled(served: Manned, path: str = "/stream") -> Client:
    """A client that asks for a stream and does not read it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(PATIENCE)
    connection.connect(served.listener.getsockname())
    client = Client(connection)
    served._clients.append(client)
    client.send(request(path))
    client.until(b"\r\n\r\n")
    return client


def reliefs() -> int:
    return sum(thread.name == "relief" for thread in threading.enumerate())


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_streams_that_nobody_reads(threads: int) -> None:
    """Nobody is cut off, everybody else is served, and the threads that this took go."""
    streams = Streams()
    with serving(streams, threads, write_timeout=0.0) as served:
        clients = [stalled(served) for _ in range(MANY)]
        quick = served.connect()
        for _ in range(20):
            assert quick.get()[1] == b"hello"
            assert served.connect().get()[1] == b"hello"
        eventually(lambda: reliefs() >= MANY - threads)
        for client in clients:
            client.take(10 * 65536)
        assert not streams.ended
        for client in clients:
            client.socket.close()
        eventually(lambda: streams.ended == MANY)
        asked = 40

        def ask() -> bool:
            nonlocal asked
            asked += 1
            return quick.get()[1] == b"hello"

        # Each that is not needed any more notices at the first event that it gets.
        eventually(lambda: ask() and reliefs() <= 4 + threads, "their rest")
        eventually(lambda: served.slot.requests() == MANY + asked)
        assert threads > 1 or not streams.clashes


def test_content_that_does_not_come(threads: int) -> None:
    streams = Streams()
    with serving(streams, threads, body_buffer_size=10) as served:
        clients = [served.connect() for _ in range(MANY)]
        for client in clients:
            client.send(request("/read", "Content-Length: 100", method="POST") + b"x" * 50)
        quick = served.connect()
        for _ in range(20):
            assert quick.get()[1] == b"hello"
        for client in clients:
            client.send(b"x" * 50)
        for client in clients:
            assert client.response()[1] == b"hello"
        assert threads > 1 or not streams.clashes


def test_one_thread_does_one_thing_at_a_time() -> None:
    """Blocks of streams that are read now and then, and requests in between: never two at once."""
    streams = Streams()
    with serving(streams) as served:
        clients = [stalled(served) for _ in range(5)]
        others = [served.connect() for _ in range(5)]
        for _ in range(10):
            for other in others:
                other.send(request())
            for client in clients:
                client.take(20 * 65536)
            for other in others:
                assert other.response()[1] == b"hello"
        assert not streams.clashes


def test_without_stalled_streams_one_thread_serves() -> None:
    """Also after some: the application is back where it was loaded."""
    streams = Streams()
    with serving(streams) as served:
        client = stalled(served)
        assert served.connect().get()[1] == b"hello"
        assert streams.threads == {"relief"}
        client.socket.close()
        eventually(lambda: streams.ended)
        # Either thread may be woken for the next event, and the relief rests after the first one that it does.
        eventually(lambda: served.connect().get()[1] == b"hello" and not served.deck.relay.doubled, "its rest")
        streams.threads.clear()
        for _ in range(20):
            assert served.connect().get()[1] == b"hello"
        assert streams.threads == {"sync worker"}


def read_on(client: Client, seconds: float) -> bool:
    """Read all that comes without a pause of so many seconds; False, as nothing has come for so long."""
    client.socket.settimeout(seconds)
    with suppress(TimeoutError, BlockingIOError):
        while client.socket.recv(65536):
            pass
    return False


class Meeting:
    """An application of a stream, of which `made` blocks were asked for, and of another request that stays in it until
    `gate` is opened."""

    def __init__(self) -> None:
        self.entered, self.gate = threading.Event(), threading.Event()
        self.made = 0

    def __call__(self, environ: dict[str, Any], start: Start) -> Any:
        start("200 OK", [])
        if environ["PATH_INFO"] == "/stream":
            return self._blocks()
        self.entered.set()
        self.gate.wait(PATIENCE)
        return [b"hello"]

    def _blocks(self) -> Iterator[bytes]:
        for _ in range(200):
            self.made += 1
            yield BLOCK

    def arrange(self, served: Manned) -> tuple[Hand, Client, Client]:
        """The stream stalls, and the other request is in the application: the stream's thread and both clients."""
        client = stalled(served)
        (main,) = (hand for hand in served.worker.deck.relay.hands if not hand.relieves)
        eventually(lambda: main.aside)
        other = served.connect()
        other.send(request())
        assert self.entered.wait(PATIENCE)
        return main, client, other

    def end(self, client: Client, other: Client) -> None:
        """Both are answered whole."""
        self.gate.set()
        tail = b""
        while tail != b"0\r\n\r\n":
            data = client.socket.recv(65536)
            assert data
            tail = (tail + data)[-5:]
        assert self.made == 200
        assert other.response()[0].startswith(b"HTTP/1.1 200 ")


def test_one_thread_never_runs_two_requests_at_the_same_time() -> None:
    """A stream whose client reads on does not go on before the request is done that came in between."""
    meeting = Meeting()
    with serving(meeting) as served:
        main, client, other = meeting.arrange(served)
        before = meeting.made
        eventually(lambda: not read_on(client, 0.5) and not main.aside)
        assert meeting.made == before  # its thread is awake, but does not call the application
        client.socket.settimeout(PATIENCE)
        meeting.end(client, other)


def test_waiting_for_the_baton_is_not_silence() -> None:
    """What a thread has waited for its client does not count against it while it waits for another one to be done."""
    meeting = Meeting()
    with serving(meeting) as served:
        main, client, other = meeting.arrange(served)
        resumed = time.monotonic_ns()
        eventually(lambda: read_on(client, 0.0) or not main.aside)
        client.socket.settimeout(PATIENCE)
        eventually(lambda: served.slot.heartbeat >= resumed, "a heartbeat that is not of the time before")
        meeting.end(client, other)


def test_the_end_finds_everybody(threads: int) -> None:
    streams = Streams()
    with serving(streams, threads, graceful_timeout=0.2) as served:
        for _ in range(10):
            stalled(served)
        eventually(lambda: reliefs() >= 10 - threads)
        served.crew.drain()
        assert served.ended() == 1
        eventually(lambda: streams.ended == 10)
        eventually(lambda: not reliefs())
