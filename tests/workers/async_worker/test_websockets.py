"""The WebSockets of a worker: whether their peers live, and their end with the worker."""

import asyncio
import threading
from typing import Any

import pytest

from tests.protocol.websocket_peer import PONG, close, frame
from tests.workers.both import has_read
from tests.workers.clock import Clock
from tests.workers.serving import LOOPS, Served, eventually, serving
from tests.workers.websocket_client import Peer, echo, handshake

PATIENT = {"ws_ping_interval": 10.0, "ws_ping_timeout": 30.0, "lifespan": "off"}
QUICK = {"ws_ping_interval": 0.1, "ws_ping_timeout": 0.3, "lifespan": "off"}


def looking(served: Served) -> Served:
    """It looks at its WebSockets as often as it does at others where a test has the clock."""
    served.worker._registry.websockets._step = 0.01
    return served


def test_a_peer_that_answers_lives(clock: Clock) -> None:
    with serving(echo, **PATIENT) as served:
        peer = Peer(looking(served))
        for _ in range(10):
            clock.advance(12)
            assert peer.frame() == (0x89, b"")
            peer.client.send(frame(PONG))
            eventually(lambda: has_read(served))
        peer.say("a")
        assert peer.hear() == "a"


def test_a_peer_that_is_silent_is_given_up() -> None:
    with serving(echo, **QUICK) as served:
        peer = Peer(served)
        frames = [peer.frame() for _ in range(2)]
        assert frames == [(0x89, b""), (0x88, b"\x03\xf3keepalive ping timeout")]
        assert peer.client.rest() == b""
        peer.client.socket.close()
        eventually(lambda: served.slot.connections == 0)
        eventually(lambda: not served.worker._registry.tasks)


def test_time_does_not_run_while_the_application_takes_nothing(clock: Clock) -> None:
    goes_on = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while not goes_on.is_set():
            await asyncio.sleep(0.01)
        for _ in range(3):
            await send({"type": "websocket.send", "text": (await receive())["text"]})

    with serving(application, ws_max_queue=1, **PATIENT) as served:
        peer = Peer(looking(served))
        for text in "abc":
            peer.say(text)
        (stream,) = served.worker._registry.streams
        eventually(lambda: not stream.reading)
        for _ in range(10):
            clock.advance(12)
        goes_on.set()
        heard = []
        while len(heard) < 3:
            first, payload = peer.frame()
            assert first != 0x88
            heard += [payload] if first == 0x81 else []
        assert heard == [b"a", b"b", b"c"]


def test_pings_go_on_where_nobody_is_given_up() -> None:
    with serving(echo, lifespan="off", ws_ping_interval=0.1, ws_ping_timeout=0.0) as served:
        peer = Peer(served)
        assert [peer.frame() for _ in range(3)] == [(0x89, b"")] * 3


def test_no_pings(clock: Clock) -> None:
    with serving(echo, lifespan="off", ws_ping_interval=0.0, ws_ping_timeout=0.1) as served:
        peer = Peer(looking(served))
        clock.advance(1000)
        peer.say("a")
        assert peer.hear() == "a"


def test_a_peer_that_does_not_answer_a_close_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyserve.workers.async_worker.websockets._CLOSE", 0.1)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})

    with serving(application, **QUICK) as served:
        peer = Peer(served)
        assert peer.frame() == (0x88, b"\x03\xe8")
        eventually(lambda: served.slot.connections == 0)


@pytest.mark.parametrize("kind", ["tcp", "tls"])
@pytest.mark.parametrize("loop", LOOPS)
def test_draining_closes_and_waits(loop: str, kind: str) -> None:
    codes: list[int] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        codes.append((await receive())["code"])

    with serving(application, kind=kind, loop=loop, lifespan="off", graceful_timeout=10) as served:
        peers = [Peer(served) for _ in range(3)]
        served.crew.drain()
        for peer in peers:
            assert peer.frame() == (0x88, b"\x03\xf4")
        assert not served.threads[0].join(0.1)
        assert served.slot.connections == 3
        for peer in peers:
            peer.client.send(close(1012))
            assert peer.client.rest() == b""
        assert served.ended() == 0
    assert codes == [1012] * 3


def test_one_that_is_accepted_while_draining_is_closed_as_well() -> None:
    accepts = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while not accepts.is_set():
            await asyncio.sleep(0.01)
        await echo(scope, receive, send)

    with serving(application, lifespan="off", graceful_timeout=30, stream_grace=20) as served:
        client = served.connect()
        client.send(handshake())
        eventually(lambda: len(served.worker._registry.tasks) == 1)
        served.crew.drain()
        websockets = served.worker._registry.websockets
        assert websockets is not None
        eventually(lambda: websockets.retiring)
        accepts.set()
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        assert client.take(4) == b"\x88\x02\x03\xf4"
        client.send(close(1012))
        assert served.ended() == 0


def test_a_peer_that_ignores_it_is_cut_off() -> None:
    with serving(echo, lifespan="off", graceful_timeout=0.3) as served:
        peer = Peer(served)
        served.crew.drain()
        assert peer.frame() == (0x88, b"\x03\xf4")
        assert served.ended() == 1


@pytest.mark.parametrize("kind", ["tcp", "tls"])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_quick_stop_says_so_too(loop: str, kind: str) -> None:
    with serving(echo, kind=kind, loop=loop, lifespan="off") as served:
        peer = Peer(served)
        served.crew.quit()
        assert peer.frame() == (0x88, b"\x03\xf4")
        assert peer.client.rest() == b""
        assert served.ended() == 0
