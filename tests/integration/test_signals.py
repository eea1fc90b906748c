"""Signals to the real command, with both kinds of worker: stopping, reloading, more and fewer workers."""

import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.clients import Hammer, receive_all, receive_until, refuses, request_in_progress, send
from tests.integration.server import Server, is_alive, wait_for
from tests.integration.ways import BOTH, FEW, WAYS, WSGI_WAYS

Serve = Callable[..., Server]


@WAYS
def test_a_graceful_stop_lets_a_request_finish(serve: Serve, app: str, options: tuple[str, ...]) -> None:
    server = serve(app, *options)
    with request_in_progress(server) as finish:
        server.send(signal.SIGTERM)
        wait_for(lambda: refuses(server), "the end of listening")
        answer = finish()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nConnection: close\r\n" in answer
    assert b"through" in answer
    server.ends(0)
    if "asgi" in app:
        assert (server.directory / "shutdown").read_text() == "shut down\n"


@WAYS
def test_what_does_not_finish_is_cut_off(serve: Serve, app: str, options: tuple[str, ...]) -> None:
    """After --graceful-timeout, and the exit code tells. The access log has the request, as far as it has come."""
    lines = ("--access-logfile", "access", "--access-logformat", "%(m)s %(U)s %(s)s")
    server = serve(app, "--graceful-timeout", "0.3", *lines, *options)
    with request_in_progress(server):
        server.stop(1)
    assert server.logged("cut off")
    assert (server.directory / "access").read_text().splitlines() == ["GET / 200", "GET /gate -"], server.log()


@BOTH
def test_a_response_that_nobody_reads_holds_a_stop_up_like_an_idle_connection(serve: Serve, app: str) -> None:
    """Once the kernel has it, nobody knows whether it was read. --drain-idle counts, and the time for the close."""
    server = serve(app, "--drain-idle", "0.5", "--write-timeout", "60", "--keep-alive", "60")
    with server.connect() as connection:
        send(connection, "GET /block?size=9999 HTTP/1.1\nHost: a\n\n")
        wait_for(lambda: connection.recv(1, socket.MSG_PEEK), "the response")
        begun = time.monotonic()
        server.stop(0)
        assert time.monotonic() - begun >= 0.5


@WAYS
def test_what_a_quick_stop_cuts_is_in_the_access_log(serve: Serve, app: str, options: tuple[str, ...]) -> None:
    server = serve(app, "--access-logfile", "access", "--access-logformat", "%(m)s %(U)s %(s)s", *options)
    with request_in_progress(server):
        server.stop(0, signal.SIGINT)
    assert (server.directory / "access").read_text().splitlines() == ["GET / 200", "GET /gate -"], server.log()


@FEW
def test_int_after_term_is_quick(serve: Serve, app: str, options: tuple[str, ...]) -> None:
    server = serve(app, *options)
    with request_in_progress(server):
        server.send(signal.SIGTERM)
        wait_for(lambda: refuses(server), "the end of listening")
        server.stop(0, signal.SIGINT)


@BOTH
def test_the_same_signal_again_changes_nothing(serve: Serve, app: str) -> None:
    """Who signals a process and its group sends it twice, and so does who is impatient."""
    server = serve(app)
    with request_in_progress(server) as finish:
        for number in (1, 2, 3):
            server.send(signal.SIGTERM)
            server.says("Handling signal: term", number)
        assert b"through" in finish()
    server.ends(0)


@BOTH
def test_a_stop_that_is_announced(serve: Serve, app: str) -> None:
    """To who asks whether the server is ready, and to all others."""
    server = serve(app, "--drain-delay", "60", "--ready-path", "/readyz")
    with server.client() as client:
        assert (client.get("/readyz").status_code, client.get("/").text) == (200, "hello\n")
    server.send(signal.SIGTERM)
    server.says("Stopping in 60 s")
    with server.client() as client:
        answer = client.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "stopping\n")
        wait_for(
            lambda: client.get("/readyz").headers.get("Connection") == "close", "the last response of a connection"
        )
        assert client.get("/").text == "hello\n"
    server.stop(number=signal.SIGINT)


