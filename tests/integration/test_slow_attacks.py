"""The four attacks of slowhttptest in small, without it, on every kind of worker: others are served, memory stays, and
descriptors return. In full size, with figures: `make bench ARGS=slow`."""

import contextlib
import socket
from collections.abc import Callable, Iterator

import pytest

from tests.integration.server import Server, running, wait_for
from tests.integration.test_floods import MIB, SERVERS, undisturbed
from tests.integration.test_slow_clients import SlowClients, connect

COUNT = 150
ROUNDS = 5
PAUSE = 0.1

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
BODY = b"POST /digest HTTP/1.1\r\nHost: a\r\nContent-Length: 8192\r\n\r\n"
UPLOAD = b"POST /digest HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 5000
RANGES = HEAD + b"Range: bytes=0-" + b"".join(b",5-%d" % end for end in range(6, 1300)) + b"\r\n\r\n"
STREAM = b"GET /stream?blocks=200&size=65536 HTTP/1.1\r\nHost: a\r\n\r\n"


def says(octets: bytes) -> Callable[[socket.socket], object]:
    return lambda connection: connection.send(octets)


def reads(connection: socket.socket) -> object:
    return connection.recv(5, socket.MSG_DONTWAIT)


# name -> (what is sent at first, what is done again and again)
ATTACKS: dict[str, tuple[bytes, Callable[[socket.socket], object]]] = {
    "heads": (HEAD, says(b"X-a: b\r\n")),
    "bodies": (BODY, says(b"&a=b")),
    "uploads": (UPLOAD, says(b"&a=b")),  # more than is held back: the application reads them as they come
    "ranges": (RANGES, reads),
    "readers": (STREAM, reads),
}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = ("--log-level", "warning", "--body-buffer-size", "4k", "--keep-alive", "60")
    errors = ("the client has left", "the peer has gone", "Disconnected")
    directory = tmp_path_factory.mktemp("attack")
    with running(Server(directory, *SERVERS[request.param], *options, errors=errors)) as server:
        yield server


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack(server: Server, attack: str) -> None:
    begins, act = ATTACKS[attack]
    with undisturbed(server, added=COUNT * MIB // 5 + 24 * MIB), contextlib.ExitStack() as stack:
        connections = connect(server, COUNT, stack)
        for connection in connections:
            connection.sendall(begins)
        clients = stack.enter_context(SlowClients(connections, act, PAUSE))
        wait_for(lambda: clients.rounds >= ROUNDS, "the rounds")
