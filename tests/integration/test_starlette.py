"""Starlette: lifespan state, sessions, middleware, streams, background tasks, clients that leave."""

from collections.abc import Iterator

import httpx
import pytest

from tests.integration.clients import send, write_random
from tests.integration.points import ASGI, Point
from tests.integration.server import Server, running, wait_for


@pytest.fixture(scope="module", params=ASGI)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    point: Point = request.param
    directory = tmp_path_factory.mktemp("starlette")
    write_random(directory / "payload", 400_000)
    with running(Server(directory, "starlette_app:app", *point.options, errors=("LookupError: ",))) as server:
        yield server
        server.stop()
        assert (directory / "shutdown").read_text() == "closed at shutdown"


def test_the_lifespan_state(client: httpx.Client) -> None:
    first, second = client.get("/state").json(), client.get("/state").json()
    assert first == {"started": "at startup", "shared": first["shared"], "own": None}
    assert second == {"started": "at startup", "shared": first["shared"] + 1, "own": None}


def test_a_session(client: httpx.Client) -> None:
    assert client.post("/login?user=J%C3%B6rg", follow_redirects=True).json() == {"user": "J\xf6rg"}
    assert client.get("/account").json() == {"user": "J\xf6rg"}


def test_server_timing_set_by_middleware(client: httpx.Client) -> None:
    for path in ("/", "/stream?lines=3", "/nowhere"):
        assert client.get(path).headers["server-timing"] == "total;dur=1.5"


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_a_stream(client: httpx.Client, coding: str) -> None:
    with client.stream("GET", "/stream?lines=3000", headers={"accept-encoding": coding}) as response:
        assert response.headers.get("content-encoding", "identity") == coding
        assert list(response.iter_lines()) == [f"line {number}" for number in range(3000)]


def test_a_stream_from_threads(client: httpx.Client) -> None:
    assert client.get("/thread-stream").text.splitlines() == [f"line {number}" for number in range(50)]


def test_a_file(client: httpx.Client, server: Server) -> None:
    payload = (server.directory / "payload").read_bytes()
    answer = client.get("/file", headers={"accept-encoding": "identity"})
    assert (answer.content, answer.headers["content-length"]) == (payload, str(len(payload)))
    assert client.head("/file").content == b""


def test_a_background_task_keeps_nobody_waiting(client: httpx.Client, server: Server, unix: bool) -> None:
    name = f"task-{unix}"
    accepted = client.get(f"/background?name={name}")
    assert accepted.text == "accepted"
    assert client.get("/").extensions["network_stream"] is accepted.extensions["network_stream"]
    done = server.directory / f"{name}.done"
    assert not done.exists()
    (server.directory / name).touch()
    wait_for(done.exists, "the end of the background task")


def test_a_client_that_leaves_is_noticed(server: Server, unix: bool) -> None:
    waiting, left = server.directory / "waiting", server.directory / "left"
    waiting.unlink(missing_ok=True)
    left.unlink(missing_ok=True)
    with server.connect(unix=unix) as connection:
        send(connection, "GET /left HTTP/1.1\nHost: a\n\n")
        wait_for(waiting.exists, "the request")
    wait_for(left.exists, "the application to be told")


def test_a_mounted_application(client: httpx.Client, server: Server) -> None:
    found = client.get("/mounted/describe?a=b").json()
    assert found == {"url": f"{server.url}/mounted/describe?a=b", "root": "/mounted", "path": "/mounted/describe"}


def test_an_error(client: httpx.Client) -> None:
    assert client.get("/fail").status_code == 500
    assert client.get("/").text == "hello"
