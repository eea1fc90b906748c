"""The hooks in the master's process, called by hand; tests/integration/test_hooks.py has whole lives."""

import logging
import os
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from pyserve.server.hooks import MasterHooks
from pyserve.server.seats import Member
from pyserve.server.takeover import Origin
from pyserve.settings import Settings
from pyserve.workers.application import Application
from pyserve.workers.hooks import HookError
from pyserve.workers.logs import loggers
from pyserve.workers.scoreboard import Scoreboard
from pyserve.workers.worker import WorkerContext
from tests.server.journal import Log


def hooks(**settings: Any) -> MasterHooks:
    return MasterHooks(Settings(**settings), cast(Any, Log()), Origin("python", ("pyserve", "a:b"), {"A": "b"}, "/"))


def said(of: MasterHooks) -> list[tuple[str, str]]:
    return cast(Any, of)._log.said  # type: ignore[no-any-return]


def context(age: int = 1) -> WorkerContext:
    board = Scoreboard(2, 1)
    slot = board.slot(0)
    slot.clear(age)
    return WorkerContext(Settings(), [], slot, board, 0, age, -1, -1, None, cast(Any, Log()), False)


def fails(*arguments: object) -> None:
    raise ValueError("no licence")


def test_what_has_started_threads_is_called_again_in_the_next_life() -> None:
    ends, calls = threading.Event(), []

    def threads(server: Any) -> None:
        calls.append("threads")
        threading.Thread(target=ends.wait, daemon=True).start()

    first = hooks(on_starting=threads, when_ready=lambda server: calls.append("none"))
    first.starting(None)
    first.listening([], None, again=False)
    assert first.lasting == {"on_starting"}
    second = MasterHooks(first._settings, first._log, Origin("python", (), {}, "/"), first.lasting)
    second.starting(1)
    second.listening([], None, again=True)
    assert calls == ["threads", "none", "threads"]
    assert second.lasting == {"on_starting"}
    ends.set()


def _sets_an_attribute(server: Any) -> None:
    server.began = 1.0


def _adds_a_filter(server: Any) -> None:
    loggers.GUNICORN_ACCESS.addFilter(lambda record: True)


def _sets_a_level(server: Any) -> None:
    loggers.UVICORN_ACCESS.setLevel(logging.WARNING)


@pytest.mark.usefixtures("loggers_restored")
@pytest.mark.parametrize("hook", [_sets_an_attribute, _adds_a_filter, _sets_a_level])
@pytest.mark.parametrize("name", ["on_starting", "when_ready"])
def test_what_has_left_something_in_the_process_is_called_again_in_the_next_life(name: str, hook: Any) -> None:
    first = hooks(**{name: hook})
    first.starting(None)
    first.listening([], None, again=False)
    assert first.lasting == {name}


@pytest.mark.usefixtures("loggers_restored")
def test_what_only_looks_is_not_called_again() -> None:
    def look(server: Any) -> None:
        server.log.info("%s workers at %s", server.num_workers, server.address)
        server.num_workers = 3
        logging.getLogger("gunicorn.error").info("as above")

    first = hooks(on_starting=look, when_ready=look)
    first.starting(None)
    first.listening([], None, again=False)
    assert first.lasting == set()


MASTER = (
    "nworkers_changed", "on_starting", "on_reload", "when_ready", "pre_fork", "child_exit", "pre_exec", "on_exit",
)  # fmt: skip


def live(it: MasterHooks) -> None:
    """Call all of them in the order of a life with a reload, one worker more and the start of another master."""
    it.starting(None)
    it.listening([], None, again=False)
    it.before_fork(born := context())
    it.after_fork(born, 77)
    it.starting(1)
    it.listening([], None, again=True)
    it.count_changed(2)
    it.count_changed(2)
    it.child_exit(77)
    it.pre_exec()
    it.on_exit()


def test_hooks_that_are_not_set() -> None:
    it = hooks()
    live(it)
    assert (said(it), it.broken) == ([], False)


def test_each_is_called_at_its_moment_with_the_server_first() -> None:
    calls: list[tuple[Any, ...]] = []

    def note(name: str) -> Callable[..., None]:
        return lambda server, *more: calls.append((name, *more)) if server is it.server else None

    it = hooks(**{name: note(name) for name in MASTER})
    born = context()
    it.starting(None)
    it.listening([], None, again=False)
    assert it.before_fork(born)
    it.after_fork(born, 77)
    it.count_changed(2)
    it.count_changed(2)
    it.child_exit(77)
    it.child_exit(77)
    it.pre_exec()
    it.on_exit()
    worker = born.hooks and born.hooks.worker
    assert calls == [
        ("nworkers_changed", 1, None),
        ("on_starting",),
        ("when_ready",),
        ("pre_fork", worker),
        ("nworkers_changed", 2, 1),
        ("child_exit", worker),
        ("pre_exec",),
        ("on_exit",),
    ]


