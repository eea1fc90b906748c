"""`--request-timeout` in both workers: 504, or a response that is visibly cut; the worker asks to be replaced for a
thread and not for a task."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.workers import both
from tests.workers.clock import Clock
from tests.workers.serving import PATIENCE, Client, eventually, request

LIMIT = 30.0

THREADS = pytest.mark.parametrize("way", ["sync", "threads", "async-wsgi"])
ALL = pytest.mark.parametrize("way", ["sync", "threads", "async-wsgi", "async"])


class Application:
    """In both interfaces; by its path it waits before its response ("/late"), or in the middle of it ("/stalls"), until
    `go`. swallows: it does not take a cancellation. waits: it has come so far, or to reading ("/reads")."""

    def __init__(self) -> None:
        self.go, self.waits = threading.Event(), threading.Event()
        self.ended: list[str] = []

    def wsgi(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes] | list[bytes]:
        path = environ["PATH_INFO"]
        if path == "/late":
            self.waits.set()
            self.go.wait(20)
            self.ended.append("late")
        if path == "/reads":
            self.waits.set()
            environ["wsgi.input"].read()
        start_response("200 OK", [])
        return self._stalls() if path == "/stalls" else [b"hello"]

    def _stalls(self) -> Iterator[bytes]:
        try:
            yield b"first"
            self.waits.set()
            self.go.wait(20)
            yield b"second"
        finally:
            self.ended.append("stalls")

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if path == "/reads":
            self.waits.set()
        while path == "/reads" and (await receive()).get("more_body"):
            pass
        if path == "/late":
            await self._wait("late")
        if path == "/swallows":
            with contextlib.suppress(asyncio.CancelledError):
                await self._wait("swallows")
            while not self.go.is_set():
                await asyncio.sleep(0.01)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"first", "more_body": path == "/stalls"})
        if path == "/stalls":
            await self._wait("stalls")

    async def _wait(self, name: str) -> None:
        self.waits.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.append(name)


@pytest.fixture
def application() -> Iterator[Application]:
    made = Application()
    yield made
    made.go.set()


@contextlib.contextmanager
def working(way: str, application: Application, **settings: Any) -> Iterator[Any]:
    settings = {"request_timeout": LIMIT, **settings}
    with both.working(way, (application.wsgi, application.asgi), **settings) as worker:
        try:
            yield worker
        finally:
            application.go.set()  # before the worker is told to end


def outwait(application: Application, clock: Clock) -> None:
    """Once the application waits, be it for longer than it may."""
    assert application.waits.wait(PATIENCE)
    clock.advance(LIMIT + 10)


def counted(worker: Any) -> int:
    return int(worker.slot.totals().request)


def cut(client: Client) -> bytes:
    """What comes until the end, which may be a reset."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while data := client.socket.recv(65536):
            received += data
    return received


@ALL
def test_who_waits_too_long_is_answered(way: str, application: Application, clock: Clock) -> None:
    with working(way, application) as worker:
        client = worker.connect()
        client.send(request("/late"))
        outwait(application, clock)
        answer = client.rest()
        assert answer.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
        assert b"\r\nConnection: close\r\n" in answer
        assert counted(worker) == 1
        assert "Request took longer than 30 s: GET /late HTTP/1.1" in worker.log
        assert "test_overdue.py" in worker.log
        application.go.set()
        eventually(lambda: application.ended == ["late"])


@ALL
def test_who_waits_too_long_is_answered_in_tls_as_well(way: str, application: Application, clock: Clock) -> None:
    with working(way, application, kind="tls") as worker:
        client = worker.connect()
        client.send(request("/late"))
        outwait(application, clock)
        assert client.rest().startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")


@ALL
def test_a_response_that_has_begun_is_visibly_cut(way: str, application: Application, clock: Clock) -> None:
    with working(way, application) as worker:
        client = worker.connect()
        client.send(request("/stalls"))
        answer = client.until(b"first\r\n")
        outwait(application, clock)
        answer += cut(client)
        assert answer.endswith(b"first\r\n")
        assert b"0\r\n\r\n" not in answer
        application.go.set()
        eventually(lambda: application.ended == ["stalls"], "the end of the generator")
        assert counted(worker) == 1


@ALL
def test_who_is_quick_is_not_disturbed(way: str, application: Application) -> None:
    with working(way, application) as worker:
        client = worker.connect()
        for _ in range(3):
            assert client.get()[0].startswith(b"HTTP/1.1 200")
        assert counted(worker) == 0


@THREADS
def test_the_worker_asks_to_be_replaced_for_a_thread(way: str, application: Application, clock: Clock) -> None:
    with working(way, application) as worker:
        client = worker.connect()
        client.send(request("/late"))
        outwait(application, clock)
        assert b" 504 " in client.rest()
        worker.hear(b"W")


@pytest.mark.parametrize("way", ["threads", "async-wsgi"])
def test_others_are_served_and_the_worker_does_not_wait_for_the_thread(
    way: str, application: Application, clock: Clock
) -> None:
    with working(way, application) as worker:
        stuck = worker.connect()
        stuck.send(request("/late"))
        outwait(application, clock)
        assert b" 504 " in stuck.rest()
        assert worker.connect().get("/", "Connection: close")[1] == b"hello"
        worker.crew.drain()
        if way == "threads":  # its main thread is free
            eventually(lambda: worker.deck.stopping, "the end")
        else:
            assert worker.ended() == 0
        assert not application.ended


def test_no_worker_is_replaced_for_a_task(application: Application, clock: Clock) -> None:
    with working("async", application) as worker:
        client = worker.connect()
        client.send(request("/late"))
        outwait(application, clock)
        assert b" 504 " in client.rest()
        assert worker.connect().get("/", "Connection: close")[0].startswith(b"HTTP/1.1 200")
        assert b"W" not in worker.told
        assert "Traceback" not in worker.log


def test_who_swallows_the_cancellation_is_answered_for_and_told_of(
    application: Application, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr("pyserve.workers.async_worker.timed_stream.UNHEEDED", 0.1)
    with working("async", application) as worker:
        client = worker.connect()
        client.send(request("/swallows"))
        outwait(application, clock)
        assert b" 504 " in client.rest()
        eventually(lambda: "goes on although it was cancelled: GET /swallows" in worker.log)
        assert application.ended == ["swallows"]


@ALL
def test_a_client_that_sends_slowly_takes_of_the_time(way: str, application: Application, clock: Clock) -> None:
    with working(way, application, body_buffer_size=1, body_timeout=0.0) as worker:
        client = worker.connect()
        client.send(request("/reads", "Content-Length: 9", method="POST") + b"abc")
        outwait(application, clock)
        assert cut(client).startswith(b"HTTP/1.1 504 ")


@ALL
def test_the_access_log_has_it_once(way: str, application: Application, tmp_path: Any, clock: Clock) -> None:
    path = tmp_path / "access.log"
    settings = {"accesslog": str(path), "access_log_format": "%(m)s %(U)s %(s)s"}
    with working(way, application, **settings) as worker:
        client = worker.connect()
        client.send(request("/late"))
        outwait(application, clock)
        assert b" 504 " in client.rest()
        application.go.set()
        eventually(lambda: application.ended == ["late"])
        eventually(lambda: path.read_text() == "GET /late 504\n", "the line")
