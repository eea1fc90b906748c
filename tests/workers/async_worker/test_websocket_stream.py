"""WebSockets under the async worker, over real sockets."""

import asyncio
import sys
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from pyserve.workers import notes
from tests.protocol.websocket_peer import BINARY, CONTINUATION, PING, TEXT, close, frame
from tests.workers.clock import Clock
from tests.workers.serving import LOOPS, PATIENCE, eventually, request, serving
from tests.workers.websocket_client import Peer, echo, handshake

BOTH = pytest.mark.parametrize("loop", LOOPS)


class Recorded:
    """An application that echoes, and notes what it is given."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []
        self.messages: list[Any] = []
        self.ended = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def noting() -> Any:
            message = await receive()
            self.messages.append(message)
            return message

        self.scopes.append(scope)
        await echo(scope, noting, send)
        self.ended.set()


@BOTH
@pytest.mark.parametrize(("kind", "http"), [("tcp", "httptools"), ("unix", "h11"), ("tls", "httptools")])
def test_from_the_handshake_to_the_end(monkeypatch: pytest.MonkeyPatch, loop: str, kind: str, http: str) -> None:
    monkeypatch.setattr("pyserve.workers.deadlines.LINGER", 60.0)  # no need to, where both have closed
    app = Recorded()
    with serving(app, kind=kind, loop=loop, http=http, lifespan="off") as served:
        peer = Peer(served, "Sec-WebSocket-Protocol: a", path="/a?b")
        assert peer.head.startswith(b"HTTP/1.1 101 Switching Protocols\r\nDate: ")
        assert b"\r\nServer: pyserve\r\n" in peer.head
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in peer.head
        for size in (0, 1, 125, 126, 65535, 65536, 200_000):
            peer.say("a" * size)
            assert peer.hear() == "a" * size
        peer.client.send(frame(BINARY, b"\xff", fin=False) + frame(PING, b"!") + frame(CONTINUATION, b"\0"))
        assert peer.frame() == (0x8A, b"!")
        assert peer.frame() == (0x82, b"\xff\0")
        peer.client.send(close(4000, "bye"))
        assert peer.frame() == (0x88, b"\x0f\xa0")
        assert peer.client.rest() == b""
        assert app.ended.wait(10)
        eventually(lambda: served.slot.connections == 0)
        eventually(lambda: served.slot.requests() == 1)
        assert served.stop() == 0
    [scope] = app.scopes
    assert (scope["type"], scope["path"], scope["query_string"]) == ("websocket", "/a", b"b")
    assert scope["scheme"] == ("wss" if kind == "tls" else "ws")
    assert ("tls" in scope["extensions"]) is (kind == "tls")
    assert scope["subprotocols"] == ["a"]
    assert app.messages[-1] == {"type": "websocket.disconnect", "code": 4000, "reason": "bye"}


@BOTH
def test_what_comes_with_the_handshake(loop: str) -> None:
    with serving(echo, loop=loop, lifespan="off") as served:
        peer = Peer(served, ahead=frame(TEXT, b"one") + frame(TEXT, b"two")[:3])
        assert peer.hear() == "one"
        peer.client.send(frame(TEXT, b"two")[3:])
        assert peer.hear() == "two"


@BOTH
def test_behind_a_request_on_the_same_connection(loop: str) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await echo(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request("/") + request("/") + handshake() + frame(TEXT, b"hi"))
        assert [client.response()[1] for _ in range(2)] == [b"ok", b"ok"]
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        assert client.take(4) == b"\x81\x02hi"


def test_compression() -> None:
    with serving(echo, lifespan="off") as served:
        peer = Peer(served, "Sec-WebSocket-Extensions: permessage-deflate")
        assert b"Sec-WebSocket-Extensions: permessage-deflate" in peer.head
        peer.say("a" * 1000)
        first, payload = peer.frame()
        assert first == 0xC1
        assert len(payload) < 30
    with serving(echo, lifespan="off", ws_per_message_deflate=False) as served:
        assert b"Extensions" not in Peer(served, "Sec-WebSocket-Extensions: permessage-deflate").head


# The handshake


def answered(application: Any, *fields: str, **settings: Any) -> tuple[bytes, str]:
    """The response to a handshake up to its end, and the worker's log."""
    with serving(application, lifespan="off", **settings) as served:
        client = served.connect()
        client.send(handshake("/", *fields))
        octets = client.rest()
        client.socket.close()
        eventually(lambda: served.slot.connections == 0)
        return octets, served.log


