"""pre_request and post_request in a running async worker; the functions are the test's."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest

from pyserve.settings import Settings
from pyserve.workers import notes
from pyserve.workers.cfg import Config
from pyserve.workers.hooks import App, Worker
from pyserve.workers.request_hooks import HookedCrew, RequestHooks
from tests.workers import serving
from tests.workers.serving import Served, eventually


async def hello(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise AssertionError
    if scope["path"] == "/fails":
        raise ValueError("the application's")
    body = dict(scope["headers"]).get(b"x-added", b"none")
    await send({"type": "http.response.start", "status": 201, "headers": [(b"x-a", b"1")]})
    await send({"type": "http.response.body", "body": body})


def hello_wsgi(environ: Any, start_response: Any) -> list[bytes]:
    start_response("201 Created", [("x-a", "1")])
    return [environ.get("HTTP_X_ADDED", "none").encode()]


APPLICATIONS = {"asgi": hello, "wsgi": hello_wsgi}


@contextlib.contextmanager
def hooked(interface: Any, **hooks: Any) -> Iterator[Served]:
    """An async worker with these hooks."""

    class Crew(HookedCrew):
        handle_signals = serving._Crew.handle_signals

        def __init__(self, context: Any, application: Any, access: Any) -> None:
            settings = Settings(**hooks)
            worker = Worker(1, [], App(settings, Config(settings)), context.log, context.slot)
            super().__init__(context, application, access, RequestHooks(settings, worker))
            worker.crew = self

    with patch.object(serving, "_Crew", Crew), serving.serving(APPLICATIONS[interface], interface) as served:
        yield served


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_both_are_called_in_the_loops_thread(interface: str) -> None:
    calls: list[Any] = []

    def before(worker: Any, req: Any) -> None:
        req.headers.append(("X-ADDED", "yes"))
        calls.append(("before", req.path, worker.nr, threading.current_thread()))

    def after(worker: Any, req: Any, environ: Any, resp: Any) -> None:
        calls.append((environ["PATH_INFO"], resp.status_code, resp.headers, worker.nr, threading.current_thread()))

    with hooked(interface, pre_request=before, post_request=after) as served:
        client = served.connect()
        assert client.get("/x")[1] == b"yes"
        assert client.get("/y")[1] == b"yes"
        eventually(lambda: len(calls) == 4)
        [thread] = served.threads
    headers = [("x-a", "1")]
    assert calls == [
        ("before", "/x", 0, thread), ("/x", 201, headers, 1, thread),
        ("before", "/y", 1, thread), ("/y", 201, headers, 2, thread),
    ]  # fmt: skip


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_a_failing_pre_request_is_a_500_and_the_worker_serves_on(interface: str) -> None:
    def before(worker: Any, req: Any) -> None:
        if req.path == "/no":
            raise ValueError("not this")

    with hooked(interface, pre_request=before) as served:
        head, _ = served.connect().get("/no")
        assert head.startswith(b"HTTP/1.1 500 ")
        assert served.connect().get("/yes")[0].startswith(b"HTTP/1.1 201 ")
        assert "Exception in pre_request hook: GET /no HTTP/1.1\nTraceback" in served.log


def test_post_request_of_an_application_that_fails() -> None:
    calls: list[Any] = []
    with hooked(
        "asgi", post_request=lambda worker, req, environ, resp: calls.append((req.path, resp.status))
    ) as served:
        assert served.connect().get("/fails")[0].startswith(b"HTTP/1.1 500 ")
        eventually(lambda: calls)
    assert calls == [("/fails", "500 Internal Server Error")]


def test_a_hook_may_have_the_worker_replaced() -> None:
    seen: list[bool] = []

    def after(worker: Any, req: Any) -> None:
        worker.alive = False
        seen.append(worker.alive)

    with hooked("asgi", post_request=after) as served:
        assert served.connect().get()[0].startswith(b"HTTP/1.1 201 ")
        served.hear(b"W")
        assert served.connect().get()[0].startswith(b"HTTP/1.1 201 ")
        eventually(lambda: len(seen) == 2)
    assert seen == [False, False]


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_a_hook_that_ends_the_worker_has_its_request_noted(interface: str) -> None:
    named: list[str] = []

    def before(worker: Any, req: Any) -> None:
        named.extend(request for _, request in notes.read(served.slot))

    with hooked(interface, pre_request=before) as served:
        assert served.connect().get("/asked")[0].startswith(b"HTTP/1.1 201 ")
        eventually(lambda: notes.read(served.slot) == [])
    assert named == ["GET /asked"]
