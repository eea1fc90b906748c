"""WSGI applications under the sync worker, over real sockets."""

import io
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

from pyserve.workers.deadlines import LINGER
from tests.workers.both import fill, has_read
from tests.workers.clock import Clock
from tests.workers.hands import Manned, serving
from tests.workers.serving import PATIENCE, Client, eventually, request

Start = Callable[..., Any]
BIG = 3 * 1024 * 1024


@pytest.fixture(params=[1, 4])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def hello(environ: dict[str, Any], start: Start) -> list[bytes]:
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


def echo(environ: dict[str, Any], start: Start) -> list[bytes]:
    body = environ["wsgi.input"].read()
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_requests_on_one_connection(threads: int, http: str, kind: str) -> None:
    with serving(hello, threads, kind, http=http) as served:
        client = served.connect()
        for _ in range(3):
            head, body = client.get()
            assert head.startswith(b"HTTP/1.1 200 OK\r\nDate: ")
            assert b"\r\nServer: pyserve\r\n" in head
            assert body == b"hello"
        eventually(lambda: served.slot.requests() == 3)
        eventually(lambda: served.slot.connections == 1)
        client.socket.close()
        eventually(lambda: served.slot.connections == 0)
        assert served.stop() == 0


def test_an_environ_has_what_is_asked_for(threads: int) -> None:
    seen: list[dict[str, Any]] = []

    def application(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        seen.append(dict(environ))
        start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [b"ok"]

    with serving(validator(application), threads, multiprocess=True) as served:
        client = served.connect()
        assert client.get("/a%20b?c=d", "X-Me: 1", "x-me: 2")[1] == b"ok"
        address, port = client.socket.getsockname()
        assert (seen[0]["SERVER_NAME"], seen[0]["SERVER_PORT"]) == ("127.0.0.1", str(client.socket.getpeername()[1]))
    environ = seen[0]
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (address, str(port))
    assert environ["PATH_INFO"] == "/a b"
    assert environ["QUERY_STRING"] == "c=d"
    assert environ["HTTP_X_ME"] == "1, 2"
    assert environ["wsgi.multithread"] is (threads > 1)
    assert environ["wsgi.multiprocess"] is True


def test_one_thread_serves_where_the_application_was_loaded() -> None:
    seen: list[threading.Thread] = []

    def application(environ: dict[str, Any], start: Start) -> list[bytes]:
        seen.append(threading.current_thread())
        return hello(environ, start)

    with serving(application) as served:
        served.connect().get()
        assert seen == [served.thread]


@pytest.mark.parametrize("size", [0, 1, 70_000, BIG])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_of_requests(threads: int, size: int, chunked: bool) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    with serving(echo, threads) as served:
        client = served.connect()
        for _ in range(2):
            if chunked:
                pieces = [body[at : at + 50_000] for at in range(0, size, 50_000)]
                coded = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
                octets = request("/", "Transfer-Encoding: chunked", method="POST") + coded + b"0\r\n\r\n"
            else:
                octets = request("/", method="POST", body=body)
            sender = threading.Thread(target=client.send, args=(octets,))
            sender.start()
            _, received = client.response()
            sender.join()
            assert received == body


def test_a_body_that_comes_octet_by_octet(threads: int) -> None:
    with serving(echo, threads) as served:
        client = served.connect()
        for octet in request("/", method="POST", body=b"slow body"):
            client.send(bytes([octet]))
        assert client.response()[1] == b"slow body"
        eventually(lambda: served.slot.requests() == 1)


def test_a_request_does_not_start_before_its_body_is_here(threads: int) -> None:
    started: list[str] = []

    def application(environ: dict[str, Any], start: Start) -> list[bytes]:
        started.append(environ["PATH_INFO"])
        return echo(environ, start)

    with serving(application, threads) as served:
        client = served.connect()
        client.send(request("/first", "Content-Length: 4", method="POST") + b"ab")
        eventually(lambda: served.deck.bodies.held == 2 and len(served.deck.table.parked) == 1)
        served.connect().get("/second")
        client.send(b"cd")
        assert client.response()[1] == b"abcd"
        assert started == ["/second", "/first"]
        assert served.deck.bodies.held == 0


def test_a_large_body_starts_early_and_streams(threads: int) -> None:
    read: list[int] = []

    def application(environ: dict[str, Any], start: Start) -> list[bytes]:
        stream = environ["wsgi.input"]
        total = 0
        while block := stream.read(1000):
            total += len(block)
            read.append(total)
        start("200 OK", [("Content-Length", str(len(str(total))))])
        return [str(total).encode()]

    with serving(application, threads, body_buffer_size=10_000) as served:
        client = served.connect()
        client.send(request("/", "Content-Length: 30000", method="POST") + b"x" * 15_000)
        eventually(lambda: sum(read) and read[-1] == 15_000)
        client.send(b"x" * 15_000)
        assert client.response()[1] == b"30000"


def test_bodies_past_the_total_start_early(threads: int) -> None:
    def application(environ: dict[str, Any], start: Start) -> list[bytes]:
        started.append(environ["PATH_INFO"])
        return echo(environ, start)

    started: list[str] = []
    with serving(application, threads, body_buffer_total=1000) as served:
        first, second = served.connect(), served.connect()
        first.send(request("/first", "Content-Length: 800", method="POST") + b"x" * 700)
        eventually(lambda: served.deck.bodies.held == 700)
        second.send(request("/second", "Content-Length: 800", method="POST") + b"x" * 700)
        eventually(lambda: started == ["/second"])
        second.send(b"x" * 100)
        second.response()
        first.send(b"x" * 100)
        first.response()
        assert started == ["/second", "/first"]


def test_continue_is_sent_when_the_head_has_passed(threads: int) -> None:
    with serving(echo, threads) as served:
        client = served.connect()
        client.send(request("/", "Expect: 100-continue", "Content-Length: 2", method="POST"))
        assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"ok")
        assert client.response()[1] == b"ok"


