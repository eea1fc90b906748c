"""What is left of the request of a connection that has ended: nothing that only the garbage collector would find. A
collection keeps everybody waiting, and what waits for it is memory that peers can make grow."""

import gc
from collections.abc import Callable, Iterator

import pytest

from pyserve.protocol.exchange import Exchange
from tests.workers.both import BOTH, working
from tests.workers.serving import Client, eventually, request

CLOSE = request("/", "Connection: close")
UPLOAD = request("/read", "Connection: close", "Content-Length: 100000", method="POST") + b"x" * 100_000
CHUNKED = request("/read", "Connection: close", "Transfer-Encoding: chunked", method="POST") + b"1\r\nx\r\n0\r\n\r\n"
UNREAD = request("/", "Connection: close", "Content-Length: 100000", method="POST") + b"x" * 100_000
MALFORMED = b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"


@pytest.fixture
def remains() -> Iterator[Callable[[], int]]:
    """How many requests there are, without collections."""

    def count() -> int:
        return sum(isinstance(thing, Exchange) for thing in gc.get_objects()) - before

    before = 0
    gc.collect()
    gc.disable()
    before = count()
    yield count
    gc.enable()


@BOTH
@pytest.mark.parametrize("kind", ["tcp", "tls"])
@pytest.mark.parametrize(
    "octets",
    [CLOSE, UPLOAD, CHUNKED, UNREAD, MALFORMED],
    ids=["close", "upload", "chunked", "unread", "malformed"],
)
def test_of_an_answer_at_the_end(way: str, kind: str, octets: bytes, remains: Callable[[], int]) -> None:
    with working(way, kind=kind) as worker:
        client = worker.connect()
        client.send(octets)
        assert client.rest()
        client.socket.close()
        eventually(lambda: not remains())


@BOTH
@pytest.mark.parametrize("leave", [Client.fin, Client.reset])
def test_of_one_that_leaves(way: str, leave: Callable[[Client], None], remains: Callable[[], int]) -> None:
    with working(way) as worker:
        client = worker.connect()
        client.send(request("/read", "Content-Length: 9", method="POST") + b"x")
        eventually(lambda: remains() == 1)
        leave(client)
        client.socket.close()
        eventually(lambda: not remains())
