"""The hooks of a worker's process and the worker that they are given; crews and signals are made up."""

import functools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pyserve.settings import Settings
from pyserve.workers.application import Application
from pyserve.workers.cfg import Config
from pyserve.workers.crew import Phase
from pyserve.workers.hooks import App, HookError, Worker, WorkerHooks
from pyserve.workers.scoreboard import REQUESTS, Scoreboard, Slot

PATIENCE = 10.0
SERVER = SimpleNamespace(name="server")


class Log:
    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda msg, *args: self.said.append((level, msg % args))


class FakeCrew:
    """retired: how often it was asked to."""

    def __init__(self) -> None:
        self.phase = Phase.RUNNING
        self.retired = 0
        self.application = Application(len, "wsgi", "test")

    def retire(self) -> None:
        self.retired += 1
        self.phase = Phase.DRAINING


def crew() -> Any:
    return FakeCrew()


def slot() -> Slot:
    place = Scoreboard(1, 2).slot(0)
    place.clear(7)
    return place


def worker(place: Slot | None = None, **settings: Any) -> Worker:
    chosen = Settings(**settings)
    return Worker(7, [], App(chosen, Config(chosen)), cast(Any, Log()), place)


def hooks(**settings: Any) -> WorkerHooks:
    return WorkerHooks(Settings(**settings), SERVER, worker(**settings))


def said(of: WorkerHooks) -> list[tuple[str, str]]:
    return cast(Any, of.worker.log).said  # type: ignore[no-any-return]


# The worker


def test_a_worker_before_it_is_forked() -> None:
    it = worker(slot(), timeout=9.0)
    assert (it.age, it.pid, it.ppid, it.nr) == (7, "[booting]", os.getpid(), 0)
    assert it.alive
    assert not it.booted
    assert not it.aborted
    assert str(it) == "<Worker [booting]>"
    assert it.timeout == 4.5
    assert it.cfg is it.app.cfg
    assert it.wsgi is None


def test_a_worker_knows_from_the_scoreboard_what_it_has_done() -> None:
    place = slot()
    it = worker(place)
    place.booted_at = 5
    place.thread(0).words[REQUESTS] = 2
    place.thread(1).words[REQUESTS] = 3
    assert it.booted
    assert it.nr == 5


def test_a_worker_whose_place_cannot_be_read() -> None:
    it = worker(None)
    it.notify()
    assert (it.booted, it.nr) == (False, 0)
    assert time.monotonic() - it.tmp.last_update() < PATIENCE


def test_the_heartbeat_stands_for_the_file() -> None:
    place = slot()
    it = worker(place)
    before = time.monotonic()
    it.notify()
    assert place.heartbeat >= before * 1e9
    assert it.tmp.last_update() == place.heartbeat / 1e9
    it.tmp.close()


def test_hooks_keep_things_on_a_worker() -> None:
    it: Any = worker()
    it.pool = "a pool"
    assert it.pool == "a pool"


def test_a_worker_that_is_told_to_be_dead_retires() -> None:
    it = worker()
    made = it.crew = crew()
    assert it.alive
    it.alive = True
    assert made.retired == 0
    it.alive = False
    assert made.retired == 1
    assert not it.alive


def test_alive_before_there_is_a_crew_is_only_remembered() -> None:
    it = worker()
    it.alive = False
    assert not it.alive


def test_the_app_is_loaded_once_and_when_it_is_asked_for() -> None:
    made = []

    def factory() -> Callable[..., Any]:
        made.append(1)
        return lambda environ, start_response: []

    app = App(Settings(app=factory, factory=True), Config(Settings()))
    assert app.callable is None
    assert app.wsgi() is app.wsgi() is app.callable
    assert made == [1]
    assert app.app_uri is None
    assert App(Settings(app="a:b"), Config(Settings())).app_uri == "a:b"


def test_the_app_of_a_program_that_is_its_own_server_is_the_programs() -> None:
    class Program:
        options = {"workers": 2}  # noqa: RUF012

        def __call__(self) -> Any:
            raise AssertionError

    loader: Any = Program()
    loader.program = loader
    app = App(Settings(app=loader), Config(Settings()))
    assert app.options == {"workers": 2}
    with pytest.raises(AttributeError):
        _ = app.nothing
    with pytest.raises(AttributeError, match=r"^the application has no attribute 'options'$"):
        _ = App(Settings(app="a:b"), Config(Settings())).options


# Hooks that must not fail


def test_hooks_that_are_not_set() -> None:
    it = hooks()
    it.forked()
    it.initialised(crew())
    it.interrupted()
    it.aborted()
    it.leaves()
    assert said(it) == []


def test_post_fork() -> None:
    calls: list[Any] = []
    it = hooks(post_fork=lambda *arguments: calls.append((*arguments, arguments[1].pid)))
    it.forked()
    assert calls == [(SERVER, it.worker, os.getpid())]


def test_post_worker_init() -> None:
    calls: list[Any] = []
    it = hooks(post_worker_init=lambda worker: calls.append((worker, worker.app.callable, worker.wsgi, worker.alive)))
    it.initialised(crew())
    assert calls == [(it.worker, len, len, True)]


def fails(*arguments: object) -> None:
    raise ValueError("no\nlicence")


