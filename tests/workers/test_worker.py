"""A worker process from its birth to its exit code; each test forks one."""

import os
import select
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pyserve.settings import Settings
from pyserve.workers import notes
from pyserve.workers.application import Application
from pyserve.workers.logs import error_log as logs
from pyserve.workers.scoreboard import Scoreboard, State
from pyserve.workers.worker import WorkerContext, run
from tests.workers.serving import PATIENCE, Client, eventually, request

HELLO = """
import pathlib, sys, time
print("loaded")

def app(environ, start_response):
    while environ["PATH_INFO"] == "/slow" and not pathlib.Path(__file__).with_name("go").exists():
        time.sleep(0.01)
    if environ["PATH_INFO"] == "/stuck":
        time.sleep(60)
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]

async def asynchronous(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello"})

async def failing(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""


@dataclass
class Process:
    """A forked worker. told: what it has said to its master so far."""

    pid: int
    ready: int
    master: int
    board: Scoreboard
    listener: socket.socket
    directory: Path
    clients: list[Client] = field(default_factory=list)
    told: bytes = b""

    def hear(self, message: bytes) -> None:
        while message not in self.told:
            assert select.select([self.ready], [], [], PATIENCE)[0], self.told
            octets = os.read(self.ready, 4096)
            assert octets, f"the worker said {self.told!r} only: {self.log}"
            self.told += octets

    def connect(self) -> Client:
        """A client; it is closed at the end of the test at the latest."""
        connection = socket.create_connection(self.listener.getsockname(), timeout=PATIENCE)
        self.clients.append(Client(connection))
        return self.clients[-1]

    def exit_code(self) -> int:
        status = 0

        def ended() -> bool:
            nonlocal status
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            return pid != 0

        eventually(ended)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    @property
    def log(self) -> str:
        return (self.directory / "error.log").read_text()


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Forks a worker: start(app, application=None, **settings)."""
    (tmp_path / "worker_test_app.py").write_text(HELLO)
    started: list[Process] = []

    def fork(app: Any, application: Application | None = None, **settings: Any) -> Process:
        chosen = Settings(app=app, app_dir=str(tmp_path), errorlog=str(tmp_path / "error.log"), **settings)
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        board = Scoreboard(2, chosen.threads + 1)
        board.slot(0).clear(1, State.BOOTING)
        ready, alive = os.pipe(), os.pipe()
        log = logs.setup(chosen)
        pid = os.fork()
        if pid == 0:
            code = 255
            try:
                os.close(ready[0])
                os.close(alive[1])
                context = WorkerContext(
                    chosen, [listener], board.slot(0), board, 0, 1, ready[1], alive[0], application, log, False
                )
                code = run(context)
            finally:
                os._exit(code)
        log.close()
        os.close(ready[1])
        os.close(alive[0])
        process = Process(pid, ready[0], alive[1], board, listener, tmp_path)
        started.append(process)
        return process

    yield fork
    for process in started:
        if process.pid:
            os.kill(process.pid, signal.SIGKILL)
            os.waitpid(process.pid, 0)
        process.listener.close()
        for client in process.clients:
            client.socket.close()
        os.close(process.ready)
        os.close(process.master)


CLASSES = pytest.mark.parametrize(
    ("app", "settings"),
    [
        ("worker_test_app:app", {}),
        ("worker_test_app:app", {"threads": 3}),
        ("worker_test_app:app", {"worker_class": "async"}),
        ("worker_test_app:asynchronous", {}),
    ],
    ids=["sync", "threads", "async-wsgi", "async"],
)


@CLASSES
def test_serving_until_told_to_stop(start: Start, app: str, settings: dict[str, Any]) -> None:
    process = start(app, **settings)
    process.hear(b"R")
    client = process.connect()
    assert client.get()[1] == b"hello"
    eventually(lambda: process.board.slot(0).requests() == 1)
    client.socket.close()
    os.kill(process.pid, signal.SIGTERM)
    assert process.exit_code() == 0
    assert "Worker exiting (pid: " in process.log


@CLASSES
def test_a_busy_worker_finishes(start: Start, app: str, settings: dict[str, Any]) -> None:
    process = start("worker_test_app:app", **settings)
    process.hear(b"R")
    client = process.connect()
    client.send(request("/slow"))
    eventually(lambda: notes.read(process.board.slot(0)))
    os.kill(process.pid, signal.SIGTERM)
    os.kill(process.pid, signal.SIGTERM)
    eventually(lambda: process.board.slot(0).state is State.DRAINING)
    (process.directory / "go").touch()
    head, body = client.response()
    assert b"\r\nConnection: close\r\n" in head
    assert body == b"hello"
    client.socket.close()
    assert process.exit_code() == 0


@pytest.mark.parametrize("settings", [{}, {"threads": 3}], ids=["sync", "threads"])
@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 1), (signal.SIGINT, 0), (signal.SIGQUIT, 0)])
def test_a_request_that_does_not_end(start: Start, settings: dict[str, Any], how: int, code: int) -> None:
    process = start("worker_test_app:app", graceful_timeout=0.3, **settings)
    process.hear(b"R")
    client = process.connect()
    client.send(request("/stuck"))
    eventually(lambda: notes.read(process.board.slot(0)))
    os.kill(process.pid, how)
    assert process.exit_code() == code
    assert client.rest() == b""
    client.socket.close()


@CLASSES
def test_the_master_dies(start: Start, app: str, settings: dict[str, Any]) -> None:
    process = start(app, **settings)
    process.hear(b"R")
    os.close(process.master)
    process.master = os.dup(0)
    assert process.exit_code() == 0
    assert "The master has gone" in process.log


def test_a_stuck_worker_is_told_to_abort(start: Start) -> None:
    process = start("worker_test_app:app")
    process.hear(b"R")
    client = process.connect()
    client.send(request("/stuck"))
    eventually(lambda: process.board.slot(0).published())
    assert (process.board.slot(0).published() or ("",))[0] == "GET /stuck"
    os.kill(process.pid, signal.SIGABRT)
    assert process.exit_code() == 1
    assert "worker_test_app.py" in process.log
    client.socket.close()


def test_a_loaded_application(start: Start) -> None:
    def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "4")])
        return [b"mine"]

    process = start(None, Application(hello, "wsgi", "hello"))
    process.hear(b"R")
    client = process.connect()
    assert client.get()[1] == b"mine"
    client.socket.close()


@pytest.mark.parametrize(
    ("app", "settings", "code", "reason"),
    [
        ("worker_test_app:missing", {}, 4, "missing"),
        ("no_such_module_at_all", {}, 4, "no_such_module_at_all"),
        ("worker_test_app:asynchronous", {"worker_class": "sync"}, 1, "--worker-class async"),
        ("worker_test_app:failing", {"lifespan": "on"}, 3, "no database"),
    ],
)
def test_workers_that_cannot_boot(start: Start, app: str, settings: dict[str, Any], code: int, reason: str) -> None:
    process = start(app, **settings)
    process.hear(b"F")
    process.hear(reason.encode())
    assert process.told[:2] == b"F" + bytes([code])
    assert process.exit_code() == code
    assert process.board.slot(0).booted_at == 0


def test_settings_without_effect_are_named(start: Start) -> None:
    process = start("worker_test_app:app", worker_class="sync", loop="asyncio")
    process.hear(b"R")
    assert "[WARNING] --loop has no effect with --worker-class sync" in process.log
