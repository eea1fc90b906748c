"""WSGI applications under the async worker, over real sockets."""

import contextvars
import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

from pyserve.workers.scoreboard import TIMEOUTS_BODY
from tests.workers.serving import eventually, request, serving


def hello(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


def echo(environ: Any, start_response: Any) -> list[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_requests_on_one_connection(loop: str, http: str, kind: str) -> None:
    application = validator(hello)
    with serving(application, "wsgi", kind=kind, loop=loop, http=http) as served:
        client = served.connect()
        for _ in range(3):
            head, body = client.get()
            assert head.startswith(b"HTTP/1.1 200 OK\r\nDate: ")
            assert body == b"ok"
        client.send(request("/a") + request("/b"))
        assert client.response()[1] == client.response()[1] == b"ok"
        eventually(lambda: served.slot.requests() == 5)
        client.socket.close()
        assert served.stop() == 0


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_environ(loop: str, kind: str) -> None:
    environs: list[dict[str, Any]] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        environs.append(environ)
        environ["wsgi.errors"].write("said by the application\n")
        environ["wsgi.errors"].flush()
        return hello(environ, start_response)

    with serving(application, "wsgi", kind=kind, loop=loop, threads=2) as served:
        client = served.connect()
        client.get("/a%20b?c=d", "X-Name: value", "X_Under: dropped")
        own = client.socket.getsockname()
        name = served.listener.getsockname()
        assert "said by the application" in served.log
    (environ,) = environs
    assert environ["PATH_INFO"] == "/a b"
    assert environ["QUERY_STRING"] == "c=d"
    assert environ["HTTP_X_NAME"] == "value"
    assert "HTTP_X_UNDER" not in environ
    assert environ["wsgi.multithread"] is True
    assert environ["wsgi.multiprocess"] is False
    assert environ["REMOTE_ADDR"] == ("" if kind == "unix" else own[0])
    assert environ["REMOTE_PORT"] == ("" if kind == "unix" else str(own[1]))
    assert environ["SERVER_PORT"] == ("80" if kind == "unix" else str(name[1]))


def test_underscores_are_refused_when_asked_for() -> None:
    with serving(hello, "wsgi", header_map="refuse") as served:
        client = served.connect()
        client.send(request("/", "X_Under: no"))
        assert client.rest().startswith(b"HTTP/1.1 400 ")


def test_bodies_of_all_sizes(loop: str) -> None:
    with serving(echo, "wsgi", loop=loop, body_buffer_size=100_000) as served:
        client = served.connect()
        for size in (0, 1, 70_000, 100_000, 100_001, 5_000_000):
            body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
            client.send(request(method="POST", body=body))
            assert client.response()[1] == body


def test_a_request_starts_when_its_body_is_here(loop: str) -> None:
    started = threading.Event()

    def application(environ: Any, start_response: Any) -> list[bytes]:
        started.set()
        return echo(environ, start_response)

    with serving(application, "wsgi", loop=loop, body_buffer_size=1000) as served:
        client = served.connect()
        client.send(request("/", "Content-Length: 2000", method="POST") + b"x" * 999)
        other = served.connect()
        other.send(request("/", "Content-Length: 5", method="POST") + b"abc")
        eventually(lambda: served.slot.connections == 2)
        assert not started.is_set()
        other.send(b"de")
        assert other.response()[1] == b"abcde"
        started.clear()
        client.send(b"x" * 100)
        assert started.wait(10)
        client.send(b"x" * 901)
        assert client.response()[1] == b"x" * 2000


def test_requests_start_early_where_all_bodies_together_are_too_much(loop: str) -> None:
    running = threading.Semaphore(0)

    def application(environ: Any, start_response: Any) -> list[bytes]:
        running.release()
        return echo(environ, start_response)

    with serving(application, "wsgi", loop=loop, body_buffer_size=10_000, body_buffer_total=20_000) as served:
        clients = [served.connect() for _ in range(4)]
        for client in clients:
            client.send(request("/", "Content-Length: 9000", method="POST") + b"x" * 8000)
        assert running.acquire(timeout=10)
        for client in clients:
            client.send(b"x" * 1000)
        for client in clients:
            assert client.response()[1] == b"x" * 9000


def test_expect_100_is_answered_before_the_request_starts(loop: str) -> None:
    with serving(echo, "wsgi", loop=loop) as served:
        client = served.connect()
        client.send(request("/", "Expect: 100-continue", "Content-Length: 3", method="POST"))
        assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"abc")
        assert client.response()[1] == b"abc"


def test_input_line_by_line_as_it_comes(loop: str) -> None:
    lines: list[bytes] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        for line in environ["wsgi.input"]:
            lines.append(line)
        return hello(environ, start_response)

    with serving(application, "wsgi", loop=loop, body_buffer_size=1) as served:
        client = served.connect()
        client.send(request("/", "Transfer-Encoding: chunked", method="POST"))
        client.send(b"4\r\none\n\r\n")
        eventually(lambda: lines == [b"one\n"])
        client.send(b"8\r\ntwo\nthre\r\n2\r\ne\n\r\n0\r\n\r\n")
        assert client.response()[1] == b"ok"
        assert lines == [b"one\n", b"two\n", b"three\n"]


def test_blocks_leave_without_delay(loop: str) -> None:
    more = threading.Event()

    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"one"
        more.wait(10)
        yield b"two"

    with serving(application, "wsgi", loop=loop) as served:
        client = served.connect()
        client.send(request())
        client.until(b"3\r\none\r\n")
        more.set()
        client.until(b"3\r\ntwo\r\n0\r\n\r\n")


def test_a_generator_waits_for_a_client_that_does_not_read(loop: str) -> None:
    made = 0

    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        nonlocal made
        start_response("200 OK", [("Content-Length", "52428800")])
        for _ in range(800):
            made += 1
            yield b"x" * 65536

    with serving(application, "wsgi", loop=loop) as served:
        client = served.connect()
        client.send(request())
        client.until(b"\r\n\r\n")
        before = -1
        while before != made:
            before = made
            time.sleep(0.05)
        assert made < 400
        assert len(client.take(52428800)) == 52428800
        client.send(request())  # the connection is kept
        client.until(b"\r\n\r\n")


class Closing:
    """A response that counts how often it is closed."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self.blocks = blocks
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self.blocks

    def close(self) -> None:
        self.closed += 1


def test_close_is_called_once_when_the_client_leaves(loop: str) -> None:
    def blocks() -> Iterator[bytes]:
        while True:
            yield b"x" * 65536

    response = Closing(blocks())

    def application(environ: Any, start_response: Any) -> Closing:
        start_response("200 OK", [])
        return response

    with serving(application, "wsgi", loop=loop) as served:
        client = served.connect()
        client.send(request())
        client.until(b"\r\n\r\n")
        client.reset()
        eventually(lambda: response.closed)
        assert served.stop() == 0
        assert response.closed == 1
        assert "Traceback" not in served.log


def test_a_client_that_leaves_while_it_is_waited_for(loop: str) -> None:
    raised: list[BaseException] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            raised.append(error)
            raise
        return hello(environ, start_response)

    with serving(application, "wsgi", loop=loop, body_buffer_size=1) as served:
        for leave in ("fin", "reset"):
            client = served.connect()
            client.send(request("/", "Content-Length: 500", method="POST") + b"abc")
            eventually(lambda: served.slot.connections == 1)
            getattr(client, leave)()
            eventually(lambda: served.slot.connections == 0)
        eventually(lambda: len(raised) == 2)
        assert served.stop() == 0
        assert "Traceback" not in served.log


def test_a_stalled_body_under_a_waiting_thread(loop: str) -> None:
    with serving(echo, "wsgi", loop=loop, body_timeout=0.2, body_buffer_size=1) as served:
        client = served.connect()
        client.send(request("/", "Content-Length: 500", method="POST") + b"abc")
        assert client.rest().startswith(b"HTTP/1.1 408 ")
        assert served.crew.counters[TIMEOUTS_BODY] == 1


def test_what_is_sent_behind_a_request_waits_for_its_turn(loop: str) -> None:
    go = threading.Event()

    def application(environ: Any, start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/first":
            go.wait(10)
        start_response("200 OK", [])
        return [environ["PATH_INFO"].encode()]

    with serving(application, "wsgi", loop=loop) as served:
        client = served.connect()
        client.send(request("/first"))
        client.send(request("/second"))
        client.send(request("/third"))
        client.fin()
        eventually(lambda: served.slot.connections == 1)
        go.set()
        assert [client.response()[1] for _ in range(3)] == [b"/first", b"/second", b"/third"]
        assert client.rest() == b""


def test_fin_behind_a_pipelined_request_that_is_incomplete(loop: str) -> None:
    go = threading.Event()

    def application(environ: Any, start_response: Any) -> list[bytes]:
        go.wait(10)
        return hello(environ, start_response)

    with serving(application, "wsgi", loop=loop) as served:
        client = served.connect()
        client.send(request() + request() + request("/", "Content-Length: 5", method="POST") + b"ab")
        client.fin()
        eventually(lambda: served.slot.connections == 1)
        go.set()
        for _ in range(2):
            assert client.response()[1] == b"ok"
        assert client.rest().startswith(b"HTTP/1.1 400 ")
        eventually(lambda: served.slot.connections == 0)


def test_ten_thousand_pipelined_requests(loop: str) -> None:
    count = 10_000
    with serving(hello, "wsgi", loop=loop) as served:
        client = served.connect()
        sender = threading.Thread(target=client.send, args=(request() * count,))
        sender.start()
        for _ in range(count):
            assert client.response()[1] == b"ok"
        sender.join()


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_an_exception_before_the_head_is_500(loop: str, error: type[BaseException]) -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        raise error("deliberate")

    with serving(application, "wsgi", loop=loop) as served:
        client = served.connect()
        client.send(request("/path"))
        assert client.rest().startswith(b"HTTP/1.1 500 ")
        assert "Error handling request GET /path" in served.log
        eventually(lambda: served.log.count("Traceback") == 1)


def test_an_exception_after_the_head_closes_the_connection(loop: str) -> None:
    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"part"
        raise ValueError("deliberate")

    with serving(application, "wsgi", loop=loop) as served:
        client = served.connect()
        client.send(request())
        assert client.rest().endswith(b"4\r\npart\r\n")
        eventually(lambda: served.log.count("Traceback") == 1)


def test_a_file(loop: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 1_000_000)

    def application(environ: Any, start_response: Any) -> Any:
        file = path.open("rb")
        file.seek(10)
        start_response("200 OK", [("Content-Length", "9999990")])
        return environ["wsgi.file_wrapper"](file)

    with serving(application, "wsgi", loop=loop) as served:
        client = served.connect()
        for _ in range(2):
            assert client.get()[1] == b"0123456789" * 999_999


def test_what_only_looks_like_a_file(loop: str) -> None:
    def application(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"abc" * 10))

    with serving(application, "wsgi", loop=loop) as served:
        client = served.connect()
        client.send(request())
        assert b"1e\r\n" + b"abc" * 10 in client.until(b"0\r\n\r\n")


def test_each_request_runs_in_a_context_of_its_own(loop: str) -> None:
    variable = contextvars.ContextVar("variable", default=b"none")

    def application(environ: Any, start_response: Any) -> list[bytes]:
        before = variable.get()
        variable.set(b"set")
        start_response("200 OK", [])
        return [before]

    with serving(application, "wsgi", loop=loop, threads=2) as served:
        client = served.connect()
        for _ in range(6):
            assert client.get()[1] == b"none"


def test_as_many_at_once_as_there_are_threads(loop: str) -> None:
    barrier = threading.Barrier(3)

    def application(environ: Any, start_response: Any) -> list[bytes]:
        barrier.wait(10)
        return hello(environ, start_response)

    with serving(application, "wsgi", loop=loop, threads=3) as served:
        clients = [served.connect() for _ in range(3)]
        for client in clients:
            client.send(request())
        for client in clients:
            assert client.response()[1] == b"ok"


def test_draining_waits_for_threads(loop: str) -> None:
    go = threading.Event()
    started = threading.Event()

    def application(environ: Any, start_response: Any) -> list[bytes]:
        started.set()
        go.wait(10)
        return hello(environ, start_response)

    with serving(application, "wsgi", loop=loop) as served:
        client = served.connect()
        client.send(request())
        assert started.wait(10)
        served.crew.drain()
        go.set()
        head, body = client.response()
        assert body == b"ok"
        assert b"Connection: close\r\n" in head
        client.socket.close()
        assert served.ended() == 0


def test_a_thread_that_does_not_return_is_left_behind(loop: str) -> None:
    go = threading.Event()
    started = threading.Event()

    def application(environ: Any, start_response: Any) -> list[bytes]:
        started.set()
        go.wait(10)
        return hello(environ, start_response)

    with serving(application, "wsgi", loop=loop, graceful_timeout=0.1) as served:
        client = served.connect()
        client.send(request())
        assert started.wait(10)
        assert served.stop() == 1
        assert "1 requests did not end" in served.log
        go.set()  # its answer meets a loop that is closed


def test_a_thread_that_is_cut_off_closes_its_response(loop: str) -> None:
    def blocks() -> Iterator[bytes]:
        while True:
            time.sleep(0.01)
            yield b"x"

    response = Closing(blocks())

    def application(environ: Any, start_response: Any) -> Closing:
        start_response("200 OK", [])
        return response

    with serving(application, "wsgi", loop=loop, graceful_timeout=0.1) as served:
        client = served.connect()
        client.send(request())
        client.until(b"1\r\nx\r\n")
        assert served.stop() == 1
        assert response.closed == 1
        assert "did not end" not in served.log


def test_streams_that_stall_give_way_where_they_have_all_threads(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyserve.workers.async_worker.pool.MOST_ASIDE", 1)
    monkeypatch.setattr("pyserve.workers.async_worker.pool.STALLED", 0.0)
    ended = 0

    def application(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] != "/stream":
            return hello(environ, start_response)
        start_response("200 OK", [])
        return blocks()

    def blocks() -> Iterator[bytes]:
        nonlocal ended
        try:
            while True:
                yield b"x" * 65536
        finally:
            ended += 1

    with serving(application, "wsgi", loop=loop, threads=2) as served:
        stalled = [served.connect() for _ in range(3)]
        for client in stalled:
            client.send(request("/stream"))
            client.until(b"\r\n\r\n")
        pool = next(iter(served.worker._registry.streams)).pool
        eventually(lambda: len(pool._aside) == 3)
        client = served.connect()
        client.send(request())
        assert client.response()[1] == b"ok"
        eventually(lambda: ended == 1)  # one was enough
        eventually(lambda: len(pool._aside) == 2)
