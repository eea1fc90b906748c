"""What only WSGI has (PEP 3333), in every kind of worker."""

from collections.abc import Iterator

import httpx
import pytest

from tests.integration.clients import receive_until, send
from tests.integration.points import WSGI_BRIEF, Point
from tests.integration.server import Server, running, wait_for


@pytest.fixture(scope="module", params=WSGI_BRIEF)
def point(request: pytest.FixtureRequest) -> Point:
    found: Point = request.param
    return found


@pytest.fixture(scope="module")
def server(point: Point, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    errors = ("Disconnected: ", "ConnectionError: ")
    with running(Server(tmp_path_factory.mktemp("wsgi"), "plain_wsgi", *point.options, errors=errors)) as server:
        yield server


def test_write(client: httpx.Client) -> None:
    assert client.get("/write").text == "written and returned"


def test_start_response_again_with_exc_info(client: httpx.Client) -> None:
    answer = client.get("/replaced")
    assert (answer.status_code, answer.text) == (409, "replaced")


def test_the_flags_are_true_to_fact(client: httpx.Client, point: Point) -> None:
    assert client.get("/describe").json()["wsgi"] == [point.concurrent, False, False]


def test_names_with_an_underscore_are_dropped(client: httpx.Client) -> None:
    found = client.get("/describe", headers=[("X-One", "real"), ("X_One", "spoof"), ("X_Two", "spoof")]).json()
    assert found["fields"] == {"x-one": "real"}


def test_an_upload_that_breaks_off_never_looks_whole(server: Server, unix: bool) -> None:
    """The application's read() fails; the worker serves on."""
    with server.connect(unix=unix) as connection:
        send(connection, "POST /digest HTTP/1.1\nHost: a\nContent-Length: 5000000\n\n")
        connection.sendall(b"x" * 2_000_000)  # more than is buffered: the application has begun
    with server.client(unix=unix) as client:
        assert client.get("/").text == "hello\n"


def test_close_is_called_once_when_the_client_leaves(server: Server, unix: bool) -> None:
    closed = server.directory / "closed"
    closed.unlink(missing_ok=True)
    for count in (1, 2, 3):
        with server.connect(unix=unix) as connection:
            send(connection, "GET /endless HTTP/1.1\nHost: a\n\n")
            receive_until(connection, b"xxxx")
        wait_for(lambda count=count: closed.exists() and len(closed.read_text()) == 7 * count, "close()")
