"""A sync worker in threads of the test's process, so that its application can be a function of the test."""

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pyserve.settings import Settings
from pyserve.workers import access, logs
from pyserve.workers.application import Application
from pyserve.workers.crew import Crew
from pyserve.workers.scoreboard import Scoreboard
from pyserve.workers.threads import ThreadWorker
from pyserve.workers.worker import WorkerContext
from tests.workers.serving import PATIENCE, Served, listening


class _Crew(Crew):
    """Without signal handlers: those belong to the main thread. A worker that does not end is no reason to exit."""

    abandoned: int | None = None

    def handle_signals(self, wake: Callable[[], object]) -> None:
        self._wake = wake

    def write_signals_to(self, fd: int) -> None:
        pass

    def abandon(self, code: int) -> None:
        self.abandoned = code


class Manned(Served):
    """A running sync worker."""

    worker: ThreadWorker

    @property
    def deck(self) -> Any:
        return self.worker.deck


@contextlib.contextmanager
def serving(
    application: Callable[..., Any],
    threads: int = 1,
    kind: str = "tcp",
    multiprocess: bool = False,
    **settings: Any,
) -> Iterator[Manned]:
    """Serve `application` until the block is left."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        listener = stack.enter_context(listening(directory, kind))
        pipes = [*os.pipe(), *os.pipe()]
        for fd in pipes[:3]:
            stack.callback(os.close, fd)
        settings.setdefault("errorlog", str(directory / "error.log"))
        chosen = Settings(worker_class="sync", threads=threads, loglevel="debug", **settings)
        log = logs.setup(chosen)
        stack.callback(log.close)
        board = Scoreboard(4, threads + 1)
        slot = board.slot(0)
        slot.clear(1)
        accepting = listener.dup()  # which the worker closes
        accepting.setblocking(False)
        context = WorkerContext(chosen, [accepting], slot, board, 0, 1, pipes[1], pipes[2], None, log, multiprocess)
        crew = _Crew(context, Application(application, "wsgi", "test"), access.setup(chosen, log))
        manned = Manned(crew, listener, pipes[0], directory / "error.log")
        stack.callback(manned.close)

        def run() -> None:
            try:
                manned.worker = ThreadWorker(crew)
                manned.code = manned.worker.run()
            except BaseException as error:
                manned.error = error

        thread = threading.Thread(target=run, name="sync worker")
        manned.threads.append(thread)
        thread.start()
        stack.callback(os.close, pipes[3])  # as if the master died, should a test leave the worker running
        try:
            manned.hear(b"R")
            yield manned
        finally:
            crew.quit()
            thread.join(PATIENCE)
            if crew.access is not None:
                crew.access.close()
        assert not thread.is_alive(), "the worker does not end"
        if manned.error is not None:
            raise manned.error