def test_a_stream_is_told_of_the_stop_and_may_end(serve: Serve) -> None:
    """Long before it would be cut off: an event stream has no end of its own."""
    server = serve("plain_asgi:app", "--stream-grace", "0.2")
    with server.connect() as connection, request_in_progress(server) as finish:
        send(connection, "GET /stay-on HTTP/1.1\nHost: a\n\n")
        receive_until(connection, b"first")
        server.send(signal.SIGTERM)
        assert receive_all(connection).endswith(b"4\r\nlast\r\n0\r\n\r\n")
        assert b"through" in finish()  # who has not begun to answer is not disturbed
    server.ends(0)


@WSGI_WAYS
def test_a_generator_is_closed_when_it_is_cut_off(serve: Serve, app: str, options: tuple[str, ...]) -> None:
    server = serve(app, "--graceful-timeout", "0.3", *options)
    with server.connect() as connection:
        send(connection, "GET /endless HTTP/1.1\nHost: a\n\n")
        receive_until(connection, b"x")
        with ThreadPoolExecutor() as pool:  # a client that did not read would make it wait, and that ends anyway
            received = pool.submit(receive_all, connection)
            server.stop(1)
        error = received.exception()
        assert isinstance(error, ConnectionResetError) or not received.result().endswith(b"0\r\n\r\n")
    assert (server.directory / "closed").read_text() == "closed\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_startup_that_waits_holds_nothing_up(serve: Serve, number: signal.Signals) -> None:
    server = serve("broken_lifespan:waiting", "--graceful-timeout", "3600", path=None)
    server.says("waiting for a database")
    server.stop(0, number)
    assert server.logged("waiting no more")
    assert not server.logged("ERROR|WARNING")


@BOTH
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_a_quick_stop(serve: Serve, app: str, number: signal.Signals) -> None:
    """It waits for nobody, and the lifespan is shut down all the same."""
    server = serve(app)
    with request_in_progress(server):
        server.stop(0, number)
    if "asgi" in app:
        assert (server.directory / "shutdown").read_text() == "shut down\n"


