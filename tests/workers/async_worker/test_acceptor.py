"""Accepting: limits, pauses, and that nobody is dropped."""

import asyncio
import os
import resource
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pyserve.workers.async_worker import acceptor as acceptor_module
from pyserve.workers.async_worker.acceptor import Accepting, Acceptor
from pyserve.workers.scoreboard import TIMEOUTS_KEEPALIVE
from tests.workers.serving import PATIENCE, Served, eventually, request, serving


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


class Gate:
    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/waits":
            self.begun.release()
            await self.go.wait()
        await hello(scope, receive, send)


def state(served: Served) -> Accepting:
    acceptor = served.worker._registry.acceptor
    assert acceptor is not None
    return acceptor.state


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_at_the_limit_the_oldest_idle_connection_gives_way(loop: str, kind: str) -> None:
    with serving(hello, loop=loop, kind=kind, lifespan="off", worker_connections=3) as served:
        clients = [served.connect() for _ in range(3)]
        for client in (clients[1], clients[0], clients[2]):
            assert client.get()[1] == b"ok"
        eventually(lambda: state(served) is Accepting.FULL)
        more = [served.connect() for _ in range(2)]
        for client in more:
            assert client.get()[1] == b"ok"
        assert clients[1].rest() == b""
        assert clients[0].rest() == b""
        assert clients[2].get()[1] == b"ok"
        assert served.slot.connections == 3
        assert served.crew.counters[TIMEOUTS_KEEPALIVE] == 2


def test_at_the_limit_without_an_idle_one_the_kernel_queues(loop: str) -> None:
    application = Gate()
    with serving(application, loop=loop, lifespan="off", worker_connections=2) as served:
        busy = [served.connect() for _ in range(2)]
        for client in busy:
            client.send(request("/waits"))
            assert application.begun.acquire(timeout=PATIENCE)
        waiting = [served.connect() for _ in range(10)]
        for client in waiting:
            client.send(request("/", "Connection: close"))
        threading.Event().wait(0.3)
        assert served.slot.connections == 2
        served.call(application.go.set)
        for client in busy:
            assert client.response()[1] == b"ok"
        for client in waiting:  # the busy ones are idle now and give way; each of these closes
            assert client.rest().endswith(b"ok")
            client.socket.close()


def test_never_more_connections_than_the_limit(loop: str) -> None:
    application = Gate()
    most = 0
    with serving(application, loop=loop, lifespan="off", worker_connections=5) as served:
        clients = [served.connect() for _ in range(40)]
        for client in clients:
            client.send(request("/", "Connection: close"))
        for client in clients:
            most = max(most, served.slot.connections)
            assert client.rest().endswith(b"ok")
            client.socket.close()
    assert most <= 5


