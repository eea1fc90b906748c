"""100 MiB in and 100 MiB out leave a worker's memory flat, however they come and go."""

import hashlib
import itertools
import socket
from collections.abc import Callable, Iterable

import pytest

from tests.integration.clients import receive_until, send
from tests.integration.server import Server, peak, rss
from tests.integration.ways import WAYS

Serve = Callable[..., Server]
MIB = 1024 * 1024
SIZE = 100 * MIB
BLOCK = b"0123456789abcdef" * 16384  # a quarter of a MiB
MOST = 6 * MIB


def read_content(connection: socket.socket, head: bytes) -> tuple[int, str]:
    """How much follows what has come of a response whose end is the connection's, and its digest."""
    buffer = bytearray(MIB)
    rest = head.partition(b"\r\n\r\n")[2]
    seen, size = hashlib.sha256(rest), len(rest)
    while count := connection.recv_into(buffer):
        seen.update(memoryview(buffer)[:count])
        size += count
    return size, seen.hexdigest()


def download(server: Server, path: str) -> tuple[int, str]:
    """By HTTP/1.0, so that nothing needs to be taken apart."""
    with server.connect() as connection:
        send(connection, f"GET {path} HTTP/1.0\n\n")
        head = receive_until(connection, b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        return read_content(connection, head)


def upload(server: Server, blocks: Iterable[bytes], length: int) -> bytes:
    with server.connect() as connection:
        framing = f"Content-Length: {length}" if length else "Transfer-Encoding: chunked"
        send(connection, f"POST /digest HTTP/1.1\nHost: a\n{framing}\n\n")
        for block in blocks:
            connection.sendall(block)
        return receive_until(connection, b"}")


@WAYS
def test_100_mib(serve: Serve, app: str, options: tuple[str, ...]) -> None:
    count = SIZE // len(BLOCK)
    digest = hashlib.sha256(BLOCK * count).hexdigest()
    server = serve(app, *options)
    with open(server.directory / "payload", "wb") as payload:
        payload.writelines(itertools.repeat(BLOCK, count))
    (worker,) = server.workers()
    # Once each, with less: what grows to some size whatever the size of a body.
    upload(server, [BLOCK] * 8, 8 * len(BLOCK))
    download(server, "/stream?blocks=100&size=100000")
    before = rss(worker)

    assert digest.encode() in upload(server, itertools.repeat(BLOCK, count), SIZE)
    chunk = b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK)
    assert digest.encode() in upload(server, itertools.chain(itertools.repeat(chunk, count), [b"0\r\n\r\n"]), 0)
    assert download(server, "/file") == (SIZE, digest)
    size, _ = download(server, f"/stream?blocks={SIZE // 100_000}&size=100000")
    assert size == SIZE // 100_000 * 100_000
    assert peak(worker) - before < MOST


@pytest.mark.parametrize("app", ["plain_wsgi", "plain_asgi:app"])
def test_many_requests_leave_nothing(serve: Serve, app: str) -> None:
    """Connections and requests are forgotten when they are over."""
    server = serve(app)
    (worker,) = server.workers()
    requests = b"POST /echo HTTP/1.1\r\nHost: a\r\nX-Number: 12345678\r\nContent-Length: 5\r\n\r\n12345" * 100

    def some(connections: int) -> None:
        for _ in range(connections):
            with server.connect() as connection:
                connection.sendall(requests)
                received = b""
                while received.count(b"12345") < 100:
                    received += connection.recv(65536)

    some(30)
    before = rss(worker)
    some(100)
    assert rss(worker) - before < MIB