def test_no_continue_for_a_body_that_is_too_large(threads: int) -> None:
    with serving(echo, threads, limit_request_body=10) as served:
        client = served.connect()
        client.send(request("/", "Expect: 100-continue", "Content-Length: 11", method="POST"))
        assert client.until(b"\r\n").startswith(b"HTTP/1.1 413 ")


# Responses


@pytest.mark.parametrize("block", [1, 1000, 100_000])
def test_generators_are_sent_block_by_block(threads: int, block: int) -> None:
    go_on = threading.Semaphore(0)

    def application(environ: dict[str, Any], start: Start) -> Iterator[bytes]:
        start("200 OK", [])
        for octet in b"abc":
            yield bytes([octet]) * block
            assert go_on.acquire(timeout=10)

    with serving(application, threads) as served:
        client = served.connect()
        for _ in range(2):
            client.send(request())
            assert b"\r\nTransfer-Encoding: chunked\r\n" in client.until(b"\r\n\r\n")
            for octet in b"abc":
                assert client.until(b"\r\n") == b"%x\r\n" % block
                assert client.take(block + 2) == bytes([octet]) * block + b"\r\n"
                go_on.release()
            client.until(b"0\r\n\r\n")


def test_write_sends_at_once(threads: int) -> None:
    go_on = threading.Event()

    def application(environ: dict[str, Any], start: Start) -> list[bytes]:
        write = start("200 OK", [("Content-Length", "6")])
        write(b"abc")
        assert go_on.wait(10)
        return [b"def"]

    with serving(application, threads) as served:
        client = served.connect()
        client.send(request())
        client.until(b"\r\n\r\n")
        assert client.take(3) == b"abc"
        go_on.set()
        assert client.take(3) == b"def"