@pytest.fixture
def few_descriptors() -> Iterator[int]:
    """A soft limit not far above what is open now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = max(map(int, os.listdir("/proc/self/fd"))) + acceptor_module.RESERVE + 80
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    yield limit
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_descriptors_running_out_pauses_accepting(loop: str, few_descriptors: int) -> None:
    application = Gate()
    with serving(application, loop=loop, lifespan="off", worker_connections=10_000) as served:
        eaten = []
        try:
            with socket.socket() as probe:
                while probe.fileno() + acceptor_module.RESERVE + 10 > len(eaten) + probe.fileno():
                    eaten.append(socket.socket())
                    if eaten[-1].fileno() > few_descriptors - acceptor_module.RESERVE - 12:
                        break
            clients = [served.connect() for _ in range(2)]
            for client in clients:
                client.send(request("/waits"))
                assert application.begun.acquire(timeout=PATIENCE)
            while state(served) is not Accepting.STARVED:
                clients.append(served.connect())
                clients[-1].send(request())
                eventually(lambda: served.slot.connections == len(clients) or state(served) is Accepting.STARVED)
            late = served.connect()
            late.send(request())
            eventually(lambda: "Few file descriptors are left" in served.log)
        finally:
            for each in eaten:
                each.close()
        assert late.response()[1] == b"ok"  # it was in the kernel's queue
        eventually(lambda: state(served) is Accepting.OPEN)
        assert served.log.count("Few file descriptors are left") == 1


class Others:
    """What the acceptor asks of its worker."""

    def __init__(self) -> None:
        self.crowded = False

    def make_room(self) -> bool:
        return False

    def say_full(self) -> None:
        """Nobody asks."""

    def has_more_than_its_share(self) -> bool:
        return self.crowded


def run_acceptor(test: Any) -> None:
    """Run `test(acceptor, others, made, address)` on a loop, with one listener; `made` are its connections."""

    async def main() -> None:
        made: list[asyncio.BaseTransport] = []
        others = Others()

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                made.append(transport)
                acceptor.made(len(made), transport.get_extra_info("socket").fileno())

        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            acceptor = Acceptor([(listener, Protocol)], 10, 100, others, print)
            await acceptor.open()
            await test(acceptor, others, made, listener.getsockname())
            acceptor.close()
            for transport in made:
                transport.close()
            await asyncio.sleep(0)

    asyncio.run(main())


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


def test_stepping_back_until_the_share_is_even() -> None:
    async def test(acceptor: Acceptor, others: Others, made: list[Any], address: Any) -> None:
        others.crowded = True
        with socket.create_connection(address):
            await until(lambda: acceptor.state is Accepting.STEPPING)
            await asyncio.sleep(0.05)  # nobody waits: there is no reason to come back
            assert acceptor.state is Accepting.STEPPING
            others.crowded = False
            await until(lambda: acceptor.state is Accepting.OPEN)

    run_acceptor(test)


def test_who_is_not_taken_by_the_others_is_taken_after_all() -> None:
    async def test(acceptor: Acceptor, others: Others, made: list[Any], address: Any) -> None:
        others.crowded = True
        clients = [socket.create_connection(address) for _ in range(5)]
        await until(lambda: len(made) == 5)
        await until(lambda: acceptor.state is Accepting.STEPPING)
        for client in clients:
            client.close()

    run_acceptor(test)


async def step_back(acceptor: Acceptor, others: Others, address: Any, ended: int) -> None:
    """A whole step back, in which so many connections end."""
    others.crowded = True
    with socket.create_connection(address):
        await until(lambda: acceptor.state is Accepting.STEPPING)
    for _ in range(ended):
        acceptor.lost(0)
    others.crowded = False
    await until(lambda: acceptor.state is Accepting.OPEN)


def test_where_connections_come_and_go_stepping_back_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pause would cost much and balance nothing."""
    monkeypatch.setattr(acceptor_module, "_REST", 3600.0)
    monkeypatch.setattr(acceptor_module, "_LONGEST_REST", 7200.0)

    async def test(acceptor: Acceptor, others: Others, made: list[Any], address: Any) -> None:
        await step_back(acceptor, others, address, ended=0)
        await step_back(acceptor, others, address, ended=1)
        others.crowded = True
        with socket.create_connection(address):
            await until(lambda: len(made) == 3)
            assert acceptor.state is Accepting.OPEN

    run_acceptor(test)


def test_stepping_back_is_tried_again_after_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor_module, "_LONGEST_REST", 0.0)

    async def test(acceptor: Acceptor, others: Others, made: list[Any], address: Any) -> None:
        for _ in range(3):
            await step_back(acceptor, others, address, ended=1)

    run_acceptor(test)


def test_who_waits_is_known() -> None:
    async def test(acceptor: Acceptor, others: Others, made: list[Any], address: Any) -> None:
        assert not acceptor.waiting()
        with socket.create_connection(address):
            assert acceptor.waiting()
            await until(lambda: made)
            assert not acceptor.waiting()

    run_acceptor(test)


@pytest.mark.parametrize("crowded", [True, False])
def test_closed_is_closed(crowded: bool) -> None:
    async def test(acceptor: Acceptor, others: Others, made: list[Any], address: Any) -> None:
        others.crowded = crowded
        with socket.create_connection(address):
            await until(lambda: made)
        acceptor.close()
        assert acceptor.closed
        others.crowded = False
        acceptor.lost(0)
        await asyncio.sleep(0.03)
        assert acceptor.closed
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        acceptor.close()

    run_acceptor(test)


def test_one_connection_at_a_time_on_asyncio() -> None:
    async def test(acceptor: Acceptor, others: Others, made: list[Any], address: Any) -> None:
        clients = [socket.create_connection(address) for _ in range(5)]
        seen = []
        while len(made) < 5:
            await asyncio.sleep(0)
            if not seen or seen[-1] != len(made):
                seen.append(len(made))
        assert seen == [0, 1, 2, 3, 4, 5]
        for client in clients:
            client.close()

    run_acceptor(test)


def test_who_is_accepted_when_the_end_comes_is_served() -> None:
    """asyncio resets a connection that it has accepted and not made when its server is closed."""

    async def test(acceptor: Acceptor, others: Others, made: list[Any], address: Any) -> None:
        with socket.create_connection(address) as client, socket.create_connection(address) as late:
            while not acceptor.unmade:
                await asyncio.sleep(0)
            acceptor.close()
            await until(lambda: made)
            assert acceptor.closed
            made[0].write(b"served")
            client.settimeout(PATIENCE)
            assert await asyncio.to_thread(client.recv, 10) == b"served"
            assert len(made) == 1, "nothing is accepted once it is closed"
            # Nobody holds the listener any more, so the kernel refuses who waits there.
            late.settimeout(PATIENCE)
            with pytest.raises(ConnectionResetError):
                await asyncio.to_thread(late.recv, 10)

    run_acceptor(test)
