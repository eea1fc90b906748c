"""Clients besides httpx: curl, and octets on a socket."""

import contextlib
import random
import select
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx

from tests.integration.server import PATIENCE, Server, wait_for


@dataclass(frozen=True)
class Answer:
    """What curl has received. heads: of all responses, 1xx and redirects too. facts: of `--write-out`."""

    code: int
    content: bytes
    heads: str
    facts: str
    trace: str


def curl(server: Server, path: str, *options: str, unix: bool = False, then: tuple[str, ...] = ()) -> Answer:
    """Run curl; its exit code is the test's to judge. then: paths that are asked for afterwards, whose content is not
    kept."""
    content, heads = server.directory / "curl-content", server.directory / "curl-heads"
    for file in (content, heads):
        file.write_bytes(b"")
    facts = "%{http_code} %{num_connects} %{size_upload}"
    way = ("--unix-socket", str(server.socket)) if unix else ()
    fixed = ("--silent", "--show-error", "--verbose", "--max-time", f"{PATIENCE:g}", "--noproxy", "*", *way)
    files = ("--output", str(content), "--dump-header", str(heads), "--write-out", facts)
    more = [word for other in then for word in ("--output", "/dev/null", server.url + other)]
    done = subprocess.run(
        ["curl", *fixed, *files, *options, server.url + path, *more], capture_output=True, check=False, env={}
    )
    return Answer(
        done.returncode,
        content.read_bytes(),
        heads.read_bytes().decode("latin-1"),
        done.stdout.decode(),
        done.stderr.decode("utf-8", "replace"),
    )


def send(connection: socket.socket, text: str) -> None:
    """Send octets written with line feeds for CRLF."""
    connection.sendall(text.replace("\n", "\r\n").encode("latin-1"))


def receive_all(connection: socket.socket) -> bytes:
    """Everything until the server closes. Raises `ConnectionResetError`."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def receive_until(connection: socket.socket, end: bytes, received: bytes = b"") -> bytes:
    """Receive until what was received has `end` somewhere."""
    while end not in received:
        data = connection.recv(65536)
        if not data:
            raise AssertionError(f"closed before {end!r}: {received!r}")
        received += data
    return received


def send_until_answered(connection: socket.socket, block: bytes) -> None:
    """Send `block` again and again until something comes back, at most 100 MB."""
    for _ in range(100_000_000 // len(block)):
        rest = memoryview(block)
        while rest:
            readable, writable, _ = select.select([connection], [connection], [], PATIENCE)
            if readable:
                return
            assert writable, "neither read nor answered"
            rest = rest[connection.send(rest, socket.MSG_DONTWAIT) :]
    raise AssertionError("no answer")


def ask(server: Server, text: str, *, unix: bool = False) -> bytes:
    """Send a request on a connection of its own; everything that is answered."""
    with server.connect(unix=unix) as connection:
        send(connection, text)
        return receive_all(connection)


def write_random(path: Path, size: int) -> bytes:
    """Fill a file with `size` octets that look like nothing, and return them."""
    data = random.Random(size).randbytes(size)
    path.write_bytes(data)
    return data


@contextlib.contextmanager
def request_in_progress(server: Server, name: str = "gate") -> Iterator[Callable[[], bytes]]:
    """A request that the application has and does not answer until the yielded function is called; that returns all
    that was answered."""
    with server.connect() as connection:
        send(connection, f"GET /gate?{name} HTTP/1.1\nHost: a\n\n")
        wait_for((server.directory / f"{name}.reached").exists, "the request in progress")

        def finish() -> bytes:
            (server.directory / name).touch()
            return receive_all(connection)

        yield finish


def refuses(server: Server) -> bool:
    """Whether nobody listens any more."""
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass  # just now, between the last look at who waits and the end of the listener
    return False


class Restless:
    """Does something again and again, in a thread of its own, until it is left."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        """To be ended by `_stopped`."""
        raise NotImplementedError


class Hammer(Restless):
    """Asks for a path again and again on new connections; collects the answers."""

    def __init__(self, server: Server, path: str = "/") -> None:
        super().__init__()
        self._server = server
        self._path = path
        self.answers: list[str] = []
        self.errors: list[Exception] = []

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                with self._server.client() as client:
                    for _ in range(3):
                        self.answers.append(client.get(self._path).raise_for_status().text)
            except httpx.HTTPError as error:
                self.errors.append(error)
