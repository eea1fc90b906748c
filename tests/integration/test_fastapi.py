"""FastAPI: validation, dependencies that are given back, a million lines, background tasks, lifespan state."""

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.integration.clients import receive_until, send, write_random
from tests.integration.points import ASGI, Point
from tests.integration.server import Server, rss, running, wait_for

MIB = 1024 * 1024
LINES = 1_000_000


@pytest.fixture(scope="module", params=ASGI)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    point: Point = request.param
    directory = tmp_path_factory.mktemp("fastapi")
    write_random(directory / "payload", 400_000)
    with running(Server(directory, "fastapi_app:app", *point.options, errors=("LookupError: ",))) as server:
        yield server
        server.stop()
        assert (directory / "shutdown").read_text() == "closed at shutdown"


def test_validation(client: httpx.Client) -> None:
    item = {"name": "caf\xe9", "price": 1.5}
    made = client.post("/items/7?q=a%26b", json=item, headers={"cookie": "token=t"})
    assert made.status_code == 201
    assert made.json() == {"number": 7, "item": {**item, "tags": []}, "q": "a&b", "token": "t"}
    refused = client.post("/items/seven", json={"name": "", "price": -1})
    assert refused.status_code == 422
    assert [error["loc"] for error in refused.json()["detail"]] == [
        ["path", "number"],
        ["body", "name"],
        ["body", "price"],
    ]
    assert client.post("/items/7", content=b"{", headers={"content-type": "application/json"}).status_code == 422


def test_a_dependency_is_given_back(client: httpx.Client) -> None:
    before = len(client.get("/journal").json())

    def journal() -> list[str]:
        return client.get("/journal").json()[before:]

    # It is given back behind the response: the next request may be faster.
    assert client.get("/depends").json() == {"pool": "opened at startup"}
    wait_for(lambda: journal() == ["opened", "closed"], "the dependency to be given back")
    assert client.get("/depends/fails").status_code == 418
    wait_for(lambda: journal()[2:] == ["opened", "failed", "closed"], "the other to be given back")


def test_a_dependency_in_a_thread(client: httpx.Client, server: Server) -> None:
    assert client.get("/thread").json() == {"value": "from a thread", "worker": server.workers()[0]}


def test_server_timing_set_by_middleware(client: httpx.Client) -> None:
    for path in ("/", "/depends", "/csv?lines=1000"):
        assert re.fullmatch(r"app;dur=\d+\.\d{3}", client.get(path).headers["server-timing"])


def test_a_million_lines(server: Server) -> None:
    """The application waits while the client does not read, and the worker's memory stays flat."""
    (worker,) = server.workers()
    with server.client() as client:
        assert client.get("/csv?lines=250000").text.count("\n") == 250_001  # whatever grows once has grown
        before = rss(worker)
        with server.connect() as connection:
            send(connection, f"GET /csv?lines={LINES} HTTP/1.1\nHost: a\nConnection: close\n\n")
            received = receive_until(connection, b"number,square,text")
            last = -1

            def stands() -> bool:
                nonlocal last
                last, now = client.get("/produced").json(), last
                return 0 < now == last

            wait_for(stands, "the application waits for its client")
            assert last < LINES / 2
            count = received.count(b"\n")
            most = 0
            while data := connection.recv(1024 * 1024):
                count += data.count(b"\n")
                most = max(most, rss(worker))
                received = (received + data)[-2000:]
    assert b"999999,999998000001,row 999999\n" in received
    assert received.endswith(b"\r\n0\r\n\r\n")
    assert count > LINES
    assert most - before < 4 * MIB


def test_a_background_task_keeps_nobody_waiting(client: httpx.Client, server: Server, unix: bool) -> None:
    """Neither its own client nor the next request on the same connection."""
    name = f"task-{unix}"
    accepted = client.post(f"/background?name={name}")
    assert accepted.json() == {"accepted": name}
    after = client.get("/")
    assert after.extensions["network_stream"] is accepted.extensions["network_stream"]
    done = server.directory / f"{name}.done"
    assert not done.exists()
    (server.directory / name).touch()
    wait_for(done.exists, "the end of the background task")


def test_a_file(client: httpx.Client, server: Server) -> None:
    payload = (server.directory / "payload").read_bytes()
    assert client.get("/file").content == payload
    part = client.get("/file", headers={"range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, payload[5:10])


def test_an_upload(client: httpx.Client) -> None:
    pieces = [b"x" * 100_000] * 50
    assert client.post("/upload", content=iter(pieces)).json() == {"size": 5_000_000}


def test_an_error(client: httpx.Client) -> None:
    assert client.get("/fail").status_code == 500
    assert client.get("/").json() == {"hello": "world"}
