"""ASGI applications under the async worker, over real sockets."""

import asyncio
import contextvars
import socket
import threading
from typing import Any

import pytest

from pyserve.workers.async_worker.stream import Stream
from tests.workers.serving import eventually, request, serving

OK: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
BODY: dict[str, Any] = {"type": "http.response.body", "body": b"ok"}


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send(OK)
    await send(BODY)


async def read(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        body += message["body"]
        if not message["more_body"]:
            return body


async def answer(send: Any, body: bytes) -> None:
    length = str(len(body)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, await read(receive))


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_requests_on_one_connection(loop: str, http: str, kind: str) -> None:
    with serving(hello, kind=kind, loop=loop, http=http, lifespan="off") as served:
        client = served.connect()
        for _ in range(3):
            head, body = client.get()
            assert head.startswith(b"HTTP/1.1 200 OK\r\nDate: ")
            assert body == b"ok"
        eventually(lambda: served.slot.requests() == 3)
        assert served.slot.connections == 1
        client.socket.close()
        eventually(lambda: served.slot.connections == 0)
        assert served.stop() == 0


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_scope(loop: str, kind: str) -> None:
    scopes: list[dict[str, Any]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await hello(scope, receive, send)

    with serving(application, kind=kind, loop=loop, lifespan="off", root_path="/base") as served:
        client = served.connect()
        client.get("/a%20b?c=d", "X-Name: value", "X_Under: kept")
        name = served.listener.getsockname()
        own = client.socket.getsockname()
    (scope,) = scopes
    assert scope["type"] == "http"
    assert scope["path"] == "/base/a b"
    assert scope["query_string"] == b"c=d"
    assert scope["headers"] == [(b"host", b"test"), (b"x-name", b"value"), (b"x_under", b"kept")]
    assert scope["server"] == ((name, None) if kind == "unix" else name)
    assert scope["client"] == (None if kind == "unix" else own)
    assert set(scope["extensions"]) == {"http.response.pathsend", "http.response.early_hint", "http.response.trailers"}
    assert "state" not in scope


def test_underscores_are_refused_when_asked_for() -> None:
    with serving(hello, lifespan="off", header_map="refuse") as served:
        client = served.connect()
        assert client.get()[1] == b"ok"
        client.send(request("/", "X_Under: no"))
        assert client.rest().startswith(b"HTTP/1.1 400 ")


def test_body_whole_and_in_pieces(loop: str) -> None:
    with serving(echo, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request(method="POST", body=b"x" * 300_000))
        assert client.response()[1] == b"x" * 300_000
        client.send(request("/", "Transfer-Encoding: chunked", method="POST"))
        for piece in (b"3\r\nabc\r\n", b"2\r\nde\r", b"\n0\r\n\r", b"\n"):
            client.send(piece)
        assert client.response()[1] == b"abcde"
        assert client.get()[1] == b""


def test_expect_100_is_answered_at_the_first_receive(loop: str) -> None:
    reads = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await reads.wait()
        await echo(scope, receive, send)

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request("/", "Expect: 100-continue", "Content-Length: 3", method="POST"))
        eventually(lambda: served.slot.connections == 1)
        client.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        client.socket.settimeout(10)
        served.call(reads.set)
        assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"abc")
        assert client.response()[1] == b"abc"


def test_streamed_response_leaves_piece_by_piece(loop: str) -> None:
    more = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await more.wait()
        await send({"type": "http.response.body", "body": b"two"})

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request())
        assert b"Transfer-Encoding: chunked" in client.until(b"3\r\none\r\n")
        served.call(more.set)
        assert client.until(b"0\r\n\r\n") == b"3\r\ntwo\r\n0\r\n\r\n"


