"""The async worker's process: the beginning, the clock, and the ways to the end."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pyserve.workers.async_worker import worker as loop_module
from pyserve.workers.async_worker.worker import new_loop
from pyserve.workers.crew import Phase
from pyserve.workers.scoreboard import State
from tests.workers.serving import PATIENCE, eventually, request, serving

OK: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
BODY: dict[str, Any] = {"type": "http.response.body", "body": b"ok"}


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send(OK)
    await send(BODY)


class Gate:
    """An application that waits in each request until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun.release()
        await self.go.wait()
        await hello(scope, receive, send)


@pytest.mark.parametrize(
    ("kind", "module"), [("uvloop", "uvloop"), ("auto", "uvloop"), ("asyncio", "asyncio.unix_events")]
)
def test_the_loop_that_is_asked_for(kind: str, module: str) -> None:
    loop = new_loop(kind)
    assert type(loop).__module__ == module
    loop.close()


def test_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loop = new_loop("auto")
    assert type(loop).__module__ == "asyncio.unix_events"
    loop.close()
    with pytest.raises(ImportError):
        new_loop("uvloop")


def test_heartbeat_and_state(loop: str) -> None:
    with serving(hello, loop=loop, lifespan="off") as served:
        assert served.slot.state is State.READY
        first = served.slot.heartbeat
        eventually(lambda: served.slot.heartbeat > first)
        served.crew.drain()
        assert served.slot.state is State.DRAINING
        assert served.ended() == 0


def test_the_date_goes_with_the_time(loop: str) -> None:
    with serving(hello, loop=loop, lifespan="off") as served:
        client = served.connect()
        first = client.get()[0]
        eventually(lambda: client.get()[0] != first)


def test_the_heartbeat_stops_with_the_loop_and_the_board_says_why(loop: str) -> None:
    release = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/waits":
            await asyncio.sleep(60)
        release.wait(PATIENCE)
        await hello(scope, receive, send)

    with serving(application, loop=loop, lifespan="off") as served:
        waiting = served.connect()
        waiting.send(request("/waits"))
        client = served.connect()
        client.send(request("/blocks?%0a"))
        eventually(lambda: served.slot.published())
        published = served.slot.published()
        assert published is not None
        assert published[0] == "GET /blocks?%0a (and 1 others)"
        assert 0 < time.monotonic_ns() - published[1] < 20e9
        assert time.monotonic_ns() - served.slot.heartbeat > 1e9
        release.set()
        assert client.response()[1] == b"ok"
        eventually(lambda: served.slot.published() is None)


# Draining


def test_draining_lets_the_request_in_progress_finish(loop: str) -> None:
    application = Gate()
    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request())
        assert application.begun.acquire(timeout=PATIENCE)
        served.crew.drain()
        served.call(application.go.set)
        head, body = client.response()
        assert b"Connection: close\r\n" in head
        assert body == b"ok"
        client.socket.close()
        assert served.ended() == 0


def test_draining_refuses_new_connections_but_serves_those_that_wait(loop: str) -> None:
    application = Gate()
    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request())
        assert application.begun.acquire(timeout=PATIENCE)
        served.crew.drain()
        eventually(lambda: not served.accepts())
        served.call(application.go.set)
        assert client.response()[1] == b"ok"


def test_an_idle_connection_has_a_last_request(loop: str) -> None:
    with serving(hello, loop=loop, lifespan="off", drain_idle=5.0) as served:
        client = served.connect()
        client.get()
        fresh = served.connect()
        eventually(lambda: served.slot.connections == 2)
        served.crew.drain()
        for each in (client, fresh):
            head, body = each.get()
            assert b"Connection: close\r\n" in head
            assert body == b"ok"
            assert each.rest() == b""
            each.socket.close()
        assert served.ended() == 0


def test_idle_connections_are_not_waited_for_longer_than_drain_idle(loop: str) -> None:
    with serving(hello, loop=loop, lifespan="off", drain_idle=0.1, keepalive=60.0) as served:
        client = served.connect()
        client.get()
        fresh = served.connect()
        eventually(lambda: served.slot.connections == 2)
        served.crew.drain()
        for each in (client, fresh):
            assert each.rest() == b""
            each.socket.close()
        assert served.ended() == 0


