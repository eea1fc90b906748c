"""What is answered at the control socket, from books of a server that has no process."""

import json
import os
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.ctl.handlers import CommandHandlers
from gunicorn.ctl.server import ControlSocketServer

from pyserve.server.control_desk import COMMANDS, Desk
from pyserve.server.control_frames import CommandError, Request, answered
from pyserve.server.events import Event, Exited, Kill, Oust, Ready, Reload, Reopen, Started, Stop
from pyserve.server.events import Manner as How
from pyserve.server.staff import Policy
from pyserve.server.supervisor import Supervisor
from pyserve.server.takeover import Record
from pyserve.settings import Settings
from pyserve.workers.cfg import Config
from tests.server.journal import Log


class Books:
    """A supervisor with two workers, pids 101 and 102; the first one serves."""

    def __init__(self, **settings: Any) -> None:
        self.log = Log()
        self.heard: list[Event] = []
        self.supervisor = Supervisor(Policy(workers=2, capacity=5, timeout=30, graceful_timeout=30))
        self.supervisor.start(0.0)
        for event in (Started(1, 101), Started(2, 102), Ready(1)):
            self.supervisor.handle(event, 1.0)
        self.listener = socket.create_server(("127.0.0.1", 0))
        equipment: Any = SimpleNamespace(
            log=self.log,
            record=Record(reloads=3, killed=4),
            slot_of=lambda index, age: SimpleNamespace(requests=lambda: 7) if age == 1 else None,
            listeners=SimpleNamespace(all=lambda: [self.listener]),
            hooks=SimpleNamespace(server=SimpleNamespace(cfg=Config(Settings(**settings)))),
        )
        self.desk = Desk(equipment, self.supervisor, self.heed)

    def heed(self, event: Event) -> None:
        self.heard.append(event)
        self.supervisor.handle(event, 2.0)

    def ask(self, command: str) -> dict[str, Any]:
        data = self.desk.answer(Request(1, tuple(command.split())))
        answered(1, data)
        return data


@pytest.fixture
def books() -> Iterator[Books]:
    books = Books(app="app:app", raw_env=("A=secret",), keyfile_password="secret", bind=("127.0.0.1:0",))
    yield books
    books.listener.close()


def test_gunicorns_answers_have_the_same_keys(books: Books) -> None:
    """Its handlers are asked with an arbiter that has a worker of its kind."""
    tmp = SimpleNamespace(last_update=lambda: 0.0)
    worker = SimpleNamespace(age=1, booted=True, aborted=False, tmp=tmp)
    arbiter = SimpleNamespace(
        WORKERS={101: worker}, LISTENERS=[], pid=1, num_workers=1, dirty_arbiter_pid=0, wakeup=lambda: None
    )
    theirs = CommandHandlers(arbiter)
    assert set(theirs.help()["commands"]) - set(COMMANDS) == {"dirty add [N]", "dirty remove [N]"}
    pairs = [
        (theirs.show_all(), "show all"),
        (theirs.show_workers(), "show workers"),
        (theirs.show_dirty(), "show dirty"),
        (theirs.show_stats(), "show stats"),
        (theirs.show_listeners(), "show listeners"),
        (theirs.dirty_add(1), "dirty add 1"),
        (theirs.worker_kill(7), "worker kill 7"),
        (theirs.worker_add(1), "worker add 1"),
        (theirs.worker_remove(1), "worker remove 1"),
    ]
    for their, command in pairs:
        our = books.ask(command)
        assert set(their) == set(our), command
        for name in ("workers", "web_workers"):
            if their.get(name):
                assert set(their[name][0]) <= set(our[name][0])


def test_what_gunicorn_does_not_know_is_unknown_here(books: Books) -> None:
    server = ControlSocketServer.__new__(ControlSocketServer)
    for command in ("bogus", "show", "show me", "worker", "worker kill", "worker kill x", "worker add x"):
        with pytest.raises(ValueError):
            server._execute_command(command.split())
        with pytest.raises(CommandError, match="Invalid argument: "):
            books.ask(command)
    for command in ("worker add 0", "worker add -1", "worker add 1 2", "shutdown now", "shutdown quick 1", "reload x"):
        with pytest.raises(CommandError, match="Invalid argument: "):
            books.ask(command)
    with pytest.raises(CommandError, match="Empty command"):
        books.ask("")
    with pytest.raises(CommandError, match="did you mean 'reload'"):
        books.ask("relaod")
    assert books.heard == []


