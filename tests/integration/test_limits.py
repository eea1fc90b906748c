"""Limits of a worker: how many requests it serves in its life, how many connections it holds at a time."""

import contextlib
import select
from collections.abc import Callable

import pytest

from tests.integration.clients import Hammer, receive_all, receive_until, send
from tests.integration.server import PATIENCE, Server, wait_for
from tests.integration.ways import BOTH, WAYS

Serve = Callable[..., Server]


@WAYS
def test_max_requests_recycles_unseen(serve: Serve, app: str, options: tuple[str, ...]) -> None:
    """Clients that retry nothing see no error, though each worker serves only some twenty requests."""
    server = serve(app, "--workers", "2", "--max-requests", "20", "--max-requests-jitter", "5", *options)
    seen = set()
    with contextlib.ExitStack() as stack:
        hammers = [stack.enter_context(Hammer(server, "/pid")) for _ in range(2)]

        def enough() -> bool:
            seen.update(answer for hammer in hammers for answer in hammer.answers)
            return len(seen) >= 6

        wait_for(enough, "six generations of workers")
    for hammer in hammers:
        assert not hammer.errors
        assert hammer.answers
    assert server.logged("Autorestarting worker after current request")
    assert len(server.workers()) >= 2


@WAYS
def test_the_last_request_of_a_worker_says_so(serve: Serve, app: str, options: tuple[str, ...]) -> None:
    """A client on a kept connection is told to come back with a new one."""
    server = serve(app, "--max-requests", "4", *options, path=None)
    server.says("Booting worker")
    pids = set()
    with server.client() as client:

        def enough() -> bool:
            # Until its successor serves, a worker that retires takes who comes, one request each.
            pids.add(client.get("/pid").raise_for_status().text)
            return len(pids) >= 4

        wait_for(enough, "four generations of workers")


@WAYS
def test_worker_connections(serve: Serve, app: str, options: tuple[str, ...]) -> None:
    """At the limit the connection that has been idle for longest gives way; nobody is turned away."""
    server = serve(app, "--worker-connections", "4", "--keep-alive", "60", *options)
    with contextlib.ExitStack() as stack:
        kept = [stack.enter_context(server.connect()) for _ in range(4)]
        for connection in kept:
            send(connection, "GET / HTTP/1.1\nHost: a\n\n")
            receive_until(connection, b"hello\n")
        another = stack.enter_context(server.connect())
        send(another, "GET / HTTP/1.1\nHost: a\n\n")
        receive_until(another, b"hello\n")
        given_up, _, _ = select.select(kept, [], [], PATIENCE)
        # Threads may put two connections aside in another order than that of their answers.
        assert kept[0] in given_up or "--threads" in options
        for connection in given_up:
            assert receive_all(connection) == b""
        rest = [connection for connection in kept if connection not in given_up]
        assert len(rest) >= 2
        for connection in (rest[-1], another):
            send(connection, "GET / HTTP/1.1\nHost: a\n\n")
            receive_until(connection, b"hello\n")


@pytest.mark.parametrize(
    ("app", "options"), [("plain_wsgi", ("--threads", "4")), ("plain_asgi:app", ())], ids=["threads", "async"]
)
def test_at_the_limit_who_comes_waits(serve: Serve, app: str, options: tuple[str, ...]) -> None:
    """While all connections are busy the kernel keeps the next one, which is answered once there is room."""
    server = serve(app, "--worker-connections", "2", *options)
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(server.connect()) for _ in range(2)]
        for number, connection in enumerate(busy):
            send(connection, f"GET /gate?{number} HTTP/1.1\nHost: a\nConnection: close\n\n")
        wait_for(lambda: all((server.directory / f"{n}.reached").exists() for n in range(2)), "both requests")
        waiting = stack.enter_context(server.connect())
        send(waiting, "GET /gate?2 HTTP/1.1\nHost: a\n\n")
        (server.directory / "0").touch()
        assert b"through" in receive_all(busy[0])
        busy[0].close()
        wait_for((server.directory / "2.reached").exists, "the third request")
        for number in (1, 2):
            (server.directory / str(number)).touch()
        assert b"through" in receive_all(busy[1])
        assert b"through" in receive_until(waiting, b"through")


@BOTH
def test_descriptors_run_out(serve: Serve, app: str) -> None:
    """Accepting pauses before that, which is said once; nobody is turned away, and it goes on when some are free."""
    limited = ("sh", "-c", 'ulimit -n 120; exec "$@"', "sh")
    server = serve(app, "--keep-alive", "60", before=limited)
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(150)]
        for connection in connections:
            send(connection, "GET / HTTP/1.1\nHost: a\n\n")
        receive_until(connections[0], b"hello\n")
        # Those that are idle give way to those that wait.
        receive_until(connections[-1], b"hello\n")
    with server.client() as client:
        assert client.get("/").text == "hello\n"
    assert len(server.logged(r"[Ff]ile descriptors")) == 1