@pytest.mark.parametrize("how", ["graceful_timeout", "quit"])
def test_what_does_not_finish_is_cut_off(loop: str, how: str) -> None:
    cancelled = threading.Event()
    begun = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    limit = 0.1 if how == "graceful_timeout" else 60.0
    with serving(application, loop=loop, lifespan="off", graceful_timeout=limit) as served:
        client = served.connect()
        client.send(request())
        assert begun.wait(PATIENCE)
        code = served.stop("quit" if how == "quit" else "drain")
        assert code == (0 if how == "quit" else 1)
        assert cancelled.is_set()
        assert client.rest() == b""
        assert "Traceback" not in served.log


def test_a_quick_stop_ends_the_draining(loop: str) -> None:
    application = Gate()
    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request())
        assert application.begun.acquire(timeout=PATIENCE)
        served.crew.drain()
        eventually(lambda: not served.accepts())
        assert served.stop("quit") == 0
        assert served.crew.phase is Phase.QUITTING


def test_a_task_that_resists_cancellation_does_not_hold_the_worker(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "_AT_THE_END", loop_module.Patience(0.1, 0.1, 0.1))
    begun = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        for _ in range(2):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass

    with serving(application, loop=loop, lifespan="off", graceful_timeout=0.1) as served:
        client = served.connect()
        client.send(request())
        assert begun.wait(PATIENCE)
        assert served.stop() == 1
        assert "1 requests did not end when they were cancelled" in served.log


def test_draining_waits_for_work_after_the_response(loop: str) -> None:
    release = asyncio.Event()
    ended = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await hello(scope, receive, send)
        await release.wait()
        ended.set()

    with serving(application, loop=loop, lifespan="off") as served:
        client = served.connect()
        client.get()
        client.socket.close()
        served.crew.drain()
        eventually(lambda: served.slot.connections == 0)
        assert not ended.is_set()
        served.call(release.set)
        assert served.ended() == 0
        assert ended.is_set()


def test_max_requests(loop: str) -> None:
    with serving(hello, loop=loop, lifespan="off", max_requests=3) as served:
        client = served.connect()
        heads = [client.get()[0] for _ in range(3)]
        served.hear(b"W")
        heads.append(client.get()[0])  # until its successor serves, and the master says so
        assert not any(b"Connection: close" in head for head in heads)
        served.crew.drain()
        assert b"Connection: close\r\n" in client.get()[0]
        client.socket.close()
        assert served.ended() == 0


def test_when_the_whole_server_stops_all_who_wait_are_taken(loop: str) -> None:
    """Whatever the limit: nobody else would, and the kernel would reset them."""
    with serving(hello, loop=loop, lifespan="off", worker_connections=1) as served:
        first = served.connect()
        first.send(b"GET / HTTP/1.1\r\n")
        eventually(lambda: not served.accepts())
        waiting = [served.connect() for _ in range(3)]
        for client in waiting:
            client.send(request("/"))
        served.crew.context.scoreboard.stopping = True
        served.crew.drain()
        for client in waiting:
            assert client.response()[1] == b"ok"
        first.send(b"Host: a\r\n\r\n")
        assert first.response()[1] == b"ok"
        for client in (first, *waiting):
            client.socket.close()
        assert served.ended() == 0


def test_before_a_stop_that_is_announced_each_response_is_the_last(loop: str) -> None:
    with serving(hello, loop=loop, lifespan="off") as served:
        kept = served.connect()
        assert b"Connection: close" not in kept.get()[0]
        served.crew.context.scoreboard.stopping = True
        eventually(lambda: served.crew.config.retiring)  # within a second
        for client in (kept, served.connect()):
            assert b"\r\nConnection: close\r\n" in client.get()[0]
        assert served.crew.phase is Phase.RUNNING


def test_the_master_dies(loop: str) -> None:
    with serving(hello, loop=loop, lifespan="off") as served:
        served.orphan()
        assert served.ended() == 0
        assert "The master has gone" in served.log