async def denying(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.close"})
    assert (await receive())["type"] == "websocket.connect"
    assert (await receive())["type"] == "websocket.disconnect"


async def answering(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b"no"})


async def raising(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("on purpose")


async def returning(scope: Any, receive: Any, send: Any) -> None:
    pass


DENIED = [
    ("closed", denying, b"403 Forbidden", b"", ""),
    ("answered", answering, b"401 Unauthorized", b"no", ""),
    ("raised", raising, b"500 Internal Server Error", b"the application failed\n", "on purpose"),
    ("returned", returning, b"500 Internal Server Error", b"the application gave no answer\n", "without starting"),
]


@pytest.mark.parametrize(("app", "status", "content", "logged"), [pytest.param(*row[1:], id=row[0]) for row in DENIED])
def test_an_application_that_does_not_accept(app: Any, status: bytes, content: bytes, logged: str) -> None:
    octets, log = answered(app)
    assert octets.startswith(b"HTTP/1.1 %b\r\n" % status)
    assert b"\r\nConnection: close\r\n" in octets
    assert octets.endswith(b"\r\n\r\n" + content)
    assert logged in log
    assert ("ERROR" in log) is bool(logged)


def test_a_handshake_that_is_refused_reaches_no_application() -> None:
    octets, log = answered(raising, "Sec-WebSocket-Key: again")
    assert octets.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert "on purpose" not in log


def test_ws_none() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 204, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body"})

    octets, _ = answered(application, ws="none")
    assert octets.startswith(b"HTTP/1.1 204 ")


def test_a_client_that_leaves_before_it_is_answered() -> None:
    left = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        assert (await receive())["type"] == "websocket.disconnect"
        left.set()

    with serving(application, lifespan="off") as served:
        client = served.connect()
        client.send(handshake())
        eventually(lambda: len(served.worker._registry.tasks) == 1)
        client.reset()
        assert left.wait(10)


@pytest.mark.parametrize("settings", [{"limit_concurrency": 1}, {"request_timeout": 30.0}, {"header_map": "refuse"}])
def test_what_is_mixed_with_it(settings: dict[str, Any], clock: Clock) -> None:
    """A WebSocket counts as in flight until it ends; a request's time is over with the handshake."""
    with serving(echo, lifespan="off", **settings) as served:
        for _ in range(2):
            peer = Peer(served)
            assert peer.head.startswith(b"HTTP/1.1 101 ")
            if "limit_concurrency" in settings:
                refused = Peer(served)
                assert refused.head.startswith(b"HTTP/1.1 503 ")
                refused.client.socket.close()
            if "request_timeout" in settings:
                clock.advance(100)  # longer than a request may take
            peer.say("still here")
            assert peer.hear() == "still here"
            peer.client.send(close(1000))
            assert peer.client.rest() == b"\x88\x02\x03\xe8"
            eventually(lambda: served.slot.connections == 0)


def test_a_handshake_that_takes_too_long() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(60)

    octets, _ = answered(application, request_timeout=0.1)
    assert octets.startswith(b"HTTP/1.1 504 ")


# The end


def accepted(then: Any) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await then(receive, send)

    return application


async def closes(receive: Any, send: Any) -> None:
    await send({"type": "websocket.close", "code": 3000})
    assert (await receive())["code"] == 3000


async def returns(receive: Any, send: Any) -> None:
    pass


async def raises(receive: Any, send: Any) -> None:
    raise RuntimeError("on purpose")


async def sends_on(receive: Any, send: Any) -> None:
    await send({"type": "websocket.close"})
    await send({"type": "websocket.send", "text": "late"})


ENDS = [("closes", closes, 3000), ("returns", returns, 1000), ("raises", raises, 1011), ("sends on", sends_on, 1000)]


@BOTH
@pytest.mark.parametrize(("then", "code"), [pytest.param(*row[1:], id=row[0]) for row in ENDS])
def test_the_application_ends(loop: str, then: Any, code: int) -> None:
    with serving(accepted(then), loop=loop, lifespan="off") as served:
        assert Peer(served).ended() == code
        eventually(lambda: served.slot.connections == 0)
        assert ("on purpose" in served.log) is (code == 1011)
        assert served.stop() == 0


@BOTH
def test_the_peer_fails(loop: str) -> None:
    app = Recorded()
    with serving(app, loop=loop, lifespan="off") as served:
        peer = Peer(served)
        peer.client.send(frame(TEXT, b"one") + frame(TEXT, b"\xff"))
        assert peer.hear() == "one"
        first, payload = peer.frame()
        assert (first, payload[:2]) == (0x88, b"\x03\xef")
        assert peer.client.rest() == b""
        assert app.ended.wait(10)
        eventually(lambda: "not UTF-8 (RFC 6455 section 8.1)" in served.log)
    assert app.messages[-1]["code"] == 1007


@BOTH
@pytest.mark.parametrize("how", ["reset", "fin"])
def test_a_connection_that_is_lost(loop: str, how: str) -> None:
    app = Recorded()
    with serving(app, loop=loop, lifespan="off") as served:
        peer = Peer(served, ahead=frame(TEXT, b"a"))
        assert peer.hear() == "a"
        getattr(peer.client, how)()
        assert app.ended.wait(10)
        if how == "fin":
            assert peer.client.rest() == b""
        eventually(lambda: served.slot.connections == 0)
        assert "ERROR" not in served.log
    assert app.messages[-1] == {"type": "websocket.disconnect", "code": 1006, "reason": ""}


def test_an_application_that_goes_on_is_told_by_an_error() -> None:
    errors: list[type[BaseException]] = []

    async def on_and_on(receive: Any, send: Any) -> None:
        try:
            while True:
                await send({"type": "websocket.send", "bytes": b"a" * 50000})
        except OSError as error:
            errors.append(type(error))
            raise

    with serving(accepted(on_and_on), lifespan="off") as served:
        peer = Peer(served)
        peer.frame()
        peer.client.reset()
        eventually(lambda: not served.worker._registry.tasks)
        assert errors
        assert "ERROR" not in served.log


# Back-pressure


@BOTH
def test_a_client_that_does_not_read_makes_the_application_wait(loop: str) -> None:
    progress = [0]

    async def floods(receive: Any, send: Any) -> None:
        for _ in range(400):
            await send({"type": "websocket.send", "bytes": b"a" * 100_000})
            progress[0] += 1

    with serving(accepted(floods), loop=loop, lifespan="off") as served:
        peer = Peer(served)
        eventually(lambda: progress[0] > 2 and stands_still(progress))
        assert progress[0] < 350
        for _ in range(400):
            assert len(peer.frame()[1]) == 100_000
        assert peer.ended() == 1000


def stands_still(progress: list[int]) -> bool:
    before = progress[0]
    time.sleep(0.1)
    return progress[0] == before


@BOTH
@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_an_application_that_does_not_take_makes_the_client_wait(loop: str, kind: str) -> None:
    goes_on = threading.Event()
    taken: list[str] = []

    async def slow(receive: Any, send: Any) -> None:
        while not goes_on.is_set():
            await asyncio.sleep(0.01)
        while (message := await receive())["type"] == "websocket.receive":
            taken.append(message["text"])
        taken.append(message["code"])

    with serving(accepted(slow), loop=loop, kind=kind, lifespan="off", ws_max_queue=4) as served:
        peer = Peer(served)
        for number in range(100):
            peer.say(str(number))
        peer.client.send(close(1001))
        [stream] = served.worker._registry.streams
        eventually(lambda: not stream.reading)
        socket = stream.socket  # type: ignore[attr-defined]
        assert len(socket._messages) == 4
        goes_on.set()
        assert peer.client.take(4) == b"\x88\x02\x03\xe9"
        eventually(lambda: len(taken) == 101)
    assert taken == [*map(str, range(100)), 1001]


def test_pings_that_nobody_reads_the_answers_of_are_not_answered_without_end() -> None:
    with serving(accepted(lambda receive, send: receive()), lifespan="off") as served:
        peer = Peer(served)
        [stream] = served.worker._registry.streams
        unsent = memoryview(frame(PING, b"a" * 125) * 200_000)
        peer.client.socket.setblocking(False)

        def has_enough() -> bool:
            nonlocal unsent
            with suppress(BlockingIOError):
                unsent = unsent[peer.client.socket.send(unsent) :]
            return not stream.reading

        eventually(has_enough)
        peer.client.socket.settimeout(PATIENCE)
        assert stream.transport.get_write_buffer_size() < 1_000_000
        reader = threading.Thread(target=lambda: (peer.client.take(1 << 20), peer.client.socket.close()))
        reader.start()
        eventually(lambda: stream.reading or stream not in served.worker._registry.streams)
        reader.join()


def test_many_tiny_frames_keep_nobody_waiting() -> None:
    with serving(echo, lifespan="off") as served:
        peer = Peer(served, ahead=frame(TEXT, b"a", fin=False) + frame(CONTINUATION, fin=False) * 20_000)
        peer.client.send(frame(CONTINUATION, b"b"))
        assert peer.hear() == "ab"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks start eagerly from Python 3.12 on")
def test_an_application_that_waits_for_nothing() -> None:
    with serving(accepted(returns), lifespan="off") as served:
        assert Peer(served).ended() == 1000


def test_the_access_log_has_the_handshake_once(tmp_path: Any) -> None:
    log = tmp_path / "access.log"
    with serving(echo, lifespan="off", accesslog=str(log)) as served:
        peer = Peer(served, path="/chat?a")
        eventually(lambda: log.exists() and log.read_text() != "")
        peer.client.send(close(1000))
        assert peer.client.rest()[:1] == b"\x88"
        eventually(lambda: served.slot.connections == 0)
        client = served.connect()
        client.send(handshake("/refused", "Sec-WebSocket-Key: again"))
        client.rest()
    lines = [line.split('"')[1:3] for line in log.read_text().splitlines()]
    assert [(line, rest.split()[0]) for line, rest in lines] == [
        ("GET /chat?a HTTP/1.1", "101"),
        ("GET /refused HTTP/1.1", "400"),
    ]


def test_it_counts_for_max_requests() -> None:
    with serving(echo, lifespan="off", max_requests=2) as served:
        Peer(served)
        Peer(served)
        served.hear(b"W")


def test_requests_are_named_before_websockets() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await echo(scope, receive, send)
        await receive()
        await receive()

    with serving(application, lifespan="off") as served:
        Peer(served, path="/socket")
        client = served.connect()
        client.send(request("/asked"))
        registry = served.worker._registry
        eventually(lambda: len(registry.tasks) == 2)
        assert [exchange.target for exchange in registry.busy_with()] == [b"/asked", b"/socket"]


def test_it_is_noted_while_it_is_open() -> None:
    with serving(echo, lifespan="off") as served:
        peer = Peer(served, path="/socket?a")
        eventually(lambda: [request for _, request in notes.read(served.slot)] == ["WebSocket /socket?a"])
        peer.client.send(close(1000))
        assert peer.client.rest()[:1] == b"\x88"
        eventually(lambda: notes.read(served.slot) == [])
