"""The lifespan's outcomes, with the worker around them."""

import asyncio
import threading
from typing import Any

import pytest

from pyserve.workers.crew import BootError
from tests.workers.serving import eventually, request, serving


class App:
    """Takes part in lifespan as `script` says; answers requests with its state."""

    def __init__(self, *script: str, message: str = "") -> None:
        self.script = script
        self.message = message
        self.events: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.events.append("request")
            body = repr(scope.get("state")).encode()
            if "state" in scope:
                scope["state"]["changed"] = True
            await send(
                {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
            )
            await send({"type": "http.response.body", "body": body})
            return
        assert (await receive())["type"] == "lifespan.startup"
        if "state" in scope:
            scope["state"]["name"] = "value"
        for step in self.script:
            if step == "wait":
                self.events.append((await receive())["type"])
            elif step == "raise":
                raise ValueError("deliberate")
            elif step == "exit":
                raise SystemExit("deliberate")
            elif step == "hang":
                self.events.append("hang")
                await asyncio.Event().wait()
            else:
                await send({"type": f"lifespan.{step}", "message": self.message})
        self.events.append("returned")


def test_state_goes_to_each_request_as_a_copy(loop: str) -> None:
    application = App("startup.complete", "wait", "shutdown.complete")
    with serving(application, loop=loop) as served:
        client = served.connect()
        for _ in range(2):
            assert client.get()[1] == b"{'name': 'value'}"
        client.socket.close()
        assert served.stop() == 0
    assert application.events == ["request", "request", "lifespan.shutdown", "returned"]


def test_quick_stop_runs_the_shutdown_too(loop: str) -> None:
    application = App("startup.complete", "wait", "shutdown.complete")
    with serving(application, loop=loop) as served:
        client = served.connect()
        client.get()
        assert served.stop("quit") == 0
        assert client.rest() == b""
    assert application.events[-2:] == ["lifespan.shutdown", "returned"]


@pytest.mark.parametrize(
    ("script", "message", "reason"),
    [
        (["startup.failed"], "no database", "no database"),
        (["startup.failed"], "", "no reason given"),
    ],
)
@pytest.mark.parametrize("mode", ["auto", "on"])
def test_a_startup_that_failed_stops_the_worker(
    loop: str, mode: str, script: list[str], message: str, reason: str
) -> None:
    with serving(App(*script, message=message), loop=loop, lifespan=mode, ready=False) as served:
        with pytest.raises(BootError, match=reason):
            served.ended()
        assert served.told == b""


@pytest.mark.parametrize("step", ["raise", "exit"])
def test_auto_tolerates_an_application_without_lifespan(loop: str, step: str) -> None:
    with serving(App(step), loop=loop) as served:
        assert served.connect().get()[1] == b"None"
        assert "takes no part in lifespan" in served.log
        assert "Traceback" not in served.log


def test_on_does_not(loop: str) -> None:
    with serving(App("raise"), loop=loop, lifespan="on", ready=False) as served:
        with pytest.raises(BootError, match="does not support lifespan: ValueError"):
            served.ended()
        assert "Traceback" in served.log


def test_off_does_not_ask(loop: str) -> None:
    application = App("raise")
    with serving(application, loop=loop, lifespan="off") as served:
        assert served.connect().get()[1] == b"None"
    assert application.events == ["request"]


def test_an_application_that_returns_from_its_lifespan_is_served(loop: str) -> None:
    application = App("startup.complete")
    with serving(application, loop=loop) as served:
        eventually(lambda: application.events == ["returned"])
        client = served.connect()
        assert client.get()[1] == b"{'name': 'value'}"
        client.socket.close()
        assert served.stop() == 0


@pytest.mark.parametrize("step", ["raise", "exit"])
def test_a_lifespan_that_fails_while_serving_is_logged(loop: str, step: str) -> None:
    application = App("startup.complete", "wait", step)
    with serving(application, loop=loop) as served:
        assert served.stop() == 0
        assert "lifespan failed" in served.log
        assert "Traceback" in served.log


def test_a_shutdown_that_failed_is_logged(loop: str) -> None:
    application = App("startup.complete", "wait", "shutdown.failed", message="no farewell")
    with serving(application, loop=loop) as served:
        assert served.stop() == 0
        assert "lifespan failed: no farewell" in served.log


def test_a_shutdown_that_hangs_is_cancelled(loop: str) -> None:
    application = App("startup.complete", "wait", "hang")
    with serving(application, loop=loop) as served:
        assert served.stop("quit") == 0
        assert "Lifespan shutdown took longer than 0.8 s" in served.log


def test_being_stopped_while_the_application_starts(loop: str) -> None:
    application = App("hang")
    with serving(application, loop=loop, ready=False, graceful_timeout=0.1) as served:
        eventually(lambda: application.events == ["hang"])
        assert served.stop() == 0
        assert served.told == b""


def test_requests_come_after_the_startup(loop: str) -> None:
    go = threading.Event()
    order: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await asyncio.get_running_loop().run_in_executor(None, go.wait)
            order.append("started")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            order.append("stopped")
            await send({"type": "lifespan.shutdown.complete"})
        else:
            order.append("request")
            await send({"type": "http.response.start", "status": 204})
            await send({"type": "http.response.body"})

    with serving(application, loop=loop, ready=False) as served:
        client = served.connect()
        client.send(request())
        go.set()
        client.until(b"\r\n\r\n")
        client.socket.close()
        assert served.stop() == 0
    assert order == ["started", "request", "stopped"]


def test_a_quick_stop_hurries_a_shutdown_that_hangs(loop: str) -> None:
    application = App("startup.complete", "wait", "hang")
    with serving(application, loop=loop) as served:
        served.crew.drain()
        eventually(lambda: application.events == ["lifespan.shutdown", "hang"])
        assert served.stop("quit") == 0
        assert "Lifespan shutdown took longer than" in served.log