@pytest.mark.parametrize("form", ["block", "list", "tuple", "generator", "file"])
def test_large_responses_arrive_whole(threads: int, form: str, tmp_path: Path) -> None:
    data = bytes(range(256)) * (BIG // 256)
    path = tmp_path / "data"
    path.write_bytes(b"skipped" + data)

    def application(environ: dict[str, Any], start: Start) -> Any:
        start("200 OK", [("Content-Length", str(len(data)))])
        blocks = [data[at : at + 65536] for at in range(0, len(data), 65536)]
        if form == "file":
            file = path.open("rb")
            assert file.read(7) == b"skipped"
            return environ["wsgi.file_wrapper"](file)
        return {"block": [data], "list": blocks, "tuple": tuple(blocks), "generator": iter(blocks)}[form]

    with serving(application, threads) as served:
        client = served.connect()
        for _ in range(2):
            head, body = client.get()
            assert b"200 OK" in head
            assert body == data


@pytest.mark.parametrize("form", ["list", "file"])
def test_a_slow_reader_holds_no_thread(form: str, tmp_path: Path) -> None:
    data = b"x" * (4 * BIG)
    path = tmp_path / "data"
    path.write_bytes(data)

    def application(environ: dict[str, Any], start: Start) -> Any:
        if environ["PATH_INFO"] == "/":
            return hello(environ, start)
        start("200 OK", [("Content-Length", str(len(data)))])
        return [data] if form == "list" else environ["wsgi.file_wrapper"](path.open("rb"))

    with serving(application) as served:
        slow = served.connect()
        slow.send(request("/big"))
        slow.until(b"\r\n\r\n")
        quick = served.connect()
        for _ in range(3):
            assert quick.get()[1] == b"hello"
        assert slow.take(len(data)) == data
        assert slow.get()[1] == b"hello"
        assert "GET" not in served.log


def test_head_has_no_body(threads: int, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"12345")

    def application(environ: dict[str, Any], start: Start) -> Any:
        start("200 OK", [("Content-Length", "5")])
        return environ["wsgi.file_wrapper"](path.open("rb"))

    with serving(application, threads) as served:
        client = served.connect()
        client.send(request("/", method="HEAD"))
        assert b"\r\nContent-Length: 5\r\n" in client.until(b"\r\n\r\n")
        assert client.get()[1] == b"12345"


def test_a_file_that_has_no_descriptor_is_read(threads: int) -> None:
    def application(environ: dict[str, Any], start: Start) -> Any:
        start("200 OK", [("Content-Length", "5")])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"12345"))

    with serving(application, threads) as served:
        assert served.connect().get()[1] == b"12345"


def test_a_file_that_is_cut_short_resets(threads: int, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"x" * 8 * BIG)

    def application(environ: dict[str, Any], start: Start) -> Any:
        start("200 OK", [("Content-Length", str(8 * BIG))])
        return environ["wsgi.file_wrapper"](path.open("rb"))

    with serving(application, threads) as served:
        client = served.connect()
        client.send(request())
        client.until(b"\r\n\r\n")
        os.truncate(path, 10)
        with pytest.raises(ConnectionResetError):
            client.rest()


# The ends of things


@pytest.mark.parametrize(
    ("fields", "version"),
    [(["Connection: close"], "1.1"), ([], "1.0"), (["Connection: x, Close"], "1.1")],
)
def test_close_when_the_client_asks(threads: int, fields: list[str], version: str, clock: Clock) -> None:
    with serving(hello, threads) as served:
        client = served.connect()
        client.send(request("/", *fields).replace(b"HTTP/1.1", b"HTTP/" + version.encode()))
        assert client.rest().endswith(b"hello")
        clock.advance(LINGER + 1)
        eventually(lambda: served.slot.connections == 0)


@pytest.mark.parametrize("octets", [request("/", "Connection: close"), b"GET / HTTP/1.0\r\n\r\n"])
def test_what_comes_late_takes_no_response_away(threads: int, octets: bytes) -> None:
    """RFC 9112 section 9.6: old clients' line end behind content, or a request more, also where they wish the close."""
    with serving(hello, threads) as served:
        client = served.connect()
        client.send(octets)
        client.socket.recv(1)
        for _ in range(3):
            client.send(b"\r\n")  # to which a socket that is closed would answer with a reset
        assert client.rest().endswith(b"hello")
        eventually(lambda: served.slot.connections == 1)
        client.socket.close()
        eventually(lambda: served.slot.connections == 0)


def test_a_response_survives_an_unread_body(threads: int) -> None:
    """The client is still sending when the answer is there: without lingering a reset would take it away."""

    def application(environ: dict[str, Any], start: Start) -> list[bytes]:
        start("403 Forbidden", [("Content-Length", "2")])
        return [b"no"]

    with serving(application, threads, body_buffer_size=1000) as served:
        client = served.connect()
        client.send(request("/", "Content-Length: 100000000", method="POST") + b"x" * 300_000)
        head, body = client.response()
        assert head.startswith(b"HTTP/1.1 403 ")
        assert body == b"no"
        assert b"\r\nConnection: close\r\n" in head


