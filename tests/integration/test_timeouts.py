"""Deadlines: of requests that get stuck, and of clients that do not go on."""

import socket
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.integration.clients import receive_all, receive_until, send
from tests.integration.points import ASGI_BRIEF, WSGI_BRIEF, Point
from tests.integration.server import Server, running, wait_for
from tests.integration.ways import BOTH

Serve = Callable[..., Server]


@BOTH
def test_a_worker_that_is_stuck_is_replaced(serve: Serve, app: str) -> None:
    """One request that does not end in a sync worker with one thread; one that blocks the loop in an async worker. The
    log says which one, for how long, and where."""
    server = serve(app, "--timeout", "1")
    (worker,) = server.workers()
    with server.connect() as connection:
        send(connection, "GET /stuck?a=b HTTP/1.1\nHost: a\n\n")
        found = server.says(rf"WORKER TIMEOUT \(pid:{worker}\): GET /stuck\?a=b for (\d+\.\d) s")
        assert 1 <= float(found[1]) < 5
        with pytest.raises((ConnectionResetError, AssertionError)):
            receive_until(connection, b"HTTP/")
    wait_for(lambda: server.workers() and worker not in server.workers(), "another worker")
    assert server.logged(r"plain_\w+\.py.* in stuck$")
    with server.client() as client:
        assert client.get("/").text == "hello\n"


def test_threads_that_are_all_busy_are_not_stuck(serve: Serve) -> None:
    """With several threads the worker is not judged by its requests: they may be slow for good reasons."""
    server = serve("plain_wsgi", "--threads", "2", "--timeout", "1")
    workers = server.workers()
    connections = [server.connect() for _ in range(2)]
    for number, connection in enumerate(connections):
        send(connection, f"GET /gate?{number} HTTP/1.1\nHost: a\nConnection: close\n\n")
    wait_for(lambda: all((server.directory / f"{number}.reached").exists() for number in range(2)), "both requests")
    reached = time.monotonic()
    wait_for(lambda: time.monotonic() - reached > 2.5, "more than the timeout")
    for number, connection in enumerate(connections):
        (server.directory / str(number)).touch()
        assert b"through" in receive_all(connection)
        connection.close()
    assert server.workers() == workers


@BOTH
def test_a_worker_that_waits_is_not_stuck(serve: Serve, app: str) -> None:
    """A stream goes on for longer than the timeout; so does idling."""
    server = serve(app, "--timeout", "1")
    workers = server.workers()
    with server.connect() as connection:
        send(connection, "GET /endless HTTP/1.1\nHost: a\n\n")
        began = time.monotonic()
        while time.monotonic() - began < 2.5:
            assert connection.recv(65536)
    assert server.workers() == workers
    assert not server.logged("TIMEOUT")


@pytest.fixture(scope="module", params=[*WSGI_BRIEF, *ASGI_BRIEF])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that has little patience with clients."""
    point: Point = request.param
    directory = tmp_path_factory.mktemp("impatient")
    short = ("--header-timeout", "0.3", "--keep-alive", "0.3", "--body-timeout", "0.3", "--write-timeout", "0.5")
    errors = ("ConnectionError: the client has left",)
    with running(Server(directory, point.plain, *short, *point.options, errors=errors)) as server:
        yield server


def test_a_head_that_does_not_come_to_its_end(server: Server, unix: bool) -> None:
    with server.connect(unix=unix) as connection:
        send(connection, "GET / HTTP/1.1\nHost: a\nX-Slow: ")
        answer = receive_all(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nConnection: close\r\n" in answer


def test_a_head_that_comes_octet_by_octet(server: Server) -> None:
    """The deadline is for the whole head."""
    with server.connect() as connection:
        connection.settimeout(0.05)
        began = time.monotonic()
        answer = b""
        while not answer:
            try:
                connection.sendall(b"G")
                answer = connection.recv(1000)
            except TimeoutError:
                assert time.monotonic() - began < 10
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_connection_on_which_nothing_is_asked(server: Server, unix: bool) -> None:
    with server.connect(unix=unix) as connection:
        assert receive_all(connection) == b""


def test_a_connection_that_is_not_used_again(server: Server, unix: bool) -> None:
    with server.connect(unix=unix) as connection:
        send(connection, "GET / HTTP/1.1\nHost: a\n\n")
        answer = receive_all(connection)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" not in answer


def test_a_body_that_does_not_go_on(server: Server, unix: bool) -> None:
    with server.connect(unix=unix) as connection:
        send(connection, "POST /digest HTTP/1.1\nHost: a\nContent-Length: 100\n\nnot all")
        answer = receive_all(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    with server.client() as client:
        assert client.get("/").text == "hello\n"


def test_a_response_that_nobody_reads(server: Server) -> None:
    """It is broken off, and does not look whole: with a length, in chunks, or up to the close."""
    workers = server.workers()
    for path in ("/block?size=50000000", "/stream?blocks=5000&size=10000", "/stream?blocks=5000&size=10000 HTTP/1.0"):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.settimeout(20)
        with connection:
            connection.connect(("127.0.0.1", server.port))
            request = path if path.endswith("1.0") else f"{path} HTTP/1.1"
            send(connection, f"GET {request}\nHost: a\n\n")
            receive_until(connection, b"\r\n\r\n")
            wait_for(partial(_is_cut, connection), "the end of the connection")
    assert server.workers() == workers


def _is_cut(connection: socket.socket) -> bool:
    """Whether the connection is no more, without reading from it."""
    state: int = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state != 1  # TCP_ESTABLISHED
