"""The check that the server answers in the application's place."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pyserve.settings import OPTIONS, Settings
from pyserve.workers.application import Application
from pyserve.workers.readiness import answer_checks, is_check

# (whether the server stops, status, content)
STATES = [(False, 200, b"ready\n"), (True, 503, b"stopping\n")]


def a_crew(callable: Any, interface: Any, stopping: bool, **settings: Any) -> Any:
    crew: Any = SimpleNamespace(
        settings=Settings(**{"ready_path": "/api/readyz", **settings}),
        application=Application(callable, interface, "main:app"),
        stopping=stopping,
    )
    answer_checks(crew)
    return crew.application.callable


@pytest.mark.parametrize(("stopping", "status", "content"), STATES)
def test_wsgi(stopping: bool, status: int, content: bytes) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        return "the application's"

    said: list[Any] = []
    application = a_crew(app, "wsgi", stopping)
    environ = {"SCRIPT_NAME": "/api", "PATH_INFO": "/readyz"}
    assert application(environ, lambda *arguments: said.append(arguments)) == [content]
    assert said[0][0].startswith(str(status))
    assert dict(said[0][1])["Content-Length"] == str(len(content))
    for path in ("/readyz/", "/api/readyz", "/"):
        assert application({**environ, "PATH_INFO": path}, None) == "the application's"


@pytest.mark.parametrize(("stopping", "status", "content"), STATES)
def test_asgi(stopping: bool, status: int, content: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(scope)

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    application = a_crew(app, "asgi", stopping)
    asyncio.run(application({"type": "http", "path": "/api/readyz"}, None, send))
    assert (sent[0]["status"], sent[1]["body"]) == (status, content)
    assert dict(sent[0]["headers"])[b"content-length"] == b"%d" % len(content)
    for scope in ({"type": "http", "path": "/"}, {"type": "lifespan"}, {"type": "websocket", "path": "/api/readyz"}):
        asyncio.run(application(scope, None, send))
        assert sent[-1] is scope


@pytest.mark.parametrize(
    ("path", "wanted"), [(b"/readyz", True), (b"/api/readyz", True), (b"/api/ready%7A", True), (b"/readyz/", False)]
)
def test_what_is_a_check_where_the_application_is_not_called(path: bytes, wanted: bool) -> None:
    exchange: Any = SimpleNamespace(path=path)
    for settings, found in (({"ready_path": "/api/readyz"}, wanted), ({"ready_path": "/readyz"}, wanted), ({}, False)):
        crew: Any = SimpleNamespace(settings=Settings(root_path="/api", **settings))
        assert is_check(exchange, crew) is found


@pytest.mark.parametrize("told", ["/readyz", "/api/readyz"])
def test_under_a_prefix_the_path_is_told_with_it_or_without(told: str) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        return "the application's"

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await send("the application's")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    settings = {"ready_path": told, "root_path": "/api"}
    environ = {"SCRIPT_NAME": "/api", "PATH_INFO": "/readyz"}  # asked for by either path
    assert a_crew(app, "wsgi", False, **settings)(environ, lambda *arguments: None) == [b"ready\n"]
    asyncio.run(a_crew(asgi, "asgi", False, **settings)({"type": "http", "path": "/api/readyz"}, None, send))
    assert sent[-1]["body"] == b"ready\n"


def test_the_path_is_the_one_that_is_asked_for() -> None:
    """A probe of "/ready/" does not ask for "/ready"."""
    assert OPTIONS["ready_path"].kind.parse("/ready/") == "/ready/"
