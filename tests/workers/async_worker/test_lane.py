"""Connections whose requests come in small pieces, beside others."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.workers.clock import Clock
from tests.workers.serving import Client, Served, eventually, request, serving

HEAD = (b"GET /slow HTTP/1.1\r\n", b"Host: ", b"x", b"\r\n\r\n")
BEGUN = 1000
BODY = (b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n", b"a", b"b", b"cd")


class Application:
    """Answers when a body is whole, and notes the path; /hold keeps the loop from all else."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.may_read = threading.Event()
        self.may_read.set()
        self.holds, self.released = threading.Event(), threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/hold":
            self.holds.set()
            assert self.released.wait(20)
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        self.order.append(scope["path"])
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def lane(served: Served) -> Any:
    return served.worker._registry.lane


def arrived(stream: Any) -> int:
    """Octets of a head that is not here whole; once it is, `BEGUN` and those of the content."""
    return int(stream.wire.pending if stream.exchange is None else BEGUN + stream.exchange.received)


def trickling(served: Served, pieces: tuple[bytes, ...], count: int = 1) -> list[Client]:
    """Clients who have sent all but the last piece, each by itself, and are in the slow lane."""
    clients = [served.connect() for _ in range(count)]
    streams, octets = served.worker._registry.streams, 0
    for piece in pieces[:-1]:
        for client in clients:
            client.send(piece)
        octets += BEGUN if piece.endswith(b"\r\n\r\n") else len(piece)
        eventually(lambda octets=octets: sum(arrived(stream) == octets for stream in tuple(streams)) >= count)
    eventually(lambda: len(lane(served)) == count)
    return clients


@pytest.mark.parametrize("kind", ["tcp", "unix", "tls"])
@pytest.mark.parametrize("pieces", [HEAD, BODY], ids=["head", "body"])
def test_who_comes_whole_does_not_wait_for_all_who_come_in_pieces(
    loop: str, kind: str, pieces: tuple[bytes, ...]
) -> None:
    """As thousands of slow peers may send a piece each at the same time."""
    application, count = Application(), 40
    with serving(application, kind=kind, loop=loop, lifespan="off") as served:
        clients = trickling(served, pieces, count)
        holder, other = served.connect(), served.connect()
        other.get("/first")  # so that it is known, and its event comes behind theirs
        holder.send(request("/hold"))
        assert application.holds.wait(20)
        for client in clients:
            client.send(pieces[-1])
        other.send(request("/other"))
        application.released.set()
        other.response()
        assert application.order.index("/other") <= 2 + 4  # one in a turn of the loop
        for client in clients:
            client.response()
            client.get("/again")
        assert application.order.count("/slow") == application.order.count("/again") == count
        eventually(lambda: len(lane(served)) == 0)


@pytest.mark.parametrize("kind", ["tcp", "tls"])
@pytest.mark.parametrize("pieces", [HEAD, BODY], ids=["head", "body"])
@pytest.mark.parametrize("leave", [Client.fin, Client.reset], ids=["fin", "reset"])
def test_who_leaves(loop: str, kind: str, pieces: tuple[bytes, ...], leave: Callable[[Client], None]) -> None:
    with serving(Application(), kind=kind, loop=loop, lifespan="off") as served:
        (client,) = trickling(served, pieces)
        leave(client)
        eventually(lambda: len(lane(served)) == 0)
        if leave is Client.fin:
            assert client.rest().startswith(b"HTTP/1.1 400 ")
            client.socket.close()
        eventually(lambda: served.slot.connections == 0)


