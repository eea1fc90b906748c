"""Quart, Falcon (WSGI and ASGI) and Litestar: that they are recognised and serve."""

from collections.abc import Iterator

import httpx
import pytest

from tests.integration.server import Server, running


@pytest.fixture(scope="module", params=["quart_app:app", "falcon_wsgi", "falcon_asgi", "litestar_app"])
def app(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(app: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(Server(tmp_path_factory.mktemp("app"), app)) as server:
        yield server


def test_the_framework(client: httpx.Client, app: str) -> None:
    """Its startup has run, where it has one."""
    assert client.get("/").json() == {"framework": app.partition("_")[0], "opened": True}


def test_content_and_a_cookie(client: httpx.Client) -> None:
    content = bytes(range(256)) * 4000
    answer = client.post("/echo", content=content, headers={"content-type": "application/octet-stream"})
    assert (answer.status_code, answer.content) == (200, content)
    assert client.get("/session").json() == {"seen": True}


def test_a_stream(client: httpx.Client) -> None:
    assert client.get("/stream").text.splitlines() == [f"line {number}" for number in range(100)]


def test_what_is_not_there(client: httpx.Client) -> None:
    assert client.get("/nowhere").status_code == 404
    assert client.put("/").status_code == 405