def test_small_pieces_that_follow_each_other_leave_together(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = 0
    write_out = Stream._write_out

    def count(stream: Stream) -> None:
        nonlocal writes
        writes += bool(stream.wire.out)
        write_out(stream)

    monkeypatch.setattr(Stream, "_write_out", count)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10000")]})
        for number in range(1000):
            await send({"type": "http.response.body", "body": b"%09d\n" % number, "more_body": True})
        await send({"type": "http.response.body"})

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        assert client.get()[1] == b"".join(b"%09d\n" % number for number in range(1000))
        assert writes < 300


def test_a_piece_does_not_wait_for_an_application_that_blocks(loop: str) -> None:
    blocks = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"ab", "more_body": True})
        blocks.wait(10)
        await send({"type": "http.response.body", "body": b"cd"})

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request())
        client.until(b"ab")
        blocks.set()
        client.until(b"cd")


def test_send_waits_for_a_client_that_does_not_read(loop: str) -> None:
    sent = 0

    async def application(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"52428800")]})
        for _ in range(800):
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            sent += 1
        await send({"type": "http.response.body"})

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request())
        client.until(b"\r\n\r\n")
        before = -1
        while before != sent:  # the kernel's buffers have grown to what they may
            before = sent
            threading.Event().wait(0.05)
        assert sent < 400
        assert len(client.take(52428800)) == 52428800
        assert client.get()[0].startswith(b"HTTP/1.1 200")


def test_send_raises_once_the_client_is_gone(loop: str) -> None:
    raised: list[BaseException] = []
    started = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        started.set()
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        except BaseException as error:
            raised.append(error)
            raise

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request())
        assert started.wait(10)
        client.reset()
        eventually(lambda: raised)
        assert isinstance(raised[0], OSError)
        eventually(lambda: served.slot.connections == 0)
        assert served.stop() == 0
        assert "Traceback" not in served.log


@pytest.mark.parametrize("leave", ["fin", "reset"])
def test_receive_tells_of_a_client_that_leaves(loop: str, leave: str) -> None:
    messages: list[Any] = []
    waits = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        messages.append(await receive())
        waits.set()
        messages.append(await receive())
        messages.append(await receive())

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request())
        assert waits.wait(10)
        getattr(client, leave)()
        eventually(lambda: len(messages) == 3)
        assert served.stop() == 0
        assert messages[1:] == [{"type": "http.disconnect"}] * 2
        assert "Traceback" not in served.log


@pytest.mark.parametrize("leave", ["fin", "reset"])
def test_receive_tells_of_a_client_that_leaves_more_behind_than_is_read(loop: str, leave: str) -> None:
    """Requests sent ahead must not hide that nobody waits: the application and its connection would stay for ever."""
    messages: list[Any] = []
    waits = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/":
            messages.append(await receive())
            waits.set()
            messages.append(await receive())

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        ahead = b"POST /next HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n"
        client.send(request() + ahead + bytes(100_000))
        assert waits.wait(10)
        (stream,) = served.worker._registry.streams
        eventually(lambda: not stream.reading)
        getattr(client, leave)()
        eventually(lambda: len(messages) == 2)
        assert messages[1] == {"type": "http.disconnect"}
        client.socket.close()
        eventually(lambda: served.slot.connections == 0)
        assert served.stop() == 0


def test_fin_is_not_death(loop: str) -> None:
    left = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await read(receive)
        assert (await receive())["type"] == "http.disconnect"
        await left.wait()
        await answer(send, b"x" * 1_000_000)

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request())
        client.fin()
        served.call(left.set)
        head, body = client.response()
        assert b"Connection: close" in head
        assert len(body) == 1_000_000
        assert client.rest() == b""


def test_receive_after_the_response_is_disconnect(loop: str) -> None:
    messages: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await read(receive)
        listener = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        await hello(scope, receive, send)
        messages.append(await listener)

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        assert client.get()[1] == b"ok"
        eventually(lambda: messages == [{"type": "http.disconnect"}])
        assert client.get()[1] == b"ok"