@pytest.mark.parametrize("octets", [b"GET / HTTP/1.1\r\nHost", BODY[0]], ids=["head", "body"])
def test_the_scan_finds_who_has_begun(loop: str, octets: bytes) -> None:
    """The first piece of thousands is not to keep others waiting either."""
    with serving(Application(), loop=loop, lifespan="off", header_timeout=10, keepalive=0.2) as served:
        client, idle = served.connect(), served.connect()
        client.send(octets)
        eventually(lambda: len(lane(served)) == 1)
        client.send(b": x\r\n\r\n" if octets.endswith(b"Host") else b"abcd")
        assert client.response()[1] == (b"" if octets.endswith(b"Host") else b"abcd")
        eventually(lambda: len(lane(served)) == 0)
        assert idle.get()[1] == b""


@pytest.mark.parametrize("pieces", [HEAD, BODY], ids=["head", "body"])
def test_deadlines_are_met_there_too(loop: str, pieces: tuple[bytes, ...], clock: Clock) -> None:
    with serving(Application(), loop=loop, lifespan="off", header_timeout=30.0, body_timeout=30.0) as served:
        (client,) = trickling(served, pieces)
        clock.advance(40)
        assert client.rest().startswith(b"HTTP/1.1 408 ")
        client.socket.close()
        eventually(lambda: served.slot.connections == 0)
        eventually(lambda: len(lane(served)) == 0)


def test_large_pieces_are_read_by_the_transport(loop: str) -> None:
    application = Application()
    with serving(application, loop=loop, lifespan="off") as served:
        pieces = (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8000\r\n\r\n", b"x" * 10, b"x" * 10, b"")
        (client,) = trickling(served, pieces)
        client.send(b"x" * 5000)
        eventually(lambda: len(lane(served)) == 0)
        client.send(b"x" * 2980)
        assert len(client.response()[1]) == 8000


def test_what_the_application_does_not_take_is_not_read(loop: str) -> None:
    """It leaves the lane when reading pauses, and goes on."""
    takes = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
            while body == b"xxx" and not takes.is_set():
                await asyncio.sleep(0.01)
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    with serving(application, loop=loop, lifespan="off") as served:
        pieces = (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100003\r\n\r\n", b"x", b"x", b"x", b"")
        (client,) = trickling(served, pieces)
        (stream,) = served.worker._registry.streams
        sender = threading.Thread(target=client.send, args=(b"x" * 100_000,))
        sender.start()
        eventually(lambda: not stream.reading)
        takes.set()
        assert client.response()[1] == b"x" * 100_003
        sender.join(20)
        eventually(lambda: len(lane(served)) == 0)


def test_under_wsgi(loop: str) -> None:
    def application(environ: dict[str, Any], start: Any) -> list[bytes]:
        body = environ["wsgi.input"].read()
        start("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    with serving(application, "wsgi", loop=loop) as served:
        for pieces in (HEAD, BODY):
            (client,) = trickling(served, pieces)
            client.send(pieces[-1])
            assert client.response()[1] == (b"abcd" if pieces is BODY else b"")
            client.get()
            eventually(lambda: len(lane(served)) == 0)
            client.socket.close()
            eventually(lambda: served.slot.connections == 0)


def test_threads_at_work_get_the_interpreter(loop: str) -> None:
    """Between any two turns of the lane, as long as they are at work and not longer."""
    asked: list[bool] = []

    def application(environ: dict[str, Any], start: Any) -> list[bytes]:
        start("200 OK", [("Content-Length", "0")])
        return []

    with serving(application, "wsgi", loop=loop) as served:
        pool = served.worker._registry.lane.threads_work.__self__
        served.worker._registry.lane.threads_work = lambda: bool(asked.append(pool.works()))
        (client,) = trickling(served, HEAD)
        asked.clear()
        client.send(HEAD[-1])
        client.response()
        assert asked[0] is True  # as the request has just been handed to a thread
        eventually(lambda: not pool.works())


def test_the_worker_ends_while_somebody_is_there(loop: str) -> None:
    with serving(Application(), loop=loop, lifespan="off", graceful_timeout=0.3) as served:
        (client,) = trickling(served, BODY)
        assert served.stop() == 1
        assert client.rest() == b""
