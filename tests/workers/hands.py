"""A sync worker in threads of the test's process, so that its application can be a function of the test."""

import contextlib
import os
import select
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pyserve.settings import Settings
from pyserve.workers.accepting import Accepting
from pyserve.workers.application import Application
from pyserve.workers.crew import Crew
from pyserve.workers.logs import access
from pyserve.workers.logs import error_log as logs
from pyserve.workers.scoreboard import Scoreboard
from pyserve.workers.thread_worker.deck import Deck
from pyserve.workers.thread_worker.worker import ThreadWorker
from pyserve.workers.worker import WorkerContext
from tests.tls import TlsPeer, write_certificate
from tests.workers.serving import PATIENCE, UNHURRIED, Client, certificates_of, eventually, listening


class _Crew(Crew):
    """Without signal handlers: those belong to the main thread. A worker that does not end is no reason to exit."""

    abandoned: int | None = None

    def handle_signals(self, wake: Callable[[], object]) -> None:
        self._wake = wake

    def write_signals_to(self, fd: int) -> None:
        pass

    def abandon(self, code: int) -> None:
        self.abandoned = code


class Manned:
    """A running sync worker, as its tests see it."""

    worker: ThreadWorker
    kill_master: Callable[[], None]

    def __init__(self, crew: _Crew, listener: socket.socket, ready: int) -> None:
        self.crew = crew
        self.listener = listener
        self.slot = crew.context.slot
        self.code: int | None = None
        self.error: BaseException | None = None
        self.told = b""  # through the pipe to the master
        self.thread = threading.Thread(target=self._run, name="sync worker")
        self._ready = ready
        self._clients: list[Client] = []

    def _run(self) -> None:
        try:
            self.worker = ThreadWorker(self.crew)
            self.code = self.worker.run()
        except BaseException as error:
            self.error = error

    @property
    def deck(self) -> Deck:
        return self.worker.deck

    @property
    def log(self) -> str:
        return Path(self.crew.settings.errorlog).read_text()

    def connect(self) -> Client:
        """A client; it is closed at the end of the test at the latest."""
        connection = socket.socket(self.listener.family)
        connection.settimeout(PATIENCE)
        connection.connect(self.listener.getsockname())
        peer: Any = connection if self.crew.certificates is None else TlsPeer(connection)
        self._clients.append(Client(peer))
        return self._clients[-1]

    def hear(self, message: bytes) -> None:
        """Wait until the worker has told its master `message`."""
        while message not in self.told:
            readable, _, _ = select.select([self._ready], [], [], PATIENCE)
            assert readable, f"the worker said {self.told!r} only"
            self.told += os.read(self._ready, 4096)

    def stop(self) -> int | None:
        """Have the worker drain; its exit code. Idle clients leave, or else it waits for them."""
        for client in self._clients:
            client.socket.close()
        self.crew.drain()
        return self.ended()

    def ended(self) -> int | None:
        """Wait until the worker has ended; its exit code."""
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "the worker does not end"
        return self.code

    def close(self) -> None:
        """End it, and close what the end of the process would have closed: threads that were busy come back later."""
        self.crew.quit()
        self.thread.join(PATIENCE)
        for thread in threading.enumerate():
            if thread.name.startswith(("hand-", "relief")):
                thread.join(PATIENCE)
        for connection in self.deck.table.open:
            connection.socket.close()
        for client in self._clients:
            client.socket.close()
        if self.crew.access is not None:
            self.crew.access.close()
        assert not self.thread.is_alive(), "the worker does not end"
        if self.error is not None:
            raise self.error


def once(action: Callable[[], None]) -> Callable[[], None]:
    """What does `action` when it is called first, and then nothing."""
    pending = [action]
    return lambda: pending.pop()() if pending else None


@contextlib.contextmanager
def serving(
    application: Callable[..., Any],
    threads: int = 1,
    kind: str = "tcp",
    multiprocess: bool = False,
    **settings: Any,
) -> Iterator[Manned]:
    """Serve `application` until the block is left. kind: tcp, unix or tls."""
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
        chosen = Settings(
            worker_class="sync", threads=threads, errorlog=str(directory / "error.log"), loglevel="debug", **settings
        )
        log = logs.setup(chosen)
        stack.callback(log.close)
        board = Scoreboard(4, threads + 1)
        if board.fd is not None:
            stack.callback(os.close, board.fd)
        board.slot(0).clear(1)
        accepting = listener.dup()  # which the worker closes
        accepting.setblocking(False)
        context = WorkerContext(
            chosen, [accepting], board.slot(0), board, 0, 1, pipes[1], pipes[2], None, log, multiprocess
        )
        context.certificates = certificates_of(chosen)
        manned = Manned(
            _Crew(context, Application(application, "wsgi", "test"), access.setup(chosen, log)), listener, pipes[0]
        )
        manned.kill_master = once(lambda: os.close(pipes[3]))
        stack.callback(manned.kill_master)
        stack.callback(manned.close)
        manned.thread.start()
        manned.hear(b"R")
        eventually(lambda: manned.deck.doors.state is not Accepting.NOT_YET)
        yield manned
