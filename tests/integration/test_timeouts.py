"""Deadlines: of requests that get stuck, and of clients that do not go on."""

import contextlib
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.integration.clients import receive_all, receive_until, send
from tests.integration.points import ASGI_BRIEF, WSGI_BRIEF, Point
from tests.integration.server import HOST, PATIENCE, Server, running, wait_for
from tests.integration.ways import BOTH

Serve = Callable[..., Server]


@BOTH
def test_a_worker_that_is_stuck_is_replaced(serve: Serve, app: str) -> None:
    """One request that does not end in a sync worker with one thread; one that blocks the loop in an async worker. The
    log says which one, for how long, and where."""
    server = serve(app, "--timeout", "3")
    (worker,) = server.workers()
    with server.connect() as connection:
        begun = time.monotonic()
        send(connection, "GET /stuck?a=b HTTP/1.1\nHost: a\n\n")
        found = server.says(rf"WORKER TIMEOUT \(pid:{worker}\): GET /stuck\?a=b for (\d+\.\d) s")
        # The last heartbeat, after which three seconds count, may be older than the request by a quarter of them.
        assert 2 <= float(found[1]) <= time.monotonic() - begun + 0.1
        with pytest.raises((ConnectionResetError, AssertionError)):
            receive_until(connection, b"HTTP/")
    wait_for(lambda: server.workers() and worker not in server.workers(), "another worker")
    assert server.logged(r"plain_\w+\.py.* in stuck$")
    with server.client() as client:
        assert client.get("/").text == "hello\n"


def test_the_only_thread_of_a_worker_is_in_a_request_that_hangs(serve: Serve) -> None:
    """Nobody in the worker can serve any more, and its client is answered all the same."""
    server = serve("plain_wsgi", "--request-timeout", "0.5")
    (worker,) = server.workers()
    with server.connect() as connection:
        send(connection, "GET /stuck HTTP/1.1\nHost: a\n\n")
        assert receive_all(connection).startswith(b"HTTP/1.1 504 ")
    assert server.logged(r"Request took longer than 0.5 s: GET /stuck HTTP/1.1")
    assert server.logged(r"plain_wsgi\.py.* in stuck$")
    wait_for(lambda: server.workers() and worker not in server.workers(), "another worker and the end of this one")
    with server.client() as client:
        assert client.get("/").text == "hello\n"


def test_one_thread_of_several_that_is_stuck_is_no_silence(serve: Serve) -> None:
    """The others are busy and get somewhere."""
    server = serve("plain_wsgi", "--threads", "4", "--timeout", "4")
    workers = server.workers()
    with server.connect() as connection, server.client() as client:
        send(connection, "GET /stuck HTTP/1.1\nHost: a\n\n")
        began = time.monotonic()
        while time.monotonic() - began < 5.5:
            assert client.get("/").text == "hello\n"
            time.sleep(0.02)
        assert server.workers() == workers
        server.stop(0, signal.SIGINT)


def test_who_is_not_stuck(serve: Serve) -> None:
    """Threads that are all busy, which may be slow for good reasons; streams that go on for longer than the timeout;
    and who has nothing to do."""
    servers = {
        "busy": serve("plain_wsgi", "--threads", "2", "--timeout", "4"),
        "sync": serve("plain_wsgi", "--timeout", "4"),
        "async": serve("plain_asgi:app", "--timeout", "4"),
        "idle sync": serve("plain_wsgi", "--timeout", "4"),
        "idle async": serve("plain_asgi:app", "--timeout", "4"),
    }
    workers = {name: server.workers() for name, server in servers.items()}
    busy = servers["busy"]
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(busy.connect()) for _ in range(2)]
        for number, connection in enumerate(waiting):
            send(connection, f"GET /gate?{number} HTTP/1.1\nHost: a\nConnection: close\n\n")
        wait_for(lambda: all((busy.directory / f"{number}.reached").exists() for number in range(2)), "both requests")
        streams = [stack.enter_context(servers[name].connect()) for name in ("sync", "async")]
        for connection in streams:
            send(connection, "GET /endless HTTP/1.1\nHost: a\n\n")
        began = time.monotonic()
        while time.monotonic() - began < 5.5:
            for connection in streams:
                assert connection.recv(65536)
        for number, connection in enumerate(waiting):
            (busy.directory / str(number)).touch()
            assert b"through" in receive_all(connection)
    for name, server in servers.items():
        assert server.workers() == workers[name], name
        assert not server.logged("TIMEOUT"), name