def test_a_later_life_reloads_instead_of_starting() -> None:
    calls: list[Any] = []
    it = hooks(
        workers=4,
        on_starting=fails,
        when_ready=fails,
        on_reload=lambda server: calls.append("on_reload"),
        nworkers_changed=lambda server, new, old: calls.append((new, old)),
    )
    it.starting(2)
    it.listening([], None, again=True)
    assert calls == [(4, 2), "on_reload"]


# What the server is to hooks


def test_the_server_at_its_start() -> None:
    server = hooks(workers=3, bind=("127.0.0.1:8000",)).server
    assert (server.pid, server.address, server.num_workers) == (os.getpid(), [("127.0.0.1", 8000)], 3)
    assert (server.worker_age, server.WORKERS, list(server.LISTENERS), server.master_pid) == (0, {}, [], 0)
    assert server.cfg.workers == 3
    assert server.proc_name == "app"
    assert server.cfg.env_orig == {"A": "b"}
    assert server.START_CTX == {"args": ["pyserve", "a:b"], "cwd": "/", 0: "python"}
    assert server.app.cfg is server.cfg


def test_workers_are_known_from_the_fork_to_child_exit() -> None:
    seen: list[Any] = []
    it = hooks(
        pre_fork=lambda server, worker: seen.append((worker.pid, worker.age, server.worker_age, len(server.WORKERS))),
        child_exit=lambda server, worker: seen.append((worker.pid, worker.booted, server.WORKERS)),
    )
    born = context(5)
    it.before_fork(born)
    it.after_fork(born, 77)
    assert list(it.server.WORKERS) == [77]
    born.slot.booted_at = 1
    it.child_exit(77)
    assert seen == [("[booting]", 5, 5, 0), (77, True, {})]


def test_workers_of_the_life_before_are_known() -> None:
    seen: list[Any] = []
    it = hooks(child_exit=lambda server, worker: seen.append((worker.age, worker.pid, worker.nr)))
    board = Scoreboard(1, 1)
    it.adopt([Member(age, 0, slot, 0, pid) for age, slot, pid in ((3, 0, 77), (4, 1, 78), (5, 0, None))], board)
    assert (it.server.worker_age, sorted(it.server.WORKERS)) == (5, [77, 78])
    it.child_exit(78)
    it.child_exit(77)
    assert seen == [(4, 78, 0), (3, 77, 0)]


def test_a_hook_may_wish_for_another_number_of_workers() -> None:
    it = hooks()
    it.server.num_workers += 2
    assert (it.server.wish, it.server.num_workers) == (3, 1)


def test_the_application_that_is_preloaded() -> None:
    seen: list[Any] = []
    it = hooks(when_ready=lambda server: seen.append(server.app.wsgi()))
    it.listening([], Application(len, "wsgi", "test"), again=False)
    assert seen == [len]


def test_an_application_that_a_hook_has_loaded_is_not_loaded_again() -> None:
    it = hooks(app=lambda environ, start_response: [], when_ready=lambda server: server.app.wsgi())
    it.listening([], None, again=False)
    born = context()
    it.before_fork(born)
    assert born.application is it.server.app.loaded is not None


# Hooks that raise


@pytest.mark.parametrize("name", ["nworkers_changed", "on_starting"])
def test_before_there_is_anything_it_is_the_end(name: str) -> None:
    with pytest.raises(HookError, match=f"^the {name} hook failed: ValueError: no licence$"):
        hooks(**{name: fails}).starting(None)


def test_before_the_first_worker_it_is_the_end() -> None:
    with pytest.raises(HookError, match=r"^the when_ready hook failed: "):
        hooks(when_ready=fails).listening([], None, again=False)


@pytest.mark.parametrize("name", ["nworkers_changed", "on_reload"])
def test_at_a_reload_the_workers_of_the_life_before_are_to_stop(name: str) -> None:
    it = hooks(**{name: fails})
    it.starting(2)
    it.listening([], None, again=True)
    assert it.broken
    assert said(it)[0][1].startswith(f"Exception in {name} hook, the server stops\nTraceback")


@pytest.mark.parametrize("name", ["pre_fork", "child_exit", "nworkers_changed"])
def test_while_there_are_workers_the_server_is_to_stop(name: str) -> None:
    it = hooks(**{name: fails})
    born = context()
    assert it.before_fork(born) is (name != "pre_fork")
    it.after_fork(born, 77)
    it.count_changed(2)
    it.child_exit(77)
    assert it.broken
    [(level, text)] = said(it)
    assert level == "error"
    assert text.startswith(f"Exception in {name} hook, the server stops\nTraceback")
    assert text.endswith("ValueError: no licence")


@pytest.mark.parametrize("name", ["pre_exec", "on_exit"])
def test_whoever_asks_is_told(name: str) -> None:
    it = hooks(**{name: fails})
    assert getattr(it, name)() is False
    assert said(it)[0][1].startswith(f"Exception in {name} hook\nTraceback")
    assert not it.broken
