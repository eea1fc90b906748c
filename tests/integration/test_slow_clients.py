"""Slow clients do not keep the others from being served: a sync worker with four threads.

python -m pytest tests/integration/test_slow_clients.py          some hundred connections, as in every run
python -m tests.integration.test_slow_clients                    a thousand, for longer, with figures
"""

import contextlib
import resource
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.clients import Restless, send, write_random
from tests.integration.server import HOST, PATIENCE, Server, running, wait_for

MIB = 1024 * 1024
COUNT = 200
ROUNDS = 3  # octets of each slow client while the others are measured
PAUSE = 0.1  # seconds between two of them
OTHERS = 100  # requests of the others

OPTIONS = ("--threads", "4", "--header-timeout", "0", "--write-timeout", "0", "--backlog", "4096")
RESPONSES = {
    "block": "/block?size=1048576",
    "list": "/blocks?size=1048576",
    "file": "/file",
}


class SlowClients(Restless):
    """Connections that do something small in turn."""

    def __init__(self, connections: list[socket.socket], act: Callable[[socket.socket], object], pause: float) -> None:
        super().__init__()
        self._connections = connections
        self._act = act
        self._pause = pause
        self.rounds = 0
        self.broken = 0

    def _run(self) -> None:
        while True:
            for connection in self._connections:
                try:
                    self._act(connection)
                except BlockingIOError:
                    pass
                except OSError:
                    self.broken += 1
            self.rounds += 1
            if self._stopped.wait(self._pause):
                return


def connect(server: Server, count: int, stack: contextlib.ExitStack, *, unix: bool = False) -> list[socket.socket]:
    """So many connections with as little room for what they receive as the kernel grants."""
    connections = []
    for _ in range(count):
        connection = stack.enter_context(socket.socket(socket.AF_UNIX if unix else socket.AF_INET))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        connection.settimeout(PATIENCE)
        connection.connect(str(server.socket) if unix else (HOST, server.port))
        connections.append(connection)
    return connections


def latencies(server: Server, count: int) -> list[float]:
    """Seconds that each of `count` requests takes, half of them on connections of their own."""
    taken = []
    with server.client() as kept:
        for number in range(count):
            with contextlib.ExitStack() as stack:
                client = kept if number % 2 else stack.enter_context(server.client())
                began = time.perf_counter()
                assert client.get("/").text == "hello\n"
                taken.append(time.perf_counter() - began)
    return taken


def is_normal(before: list[float], during: list[float]) -> bool:
    """Not ten times slower in the middle, and nobody waits for long."""
    return statistics.median(during) < 10 * statistics.median(before) + 0.01 and max(during) < max(before) + 1


def measured(server: Server, before: list[float], during: list[float], others: int) -> list[float]:
    """Latencies that are normal, measured again where something else on the machine has held up somebody: where the
    server does, some wait each time for as long as the slow ones take, which is for ever."""
    end = time.monotonic() + PATIENCE
    while not is_normal(before, during) and time.monotonic() < end:
        during = latencies(server, others)
    return during


def judge(before: list[float], during: list[float]) -> None:
    assert is_normal(before, during), (statistics.median(before), max(before), statistics.median(during), max(during))


def slow_heads(server: Server, count: int, rounds: int, pause: float, others: int) -> list[list[float]]:
    """Clients that send their head octet by octet; the latencies of others before and during that."""
    before = latencies(server, others)
    with contextlib.ExitStack() as stack:
        connections = connect(server, count, stack)
        for connection in connections:
            send(connection, "GET / HTTP/1.1\nHost: a\nX-Slow: ")
        with SlowClients(connections, lambda connection: connection.send(b"x"), pause) as clients:
            during = latencies(server, others)
            wait_for(lambda: clients.rounds >= rounds, "the rounds", patience=600)
            during = measured(server, before, during + latencies(server, others), others)
        assert not clients.broken
        for connection in connections[:: max(1, count // 20)]:
            send(connection, "\nConnection: close\n\n")
            assert b"".join(iter(lambda one=connection: one.recv(65536), b"")).endswith(b"hello\n")
    return [before, during]


def slow_readers(server: Server, kind: str, count: int, rounds: int, pause: float, others: int) -> list[list[float]]:
    """Clients that read a response octet by octet; the latencies of others before and during that.

    Over unix sockets, as the kernel holds a fifth of a MiB for each of them: of TCP it may hold all of it.
    """
    content = (server.directory / "payload").read_bytes() if kind == "file" else b"x" * MIB
    before = latencies(server, others)
    with contextlib.ExitStack() as stack:
        connections = connect(server, count, stack, unix=True)
        for connection in connections:
            send(connection, f"GET {RESPONSES[kind]} HTTP/1.1\nHost: a\nConnection: close\n\n")
        for connection in connections:
            assert connection.recv(1) == b"H"
        with SlowClients(connections, lambda connection: connection.recv(1, socket.MSG_DONTWAIT), pause) as clients:
            during = latencies(server, others)
            wait_for(lambda: clients.rounds >= rounds, "the rounds", patience=600)
            during = measured(server, before, during + latencies(server, others), others)
        assert not clients.broken
        for connection in connections[:: max(1, count // 10)]:
            assert read_whole(connection).endswith(content)
    return [before, during]


def read_whole(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    _raise_limit()
    directory = tmp_path_factory.mktemp("slow")
    write_random(directory / "payload", MIB)
    with running(Server(directory, "plain_wsgi", *OPTIONS)) as server:
        yield server


def _raise_limit() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def test_slow_heads(server: Server) -> None:
    judge(*slow_heads(server, COUNT, ROUNDS, PAUSE, OTHERS))


@pytest.mark.parametrize("kind", RESPONSES)
def test_slow_readers(server: Server, kind: str) -> None:
    judge(*slow_readers(server, kind, COUNT, ROUNDS, PAUSE, OTHERS))


def test_streams_that_nobody_reads(server: Server) -> None:
    """A generator cannot change threads: its thread waits. Such waiters hold at most all threads but one, and when
    there are more, those that have stalled for longest are cut off."""
    before = latencies(server, 20)
    with contextlib.ExitStack() as stack:
        few = connect(server, 3, stack, unix=True)
        for connection in few:
            send(connection, "GET /stream?blocks=1000&size=10000 HTTP/1.1\nHost: a\n\n")
            assert connection.recv(1) == b"H"
        judge(before, measured(server, before, latencies(server, 20), 20))
        for connection in connect(server, 5, stack, unix=True):
            send(connection, "GET /stream?blocks=1000&size=10000 HTTP/1.1\nHost: a\n\n")
        judge(before, measured(server, before, latencies(server, 20), 20))


def main() -> None:
    """A thousand of each, an octet a second."""
    _raise_limit()
    directory = Path(tempfile.mkdtemp())
    write_random(directory / "payload", MIB)
    with running(Server(directory, "plain_wsgi", *OPTIONS)) as server:
        scale = (1000, 15, 1.0, 1000)
        results = {"heads": slow_heads(server, *scale)}
        for kind in RESPONSES:
            results[kind] = slow_readers(server, kind, *scale)
    for name, (before, during) in results.items():
        figures = [
            f"{statistics.median(part) * 1000:.2f} ms, at most {max(part) * 1000:.2f} ms" for part in (before, during)
        ]
        print(f"{name:8} before: {figures[0]}; during: {figures[1]}")
        judge(before, during)


if __name__ == "__main__":
    sys.exit(main())