@pytest.mark.parametrize("name", ["post_fork", "post_worker_init"])
def test_a_worker_whose_beginning_fails_cannot_boot(name: str) -> None:
    it = hooks(**{name: fails})
    begins = {"post_fork": it.forked, "post_worker_init": functools.partial(it.initialised, crew())}
    with pytest.raises(HookError, match=f"^the {name} hook failed: ValueError: no$") as caught:
        begins[name]()
    assert caught.value.exit_code == 3
    assert "in fails" in caught.value.traceback
    assert 'hooks.py", line' not in caught.value.traceback.replace(__file__, "")


def test_sys_exit_in_a_hook_goes_on_its_way() -> None:
    it = hooks(post_fork=lambda server, worker: sys.exit(5))
    with pytest.raises(SystemExit):
        it.forked()


# The end


def test_worker_exit_is_called_once() -> None:
    calls: list[Any] = []
    it = hooks(worker_exit=lambda *arguments: calls.append(arguments))
    it.leaves()
    it.leaves()
    assert calls == [(SERVER, it.worker)]


def test_a_failing_worker_exit_is_a_warning() -> None:
    it = hooks(worker_exit=fails)
    it.leaves()
    [(level, text)] = said(it)
    assert level == "warning"
    assert text.startswith("Exception in worker_exit hook\nTraceback")
    assert text.endswith("ValueError: no\nlicence")


# Signals

SIGNALS = [("worker_int", "interrupted"), ("worker_abort", "aborted")]


@pytest.mark.parametrize(("name", "method"), SIGNALS)
def test_a_signal_calls_once_in_the_main_thread(name: str, method: str) -> None:
    calls: list[Any] = []
    it = hooks(**{name: lambda worker: calls.append((worker, threading.current_thread()))})
    getattr(it, method)()
    getattr(it, method)()
    assert calls == [(it.worker, threading.main_thread())]


def test_an_abort_shows_on_the_worker() -> None:
    calls: list[bool] = []
    hooks(worker_abort=lambda worker: calls.append(worker.aborted)).aborted()
    assert calls == [True]


@pytest.mark.parametrize(("name", "method"), SIGNALS)
def test_another_thread_calls_when_the_main_thread_does_not_come(
    name: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyserve.workers.hooks._SOON", 0.0)
    calls: list[Any] = []
    it = hooks(**{name: lambda worker: calls.append(threading.current_thread())})
    other = threading.Thread(target=getattr(it, method))
    other.start()
    other.join(PATIENCE)
    getattr(it, method)()
    assert calls == [other]


def test_another_thread_leaves_it_to_the_main_thread_and_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyserve.workers.hooks._SOON", PATIENCE)
    events: list[str] = []
    waits = threading.Event()

    def abort(worker: Worker) -> None:
        other.start()
        waits.wait(PATIENCE)
        events.append(threading.current_thread().name)

    def hear() -> None:
        waits.set()
        it.aborted()
        events.append("heard")

    it = hooks(worker_abort=abort)
    other = threading.Thread(target=hear)
    it.aborted()
    other.join(PATIENCE)
    assert events == ["MainThread", "heard"]


def test_a_second_signal_while_the_first_is_heeded() -> None:
    calls: list[int] = []

    def abort(worker: Worker) -> None:
        calls.append(1)
        it.aborted()

    it = hooks(worker_abort=abort)
    it.aborted()
    assert calls == [1]


@pytest.mark.parametrize(("name", "method"), SIGNALS)
def test_a_failing_hook_of_a_signal_is_logged(name: str, method: str) -> None:
    it = hooks(**{name: fails})
    getattr(it, method)()
    assert said(it) == [("exception", f"Exception in {name} hook")]


@pytest.mark.parametrize(("name", "method"), SIGNALS)
def test_sys_exit_changes_nothing_about_the_end(name: str, method: str) -> None:
    it = hooks(**{name: lambda worker: sys.exit(9)})
    getattr(it, method)()
    assert said(it) == []


ABANDON = """
import os, sys, threading, time
from pyserve.settings import Settings
from pyserve.workers.application import Application
from pyserve.workers.cfg import Config
from pyserve.workers.crew import Crew
from pyserve.workers.hooks import App, Worker, WorkerHooks
from pyserve.workers.logs import error_log as logs
from pyserve.workers.scoreboard import Scoreboard
from pyserve.workers.worker import WorkerContext

begun = threading.Event()

def slow_exit(server, worker):
    begun.set()
    other.join(0.3)  # it must not come back
    print("slow exit is done", other.is_alive(), flush=True)

settings = Settings(worker_exit=slow_exit)
log = logs.setup(settings)
board = Scoreboard(1, 1)
worker = Worker(1, [], App(settings, Config(settings)), log, board.slot(0))
context = WorkerContext(settings, [], board.slot(0), board, 0, 1, -1, -1, None, log, False)
context.hooks = WorkerHooks(settings, None, worker)
crew = Crew(context, Application(len, "wsgi", "test"), None)

def later():
    begun.wait()
    crew.abandon(5)

other = threading.Thread(target=later, daemon=True)
other.start()
crew.abandon(4)
"""


def test_two_threads_that_end_the_process_do_so_once_and_after_worker_exit() -> None:
    ended = subprocess.run([sys.executable, "-c", ABANDON], capture_output=True, text=True, timeout=3 * PATIENCE)
    assert ended.stdout == "slow exit is done True\n"
    assert ended.stderr.count("Worker exiting") == 1
    assert ended.returncode == 4
