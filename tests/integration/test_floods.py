"""Floods: much of something that is cheap to send. Others are served meanwhile, memory stays flat, descriptors return.

python -m pytest tests/integration/test_floods.py     in small, as in every run
python -m tests.integration.test_floods [way ...]     in full size: a million requests, a gigabyte, with figures
"""

import contextlib
import itertools
import re
import select
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.clients import receive_all, receive_until, send_until_answered
from tests.integration.server import HOST, PATIENCE, Server, peak, rss, running, wait_for

MIB = 1024 * 1024
ADDED = 24 * MIB  # which a flood may make of memory, whatever its size; most of it is the allocator's slack

SERVERS = {
    "sync": ("plain_wsgi",),
    "threads": ("plain_wsgi", "--threads", "4"),
    "async": ("plain_asgi:app",),
    "async-wsgi": ("plain_wsgi", "--worker-class", "async", "--threads", "4"),
}
HELLO = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST /digest HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER without time


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@dataclass
class Others:
    """A client that asks again and again while a flood goes on. slowest: seconds."""

    server: Server
    slowest: float = 0.0
    answers: int = 0
    errors: list[Exception] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._stopped.is_set():
            began = time.monotonic()
            try:
                with self.server.connect() as connection:
                    connection.sendall(HELLO.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                    assert receive_all(connection).endswith(b"hello\n")
                self.answers += 1
            except Exception as error:
                self.errors.append(error)
            self.slowest = max(self.slowest, time.monotonic() - began)
            self._stopped.wait(0.005)


@contextlib.contextmanager
def undisturbed(server: Server, added: int = ADDED) -> Iterator[None]:
    """What happens in the block must not hurt: judged at its end."""
    (worker,) = server.workers()
    open_before = descriptors(worker)
    before = rss(worker)
    Path(f"/proc/{worker}/clear_refs").write_text("5")  # the peak begins anew
    others = Others(server)
    thread = threading.Thread(target=others.run)
    thread.start()
    try:
        yield
        wait_for(lambda: others.answers >= 3, "answers for others")
    finally:
        others._stopped.set()
        thread.join()
    assert not others.errors
    assert others.slowest < PATIENCE  # where the flood holds somebody up, it is until a deadline
    grown = peak(worker) - before
    assert grown < added, f"{grown / MIB:.1f} MiB more"
    assert server.workers() == [worker]
    wait_for(lambda: descriptors(worker) <= open_before, "the descriptors' return")
    print(f"  {others.answers} others, the slowest {others.slowest * 1000:.1f} ms, +{grown / MIB:.1f} MiB")


# The floods; scale 1 is the small size


def pipelined(server: Server, scale: int) -> None:
    """20,000 requests on one connection; a million in full size."""
    count = 20_000 * scale
    with server.connect() as connection:
        sender = threading.Thread(target=_send_many, args=(connection, HELLO * 100, count // 100))
        sender.start()
        answers = 0
        tail = b""
        while answers < count:
            data = connection.recv(MIB)
            assert data, f"closed after {answers}"
            answers += (tail + data).count(b"\r\n\r\nhello\n")
            tail = data[-9:]
        sender.join()
    assert answers == count


def pipelined_unread(server: Server, scale: int) -> None:
    """As many, whose answers nobody reads: the server stops reading instead of keeping either."""
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            connection = stack.enter_context(server.connect())
            _send_all_it_takes(connection, HELLO * 1000, 4 * MIB * scale)


def heads(server: Server, scale: int) -> None:
    """20 MB of heads that are too large; a gigabyte in full size."""
    total = 0
    kinds = itertools.cycle(
        [
            (b"GET /", b"x" * 65536),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"x" * 65536),
            (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X-A: bbbbbbb\r\n" * 5000),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX:", b" " * 65536),
        ]
    )
    while total < 20_000_000 * scale:
        begins, block = next(kinds)
        with server.connect() as connection:
            connection.sendall(begins)
            total += _send_all_it_takes(connection, block, MIB) + len(begins)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(65536)[9:12] in (b"414", b"431")


def tiny_chunks(server: Server, scale: int) -> None:
    """20,000 chunks of an octet in one body; 200,000 in full size."""
    count = 20_000 * min(scale, 10)
    with server.connect() as connection:
        connection.sendall(CHUNKED)
        _send_many(connection, b"1\r\nx\r\n" * 100, count // 100)
        connection.sendall(b"0\r\n\r\n")
        assert _length(connection) == count


def octet_by_octet(server: Server, scale: int) -> None:
    """A chunked body whose octets each come in a packet of their own."""
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in CHUNKED + b"1\r\nx\r\n" * 200 * scale + b"0\r\n\r\n":
            connection.send(bytes([octet]))
        assert _length(connection) == 200 * scale


def tiny_bodies(server: Server, scale: int) -> None:
    """2,000 requests with a chunk of an octet each, pipelined."""
    count = 2_000 * scale
    with server.connect() as connection:
        sender = threading.Thread(
            target=_send_many, args=(connection, (CHUNKED + b"1\r\nx\r\n0\r\n\r\n") * 10, count // 10)
        )
        sender.start()
        received = b""
        answers = 0
        while answers < count:
            data = connection.recv(65536)
            assert data
            answers += (received[-20:] + data).count(b'{"length": 1, ')
            received = data
            assert answers <= count
        sender.join()


def endless(server: Server, scale: int) -> None:
    """Trailers, extensions, chunk sizes and empty lines without end."""
    for begins, block in (
        (CHUNKED + b"1\r\nx\r\n0\r\n", b"X-T: yyyyyyyyyyyyyyyy\r\n" * 1000),
        (CHUNKED + b"1\r\nx\r\n0\r\nX-T: ", b"y" * 65536),
        (CHUNKED + b"1;a=", b"y" * 65536),
        (CHUNKED, b"1;a=" + b"y" * 900 + b"\r\nx\r\n"),
        (CHUNKED, b"0" * 65536),
        (b"", b"\r\n" * 32768),
    ):
        for _ in range(scale):
            with server.connect() as connection:
                connection.sendall(begins)
                with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                    send_until_answered(connection, block)
                    assert connection.recv(65536)[9:10] == b"4"


def garbage(server: Server, scale: int) -> None:
    """What is not HTTP: TLS, gzip, zeros, anything."""
    hello = bytes.fromhex("1603010200010001fc0303") + bytes(range(256)) * 2
    for octets in (hello, b"\x1f\x8b\x08\x00" + bytes(1000), bytes(65536), b"\xff" * 65536, b"SSH-2.0-x\r\n\r\n"):
        for _ in range(20 * scale):
            with server.connect() as connection, contextlib.suppress(ConnectionResetError, BrokenPipeError):
                connection.sendall(octets)
                assert receive_all(connection).startswith(b"HTTP/1.1 400 ")


def dropped(server: Server, scale: int) -> None:
    """2,000 connections that are left at once, in four ways; 100,000 in full size."""
    beginnings = (b"", b"GET / HT", HELLO, CHUNKED + b"5\r\nab")
    for number in range(2_000 * scale):
        with server.connect() as connection:
            if octets := beginnings[number % 4]:
                connection.sendall(octets)
            if number % 3:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def crowded(server: Server, scale: int) -> None:
    """More connections at once than may wait to be accepted (`--backlog 8`): who was let in is answered, and who comes
    afterwards. For those for whom there was no room the kernel tries again, after seconds; they are not waited for."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.socket()) for _ in range(100 * min(scale, 10))]
        for client in clients:
            client.setblocking(False)
            client.connect_ex((HOST, server.port))
        connected: list[socket.socket] = []
        answered = 0

        def enough() -> bool:
            """Not all: some may think that they are connected before they are."""
            nonlocal answered
            for client in select.select([], clients, [], 0)[1]:
                clients.remove(client)
                connected.append(client)
                client.settimeout(PATIENCE)
                client.sendall(HELLO)
            for client in select.select(connected, [], [], 0)[0]:
                connected.remove(client)
                answered += client.recv(65536).startswith(b"HTTP/1.1 200 ")
            return answered >= 8

        wait_for(enough, "answers for who was let in")


def _send_many(connection: socket.socket, block: bytes, times: int) -> None:
    for _ in range(times):
        connection.sendall(block)


def _send_all_it_takes(connection: socket.socket, block: bytes, most: int) -> int:
    """Send `block` again and again until nothing is taken for a moment, it is cut, or `most` octets; how many were."""
    taken = 0
    rest = memoryview(block)
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while taken < most and select.select([], [connection], [], 0.2)[1]:
            sent = connection.send(rest, socket.MSG_DONTWAIT)
            taken += sent
            rest = rest[sent:] or memoryview(block)
    return taken


def _length(connection: socket.socket) -> int:
    """What /digest says."""
    found = re.search(rb'"length": (\d+)', receive_until(connection, b"}"))
    assert found
    return int(found[1])


FLOODS: list[Callable[[Server, int], None]] = [
    pipelined, pipelined_unread, heads, tiny_chunks, octet_by_octet, tiny_bodies, endless, garbage, dropped,
]  # fmt: skip


def _start(directory: Path, way: str, *options: str) -> Server:
    errors = ("ConnectionError: the client has left",)  # what the ASGI one raises when it is told so
    return Server(directory, *SERVERS[way], "--log-level", "warning", *options, errors=errors)


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(_start(tmp_path_factory.mktemp("flood"), request.param)) as server:
        yield server


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.__name__)
def test_a_flood(server: Server, flood: Callable[[Server, int], None]) -> None:
    with undisturbed(server):
        flood(server, 1)


@pytest.mark.parametrize("way", SERVERS)
def test_more_than_may_wait(tmp_path: Path, way: str) -> None:
    with running(_start(tmp_path, way, "--backlog", "8")) as server:
        crowded(server, 1)
        with undisturbed(server):
            pass


def main() -> None:
    """In full size, on a server of its own each."""
    for way in sys.argv[1:] or SERVERS:
        for flood in [*FLOODS, crowded]:
            scale = 5 if flood in (octet_by_octet, tiny_bodies, garbage, endless) else 50
            backlog = ("--backlog", "8") if flood is crowded else ()
            with running(_start(Path(tempfile.mkdtemp()), way, *backlog)) as server:
                print(f"{way} {flood.__name__}", flush=True)
                began = time.monotonic()
                with undisturbed(server, 2 * ADDED):
                    flood(server, scale)
                print(f"  {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
