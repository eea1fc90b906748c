"""What only ASGI has, on both loops."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.integration.clients import ask, receive_until, send
from tests.integration.points import ASGI_BRIEF, Point
from tests.integration.server import Server, running, wait_for

Serve = Callable[..., Server]


@pytest.fixture(scope="module", params=ASGI_BRIEF)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    point: Point = request.param
    directory = tmp_path_factory.mktemp("asgi")
    with running(Server(directory, "plain_asgi:app", *point.options, errors=("CancelledError: ",))) as server:
        yield server
        server.stop()
        assert (directory / "shutdown").read_text() == "shut down\n"


def test_the_scope(client: httpx.Client, server: Server, unix: bool) -> None:
    found = client.get("/describe/%7Ea%2Fb?c=%20").json()
    assert found["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert found["path"] == "/describe/~a/b"
    assert found["raw_path"] == "/describe/%7Ea%2Fb"
    assert found["query"] == "c=%20"
    assert found["state"] == {"started": "yes"}
    assert found["server"] == ([str(server.socket), None] if unix else ["127.0.0.1", server.port])
    assert found["extensions"] == ["http.response.early_hint", "http.response.pathsend", "http.response.trailers"]


def test_each_request_has_a_context_of_its_own(client: httpx.Client) -> None:
    assert client.get("/context?one").text == "nothing one"
    assert client.get("/context?two").text == "nothing two"


def test_early_hints(server: Server, unix: bool) -> None:
    answer = ask(server, "GET /hints HTTP/1.1\nHost: a\nConnection: close\n\n", unix=unix)
    first, second = answer.split(b"\r\n\r\n", 1)
    assert first.startswith(b"HTTP/1.1 103 ")
    assert b"</style.css>; rel=preload" in first
    assert second.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("te", [True, False])
def test_trailers_go_to_those_who_take_them(server: Server, unix: bool, te: bool) -> None:
    wish = "TE: trailers\nConnection: close, TE\n" if te else "Connection: close\n"
    answer = ask(server, f"GET /trailers HTTP/1.1\nHost: a\n{wish}\n", unix=unix)
    assert answer.endswith(b"\r\n0\r\nx-sum: 42\r\n\r\n" if te else b"\r\n0\r\n\r\n")


def test_an_application_is_told_that_its_client_has_left(server: Server, unix: bool) -> None:
    watching, left = server.directory / "watching", server.directory / "left"
    watching.unlink(missing_ok=True)
    left.unlink(missing_ok=True)
    with server.connect(unix=unix) as connection:
        send(connection, "POST /watch HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc")
        wait_for(watching.exists, "the request")
    wait_for(lambda: left.exists() and left.read_text() == "http.disconnect", "what it is told")


def test_a_cancellation_of_the_applications_own(client: httpx.Client, server: Server) -> None:
    workers = server.workers()
    assert client.get("/cancelled").status_code == 500
    assert client.get("/").text == "hello\n"
    assert server.workers() == workers


def test_100_continue_comes_when_the_application_asks(server: Server, unix: bool) -> None:
    """An application that does not read the content lets the client not send it."""
    with server.connect(unix=unix) as connection:
        send(connection, "POST / HTTP/1.1\nHost: a\nContent-Length: 5\nExpect: 100-continue\n\n")
        assert receive_until(connection, b"hello\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("grace", [True, False], ids=["grace", "no grace"])
def test_a_request_whose_client_has_left(serve: Serve, loop: str, grace: bool) -> None:
    """It is cancelled after --disconnect-grace, and otherwise only when the worker is cut off."""
    options = ("--disconnect-grace", "0.1") if grace else ("--graceful-timeout", "0.2")
    server = serve("plain_asgi:app", "--loop", loop, *options, errors=("CancelledError",))
    with server.connect() as connection:
        send(connection, "GET /stay HTTP/1.1\nHost: a\n\n")
        wait_for((server.directory / "staying").exists, "the request")
    cancelled = server.directory / "cancelled"
    if grace:
        wait_for(cancelled.exists, "the cancellation")
    else:
        with server.client() as client:
            assert client.get("/").text == "hello\n"
        assert not cancelled.exists()
        server.stop(1)
        assert cancelled.exists()


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_an_application_without_lifespan(serve: Serve, mode: str) -> None:
    """One that raises for it, as frameworks of old do."""
    server = serve("versioned:asgi", "--lifespan", mode, environ={"VERSION": "1"})
    with server.client() as client:
        assert client.get("/").text.startswith("1 ")


def test_a_lifespan_that_is_demanded(serve: Serve) -> None:
    server = serve("versioned:asgi", "--lifespan", "on", environ={"VERSION": "1"}, path=None, errors=("Not",))
    server.ends(3)
    assert server.logged("does not support lifespan")
