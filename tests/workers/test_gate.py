"""`--limit-concurrency` in both workers: 503 with Retry-After, before the content is read; the idle do not count."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.workers import both
from tests.workers.serving import eventually, request

ALL = pytest.mark.parametrize("way", ["threads", "async-wsgi", "async"])


class Application:
    """Holds what is asked for at "/held" until `go`."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.held = 0

    def wsgi(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        if environ["PATH_INFO"] == "/held":
            self.held += 1
            self.go.wait(20)
        start_response("200 OK", [])
        return [b"hello"]

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/held":
            self.held += 1
            while not self.go.is_set():
                await asyncio.sleep(0.01)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello"})
        if scope["path"] == "/works-on":
            while not self.go.is_set():
                await asyncio.sleep(0.01)


@contextlib.contextmanager
def working(way: str, **settings: Any) -> Iterator[tuple[Any, Application]]:
    application = Application()
    with both.working(way, (application.wsgi, application.asgi), **settings) as worker:
        try:
            yield worker, application
        finally:
            application.go.set()


@ALL
def test_one_too_many_is_turned_away_and_may_come_again(way: str) -> None:
    with working(way, limit_concurrency=1) as (worker, application):
        idle = [worker.connect() for _ in range(3)]
        for client in idle:
            assert client.get()[0].startswith(b"HTTP/1.1 200 ")
        first, second = worker.connect(), worker.connect()
        first.send(request("/held"))
        eventually(lambda: application.held == 1)
        for _ in range(2):
            head, body = second.get()
            assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert b"\r\nRetry-After: 1\r\n" in head
            assert b"\r\nConnection: close\r\n" not in head
            assert body == b"too many requests at a time\n"
        second.send(request("/", method="HEAD"))
        assert b"\r\nContent-Length: 28\r\n" in second.until(b"\r\n\r\n")
        application.go.set()
        assert first.response()[1] == b"hello"
        assert second.get()[1] == b"hello"
        assert worker.log.count("--limit-concurrency") == 1


@ALL
def test_the_readiness_check_is_answered_all_the_same(way: str) -> None:
    with working(way, limit_concurrency=1, ready_path="/readyz") as (worker, application):
        first, second = worker.connect(), worker.connect()
        first.send(request("/held"))
        eventually(lambda: application.held == 1)
        assert second.get("/other")[0].startswith(b"HTTP/1.1 503 ")
        for path in ("/readyz", "/ready%7a"):
            head, body = second.get(path)
            assert head.startswith(b"HTTP/1.1 200 ")
            assert body == b"ready\n"
        worker.crew.context.scoreboard.stopping = True
        head, body = second.get("/readyz")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert body == b"stopping\n"


@ALL
def test_content_is_neither_asked_for_nor_waited_for(way: str) -> None:
    with working(way, limit_concurrency=1) as (worker, application):
        first, second, third = (worker.connect() for _ in range(3))
        first.send(request("/held"))
        eventually(lambda: application.held == 1)
        second.send(request("/", "Content-Length: 5", "Expect: 100-continue", method="POST"))
        head, _ = second.response()  # nothing has been said before it
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nConnection: close\r\n" in head  # nobody could tell what follows (RFC 9110 section 10.1.1)
        assert second.rest() == b""
        third.send(request("/", "Content-Length: 5", method="POST"))
        assert third.response()[0].startswith(b"HTTP/1.1 503 ")
        application.go.set()
        assert first.response()[1] == b"hello"
        third.send(b"12345" + request())
        assert third.response()[1] == b"hello"  # what came late was read and thrown away (RFC 9112 section 9.3)


@ALL
def test_who_leaves_or_is_done_makes_room(way: str) -> None:
    with working(way, limit_concurrency=2) as (worker, _):
        client = worker.connect()
        for _ in range(5):
            assert client.get()[1] == b"hello"
        for _ in range(5):
            gone = worker.connect()
            gone.send(request())
            gone.reset()
        eventually(lambda: client.get()[0].startswith(b"HTTP/1.1 200 "))


def test_work_after_the_response_does_not_count() -> None:
    with working("async", limit_concurrency=1) as (worker, _):
        first, second = worker.connect(), worker.connect()
        assert first.get("/works-on")[1] == b"hello"
        assert second.get()[1] == b"hello"


@ALL
def test_without_a_limit_nobody_counts(way: str) -> None:
    with working(way) as (worker, application):
        first = worker.connect()
        first.send(request("/held"))
        eventually(lambda: application.held == 1)
        assert worker.connect().get()[1] == b"hello"
