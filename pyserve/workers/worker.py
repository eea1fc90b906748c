"""A worker process, from its birth to its exit code."""

from __future__ import annotations

import gc
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyserve.effects import ineffective
from pyserve.settings import SettingsError
from pyserve.workers.application import Application, ApplicationLoadError, choose_worker_class, load
from pyserve.workers.crew import BootError, Crew
from pyserve.workers.hooks import HookError, WorkerHooks
from pyserve.workers.identity import give_up_rights, set_title
from pyserve.workers.logs import access

if TYPE_CHECKING:
    from pyserve.settings import Settings
    from pyserve.workers.logs.error_log import ErrorLog
    from pyserve.workers.scoreboard import Scoreboard, Slot
    from pyserve.workers.tls.certificates import Certificates

# New objects before the youngest generation is searched for cycles, its searches before one of the next generation, and
# that one's. Python's own first number, 700, is passed by the requests of sixty connections that arrive in one turn of
# a loop, all of them alive: the searches find nothing, and cost 6 % of all time. With ten times as many and its second
# number, 10, one search keeps everybody waiting for 40 ms while thousands connect. The third keeps the last one rare.
_SEARCHES = (5_000, 4, 50)


@dataclass(slots=True)
class WorkerContext:
    """Everything a worker is born with. The master has forked; this is the child's.

    The signals that the master handles are back at their defaults (USR1, USR2, HUP, TTIN, TTOU, WINCH are
    ignored) until the worker sets its own; the slot is cleared, holds pid and age, and says BOOTING.
    """

    settings: Settings
    listeners: list[socket.socket]
    """Listening, non-blocking. With `reuse_port` they are this seat's own, else shared with all workers."""
    slot: Slot
    scoreboard: Scoreboard
    index: int
    """The worker's seat, from 0. Its successor gets the same one, also while this one still drains."""
    age: int
    """The spawn number, from 1; never given twice."""
    ready_fd: int
    """Write end of the pipe to the master: `b"R"` once the worker serves; later `b"W"` when it should be replaced, and
    serves on until it is told to go; or `b"D"` when it goes by itself, so that the master starts the successor at
    once; `b"F"` + one octet exit code + the reason in
    UTF-8 when it cannot boot, and then it exits with that code (3: could not boot, 4: the application could
    not be loaded)."""
    master_fd: int
    """Read end of a pipe that the master never writes to. End of file means that the master died: drain and
    exit."""
    application: Application | None
    """With `--preload` the loaded application; None: the worker loads it."""
    log: ErrorLog
    multiprocess: bool
    """Whether the application may run in another process at the same time (`wsgi.multiprocess`)."""
    hooks: WorkerHooks | None = None
    certificates: Certificates | None = None
    """For TLS; None: the listeners speak plain HTTP."""
    files_fd: int | None = None
    """With `--reload` the write end of the pipe in which the files of the application are told (`loaded.py`)."""


def run(context: WorkerContext) -> int:
    """Be a worker; the exit code of the process."""
    try:
        if context.hooks is not None:
            context.hooks.forked()
        crew = _muster(context)
        code = _serve(crew)
    except (ApplicationLoadError, SettingsError, BootError, HookError) as error:
        return _report_failure(context, error)
    if crew.access is not None:
        crew.access.close()
    context.log.info("Worker exiting (pid: %s)", os.getpid())
    return code


def _muster(context: WorkerContext) -> Crew:
    settings, hooks = context.settings, context.hooks
    set_title(settings, "worker")
    give_up_rights(settings)
    # A hook may have loaded it already.
    application = context.application or (hooks and hooks.worker.app.loaded)
    if context.files_fd is not None:
        from pyserve.workers.loaded import telling

        with telling(context.files_fd, settings):
            application = application or load(settings)
    application = application or load(settings)
    # All workers share the file: what is wrong with it is said by one of them.
    log = access.setup(settings, context.log, None if context.index == 0 else context.log.debug)
    if hooks is not None and (settings.pre_request or settings.post_request):
        from pyserve.workers.request_hooks import HookedCrew, RequestHooks

        crew: Crew = HookedCrew(context, application, log, RequestHooks(settings, hooks.worker))
    else:
        crew = Crew(context, application, log)
    if settings.ready_path:
        from pyserve.workers.readiness import answer_checks

        answer_checks(crew)
    return crew


def _serve(crew: Crew) -> int:
    """Run the class of worker that suits the application; only that one's modules are loaded."""
    worker_class = choose_worker_class(crew.settings, crew.application)
    if crew.context.age == 1:
        if crew.settings.worker_class is None and crew.context.application is None:  # else the master has said it
            crew.log.info("Using worker: %s", worker_class)
        for warning in ineffective(crew.settings, worker_class, crew.application.interface):
            crew.log.warning("%s", warning)
    _spare_the_collector()
    if worker_class == "async":
        from pyserve.workers.async_worker.worker import AsyncWorker

        return AsyncWorker(crew).run()
    from pyserve.workers.thread_worker.worker import ThreadWorker

    return ThreadWorker(crew).run()


def _spare_the_collector() -> None:
    """What is loaded by now stays: the collector need not look at it again. An application's own numbers are kept."""
    gc.collect()
    gc.freeze()
    young, *_ = gc.get_threshold()
    if 0 < young <= 2000:  # what Python starts with, 700 or 2000
        gc.set_threshold(*_SEARCHES)


def _report_failure(context: WorkerContext, error: ApplicationLoadError | SettingsError | BootError | HookError) -> int:
    """Tell the master why this worker does not serve; return the exit code."""
    trace = error.traceback if isinstance(error, ApplicationLoadError | HookError) else None
    reason = f"{error}\n{trace.rstrip()}" if trace else str(error)
    try:
        os.write(context.ready_fd, b"F" + bytes([error.exit_code]) + reason.encode("utf-8", "backslashreplace"))
    except OSError:
        context.log.error("%s", reason)
    return error.exit_code