def test_each_request_runs_in_a_context_of_its_own(loop: str) -> None:
    variable = contextvars.ContextVar("variable", default=b"none")

    async def application(scope: Any, receive: Any, send: Any) -> None:
        before = variable.get()
        variable.set(scope["path"].encode())
        if scope["path"] == "/waits":
            await asyncio.sleep(0)
        await answer(send, before + variable.get())

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        for path in ("/a", "/waits", "/b"):
            assert client.get(path)[1] == b"none" + path.encode()
        # pipelined ones, of which the second begins in the turn of the loop that the first has asked for
        client.send(request("/c") + request("/waits") + request("/d"))
        for path in (b"/c", b"/waits", b"/d"):
            assert client.response()[1] == b"none" + path
        other = served.connect()
        assert other.get("/e")[1] == b"none/e"


def test_the_next_request_does_not_wait_for_work_after_the_response(loop: str) -> None:
    release = asyncio.Event()
    ended: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await hello(scope, receive, send)
        if scope["path"] == "/works":
            await release.wait()
            ended.append(scope["path"])

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request("/works") + request("/next"))
        assert client.response()[1] == b"ok"
        assert client.response()[1] == b"ok"
        assert ended == []
        client.reset()
        served.call(release.set)
        eventually(lambda: ended == ["/works"])


def test_ten_thousand_pipelined_requests(loop: str) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, scope["path"].encode())

    count = 10_000
    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        sender = threading.Thread(
            target=client.send, args=(b"".join(request(f"/{number}") for number in range(count)),)
        )
        sender.start()
        for number in range(count):
            assert client.response()[1] == b"/%d" % number
        sender.join()


def test_a_client_that_pipelines_without_end_takes_turns(loop: str) -> None:
    with serving(hello, loop=loop, lifespan="off") as served:
        served.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        greedy = served.connect()
        greedy.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # all that waits is answered in the end
        stop = threading.Event()

        def pipeline() -> None:
            many = request() * 500
            while not stop.is_set():
                greedy.send(many)

        def drain() -> None:
            while greedy.socket.recv(1 << 20):
                pass

        threads = [threading.Thread(target=pipeline), threading.Thread(target=drain)]
        for thread in threads:
            thread.start()
        try:
            eventually(lambda: served.slot.requests() > 1000)
            other = served.connect()
            for _ in range(5):
                assert other.get()[1] == b"ok"
        finally:
            stop.set()
            threads[0].join()
            greedy.fin()
            threads[1].join()


FAILURES: dict[str, type[BaseException]] = {
    "exception": ValueError,
    "cancelled": asyncio.CancelledError,
    "exit": SystemExit,
    "interrupt": KeyboardInterrupt,
    "generator": GeneratorExit,
}


@pytest.mark.parametrize("path", FAILURES)
def test_an_exception_before_the_head_is_500(loop: str, path: str) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["query_string"]:
            await asyncio.sleep(0)
        raise FAILURES[scope["path"][1:]]("deliberate")

    with serving(application, loop=loop, lifespan="off") as served:
        for query in ("", "?waits"):
            client = served.connect()
            client.send(request(f"/{path}{query}"))
            response = client.rest()
            assert response.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
            assert b"Connection: close" in response
            assert b"deliberate" not in response
            client.socket.close()
        eventually(lambda: served.log.count("Traceback") == 2)
        assert served.log.count(f"Error handling request GET /{path}") == 2
        assert served.stop() == 0


def test_an_exception_after_the_head_closes_the_connection(loop: str) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise ValueError("deliberate")

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request())
        assert client.rest().endswith(b"4\r\npart\r\n")  # no last chunk
        eventually(lambda: served.log.count("Traceback") == 1)


def test_a_response_that_only_the_close_would_end_is_reset(loop: str) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        await receive()
        await receive()
        raise ValueError("deliberate")

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        client.until(b"part")
        client.fin()
        with pytest.raises(ConnectionResetError):
            client.rest()


def test_an_exception_in_work_after_the_response_leaves_the_connection_alone(loop: str) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await hello(scope, receive, send)
        raise ValueError("deliberate")

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        assert client.get()[1] == b"ok"
        assert client.get()[1] == b"ok"
        eventually(lambda: served.log.count("Traceback") == 2)