def test_a_response_survives_all_that_was_on_its_way(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels hold megabytes of an upload when the answer to its beginning comes."""
    monkeypatch.setattr("pyserve.workers.thread_worker.channel.LINGER", 60.0)
    go_on = threading.Event()

    def application(environ: dict[str, Any], start: Start) -> list[bytes]:
        assert go_on.wait(PATIENCE)
        return echo({"wsgi.input": io.BytesIO(b"enough")}, start)

    with serving(application, threads, body_buffer_size=1000) as served:
        client = served.connect()
        client.send(request("/", "Content-Length: 100000000", method="POST"))
        fill(client)
        go_on.set()
        eventually(lambda: has_read(served))
        client.send(b"and a bit more")  # no reset comes of it
        assert client.response()[1] == b"enough"
        assert client.rest() == b""


def test_a_small_unread_body_is_drained(threads: int) -> None:
    def application(environ: dict[str, Any], start: Start) -> list[bytes]:
        return hello(environ, start)

    with serving(application, threads, body_buffer_size=10) as served:
        client = served.connect()
        client.send(request("/", "Content-Length: 1000", method="POST") + b"x" * 500)
        client.response()
        client.send(b"x" * 500)
        assert client.get()[1] == b"hello"


def test_a_half_closed_client_is_answered(threads: int) -> None:
    with serving(echo, threads) as served:
        client = served.connect()
        client.send(request("/", method="POST", body=b"all") + request("/", method="POST", body=b"of it"))
        client.fin()
        assert client.response()[1] == b"all"
        assert client.response()[1] == b"of it"
        assert client.rest() == b""
        eventually(lambda: served.slot.connections == 0)


@pytest.mark.parametrize(
    ("octets", "status"),
    [(b"\x16\x03\x01", b"400"), (b"GET / HTTP/1.1\r\n\r\n", b"400"), (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", b"505")],
)
def test_malformed_requests(threads: int, octets: bytes, status: bytes) -> None:
    with serving(hello, threads) as served:
        client = served.connect()
        client.send(octets)
        client.fin()
        assert client.rest().startswith(b"HTTP/1.1 %b " % status)
        eventually(lambda: served.slot.connections == 0)
        assert "[INFO] Invalid request from 127.0.0.1: " in served.log


def test_a_body_that_is_cut_short(threads: int) -> None:
    with serving(echo, threads) as served:
        client = served.connect()
        client.send(request("/", "Content-Length: 10", method="POST") + b"half")
        client.fin()
        assert client.rest().startswith(b"HTTP/1.1 400 ")
        assert served.log.count("ERROR") == 0


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("when", ["called", "iterated"])
def test_what_an_application_raises(threads: int, error: type[BaseException], when: str) -> None:
    def blocks() -> Iterator[bytes]:
        raise error("the reason")
        yield b""

    def application(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/":
            return hello(environ, start)
        if when == "called":
            raise error("the reason")
        start("200 OK", [("Content-Length", "5")])
        return blocks()

    with serving(application, threads) as served:
        client = served.connect()
        client.send(request("/bad"))
        assert client.rest().startswith(b"HTTP/1.1 500 ")
        assert served.connect().get()[1] == b"hello"
        assert served.log.count("Error handling request GET /bad HTTP/1.1\nTraceback") == 1
        assert "the reason" in served.log
        assert sum(thread.errors for thread in served.slot.threads) == 1


def test_an_error_after_the_head_cuts_the_response(threads: int) -> None:
    def application(environ: dict[str, Any], start: Start) -> Iterator[bytes]:
        start("200 OK", [])
        yield b"begin"
        raise ValueError("middle")

    with serving(application, threads) as served:
        client = served.connect()
        client.send(request())
        assert client.rest().endswith(b"5\r\nbegin\r\n")  # without the last chunk
        client = served.connect()
        client.send(request().replace(b"HTTP/1.1", b"HTTP/1.0"))
        client.until(b"begin")
        with pytest.raises(ConnectionResetError):  # where only the end of the connection ends the content
            client.rest()


class Body:
    """Blocks without end; counts how often it is closed."""

    def __init__(self, limit: int = 1 << 30) -> None:
        self.left = limit
        self.closed = 0

    def __iter__(self) -> "Body":
        return self

    def __next__(self) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise StopIteration
        return b"x" * 65536

    def close(self) -> None:
        self.closed += 1


def test_close_is_called_once_when_the_client_leaves(threads: int) -> None:
    body = Body()

    def application(environ: dict[str, Any], start: Start) -> Body:
        start("200 OK", [])
        return body

    with serving(application, threads) as served:
        client = served.connect()
        client.send(request())
        client.take(100_000)
        client.reset()
        eventually(lambda: body.closed)
        eventually(lambda: served.slot.connections == 0)
        assert body.closed == 1
        assert "Traceback" not in served.log
        assert served.slot.requests() == 1


def test_an_upload_whose_client_leaves(threads: int) -> None:
    raised: list[BaseException] = []

    def application(environ: dict[str, Any], start: Start) -> list[bytes]:
        try:
            while environ["wsgi.input"].read(1000):
                pass
        except OSError as error:
            raised.append(error)
            raise
        return hello(environ, start)

    with serving(application, threads, body_buffer_size=1000) as served:
        client = served.connect()
        client.send(request("/", "Content-Length: 100000", method="POST") + b"x" * 50_000)
        eventually(lambda: served.slot.connections == 1)
        client.reset()
        eventually(lambda: raised)
        eventually(lambda: served.slot.connections == 0)
        assert "Traceback" not in served.log


def test_input_kept_after_its_request(threads: int) -> None:
    kept: list[Any] = []

    def application(environ: dict[str, Any], start: Start) -> list[bytes]:
        kept.append(environ["wsgi.input"])
        return hello(environ, start)

    with serving(application, threads, body_buffer_size=10) as served:
        client = served.connect()
        client.send(request("/", "Content-Length: 100", method="POST") + b"x" * 50)
        client.response()
        with pytest.raises(OSError, match="gone"):
            kept[0].read()
        client.send(b"x" * 50)
        assert client.get()[1] == b"hello"


# Pipelining


@pytest.mark.parametrize("count", [3, 16, 17, 100])
def test_pipelined_requests_in_order(threads: int, count: int) -> None:
    with serving(echo, threads) as served:
        client = served.connect()
        client.send(b"".join(request("/", method="POST", body=b"%d" % number) for number in range(count)))
        for number in range(count):
            assert client.response()[1] == b"%d" % number


def test_who_pipelines_without_end_takes_turns() -> None:
    served_before: list[int] = []
    count = 0

    def application(environ: dict[str, Any], start: Start) -> list[bytes]:
        nonlocal count
        count += 1
        if environ["PATH_INFO"] == "/other":
            served_before.append(count)
        elif count == 1:
            other.send(request("/other"))
            eventually(lambda: not has_read(served))  # until it is there: all of the other's has been taken
        return hello(environ, start)

    with serving(application) as served:
        other = served.connect()
        other.get("/")
        count = 0
        client = served.connect()
        client.send(request() * 500)
        for _ in range(500):
            client.response()
        other.response()
        assert served_before[0] < 50


# Deadlines


def test_idle_connections_are_closed(threads: int, clock: Clock) -> None:
    with serving(hello, threads, keepalive=30.0) as served:
        client = served.connect()
        client.get()
        eventually(lambda: served.deck.table.parked)
        clock.advance(40)
        assert client.rest() == b""
        clock.advance(LINGER + 1)
        eventually(lambda: served.slot.connections == 0)
        assert timeouts(served) == (0, 0, 1, 0)


def test_without_keep_alive_a_connection_has_one_request(threads: int) -> None:
    with serving(hello, threads, keepalive=0.0) as served:
        answer = served.connect().get()
        assert b"hello" in answer[-1]
        client = served.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"\r\nConnection: close\r\n" in client.rest()


def test_a_slow_head(threads: int, clock: Clock) -> None:
    with serving(hello, threads, header_timeout=30.0) as served:
        client, silent = served.connect(), served.connect()
        client.send(b"GET / HTTP/1.1\r\n")
        eventually(lambda: len(served.deck.table.parked) == 2 and has_read(served))
        clock.advance(40)
        assert client.rest().startswith(b"HTTP/1.1 408 ")
        assert silent.rest() == b""
        assert timeouts(served) == (2, 0, 0, 0)


@pytest.mark.parametrize(
    "begin", ["GET /slow HTTP/1.1\r\n", "POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n"]
)
def test_who_comes_whole_does_not_wait_for_all_who_come_in_pieces(begin: str) -> None:
    """As thousands of slow peers may send a piece each at the same time."""
    order: list[str] = []
    entered, released = threading.Event(), threading.Event()

    def application(environ: dict[str, Any], start: Start) -> list[bytes]:
        order.append(environ["PATH_INFO"])
        if environ["PATH_INFO"] == "/hold":
            entered.set()
            assert released.wait(20)
        return hello(environ, start)

    with serving(application, 1) as served:
        table = served.deck.table
        slow = [served.connect() for _ in range(40)]
        for piece in (begin.encode(), b"Host: ", b"x"):
            for client in slow:
                client.send(piece)
            eventually(lambda: len(table.parked) == 40 and not any(connection.idle for connection in table.open))
        eventually(lambda: all(connection.slow for connection in table.open))
        holder, other = served.connect(), served.connect()
        assert other.get("/first")[1] == b"hello"  # so that it is known, and its event comes behind theirs
        holder.send(request("/hold"))
        assert entered.wait(20)
        for client in slow:
            client.send(b"\r\n\r\n\r\n" if begin.startswith("POST") else b"\r\n\r\n")
        other.send(request("/other"))
        released.set()
        assert other.response()[1] == b"hello"
        assert order.index("/other") <= 2 + 2 * 8  # of whom there are eight in each turn
        for client in slow:
            assert client.response()[1] == b"hello"
            assert client.get("/again")[1] == b"hello"
        assert order.count("/slow") == order.count("/again") == 40
        assert not any(connection.slow for connection in table.open)


@pytest.mark.parametrize(
    "begin", ["GET / HTTP/1.1\r\nHost: x\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"]
)
def test_the_lookout_finds_who_has_begun(threads: int, begin: str) -> None:
    """The first piece of thousands is not to keep others waiting either."""
    with serving(hello, threads, keepalive=0.2) as served:
        client, idle = served.connect(), served.connect()
        client.send(begin.encode())
        table = served.deck.table
        eventually(lambda: sum(connection.slow for connection in tuple(table.open)) == 1)
        client.send(b"\r\n")
        assert client.response()[1] == b"hello"
        assert idle.get()[1] == b"hello"


@pytest.mark.parametrize("buffer", [1000, 10])
def test_a_slow_body(threads: int, buffer: int) -> None:
    """Gathered before the request starts, or read by the application."""
    with serving(echo, threads, body_timeout=0.2, body_buffer_size=buffer) as served:
        client = served.connect()
        client.send(request("/", "Content-Length: 200", method="POST") + b"x" * 100)
        assert client.rest().startswith(b"HTTP/1.1 408 ")
        eventually(lambda: served.slot.requests() == 1)
        assert timeouts(served) == (0, 1, 0, 0)
        assert "Traceback" not in served.log


@pytest.mark.parametrize("form", ["list", "generator"])
def test_a_stalled_reader(threads: int, form: str) -> None:
    body = Body(1000)

    def application(environ: dict[str, Any], start: Start) -> Any:
        start("200 OK", [])
        return [b"x" * 20_000_000] if form == "list" else body

    with serving(application, threads, write_timeout=0.2) as served:
        client = served.connect()
        client.send(request())
        eventually(lambda: served.slot.requests() == 1)
        assert timeouts(served) == (0, 0, 0, 1)
        with pytest.raises(ConnectionResetError):
            client.rest()
        assert body.closed == (form == "generator")


def test_a_slow_but_steady_reader_is_not_cut(clock: Clock) -> None:
    data = b"x" * 6_000_000

    def application(environ: dict[str, Any], start: Start) -> list[bytes]:
        start("200 OK", [("Content-Length", str(len(data)))])
        return [data]

    with serving(application, write_timeout=30.0, keepalive=1000.0) as served:
        served.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # its connections inherit it
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.settimeout(PATIENCE)
        connection.connect(served.listener.getsockname())
        client = Client(connection)
        client.send(request())
        client.until(b"\r\n\r\n")
        left = len(data)
        for _ in range(5):
            eventually(lambda: served.deck.table.parked)  # it waits for its client
            (waiting,) = served.deck.table.open
            before = waiting.deadline
            clock.advance(20)
            while waiting.deadline == before:
                left -= len(client.take(50_000))
        assert client.take(left) == data[:left]
        assert timeouts(served) == (0, 0, 0, 0)
        connection.close()


def timeouts(served: Manned) -> tuple[int, ...]:
    return tuple(map(sum, zip(*(thread.timeouts for thread in served.slot.threads), strict=True)))
