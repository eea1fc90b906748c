"""Memory is bounded by the settings: docs/security.md has the formula, and here it is held against a running worker."""

import contextlib
import select
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from pyserve.settings import Settings
from tests.integration.server import Server, peak, rss, wait_for

Serve = Callable[..., Server]

KIB, MIB = 1024, 1024 * 1024
CONSTANT = 24 * MIB  # of the whole worker: the allocator's slack
CONNECTION = 48 * KIB  # objects, and a thread where one waits for the client
READ = {"plain_wsgi": 64 * KIB, "plain_asgi:app": 256 * KIB}  # octets of one read
BLOCK = 64 * KIB  # the application's here
HIGH_WATER = 64 * KIB
BOTH = pytest.mark.parametrize("app", READ)


def of_head(settings: Settings) -> int:
    fields = settings.limit_request_fields * (settings.limit_request_field_size + 2)
    return (settings.limit_request_line + 2 + fields) * 9 // 8  # a buffer that grows has some to spare


def of_body(settings: Settings, count: int) -> int:
    """Of all connections together."""
    return min(count * settings.body_buffer_size, settings.body_buffer_total)


def push(connections: list[socket.socket], octets: bytes) -> None:
    """Send to all as much as is taken."""
    for connection in connections:
        rest = memoryview(octets)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while rest and select.select([], [connection], [], 0.2)[1]:
                rest = rest[connection.send(rest, socket.MSG_DONTWAIT) :]


def grown(server: Server, count: int, octets: bytes, at_least: int = 0) -> int:
    """Octets of memory that so many connections take which send `octets`, as far as those are taken, and read nothing.
    at_least: what that is if all of them are."""
    (worker,) = server.workers()
    with contextlib.ExitStack() as stack:
        before = rss(worker)
        Path(f"/proc/{worker}/clear_refs").write_text("5")
        connections = [stack.enter_context(server.connect()) for _ in range(count)]
        if at_least:
            for connection in connections:
                connection.sendall(octets)
        else:
            push(connections, octets)
        with server.client() as client:
            assert client.get("/").text == "hello\n"
        wait_for(lambda: peak(worker) - before >= at_least, "the growth that was to be measured")
        after = peak(worker)
    wait_for(lambda: server.workers() == [worker], "the worker")
    return after - before


@BOTH
def test_heads_that_do_not_end(serve: Serve, app: str) -> None:
    settings = Settings(limit_request_fields=50, limit_request_field_size=4000)
    server = serve(app, "--limit-request-fields", "50", "--limit-request-field-size", "4000")
    line = b"GET /" + b"x" * 4000 + b" HTTP/1.1\r\nHost: a\r\n"
    field = b"X: " + b"y" * 3900 + b"\r\n"
    found = grown(server, 150, line + field * 48, at_least=150 * 48 * len(field))
    assert found < 150 * (CONNECTION + of_head(settings) + READ[app]) + CONSTANT


@BOTH
def test_bodies_that_do_not_end(serve: Serve, app: str) -> None:
    options = ("--body-buffer-size", "256k", "--body-buffer-total", "8m")
    settings = Settings(body_buffer_size=256 * KIB, body_buffer_total=8 * MIB)
    errors = ("ConnectionError: the client has left", "Disconnected")
    server = serve(app, *options, errors=errors)
    head = b"POST /digest HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n"
    found = grown(server, 100, head + b"x" * 250 * KIB)
    held = of_body(settings, 100) if app == "plain_wsgi" else 100 * HIGH_WATER
    assert found < 100 * (CONNECTION + READ[app]) + held + CONSTANT


@BOTH
def test_responses_that_nobody_reads(serve: Serve, app: str) -> None:
    server = serve(app, errors=("the peer has gone", "Disconnected"))
    found = grown(server, 200, b"GET /stream?blocks=200&size=65536 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert found < 200 * (CONNECTION + HIGH_WATER + BLOCK) + CONSTANT


@BOTH
def test_requests_ahead_of_their_turn(serve: Serve, app: str) -> None:
    """Behind a response that nobody reads."""
    server = serve(app, errors=("the peer has gone", "Disconnected"))
    stream = b"GET /stream?blocks=200&size=65536 HTTP/1.1\r\nHost: a\r\n\r\n"
    found = grown(server, 100, stream + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 40_000)
    assert found < 100 * (CONNECTION + HIGH_WATER + BLOCK + HIGH_WATER + READ[app]) + CONSTANT
