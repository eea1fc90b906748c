"""One connection of the async worker: octets, ends and deadlines, over real sockets."""

import asyncio
import select
import socket
import threading
from typing import Any

import pytest

from pyserve.workers.deadlines import LINGER
from pyserve.workers.scoreboard import TIMEOUTS_BODY, TIMEOUTS_HEADER, TIMEOUTS_KEEPALIVE, TIMEOUTS_WRITE
from tests.workers.both import fill, has_read
from tests.workers.clock import Clock
from tests.workers.serving import PATIENCE, Client, eventually, request, serving

OK: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
BODY: dict[str, Any] = {"type": "http.response.body", "body": b"ok"}


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send(OK)
    await send(BODY)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


# Heads and ends


@pytest.mark.parametrize("http", ["httptools", "h11"])
def test_a_request_octet_by_octet(loop: str, http: str) -> None:
    with serving(echo, loop=loop, http=http, lifespan="off") as served:
        client = served.connect()
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in request(method="POST", body=b"abc"):
            client.send(bytes([octet]))
        assert client.response()[1] == b"abc"
        assert client.get()[1] == b""


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"GET /\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000001\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", b"400"),
    ],
)
def test_a_refused_request(loop: str, octets: bytes, status: bytes) -> None:
    with serving(echo, loop=loop, lifespan="off", limit_request_body=10_000_000) as served:
        client = served.connect()
        client.send(octets)
        response = client.rest()
        assert response.startswith(b"HTTP/1.1 " + status)
        assert b"Connection: close\r\n" in response
        assert "Invalid request from 127.0.0.1" in served.log
        client.socket.close()
        eventually(lambda: served.slot.connections == 0)


def test_the_answer_to_a_refused_upload_is_not_lost_to_a_reset(loop: str) -> None:
    with serving(hello, loop=loop, lifespan="off", limit_request_body=1000) as served:
        client = served.connect()
        client.send(request("/", "Content-Length: 500000", method="POST") + b"x" * 400_000)
        assert client.rest().startswith(b"HTTP/1.1 413 ")