@BOTH
def test_missed_deadlines_are_counted_by_kind(serve: Serve, app: str) -> None:
    """The log tells when the worker has ended, at debug level."""
    short = ("--header-timeout", "1", "--keep-alive", "1", "--body-timeout", "1", "--write-timeout", "1")
    server = serve(app, "--log-level", "debug", *short, errors=("ConnectionError: the client has left",))
    texts = ["GET / HTTP", "POST /digest HTTP/1.1\nHost: a\nContent-Length: 9\n\nno", "GET / HTTP/1.1\nHost: a\n\n"]
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(server.connect(unix=True))
        send(reader, "GET /block?size=50000000 HTTP/1.1\nHost: a\n\n")
        silent = [stack.enter_context(server.connect()) for _ in range(4)]
        for connection, text in zip(silent, (texts[0], *texts), strict=True):
            send(connection, text)
        for connection in silent:
            receive_all(connection)
        wait_for(lambda: _broken_off(reader), "the end of a connection that is not read from")
    server.stop()
    kinds = r"timeouts: header (\d+), body (\d+), keep-alive (\d+), write (\d+), request (\d+)$"
    found = server.says(rf"served \d+ requests, errors: \d+, bytes in: \d+, out: \d+, {kinds}")
    assert found.groups() == ("2", "1", "1", "1", "0")


def _broken_off(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, 0)  # for what needs not be asked for
    return any(events & select.POLLHUP for _, events in poll.poll(0))


@pytest.fixture(scope="module", params=[*WSGI_BRIEF, *ASGI_BRIEF])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that has little patience with clients."""
    point: Point = request.param
    directory = tmp_path_factory.mktemp("impatient")
    short = ("--header-timeout", "1", "--keep-alive", "1", "--body-timeout", "1", "--write-timeout", "1")
    with open(directory / "payload", "wb") as payload:
        payload.truncate(50_000_000)
    errors = ("ConnectionError: the client has left",)
    with running(Server(directory, point.plain, *short, *point.options, errors=errors)) as server:
        yield server


@dataclass(frozen=True)
class Case:
    """What a client sends before it falls silent, and how its answer begins and how many there are."""

    name: str
    text: str
    begins: bytes
    answers: int = 1


CASES = [
    Case("a head that does not end", "GET / HTTP/1.1\nHost: a\nX-Slow: ", b"HTTP/1.1 408 "),
    Case("a request line that does not end", "GET /", b"HTTP/1.1 408 "),
    Case("nothing", "", b"", 0),
    Case("one request and no other", "GET / HTTP/1.1\nHost: a\n\n", b"HTTP/1.1 200 "),
    Case("the beginning of another", "GET / HTTP/1.1\nHost: a\n\nGET / HT", b"HTTP/1.1 200 ", 2),
    Case("a body that does not end", "POST /digest HTTP/1.1\nHost: a\nContent-Length: 9\n\nnot", b"HTTP/1.1 408 "),
    Case("a chunk", "POST /digest HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n9\nnot", b"HTTP/1.1 408 "),
]


@pytest.fixture(scope="module")
def answers(server: Server) -> dict[tuple[str, bool], bytes]:
    """What each case is answered, over either kind of socket. All at once: most of it is waiting."""

    def answer(case: Case, unix: bool) -> bytes:
        with server.connect(unix=unix) as connection:
            send(connection, case.text)
            return receive_all(connection)

    with ThreadPoolExecutor(2 * len(CASES)) as pool:
        found = {(case.name, unix): pool.submit(answer, case, unix) for case in CASES for unix in (False, True)}
    return {key: future.result() for key, future in found.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_client_that_falls_silent(answers: dict[tuple[str, bool], bytes], case: Case, unix: bool) -> None:
    answer = answers[case.name, unix]
    assert answer.startswith(case.begins)
    assert answer.count(b"HTTP/1.1 ") == case.answers
    if b"HTTP/1.1 408 " in answer:
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


def test_a_response_that_nobody_reads(server: Server) -> None:
    """It is broken off: with a length, in chunks, or up to the close."""
    workers = server.workers()
    with contextlib.ExitStack() as stack:
        connections = []
        for path in ("/block?size=50000000 HTTP/1.1", "/stream?blocks=900&size=99999 HTTP/1.1", "/file HTTP/1.0"):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            connection.settimeout(PATIENCE)
            connection.connect((HOST, server.port))
            send(connection, f"GET {path}\nHost: a\n\n")
            receive_until(connection, b"HTTP/1.1 200 ")
            connections.append(connection)
        wait_for(lambda: all(map(_is_cut, connections)), "the end of the connections")
    assert server.workers() == workers


def _is_cut(connection: socket.socket) -> bool:
    """Whether the connection is no more, without reading from it."""
    state: int = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state != 1  # TCP_ESTABLISHED