@pytest.mark.parametrize(
    ("messages", "expected", "logged"),
    [
        ([], b"HTTP/1.1 500 ", "without starting a response"),
        ([OK], b"HTTP/1.1 500 ", "without completing its response"),
        ([OK | {"headers": []}, BODY | {"more_body": True}], b"HTTP/1.1 200 ", "without completing its response"),
    ],
)
def test_an_application_that_returns_too_early(loop: str, messages: list[Any], expected: bytes, logged: str) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request())
        response = client.rest()
        assert response.startswith(expected)
        assert not response.endswith(b"0\r\n\r\n")
        assert f"ASGI application returned {logged}: GET / HTTP/1.1" in served.log


def test_a_disconnect_in_whatever_wrapping_is_silent(loop: str) -> None:
    ended = threading.Event()

    async def stream(send: Any) -> None:
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(stream(send))
                group.create_task(stream(send))
        except* OSError as group_error:
            ended.set()
            raise RuntimeError("the framework's own") from group_error

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request())
        client.until(b"\r\n\r\n")
        client.reset()
        assert ended.wait(10)
        assert served.stop() == 0
        assert "Traceback" not in served.log


@pytest.mark.parametrize("leave", ["fin", "reset"])
def test_disconnect_grace_cancels_what_is_incomplete(loop: str, leave: str) -> None:
    cancelled = threading.Event()
    started = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with serving(application, loop=loop, lifespan="off", disconnect_grace=0.05) as served:
        client = served.connect()
        client.send(request())
        assert started.wait(10)
        getattr(client, leave)()
        assert cancelled.wait(10)
        assert served.stop() == 0
        assert "Traceback" not in served.log


def test_disconnect_grace_leaves_work_after_the_response_alone(loop: str) -> None:
    release = asyncio.Event()
    ended = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/after":
            await hello(scope, receive, send)
        await release.wait()
        if scope["path"] == "/incomplete":
            await hello(scope, receive, send)
        ended.set()

    with serving(application, loop=loop, lifespan="off", disconnect_grace=0.0) as served:
        client = served.connect()
        client.get("/after")
        client.reset()
        eventually(lambda: served.slot.connections == 0)
        served.call(release.set)
        assert ended.wait(10)


def test_no_grace_unless_it_is_set(loop: str) -> None:
    release = asyncio.Event()
    ended = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await release.wait()
        ended.set()

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request())
        eventually(lambda: served.slot.connections == 1)
        client.reset()
        eventually(lambda: served.slot.connections == 0)
        served.call(release.set)
        assert ended.wait(10)


def test_early_hints_and_trailers(loop: str) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]})
        await send({"type": "http.response.start", "status": 200, "trailers": True})
        await send({"type": "http.response.body", "body": b"ok"})
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request("/", "TE: trailers"))
        assert client.until(b"\r\n\r\n") == b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n"
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
        assert client.until(b"\r\n\r\n") == b"2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n"
        client.send(request())
        client.until(b"\r\n\r\n")
        client.until(b"\r\n\r\n")
        assert client.until(b"\r\n\r\n") == b"2\r\nok\r\n0\r\n\r\n"


def test_what_an_application_leaves_running_does_not_hold_the_worker(loop: str) -> None:
    tasks = []

    async def forever() -> None:
        await asyncio.Event().wait()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        tasks.append(asyncio.create_task(forever()))
        await hello(scope, receive, send)

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        assert client.get()[1] == b"ok"
        client.socket.close()
        assert served.stop() == 0
    assert tasks[0].cancelled()


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_task_of_the_application_does_not_take_the_worker_down(loop: str, error: type[BaseException]) -> None:
    async def fail() -> None:
        raise error("deliberate")

    async def application(scope: Any, receive: Any, send: Any) -> None:
        task = asyncio.ensure_future(fail())
        await asyncio.wait([task])
        assert isinstance(task.exception(), error)
        await hello(scope, receive, send)

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        assert client.get()[1] == b"ok"
        assert client.get()[1] == b"ok"
        assert "outside of a request" in served.log
