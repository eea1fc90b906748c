"""An async worker in a thread of the test's process, so that its application can be a function of the test."""

import asyncio
import contextlib
import os
import select
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from pyserve.settings import Settings
from pyserve.workers.application import Application
from pyserve.workers.async_worker.worker import AsyncWorker
from pyserve.workers.crew import Crew
from pyserve.workers.logs import access
from pyserve.workers.logs import error_log as logs
from pyserve.workers.scoreboard import Scoreboard
from pyserve.workers.tls.certificates import Certificates
from pyserve.workers.worker import WorkerContext
from tests.tls import TlsPeer, write_certificate

PATIENCE = 28.0  # seconds for whatever must happen
UNHURRIED = {"keepalive": 60.0, "drain_idle": 5.0}  # however long a busy machine takes between two requests
LOOPS = ("uvloop", "asyncio")


class _Crew(Crew):
    """Without signal handlers: those belong to the main thread."""

    def handle_signals(self, wake: Callable[[], object]) -> None:
        self._wake = wake


class Client:
    """A connection to the worker."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.buffer = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def fin(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Leave so that the worker is told at once."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def until(self, end: bytes) -> bytes:
        """Read up to and with `end`."""
        while end not in self.buffer:
            data = self.socket.recv(65536)
            assert data, f"the worker closed before {end!r}: {self.buffer!r}"
            self.buffer += data
        at = self.buffer.index(end) + len(end)
        found, self.buffer = self.buffer[:at], self.buffer[at:]
        return found

    def take(self, count: int) -> bytes:
        """Read exactly so many octets."""
        found = bytearray(self.buffer[:count])
        self.buffer = self.buffer[count:]
        while len(found) < count:
            data = self.socket.recv(min(1 << 20, count - len(found)))
            assert data, f"the worker closed after {len(found)} of {count} octets"
            found += data
        return bytes(found)

    def rest(self) -> bytes:
        """Read until the worker closes."""
        found, self.buffer = self.buffer, b""
        while data := self.socket.recv(65536):
            found += data
        return found

    def response(self) -> tuple[bytes, bytes]:
        """Read one response that has a length: (head, body)."""
        head = self.until(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return head, self.take(int(length or 0))

    def get(self, path: str = "/", *fields: str) -> tuple[bytes, bytes]:
        """Ask and read the response."""
        self.send(request(path, *fields))
        return self.response()


class Served:
    """A running worker, as its tests see it."""

    worker: AsyncWorker
    loop: asyncio.AbstractEventLoop

    def __init__(self, crew: Crew, listener: socket.socket, ready: int, log: Path, orphan: Callable[[], None]) -> None:
        self.crew = crew
        self.listener = listener
        self.slot = crew.context.slot
        self.code: int | None = None
        self.error: BaseException | None = None
        self.told = b""  # through the pipe to the master
        self.threads: list[threading.Thread] = []
        self.orphan = orphan  # let the worker's master have died
        self._ready = ready
        self._log = log
        self._clients: list[Client] = []

    def connect(self, timeout: float = PATIENCE) -> Client:
        kind = self.listener.family
        connection = socket.socket(kind, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        connection.connect(self.listener.getsockname())
        self._clients.append(Client(self.encrypted(connection)))
        return self._clients[-1]

    def encrypted(self, connection: socket.socket) -> Any:
        """What a client talks through: with `kind="tls"` a handshake is done."""
        return connection if self.crew.certificates is None else TlsPeer(connection)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def hear(self, message: bytes) -> None:
        """Wait until the worker has told its master `message`."""
        deadline = time.monotonic() + PATIENCE
        while message not in self.told:
            readable, _, _ = select.select([self._ready], [], [], deadline - time.monotonic())
            assert readable, f"the worker said {self.told!r} only"
            self.told += os.read(self._ready, 4096)

    def call(self, function: Callable[[], object]) -> None:
        """Call a function in the worker's loop."""
        self.loop.call_soon_threadsafe(function)

    def accepts(self) -> bool:
        """Whether the worker watches its listener."""
        state = self.worker._registry.acceptor.state  # type: ignore[union-attr]
        return state.value == "open"

    def stop(self, how: Literal["drain", "quit"] = "drain") -> int | None:
        """Tell the worker to end, and wait until it has."""
        getattr(self.crew, how)()
        return self.ended()

    def ended(self) -> int | None:
        """Wait until the worker has ended; its exit code."""
        self.threads[0].join(PATIENCE)
        assert not self.threads[0].is_alive(), "the worker does not end"
        if self.error is not None:
            raise self.error
        return self.code

    def close(self) -> None:
        for client in self._clients:
            client.socket.close()


