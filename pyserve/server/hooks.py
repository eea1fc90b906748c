"""The hooks in the master's process, and `server`, which is gunicorn's `Arbiter` as hook functions expect it.

    nworkers_changed -> on_starting -> when_ready -> (pre_fork -> ... -> child_exit, nworkers_changed)* -> on_exit

A reload by HUP is a new life of the process (`takeover`): nworkers_changed -> on_reload -> (pre_fork ...)*. With the
old life end threads, attributes of `server` and filters of loggers, which under gunicorn they do not: `on_starting` or
`when_ready` is called again where it had left such, a scheduler, an endpoint for metrics, a log without health checks.

A hook that raises ends the server, as it ends gunicorn: before the first worker at once, later by a quick stop.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pyserve.workers.cfg import Address, Config
from pyserve.workers.hooks import App, HookError, Worker, WorkerHooks, call_or_fail
from pyserve.workers.logs import loggers

if TYPE_CHECKING:
    from pyserve.server.seats import Member
    from pyserve.server.takeover import Origin
    from pyserve.settings import Settings
    from pyserve.workers.application import Application
    from pyserve.workers.logs.error_log import ErrorLog
    from pyserve.workers.scoreboard import Scoreboard
    from pyserve.workers.worker import WorkerContext


class Server:
    """`server`. What hooks set on it stays there, for as long as this process executes.

    WORKERS: by pid, also those that are on their way out. worker_age: of the last worker that was started. wish: what a
    hook has set `num_workers` to.
    """

    def __init__(self, settings: Settings, log: ErrorLog, origin: Origin) -> None:
        self.cfg = Config(settings, origin.environ)
        self.app = App(settings, self.cfg)
        self.log = log
        self.pid = os.getpid()
        self.address: list[Address] = self.cfg.address
        self.timeout = self.cfg.timeout
        self.proc_name = self.cfg.proc_name
        self.worker_age = 0
        self.master_pid = 0
        self.master_name = "Master"
        self.reexec_pid = 0
        self.LISTENERS: Sequence[socket.socket] = ()
        self.WORKERS: dict[int, Worker] = {}
        self.START_CTX: dict[str | int, Any] = {
            "args": list(origin.arguments), "cwd": origin.directory, 0: origin.executable,
        }  # fmt: skip
        self.wish: int | None = None
        self._num_workers = settings.workers

    @property
    def num_workers(self) -> int:
        """How many workers there should be. Hooks may set it; the master then comes to it in its own time."""
        return self._num_workers

    @num_workers.setter
    def num_workers(self, value: int) -> None:
        self.wish = value


class MasterHooks:
    """Calls them. All of it is for the master's one thread.

    lasting: the hooks that left something in the life before which has ended with it; in time, those that did in this
    one. broken: a hook has raised while there are workers, and the server is to end.
    """

    def __init__(self, settings: Settings, log: ErrorLog, origin: Origin, lasting: Iterable[str] = ()) -> None:
        self._settings = settings
        self._log = log
        self.server = Server(settings, log, origin)
        self.lasting = set(lasting)
        self.broken = False

    # Before there are workers. At the first start these raise HookError.

    def starting(self, before: int | None) -> None:
        """The process is new. before: how many workers the life before wanted, None at the first start."""
        counted, wanted = self._settings.nworkers_changed, self.server.num_workers
        if before is None:
            call_or_fail("nworkers_changed", counted, self.server, wanted, before)
            with self._traces_of("on_starting"):
                call_or_fail("on_starting", self._settings.on_starting, self.server)
        else:
            self._call("nworkers_changed", counted, wanted, before)
            self._call_again("on_starting", self._settings.on_starting)

    def adopt(self, members: Sequence[Member], board: Scoreboard) -> None:
        """The workers that the life before has started."""
        for member in members:
            self.server.worker_age = max(self.server.worker_age, member.age)
            if member.pid is not None:
                slot = board.slot(member.slot) if 0 <= member.slot < len(board) else None
                worker = Worker(member.age, [], self.server.app, self._log, slot)
                worker.pid = member.pid
                self.server.WORKERS[member.pid] = worker

    def listening(self, sockets: Sequence[socket.socket], application: Application | None, *, again: bool) -> None:
        """All that workers need is there. application: with `--preload`. again: after a reload."""
        self.server.LISTENERS = sockets
        self.server.app.loaded = application
        if again:
            self._call_again("when_ready", self._settings.when_ready)
            self._call("on_reload", self._settings.on_reload)
        else:
            with self._traces_of("when_ready"):
                call_or_fail("when_ready", self._settings.when_ready, self.server)

    def _call_again(self, name: str, hook: Callable[..., object] | None) -> None:
        """In a later life: what had left something behind does so again."""
        if name in self.lasting:
            with self._traces_of(name):
                self._call(name, hook)

    @contextlib.contextmanager
    def _traces_of(self, name: str) -> Iterator[None]:
        """Note whether the hook `name` leaves something that ends with this life: threads, attributes of `server`, what
        it has changed of the server's loggers."""
        threads, before = threading.active_count(), self._traces()
        yield
        self.lasting.discard(name)
        if threading.active_count() > threads or self._traces() != before:
            self.lasting.add(name)

    def _traces(self) -> tuple[object, ...]:
        return set(vars(self.server)), loggers.state()

    # While there are workers

    def before_fork(self, context: WorkerContext) -> bool:
        """A worker is about to be forked: give it its hooks, and the application if a hook has loaded that. False
        when the hook has raised."""
        server = self.server
        server.worker_age = context.age
        worker = Worker(context.age, context.listeners, server.app, self._log, context.slot)
        context.hooks = WorkerHooks(self._settings, server, worker)
        context.application = context.application or server.app.loaded
        return self._call("pre_fork", self._settings.pre_fork, worker)

    def after_fork(self, context: WorkerContext, pid: int) -> None:
        """In the master: the worker runs."""
        if context.hooks is not None:
            context.hooks.worker.pid = pid
            self.server.WORKERS[pid] = context.hooks.worker

    def child_exit(self, pid: int) -> None:
        """A worker was waited for; what it has written to the scoreboard is still there."""
        worker = self.server.WORKERS.pop(pid, None)
        if worker is not None:
            self._call("child_exit", self._settings.child_exit, worker)

    def count_changed(self, wanted: int) -> None:
        """There should be so many workers now, as far as is known before any of them is started or told to go."""
        before, self.server._num_workers = self.server.num_workers, wanted
        if wanted != before:
            self._call("nworkers_changed", self._settings.nworkers_changed, wanted, before)

    def _call(self, name: str, hook: Callable[..., object] | None, *arguments: Any) -> bool:
        """Call a hook with `server` and more; log its failure, and say that it was the end. Whether it went well."""
        try:
            call_or_fail(name, hook, self.server, *arguments)
        except HookError as error:
            self._log.error("Exception in %s hook, the server stops\n%s", name, error.traceback.rstrip())
            self.broken = True
            return False
        return True

    # The end

    def pre_exec(self) -> bool:
        """In the process that is about to become the new master (USR2), forked from this one; False when the hook has
        raised, and the process should end."""
        try:
            call_or_fail("pre_exec", self._settings.pre_exec, self.server)
        except HookError as error:
            self._log.error("Exception in pre_exec hook\n%s", error.traceback.rstrip())
            return False
        return True

    def on_exit(self) -> bool:
        """Nothing is left of the server but this process; False when the hook has raised."""
        try:
            call_or_fail("on_exit", self._settings.on_exit, self.server)
        except HookError as error:
            self._log.error("Exception in on_exit hook\n%s", error.traceback.rstrip())
            return False
        return True
