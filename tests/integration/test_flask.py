"""Flask: sessions, streaming, uploads, files."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.clients import curl, write_random
from tests.integration.points import WSGI, Point
from tests.integration.server import Server, peak, rss, running

MIB = 1024 * 1024
SIZE = 50 * MIB


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A file of 50 MiB, and its digest."""
    path = tmp_path_factory.mktemp("upload") / "large"
    return path, hashlib.sha256(write_random(path, SIZE)).hexdigest().encode()


@pytest.fixture(scope="module", params=WSGI)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    point: Point = request.param
    directory = tmp_path_factory.mktemp("flask")
    write_random(directory / "payload", 400_000)
    with running(Server(directory, "flask_app:app", *point.options, errors=("LookupError: ",))) as server:
        yield server


def test_a_session(client: httpx.Client) -> None:
    assert client.get("/account").status_code == 403
    answer = client.post("/login", data={"user": "J\xf6rg"})
    assert (answer.status_code, answer.headers["location"]) == (302, "/account")
    assert [client.get("/account").json() for _ in range(2)] == [
        {"user": "J\xf6rg", "visits": 1},
        {"user": "J\xf6rg", "visits": 2},
    ]
    assert client.post("/logout").status_code == 204
    assert client.get("/account").status_code == 403


def test_a_stream(client: httpx.Client) -> None:
    with client.stream("GET", "/stream?lines=3000") as response:
        assert response.headers["transfer-encoding"] == "chunked"
        lines = list(response.iter_lines())
    assert lines == [f"/stream {number}" for number in range(3000)]


def test_an_upload_of_50_mib(server: Server, unix: bool, large: tuple[Path, bytes]) -> None:
    """Neither curl nor the server needs the file in memory."""
    path, digest = large
    (worker,) = server.workers()
    before = rss(worker)
    answer = curl(server, "/upload", "--form", f"file=@{path}", unix=unix)
    assert answer.code == 0, answer.trace
    assert digest in answer.content
    assert b'"name":"large"' in answer.content
    assert peak(worker) - before < 12 * MIB


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_raw_upload(client: httpx.Client, chunked: bool) -> None:
    data = bytes(range(256)) * 20_000
    pieces = (data[at : at + 65_536] for at in range(0, len(data), 65_536))
    found = client.put("/raw", content=pieces if chunked else data).json()
    length = None if chunked else len(data)
    assert found == {"length": length, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_a_file(client: httpx.Client, server: Server) -> None:
    payload = (server.directory / "payload").read_bytes()
    whole = client.get("/file")
    assert whole.content == payload
    assert whole.headers["content-length"] == str(len(payload))
    part = client.get("/file", headers={"range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, payload[1000:2000])
    unchanged = client.get("/file", headers={"if-none-match": whole.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    head = client.head("/file")
    assert (head.content, head.headers["content-length"]) == (b"", str(len(payload)))


def test_a_file_in_memory(client: httpx.Client) -> None:
    answer = client.get("/memory")
    assert answer.content == bytes(range(256)) * 1024


def test_json(client: httpx.Client) -> None:
    assert client.post("/json", json={"a": ["\xe9", None]}).json() == {"a": ["\xe9", None]}
    assert client.post("/json", content=b"{", headers={"content-type": "application/json"}).status_code == 400


def test_the_environment(client: httpx.Client, server: Server, unix: bool) -> None:
    found = client.get("/environ?a=b", headers={"X-Test": "1", "X_Test": "spoof"}).json()
    assert found["url"] == server.url + "/environ?a=b"
    assert found["address"] == ("" if unix else "127.0.0.1")
    assert found["headers"]["X-Test"] == "1"


def test_an_error(client: httpx.Client) -> None:
    """Flask answers itself, so the connection goes on."""
    stream = client.get("/").extensions["network_stream"]
    failed = client.get("/fail")
    assert (failed.status_code, failed.headers["x-after"]) == (500, "yes")
    assert client.get("/nowhere").status_code == 404
    assert client.get("/").extensions["network_stream"] is stream
