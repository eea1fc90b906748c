"""Clients besides httpx: curl, and octets on a socket."""

import random
import select
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.integration.server import PATIENCE, Server


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
