"""The connections of one async worker; what they tell is tested with the streams, the acceptor and the loop."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from pyserve.protocol.errors import Disconnected
from pyserve.workers.async_worker.registry import Door, Registry, _is_silent, _stands_out
from pyserve.workers.scoreboard import Scoreboard, State
from tests.workers.serving import eventually, request, serving


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204})
    await send({"type": "http.response.body"})


@pytest.mark.parametrize(
    ("value", "mean", "expected"),
    [(4, 0.0, False), (5, 0.0, True), (20, 16.0, False), (21, 16.0, True), (125, 100.0, False), (126, 100.0, True)],
)
def test_what_stands_out(value: int, mean: float, expected: bool) -> None:
    assert _stands_out(value, mean) is expected


def test_a_worker_knows_whether_it_has_more_than_its_share() -> None:
    with serving(hello, lifespan="off") as served:
        registry = served.worker._registry
        assert not registry.has_more_than_its_share()  # alone
        board = Scoreboard(2, 1)
        for slot in board.slots():
            slot.state = State.READY
        registry._board = board
        registry._words = board.slot(0).words
        clients = [served.connect() for _ in range(12)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            client.until(b"\r\n\r\n")
        assert registry.has_more_than_its_share()
        board.slot(1).connections = 10
        assert not registry.has_more_than_its_share()


@pytest.mark.parametrize("reuse_port", [False, True])
def test_nobody_else_takes_what_waits_at_a_listener_of_ones_own(reuse_port: bool) -> None:
    """So there is nobody to step back for."""
    with serving(hello, lifespan="off", reuse_port=reuse_port) as served:
        served.crew.context.multiprocess = True
        board = Registry(served.loop, served.crew, lambda: None)._board
        assert (board is None) is reuse_port


class Exchange:
    gone = False
    peer_done = False


def chained(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


GONE = Disconnected("gone")


@pytest.mark.parametrize(
    ("error", "silent"),
    [
        (GONE, True),
        (asyncio.CancelledError(), True),
        (ValueError(), False),
        (chained(ValueError(), GONE), True),
        (chained(ValueError(), chained(KeyError(), GONE)), True),
        (BaseExceptionGroup("", [GONE, asyncio.CancelledError()]), True),
        (BaseExceptionGroup("", [GONE, ValueError()]), False),
        (chained(ValueError(), ExceptionGroup("", [Disconnected("gone")])), True),
    ],
)
@pytest.mark.parametrize("how", ["gone", "peer_done", ""])
def test_what_only_says_that_the_peer_has_gone_is_silent(error: BaseException, silent: bool, how: str) -> None:
    exchange: Any = Exchange()
    if how:
        setattr(exchange, how, True)
    assert _is_silent(exchange, error) is (silent and bool(how))


def test_a_circle_of_causes_ends() -> None:
    exchange: Any = Exchange()
    exchange.gone = True
    first = ValueError()
    second = chained(KeyError(), first)
    first.__cause__ = second
    assert not _is_silent(exchange, first)


class Transport:
    def get_extra_info(self, name: str) -> Any:
        assert name == "sockname"
        return ("10.1.2.3", 99, 0, 0)


def test_the_address_that_a_peer_has_connected_to(tmp_path: Path) -> None:
    transport: Any = Transport()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert Door(listener).reached(transport) == listener.getsockname()
    with socket.create_server(("0.0.0.0", 0)) as listener:
        assert Door(listener).reached(transport) == ("10.1.2.3", 99)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        assert Door(listener).reached(transport) == (str(tmp_path / "socket"), None)


def test_the_oldest_idle_connection_goes_first() -> None:
    with serving(hello, lifespan="off") as served:
        registry: Registry = served.worker._registry
        clients = [served.connect() for _ in range(4)]
        for client in (clients[2], clients[0], clients[3]):
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            client.until(b"\r\n\r\n")
        eventually(lambda: served.slot.connections == 4)
        made: list[bool] = []
        served.call(lambda: made.append(registry.make_room()))
        assert clients[2].rest() == b""
        # the next in line has been used meanwhile
        clients[0].send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        clients[0].until(b"\r\n\r\n")
        for client in (clients[3], clients[0]):
            served.call(lambda: made.append(registry.make_room()))
            assert client.rest() == b""
        served.call(lambda: made.append(registry.make_room()))  # the last one has not asked for anything yet
        eventually(lambda: made == [True, True, True, False])


@pytest.mark.parametrize(("parts", "most"), [(200, 1), (2, 2)])
def test_many_connections_are_judged_some_at_a_time(monkeypatch: pytest.MonkeyPatch, parts: int, most: int) -> None:
    """For a moment, but not so few that a loop which takes long for a turn never came round."""
    monkeypatch.setattr("pyserve.workers.async_worker.registry._MOMENT", 0.0)
    monkeypatch.setattr("pyserve.workers.async_worker.registry._PARTS", parts)
    judged: list[Any] = []
    sizes: list[int] = []
    check = Registry.check

    def counting(registry: Registry, now: float) -> float:
        before = len(judged)
        pause = check(registry, now)
        sizes.append(len(judged) - before)
        return pause

    monkeypatch.setattr(Registry, "_judge", lambda registry, stream, now: judged.append(stream))
    monkeypatch.setattr(Registry, "check", counting)
    with serving(hello, lifespan="off", header_timeout=0.2) as served:
        clients = [served.connect() for _ in range(5)]
        eventually(lambda: served.slot.connections == 5)
        clients[0].socket.close()  # it is not judged any more
        eventually(lambda: served.slot.connections == 4)
        begun = len(judged)
        eventually(lambda: len(judged) >= begun + 24)
        last = judged[-12:]
    rounds = [last[at : at + 4] for at in range(0, 12, 4)]
    assert all(len(set(each)) == 4 for each in rounds)
    assert max(sizes) == most


def test_deadlines_are_judged_on_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    checks: list[float] = []

    def fails(registry: Registry, now: float) -> float:
        checks.append(now)
        if len(checks) > 1:  # the first is a part of the start
            raise RuntimeError("an error of ours")
        return 0.01

    monkeypatch.setattr(Registry, "check", fails)
    with serving(hello, lifespan="off", header_timeout=0.1) as served:
        eventually(lambda: len(checks) >= 3)
        served.stop()
        assert "an error of ours" in served.log


def test_what_holds_the_loop_comes_first_and_then_the_oldest() -> None:
    named: list[list[bytes]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        if scope["path"] == "/now":
            named.append([exchange.target for exchange in served.worker._registry.busy_with()])
        else:
            await asyncio.sleep(60)

    with serving(application, lifespan="off") as served:
        for number, path in enumerate(("/first", "/second"), 1):
            served.connect().send(request(path))
            eventually(lambda number=number: len(served.worker._registry.tasks) == number)
        served.connect().send(request("/now"))
        eventually(lambda: bool(named))
    assert named == [[b"/now", b"/first", b"/second"]]