def request(path: str = "/", *fields: str, method: str = "GET", body: bytes = b"") -> bytes:
    """A request's octets; with its length where it has a body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: test", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def eventually(condition: Callable[[], object], what: str = "it") -> None:
    """Wait for a condition that nothing announces."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} never happened"
        time.sleep(0.002)


def exertion(seconds: float) -> float:
    """How many seconds of the processor this process takes while its test waits for so long. Whoever never rests takes
    much each time; a test may find others at work the first time, such as what an earlier test has left behind."""
    before = time.process_time()
    threading.Event().wait(seconds)
    return time.process_time() - before


def listening(directory: Path, kind: str) -> socket.socket:
    if kind == "unix":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(directory / "socket"))
    else:
        listener = socket.create_server(("127.0.0.1", 0))
    listener.listen(128)
    listener.setblocking(False)
    return listener


def certificates_of(settings: Settings) -> Certificates | None:
    """As the master reads them."""
    return Certificates(settings) if settings.certfile else None


@contextlib.contextmanager
def serving(
    application: Any,
    interface: Literal["asgi", "wsgi"] = "asgi",
    kind: str = "tcp",
    ready: bool = True,
    **settings: Any,
) -> Iterator[Served]:
    """Serve `application` until the block is left. kind: tcp, unix or tls. ready: wait until the worker serves."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        listener = stack.enter_context(listening(directory, kind))
        pipes = [*os.pipe(), *os.pipe()]
        for fd in pipes[:3]:
            stack.callback(os.close, fd)
        if kind == "tls":
            settings.setdefault("certfile", (str(write_certificate(directory / "server.pem")),))
        if "keepalive" not in settings:
            settings = {**UNHURRIED, **settings}
        chosen = Settings(worker_class="async", errorlog=str(directory / "error.log"), loglevel="debug", **settings)
        log = logs.setup(chosen)
        stack.callback(log.close)
        board = Scoreboard(4, chosen.threads)
        if board.fd is not None:
            stack.callback(os.close, board.fd)
        slot = board.slot(0)
        slot.clear(1)
        context = WorkerContext(chosen, [listener], slot, board, 0, 1, pipes[1], pipes[2], None, log, False)
        context.certificates = certificates_of(chosen)
        crew = _Crew(context, Application(application, interface, "test"), access.setup(chosen, log))
        orphan = contextlib.ExitStack()
        orphan.callback(os.close, pipes[3])
        stack.callback(orphan.close)
        served = Served(crew, listener, pipes[0], directory / "error.log", orphan.close)
        stack.callback(served.close)

        def run() -> None:
            try:
                worker = AsyncWorker(crew)
                served.worker = worker
                served.loop = worker.loop
                served.code = worker.run()
            except BaseException as error:
                served.error = error

        thread = threading.Thread(target=run, name="async worker")
        served.threads.append(thread)
        thread.start()
        try:
            if ready:
                served.hear(b"R")
            yield served
        finally:
            served.close()
            crew.quit()
            thread.join(PATIENCE)
            if crew.access is not None:
                crew.access.close()
        assert not thread.is_alive(), "the worker does not end"