@WAYS
def test_an_idle_connection_may_ask_once_more(serve: Serve, app: str, options: tuple[str, ...]) -> None:
    """A client that sends a request while the server decides to stop is answered."""
    server = serve(app, "--keep-alive", "60", *options)
    with server.connect() as connection:
        send(connection, "GET / HTTP/1.1\nHost: a\n\n")
        assert receive_until(connection, b"hello\n").startswith(b"HTTP/1.1 200 ")
        server.send(signal.SIGTERM)
        wait_for(lambda: refuses(server), "the end of listening")
        send(connection, "GET / HTTP/1.1\nHost: a\n\n")
        answer = receive_until(connection, b"hello\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        if b"\r\nConnection: close\r\n" in answer:
            assert receive_all(connection) == b""
    server.ends(0)


@FEW
def test_an_idle_connection_is_closed_after_drain_idle(serve: Serve, app: str, options: tuple[str, ...]) -> None:
    server = serve(app, "--drain-idle", "0.2", "--keep-alive", "60", *options)
    with server.connect() as connection:
        send(connection, "GET / HTTP/1.1\nHost: a\n\n")
        receive_until(connection, b"hello\n")
        server.send(signal.SIGTERM)
        assert receive_all(connection) == b""
    server.ends(0)


@BOTH
def test_more_and_fewer_workers(serve: Serve, app: str) -> None:
    server = serve(app)
    (first,) = server.workers()
    for count in (2, 3):
        server.send(signal.SIGTTIN)
        wait_for(lambda count=count: len(server.workers()) == count, f"{count} workers")
    for count in (2, 1):
        server.send(signal.SIGTTOU)
        wait_for(lambda count=count: len(server.workers()) == count, f"{count} workers")
    server.send(signal.SIGTTOU)
    server.says("One worker is the least")
    assert server.workers() == [first]


@pytest.mark.parametrize("app", ["versioned:wsgi", "versioned:asgi"])
@pytest.mark.parametrize("preload", [False, True], ids=["workers", "preload"])
def test_a_reload_brings_new_code_and_loses_nothing(serve: Serve, tmp_path: Path, app: str, preload: bool) -> None:
    version = tmp_path / "version"
    version.write_text("1")
    server = serve(app, "--chdir", str(tmp_path), "--workers", "2", *(("--preload",) if preload else ()))
    wait_for(lambda: len(server.workers()) == 2, "two workers")
    old = set(server.workers())
    with Hammer(server) as hammer:
        wait_for(lambda: len(hammer.answers) > 20, "answers")
        version.write_text("2")
        server.send(signal.SIGHUP)
        server.says("Reload: all workers are new")
        wait_for(lambda: not old & set(server.workers()), "the end of the old workers")
        count = len(hammer.answers)
        wait_for(lambda: len(hammer.answers) > count + 20, "answers")
    assert not hammer.errors
    assert hammer.answers[0].startswith("1 ")
    assert {answer.split()[0] for answer in hammer.answers[count + 3 :]} == {"2"}
    assert server.process.poll() is None


@pytest.mark.parametrize("preload", [False, True], ids=["workers", "preload"])
def test_a_reload_of_broken_code_changes_nothing(serve: Serve, tmp_path: Path, preload: bool) -> None:
    version = tmp_path / "version"
    version.write_text("1")
    options = ("--preload",) if preload else ()
    server = serve("versioned:wsgi", "--chdir", str(tmp_path), *options, errors=("LookupError: this version",))
    old = server.workers()
    with Hammer(server) as hammer:
        version.write_text("broken")
        server.send(signal.SIGHUP)
        server.says("this version is broken")
        count = len(hammer.answers)
        wait_for(lambda: len(hammer.answers) > count + 20, "answers")
        wait_for(lambda: server.workers() == old, "the old workers and no other")
    assert not hammer.errors
    version.write_text("2")
    server.send(signal.SIGHUP)
    server.says("Reload: all workers are new")

    def is_new() -> bool:
        # A connection of its own each time: the old worker takes what waits for it before it lets its listeners go.
        with server.client() as client:
            return client.get("/").text.startswith("2 ")

    wait_for(is_new, "the new version")


@BOTH
def test_a_killed_worker_is_replaced(serve: Serve, app: str) -> None:
    server = serve(app, "--workers", "2")
    server.says("Booting worker with pid", 2)
    victim, other = server.workers()
    os.kill(victim, signal.SIGKILL)
    server.says(rf"Worker \(pid:{victim}\) was sent SIGKILL! Perhaps out of memory\?")
    wait_for(lambda: len(server.workers()) == 2, "another worker")
    assert victim not in server.workers()
    assert other in server.workers()
    with server.client() as client:
        assert client.get("/").text == "hello\n"


@BOTH
def test_workers_end_when_the_master_has_died(serve: Serve, app: str) -> None:
    """They finish what they are doing."""
    server = serve(app)
    (worker,) = server.workers()
    with request_in_progress(server) as finish:
        server.send(signal.SIGKILL)
        server.process.wait()
        server.says("The master has gone")
        assert b"through" in finish()
    wait_for(lambda: not is_alive(worker), "the end of the worker")
    server.code = server.process.returncode
    server.judge()


@BOTH
def test_a_term_to_a_worker_is_a_term_to_that_worker(serve: Serve, app: str) -> None:
    server = serve(app)
    (worker,) = server.workers()
    with Hammer(server) as hammer:
        wait_for(lambda: len(hammer.answers) > 10, "answers")
        os.kill(worker, signal.SIGTERM)
        wait_for(lambda: server.workers() and worker not in server.workers(), "another worker")
        count = len(hammer.answers)
        wait_for(lambda: len(hammer.answers) > count + 10, "answers")
    assert not hammer.errors


@FEW
def test_signals_that_mean_nothing_end_nothing(serve: Serve, app: str, options: tuple[str, ...]) -> None:
    server = serve(app, *options)
    workers = server.workers()
    for number in (signal.SIGWINCH, signal.SIGCHLD, signal.SIGUSR1):
        server.send(number)
    for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR2, signal.SIGWINCH):
        os.kill(workers[0], number)
    server.says("Handling signal: usr1")  # which has been heard after the others
    with server.client() as client:
        assert client.get("/").text == "hello\n"
    assert server.workers() == workers


@FEW
def test_the_application_may_have_children(serve: Serve, app: str, options: tuple[str, ...]) -> None:
    """Their exit codes are its own affair."""
    server = serve(app, *options)
    with server.client() as client:
        assert client.get("/child").text == "7"
