"""The hooks of a worker's process, and the objects that gunicorn's hook functions expect: the worker and its app.

    post_fork -> (the application is loaded) -> post_worker_init -> worker_int | worker_abort -> worker_exit

`pre_request` and `post_request` are `request_hooks`', those of the master are `pyserve.server.hooks`'. A hook that is
not set costs nothing here. Whoever calls a hook decides what its failure means; each is told with the hook's name.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING, Any, Final

from pyserve.workers.application import Application, load
from pyserve.workers.cfg import Config
from pyserve.workers.crew import COULD_NOT_BOOT, Crew, Phase

if TYPE_CHECKING:
    import socket

    from pyserve.settings import Settings
    from pyserve.workers.logs.error_log import ErrorLog
    from pyserve.workers.scoreboard import Slot

_SOON: Final = 0.5
"""Seconds that the main thread has to come by for a signal; the master waits for two, and then kills."""


class HookError(Exception):
    """A hook has raised where that ends the process; the text is one line.

    traceback: the hook's own. exit_code: of a worker that could not boot; the master's is its own affair.
    """

    exit_code = COULD_NOT_BOOT

    def __init__(self, name: str, error: BaseException) -> None:
        super().__init__(f"the {name} hook failed: {type(error).__name__}: {error}".splitlines()[0])
        frames = error.__traceback__.tb_next if error.__traceback__ else None  # the first is ours
        self.traceback = "".join(traceback.format_exception(type(error), error, frames))


class App:
    """`server.app` and `worker.app`: gunicorn's application object, as far as hooks use it.

    loaded: what is served, None until it is loaded. Of a program that is its own server (`pyserve.embedding`) all other
    attributes are those of its object.
    """

    def __init__(self, settings: Settings, cfg: Config) -> None:
        self._settings = settings
        self.cfg = cfg
        self.loaded: Application | None = None

    @property
    def app_uri(self) -> str | None:
        """APP as it was given; None for an object."""
        return self._settings.reference

    @property
    def callable(self) -> Any:
        """The application; None until it is loaded."""
        return None if self.loaded is None else self.loaded.callable

    def wsgi(self) -> Any:
        """The application, WSGI or ASGI, loaded if it is not yet. `ApplicationLoadError` where that fails."""
        if self.loaded is None:
            self.loaded = load(self._settings)
        return self.loaded.callable

    def __getattr__(self, name: str) -> Any:
        program = None if name.startswith("_") else getattr(self._settings.app, "program", None)
        if program is None:
            raise AttributeError(f"the application has no attribute {name!r}")
        return getattr(program, name)


class Tmp:
    """`worker.tmp`: where gunicorn has a file for the heartbeat, which is on the scoreboard here."""

    def __init__(self, slot: Slot | None) -> None:
        self._slot = slot

    def notify(self) -> None:
        """The worker is alive."""
        if self._slot is not None:
            self._slot.heartbeat = monotonic_ns()

    def last_update(self) -> float:
        """When it last was, in monotonic seconds; now where that is not known."""
        return self._slot.heartbeat / 1e9 if self._slot is not None else monotonic()

    def close(self) -> None:
        """Nothing is to be closed."""


class Worker:
    """`worker`, in the master and in its own process. What hooks set on it stays there.

    slot: its place on the scoreboard; None where the master cannot read it.
    """

    def __init__(self, age: int, sockets: list[socket.socket], app: App, log: ErrorLog, slot: Slot | None) -> None:
        self.age = age
        self.pid: int | str = "[booting]"
        self.ppid = os.getpid()
        self.sockets = sockets
        self.app = app
        self.cfg = app.cfg
        self.timeout = app.cfg.timeout / 2
        self.log = log
        self.tmp = Tmp(slot)
        self.aborted = False
        self.reloader = None
        self.crew: Crew | None = None
        self._slot = slot
        self._alive = True

    def __str__(self) -> str:
        return f"<Worker {self.pid}>"

    def notify(self) -> None:
        self.tmp.notify()

    @property
    def wsgi(self) -> Any:
        return self.app.callable

    @property
    def booted(self) -> bool:
        """Whether it has served."""
        return self._slot is not None and bool(self._slot.booted_at)

    @property
    def nr(self) -> int:
        """Requests that it has finished."""
        return self._slot.requests() if self._slot is not None else 0

    @property
    def alive(self) -> bool:
        """Whether it is to serve on. A hook that says False has it replaced: it goes on until its successor serves."""
        return self._alive and (self.crew is None or self.crew.phase is Phase.RUNNING)

    @alive.setter
    def alive(self, value: bool) -> None:
        self._alive = value
        if not value and self.crew is not None:
            self.crew.retire()


class WorkerHooks:
    """The hooks in a worker's process. server: what the master is to hooks, as it was when it forked."""

    def __init__(self, settings: Settings, server: Any, worker: Worker) -> None:
        self.settings = settings
        self.server = server
        self.worker = worker
        self._interrupt = _Turn(self._call_interrupt)
        self._abort = _Turn(self._call_abort)
        self._leaving = threading.Lock()

    def forked(self) -> None:
        """The process is new: nothing is loaded, and it has the master's rights. Raises `HookError`."""
        self.worker.pid = os.getpid()
        call_or_fail("post_fork", self.settings.post_fork, self.server, self.worker)

    def initialised(self, crew: Crew) -> None:
        """The application is loaded and signals are handled, nobody is served yet. Raises `HookError`."""
        self.worker.app.loaded = crew.application
        self.worker.crew = crew
        call_or_fail("post_worker_init", self.settings.post_worker_init, self.worker)

    def interrupted(self) -> None:
        """INT or QUIT came; in any thread."""
        if self.settings.worker_int is not None:
            self._interrupt.take()

    def aborted(self) -> None:
        """ABRT came; in any thread."""
        if self.settings.worker_abort is not None:
            self._abort.take()

    def leaves(self) -> None:
        """The process is about to end; at most once."""
        if not self._leaving.acquire(blocking=False):
            return
        try:
            if self.settings.worker_exit is not None:
                self.settings.worker_exit(self.server, self.worker)
        except BaseException:
            self.worker.log.warning("Exception in worker_exit hook\n%s", traceback.format_exc().rstrip())

    def _call_interrupt(self) -> None:
        call_and_tell("worker_int", self.settings.worker_int, self.worker)

    def _call_abort(self) -> None:
        self.worker.aborted = True
        call_and_tell("worker_abort", self.settings.worker_abort, self.worker)


class _Turn:
    """A hook that a signal calls: once, and in the main thread, on top of what hangs there, if that comes by soon.

    Another thread may hear of the signal first, or be the only one to do so while the main thread is busy in C.
    """

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._claim = threading.Lock()
        self._begun = threading.Event()
        self._done = threading.Event()

    def take(self) -> None:
        """Return when it has been called; in the main thread also while it is being called (a second signal)."""
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main:
            self._begun.wait(_SOON)
        if self._claim.acquire(blocking=False):
            self._begun.set()
            try:
                self._call()
            finally:
                self._done.set()
        elif not is_main:
            self._done.wait()


def call_or_fail(name: str, hook: Callable[..., Any] | None, *arguments: Any) -> None:
    """Call a hook that must not fail; `HookError` if it does."""
    if hook is None:
        return
    try:
        hook(*arguments)
    except Exception as error:
        raise HookError(name, error) from error


def call_and_tell(name: str, hook: Callable[..., Any] | None, worker: Worker) -> None:
    """Call a hook whose failure changes nothing: it is logged. `sys.exit()` asks for what is about to happen anyway."""
    try:
        if hook is not None:
            hook(worker)
    except SystemExit:
        pass
    except BaseException:
        worker.log.exception("Exception in %s hook", name)
