"""The example is the first thing that a newcomer runs: it is served by the real command, in both interfaces."""

import tempfile
from collections.abc import Iterator

import httpx
import pytest

from bench.servers import HOST, pyserve, running
from examples import hello


@pytest.fixture(scope="module", params=["app", "wsgi"])
def client(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client of the example; its `app` is ASGI, its `wsgi` WSGI."""
    server = pyserve("pyserve", f"examples.hello:{request.param}")
    with (
        tempfile.NamedTemporaryFile() as output,
        running(server, output) as run,
        httpx.Client(base_url=f"http://{HOST}:{run.port}", timeout=30) as client,
    ):
        yield client


def test_the_page(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<h1>It works.</h1>" in page.text
    assert "$" not in page.text.partition("<script>")[0]
    assert client.head("/").headers["content-length"] == page.headers["content-length"]


def test_the_stream_comes_line_by_line(client: httpx.Client) -> None:
    with client.stream("GET", "/stream") as response:
        assert response.headers["transfer-encoding"] == "chunked"
        parts = list(response.iter_raw())
    assert [part.split(b",")[0] for part in parts] == [
        f"line {n} of {hello.LINES}".encode() for n in range(1, hello.LINES + 1)
    ]


def test_the_echo(client: httpx.Client) -> None:
    body = bytes(range(256)) * 4096
    response = client.post("/echo", content=body, headers={"content-type": "text/html"})
    assert response.content == body
    assert response.headers["content-type"] == "application/octet-stream"


def test_the_echo_of_chunks(client: httpx.Client) -> None:
    assert client.post("/echo", content=iter([b"a" * 70000, b"b"])).content == b"a" * 70000 + b"b"


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [("GET", "/echo", 405, "POST"), ("POST", "/", 405, "GET, HEAD"), ("GET", "/other", 404, "")],
)
def test_what_is_not_there(client: httpx.Client, method: str, path: str, status: int, allowed: str) -> None:
    response = client.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (status, allowed)