def test_access_lines_are_written_within_a_moment_and_at_the_end(loop: str, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with serving(hello, loop=loop, lifespan="off", accesslog=str(path)) as served:
        client = served.connect()
        client.get("/first")
        eventually(lambda: '"GET /first HTTP/1.1" 200 2' in path.read_text())
        client.get("/second")
        served.stop("quit")
    assert '"GET /second HTTP/1.1" 200 2' in path.read_text()


def test_what_the_loop_reports_is_logged(loop: str) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await hello(scope, receive, send)

    with serving(application, loop=loop, lifespan="off") as served:
        assert served.connect().get()[1] == b"ok"
        eventually(lambda: "ZeroDivisionError" in served.log)


# Signals, in a process of its own

SCRIPT = """
import os, socket, sys
from pyserve.settings import Settings
from pyserve.workers.logs import error_log as logs
from pyserve.workers.application import Application
from pyserve.workers.scoreboard import Scoreboard
from pyserve.workers.worker import WorkerContext, run

async def application(scope, receive, send):
    import asyncio
    if scope["path"] == "/waits":
        os.write(ready, b"W")
        await asyncio.sleep(60)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})

listener, ready, alive = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
listener.setblocking(False)
settings = Settings(worker_class="async", lifespan="off", loop=sys.argv[4])
board = Scoreboard(1, 1)
application = Application(application, "asgi", "test")
log = logs.setup(settings)
os._exit(run(WorkerContext(settings, [listener], board.slot(0), board, 0, 1, ready, alive, application, log, False)))
"""


@pytest.mark.parametrize(
    ("numbers", "path", "code"),
    [
        ([signal.SIGTERM], "/", 0),
        ([signal.SIGINT], "/waits", 0),
        ([signal.SIGQUIT], "/waits", 0),
        ([signal.SIGTERM, signal.SIGQUIT], "/waits", 0),
        ([signal.SIGUSR1, signal.SIGHUP, signal.SIGWINCH, signal.SIGTERM], "/", 0),
    ],
    ids=str,
)
def test_signals(loop: str, numbers: list[signal.Signals], path: str, code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ready, told = os.pipe()
        alive, held = os.pipe()
        fds = (listener.fileno(), told, alive)
        arguments = [sys.executable, "-c", SCRIPT, *map(str, fds), loop]
        with subprocess.Popen(arguments, pass_fds=fds, stderr=subprocess.PIPE) as process:
            os.close(told)
            assert os.read(ready, 1) == b"R", process.communicate()
            with socket.create_connection(listener.getsockname(), timeout=PATIENCE) as client:
                client.sendall(request(path))
                if path == "/":
                    assert client.recv(65536).endswith(b"ok")
                else:
                    assert os.read(ready, 1) == b"W"
                for number in numbers:
                    process.send_signal(number)
                if path == "/":
                    client.shutdown(socket.SHUT_WR)
                assert client.recv(65536) == b""
            assert process.wait(PATIENCE) == code
            assert process.stderr is not None
            assert b"Worker exiting (pid: %d)" % process.pid in process.stderr.read()
        for fd in (ready, alive, held):
            os.close(fd)


def test_idle_connections_are_not_missed_when_the_time_is_over(loop: str) -> None:
    with serving(hello, loop=loop, lifespan="off", keepalive=60.0, graceful_timeout=0.1) as served:
        idle, silent = served.connect(), served.connect()
        idle.get()
        eventually(lambda: served.slot.connections == 2)
        assert served.stop() == 0
        assert idle.rest() == silent.rest() == b""
        assert "cut off" not in served.log


def test_a_cut_is_not_taken_for_an_end(loop: str) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        await asyncio.sleep(60)

    with serving(application, loop=loop, lifespan="off", graceful_timeout=0.1) as served:
        client = served.connect()
        client.send(b"GET / HTTP/1.0\r\n\r\n")  # to which no length is told, and no chunks are sent
        client.until(b"part")
        assert served.stop() == 1
        with pytest.raises(ConnectionResetError):
            client.rest()


def test_a_connection_that_is_about_to_be_made_is_waited_for(loop: str) -> None:
    with serving(hello, loop=loop, lifespan="off") as served:
        streams: Any = served.worker._registry.streams
        stream = object()

        async def drained() -> bool:
            served.loop.call_soon(streams.add, stream)  # accepted in this turn, made in the next
            try:
                return await served.worker._drained()
            finally:
                streams.discard(stream)

        assert not asyncio.run_coroutine_threadsafe(drained(), served.loop).result(PATIENCE)