def test_an_answer_survives_all_that_was_on_its_way(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels hold megabytes of an upload when the answer to its beginning comes."""
    monkeypatch.setattr("pyserve.workers.deadlines.LINGER", 60.0)
    go = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await hello(scope, receive, send)

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request("/", "Content-Length: 100000000", method="POST"))
        fill(client)
        served.call(go.set)
        eventually(lambda: has_read(served))
        client.send(b"and a bit more")  # no reset comes of it
        assert client.response()[1] == b"ok"
        assert client.rest() == b""


def test_an_upload_without_end_after_the_half_close_is_cut_off(loop: str) -> None:
    with serving(hello, loop=loop, lifespan="off", limit_request_body=1000) as served:
        client = served.connect()
        client.send(request("/", "Content-Length: 500000000", method="POST"))
        with pytest.raises(OSError):
            client.send(b"x" * 400_000_000)
        eventually(lambda: served.slot.connections == 0)


async def last(scope: Any, receive: Any, send: Any) -> None:
    await send(OK | {"headers": [(b"content-length", b"2"), (b"connection", b"close")]})
    await send(BODY)


def test_a_close_that_the_client_does_not_expect_is_a_half_close(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyserve.workers.deadlines.LINGER", 60.0)
    with serving(last, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request())
        assert client.rest().endswith(b"\r\n\r\nok")
        client.send(request())  # no reset comes of it
        assert served.slot.connections == 1
        client.socket.close()
        eventually(lambda: served.slot.connections == 0)


def test_a_client_that_does_not_close_is_not_waited_for_long(loop: str, clock: Clock) -> None:
    with serving(last, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request())
        assert client.rest().endswith(b"ok")
        assert served.slot.connections == 1
        clock.advance(LINGER + 1)
        eventually(lambda: served.slot.connections == 0)


@pytest.mark.parametrize(
    "octets",
    [
        request("/", "Connection: close"),
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        request("/", "Connection: close") + b"more",
        request("/", "Connection: close", "Content-Length: 9", method="POST"),
    ],
)
def test_what_comes_late_takes_no_response_away(loop: str, octets: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9112 section 9.6: old clients' line end behind content, or a request more, also where they wish the close."""
    monkeypatch.setattr("pyserve.workers.deadlines.LINGER", 60.0)
    with serving(last, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(octets)
        client.socket.recv(1)
        for _ in range(3):
            client.send(b"\r\n")  # to which a socket that is closed would answer with a reset
        assert client.rest().endswith(b"ok")
        assert served.slot.connections == 1
        client.socket.close()
        eventually(lambda: served.slot.connections == 0)


def test_fin_between_requests_closes(loop: str) -> None:
    with serving(hello, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.get()
        client.fin()
        assert client.rest() == b""
        eventually(lambda: served.slot.connections == 0)


def test_fin_in_the_middle_of_a_head_or_a_body(loop: str) -> None:
    with serving(echo, loop=loop, lifespan="off") as served:
        for octets in (b"GET / HT", request("/", "Content-Length: 5", method="POST") + b"ab"):
            client = served.connect()
            client.send(octets)
            client.fin()
            assert client.rest().startswith(b"HTTP/1.1 400 ")
        eventually(lambda: served.slot.connections == 0)
        assert "Traceback" not in served.log


def test_fin_behind_pipelined_requests(loop: str) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        await hello(scope, receive, send)

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request() * 50)
        client.fin()
        assert client.rest().count(b"HTTP/1.1 200 OK") == 50


def test_fin_behind_a_pipelined_request_that_is_incomplete(loop: str) -> None:
    go = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await echo(scope, receive, send)

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request() + request("/", "Content-Length: 5", method="POST") + b"ab")
        client.fin()
        served.call(go.set)
        client.response()
        assert client.rest().startswith(b"HTTP/1.1 400 ")


def test_unread_content_is_drained_up_to_a_limit(loop: str) -> None:
    with serving(hello, loop=loop, lifespan="off") as served:
        client = served.connect()
        for _ in range(2):
            client.send(request(method="POST", body=b"x" * 50_000))
            assert client.response()[1] == b"ok"
        client.send(request("/", "Content-Length: 10000000", method="POST"))
        head, _ = client.response()
        assert b"Connection: close\r\n" in head
        assert client.rest() == b""


def test_head_and_body_leave_in_one_piece(loop: str) -> None:
    pieces = []

    class Recorder(Client):
        def response(self) -> tuple[bytes, bytes]:
            pieces.append(self.socket.recv(65536))
            return b"", b""

    with serving(hello, loop=loop, lifespan="off") as served:
        client = Recorder(served.connect().socket)
        for _ in range(20):
            client.get()
    assert all(piece.endswith(b"\r\n\r\nok") for piece in pieces)


# Backpressure inwards


def test_reading_pauses_while_nobody_takes_the_content(loop: str) -> None:
    go = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await echo(scope, receive, send)

    size = 20_000_000
    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        sent = 0

        def upload() -> None:
            nonlocal sent
            client.send(request("/", f"Content-Length: {size}", method="POST"))
            for _ in range(size // 50_000):
                client.send(b"x" * 50_000)
                sent += 50_000

        uploader = threading.Thread(target=upload)
        uploader.start()
        before = -1
        while before != sent or not sent:
            before = sent
            threading.Event().wait(0.05)
        assert sent < size
        served.call(go.set)
        uploader.join()
        assert len(client.response()[1]) == size


def test_reading_pauses_while_too_much_is_pipelined(loop: str) -> None:
    go = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/first":
            await go.wait()
        await hello(scope, receive, send)

    count = 500_000
    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request("/first"))
        client.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.send(request() * count)
        client.socket.settimeout(10)
        served.call(go.set)
        assert client.response()[1] == b"ok"


@pytest.mark.parametrize("ahead", [True, False])
def test_who_asks_for_more_than_it_takes_is_not_listened_to(loop: str, ahead: bool) -> None:
    begun = 0

    async def application(scope: Any, receive: Any, send: Any) -> None:
        nonlocal begun
        begun += 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000000")]})
        await send({"type": "http.response.body", "body": b"x" * 1_000_000})

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        if ahead:
            client.send(request() * 200)
        before = -1
        while before != begun or not begun:
            before = begun
            if not ahead:
                client.send(request() * 10)
            threading.Event().wait(0.05)
        assert begun < 60
        for _ in range(begun + 5 if ahead else begun):
            assert len(client.response()[1]) == 1_000_000


# Deadlines


def test_a_slow_head(loop: str, clock: Clock) -> None:
    with serving(hello, loop=loop, lifespan="off", header_timeout=30.0) as served:
        clients = [served.connect() for _ in range(2)]
        clients[0].send(b"GET / HT")
        eventually(lambda: served.slot.connections == 2 and has_read(served))
        clock.advance(40)
        assert clients[0].rest().startswith(b"HTTP/1.1 408 ")
        assert clients[1].rest() == b""  # nothing has come: nothing is answered
        assert served.crew.counters[TIMEOUTS_HEADER] == 2


def test_a_head_that_trickles_is_not_saved_by_its_octets(loop: str, clock: Clock) -> None:
    with serving(hello, loop=loop, lifespan="off", header_timeout=30.0, keepalive=60) as served:
        client = served.connect()
        client.get()
        client.send(b"G")
        for _ in range(100):
            eventually(lambda: has_read(served))
            clock.advance(5)
            if select.select([client.socket], [], [], 0)[0]:
                break
            client.send(b"E")
        response = client.socket.recv(4096)
        assert response.startswith(b"HTTP/1.1 408 ")


def test_a_stalled_body(loop: str) -> None:
    with serving(echo, loop=loop, lifespan="off", body_timeout=0.2) as served:
        client = served.connect()
        client.send(request("/", "Content-Length: 5", method="POST") + b"ab")
        assert client.rest().startswith(b"HTTP/1.1 408 ")
        assert served.crew.counters[TIMEOUTS_BODY] == 1


def test_a_body_that_nobody_waits_for_has_no_deadline(loop: str, clock: Clock) -> None:
    begun = threading.Event()
    go = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        await go.wait()
        await echo(scope, receive, send)

    with serving(application, loop=loop, lifespan="off", body_timeout=30.0) as served:
        client = served.connect()
        client.send(request("/", "Content-Length: 5", "Expect: 100-continue", method="POST"))
        assert begun.wait(PATIENCE)
        (stream,) = served.worker._registry.streams  # type: ignore[union-attr]
        touched = stream.touched
        clock.advance(100)
        eventually(lambda: stream.touched - touched >= 100, "a look at the connection")
        served.call(go.set)
        client.until(b"100 Continue\r\n\r\n")
        client.send(b"abcde")
        assert client.response()[1] == b"abcde"


def test_an_idle_connection(loop: str) -> None:
    with serving(hello, loop=loop, lifespan="off", keepalive=0.1) as served:
        client = served.connect()
        client.get()
        assert client.rest() == b""
        assert served.crew.counters[TIMEOUTS_KEEPALIVE] == 1


def test_without_keep_alive_a_connection_has_one_request(loop: str) -> None:
    with serving(hello, loop=loop, lifespan="off", keepalive=0.0) as served:
        client = served.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"\r\nConnection: close\r\n" in client.rest()


def test_an_application_that_takes_its_time_has_no_deadline(loop: str, clock: Clock) -> None:
    begun = threading.Event()
    go = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        await go.wait()
        await hello(scope, receive, send)

    limits = dict.fromkeys(("keepalive", "header_timeout", "body_timeout", "write_timeout"), 30.0)
    with serving(application, loop=loop, lifespan="off", **limits) as served:
        client = served.connect()
        client.send(request())
        assert begun.wait(PATIENCE)
        clock.advance(100)
        served.call(go.set)
        assert client.response()[1] == b"ok"


def test_a_client_that_takes_nothing(loop: str) -> None:
    raised: list[BaseException] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        except OSError as error:
            raised.append(error)
            raise

    with serving(application, loop=loop, lifespan="off", write_timeout=0.3) as served:
        client = served.connect()
        client.send(request())
        eventually(lambda: raised)
        eventually(lambda: served.slot.connections == 0)
        assert served.crew.counters[TIMEOUTS_WRITE] == 1
        with pytest.raises(ConnectionResetError):
            client.rest()
        assert "Traceback" not in served.log


def test_a_complete_response_that_nobody_takes(loop: str, clock: Clock) -> None:
    size = 80_000_000  # more than the kernel's buffers take

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
        await send({"type": "http.response.body", "body": b"x" * size})

    with serving(application, loop=loop, lifespan="off", write_timeout=30.0) as served:
        slow = served.connect()
        slow.send(request())
        slow.take(1000)
        (stream,) = served.worker._registry.streams
        for _ in range(10):  # who takes a little now and then is not cut off
            before = stream.progress
            slow.take(2_000_000)
            eventually(lambda: stream.progress != before)  # noqa: B023 - called here
            clock.advance(20)
        assert served.crew.counters[TIMEOUTS_WRITE] == 0
        eventually(lambda: clock.advance(20) or served.crew.counters[TIMEOUTS_WRITE] == 1)
