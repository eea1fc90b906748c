"""What the log says of a worker that was killed: the requests that it was answering, however young, and no others."""

import os
import re
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.integration.clients import receive_all, receive_until, send
from tests.integration.server import Server, wait_for

Serve = Callable[..., Server]

WAYS = {
    "sync, 1 thread": ("lethal:app",),
    "sync, 4 threads": ("lethal:app", "--threads", "4"),
    "async, wsgi": ("lethal:app", "--worker-class", "async"),
    "async, asgi": ("lethal:asgi",),
}


def named(server: Server) -> list[list[str]]:
    """The requests of each death, without their times."""
    lines = re.findall(r"Requests that ended with worker \(pid:\d+\): \d+ in progress: (.*)", server.log())
    return [re.findall(r"(\S+ \S+) for \d+\.\d s", line) for line in lines]


def answer(server: Server, *connections: socket.socket) -> None:
    """Have a request answered on each connection, and be sure that the worker knows it."""
    for connection in connections:
        send(connection, "GET /answered HTTP/1.1\nHost: a\n\n")
        receive_until(connection, b"hello\n")
    access = server.directory / "access"
    wait_for(lambda: access.read_text().count("/answered") == len(connections), "lines in the access log")


@pytest.mark.parametrize(("way", "number"), [*((way, "SIGKILL") for way in WAYS), ("sync, 1 thread", "SIGSEGV")])
def test_a_request_that_ends_its_worker_at_once_is_named(serve: Serve, way: str, number: str) -> None:
    """The first one, and those that wait with it; not what was answered on connections that are still open."""
    server = serve(*WAYS[way], "--access-logfile", "access", "--keep-alive", "60")
    with ExitStack() as stack:
        others = [stack.enter_context(server.connect()) for _ in range(3)]
        answer(server, *others)
        held = [] if way == "sync, 1 thread" else others[:2]
        for index, other in enumerate(held):
            send(other, f"POST /hold?{index} HTTP/1.1\nHost: a\nContent-Length: 0\n\n")
            wait_for((server.directory / f"{index}.reached").exists, "the request in progress")
        send(others[2], f"GET /poison?{number} HTTP/1.1\nHost: a\n\n")
        assert receive_all(others[2]) == b""
    server.says(rf"Worker \(pid:\d+\) was sent {number}!")
    server.says("Requests that ended")
    assert named(server) == [[f"POST /hold?{index}" for index in range(len(held))] + [f"GET /poison?{number}"]]


@pytest.mark.parametrize("way", ["sync, 4 threads", "async, wsgi", "async, asgi"])
def test_of_an_idle_worker_no_request_is_named(serve: Serve, way: str) -> None:
    server = serve(*WAYS[way], "--access-logfile", "access")
    with server.connect() as connection:
        answer(server, connection)
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        server.says(rf"Worker \(pid:{worker}\): no request ended with it")
    assert named(server) == []


@pytest.mark.parametrize("way", ["sync, 1 thread", "async, wsgi"])
def test_a_request_whose_content_is_on_its_way_is_named(serve: Serve, way: str) -> None:
    server = serve(*WAYS[way], "--access-logfile", "access")
    (worker,) = server.workers()
    with server.connect() as connection:
        send(connection, "PUT /upload HTTP/1.1\nHost: a\nExpect: 100-continue\nContent-Length: 9\n\n")
        receive_until(connection, b"100 Continue\r\n\r\n")
        os.kill(worker, signal.SIGKILL)
        server.says("Requests that ended")
    assert named(server) == [["PUT /upload"]]


def sockets(pid: int) -> int:
    """How many a process has."""
    count = 0
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(FileNotFoundError):  # closed since
            count += os.readlink(link).startswith("socket:")
    return count


def test_a_thread_that_outlives_its_connection_wipes_nothing_of_the_next_one(serve: Serve) -> None:
    server = serve(*WAYS["async, wsgi"], "--threads", "4")
    (worker,) = server.workers()
    before = sockets(worker)
    with server.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        send(connection, "GET /hold?left HTTP/1.1\nHost: a\n\n")
        wait_for((server.directory / "left.reached").exists, "the request in progress")
    wait_for(lambda: sockets(worker) <= before, "the end of the connection")
    with server.connect() as connection, server.connect() as other:
        send(connection, "GET /hold?stays HTTP/1.1\nHost: a\n\n")
        wait_for((server.directory / "stays.reached").exists, "the request in progress")
        (server.directory / "left").touch()
        wait_for((server.directory / "left.over").exists, "the end of the first request")
        for _ in range(2):
            send(other, "GET / HTTP/1.1\nHost: a\n\n")
            receive_until(other, b"hello\n")
        os.kill(worker, signal.SIGKILL)
        server.says("Requests that ended")
    ((first, *_),) = named(server)  # of the last one the worker may not have known yet that it was answered
    assert first == "GET /hold?stays"