def test_workers(books: Books) -> None:
    first, second = books.ask("SHOW Workers")["workers"]
    assert (first["pid"], first["booted"], first["aborted"], first["requests"]) == (101, True, False, 7)
    assert first["last_heartbeat"] > 0
    assert (second["pid"], second["booted"], second["last_heartbeat"]) == (102, False, None)
    told = books.ask("show all")
    assert told["arbiter"]["pid"] == os.getpid()
    assert told["web_worker_count"] == 2
    books.supervisor.handle(Exited(2, 0), 3.0)
    assert books.ask("show workers")["count"] == 1, "the next one has no process yet"


def test_stats_and_listeners(books: Books) -> None:
    stats = books.ask("show stats")
    wanted = {"workers_current": 2, "workers_target": 2, "workers_spawned": 2, "workers_killed": 4, "reloads": 3}
    assert wanted.items() <= stats.items()
    host, port = books.listener.getsockname()
    (listener,) = books.ask("show listeners")["listeners"]
    assert listener == {"address": f"http://{host}:{port}", "fd": books.listener.fileno(), "type": "tcp"}


def test_the_configuration_without_secrets(books: Books) -> None:
    told = books.ask("show config")
    assert told["bind"] == ["127.0.0.1:0"]
    assert told["timeout"] == 30
    assert "post_fork" not in told
    assert "secret" not in json.dumps(told)


def test_an_application_that_cannot_be_shown() -> None:
    class Callable:
        def __call__(self) -> None: ...

        def __str__(self) -> str:
            raise RuntimeError

    books = Books(app=Callable())
    books.listener.close()
    assert books.ask("show config")["app"] == "<Callable>"


def test_more_and_fewer(books: Books) -> None:
    assert books.ask("worker add") == {"added": 1, "previous": 2, "total": 3}
    assert books.ask("worker add 100") == {"added": 1, "previous": 3, "total": 4}, "there is no room for more"
    assert len(books.heard) == 3, "and no use in asking on"
    assert books.ask("worker remove 2") == {"removed": 2, "previous": 4, "total": 2}
    assert books.ask("worker remove 999") == {"removed": 1, "previous": 2, "total": 1}


def test_one_worker(books: Books) -> None:
    assert books.ask("worker kill 101") == {"success": True, "killed": 101}
    assert books.heard == [Oust(1)]
    assert books.ask("worker kill 101")["success"], "again, while it goes"
    assert books.ask("worker kill 1")["success"] is False


def test_what_signals_do(books: Books) -> None:
    assert books.ask("reload") == {"status": "reloading"}
    assert books.ask("reopen") == {"status": "reopening"}
    assert books.ask("shutdown") == {"status": "shutting_down", "mode": "graceful"}
    assert books.ask("shutdown quick") == {"status": "shutting_down", "mode": "quick"}
    assert books.heard == [Reload(), Reopen(), Stop(How.GRACEFUL), Stop(How.QUICK)]
    assert books.log.lines[-1] == "info: Control socket: shutdown quick"


def test_ousted_workers_are_followed(books: Books) -> None:
    """Also one that boots; and neither counts as a failure."""
    for age, pid in ((1, 101), (2, 102)):
        actions = books.supervisor.handle(Oust(age), 2.0)
        assert [action.pid for action in actions if isinstance(action, Kill)] == [pid]
        assert len(actions) == 2, "and the next one is started"
        assert books.supervisor.handle(Oust(age), 2.0) == []
    books.supervisor.handle(Exited(2, -15), 2.0)
    assert all(seat.failures == 0 for seat in books.supervisor._staff.seats)
    books.supervisor.handle(Stop(How.GRACEFUL), 3.0)
    assert books.supervisor.handle(Oust(3), 3.0) == []
