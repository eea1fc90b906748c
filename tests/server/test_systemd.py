"""What systemd and the server tell each other, with a socket in systemd's place."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyserve.server.systemd import Health, Notifier, remarks, with_its_sockets
from pyserve.settings import Settings


class Manager:
    """systemd's end."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(0)

    def heard(self) -> list[dict[str, str]]:
        """The messages since the last time."""
        found = []
        while True:
            try:
                text = self.socket.recv(4096).decode()
            except BlockingIOError:
                return found
            found.append(dict(line.split("=", 1) for line in text.split("\n")))


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.socket.close()


def health(ready=0, wanted=2, reloading=False, stopping=False) -> Health:
    return Health(ready, wanted, reloading, stopping)


def test_a_life(manager, tmp_path, log):
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}, log)
    notifier.look(health(), 1.0)
    assert manager.heard() == [], "no worker serves yet"
    notifier.look(health(ready=1), 2.0)
    assert manager.heard() == [{"READY": "1", "MAINPID": str(os.getpid()), "STATUS": "1 of 2 workers serve"}]
    notifier.look(health(ready=1), 3.0)
    notifier.look(health(ready=2), 3.0)
    notifier.look(health(ready=2), 4.0)
    assert manager.heard() == [{"STATUS": "2 of 2 workers serve"}]
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    (message,) = manager.heard()
    assert message["RELOADING"] == "1"
    assert before <= int(message["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    notifier.look(health(ready=2, reloading=True), 5.0)
    assert manager.heard() == []
    notifier.look(health(ready=2), 6.0)
    assert [message["READY"] for message in manager.heard()] == ["1"]
    notifier.look(health(ready=2, stopping=True), 7.0)
    notifier.look(health(ready=1, stopping=True), 8.0)
    assert manager.heard() == [{"STOPPING": "1", "STATUS": "Stopping"}]
    notifier.reloading()
    assert manager.heard() == [], "too late"
    assert log.lines == []


def test_a_stop_with_another_master_beside(manager, tmp_path, log):
    """USR2: the service goes on."""
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}, log)
    notifier.look(Health(1, 1, reloading=False, stopping=True, successor=4242), 1.0)
    assert manager.heard() == [{"MAINPID": "4242"}]


def test_a_stop_before_anything_serves(manager, tmp_path, log):
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}, log)
    notifier.reloading()
    notifier.look(health(stopping=True), 1.0)
    assert manager.heard() == [{"STOPPING": "1", "STATUS": "Stopping"}]


def test_the_end_of_a_reload_that_an_earlier_life_began(manager, tmp_path, log):
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}, log, reloading=True)
    notifier.look(health(ready=2, reloading=True), 1.0)
    assert manager.heard() == []
    notifier.look(health(ready=2), 2.0)
    assert [message["READY"] for message in manager.heard()] == ["1"]


def test_watchdog(manager, tmp_path, log):
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}
    notifier = Notifier(environ, log)
    assert notifier.due(100.0) == 0.0
    for now in (100.0, 101.0, 101.4, 101.5, 102.9, 103.0):
        notifier.look(health(), now)
    assert manager.heard() == [{"WATCHDOG": "1"}] * 3
    assert notifier.due(103.5) == 1.0


@pytest.mark.parametrize("watchdog", [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}])
def test_no_watchdog(manager, tmp_path, log, watchdog):
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), **watchdog}, log)
    notifier.look(health(), 100.0)
    assert manager.heard() == []
    assert notifier.due(100.0) > 1e9


def test_an_abstract_socket(log):
    name = f"pyserve-test-{os.getpid()}-{time.monotonic_ns()}"
    manager = Manager("\0" + name)
    Notifier({"NOTIFY_SOCKET": "@" + name}, log).look(health(ready=1), 1.0)
    assert len(manager.heard()) == 1
    manager.socket.close()


def test_nobody_to_notify(log):
    notifier = Notifier({"WATCHDOG_USEC": "1"}, log)
    notifier.look(health(ready=1), 1.0)
    notifier.reloading()
    assert notifier.due(1.0) > 1e9
    assert log.lines == []


def test_a_manager_that_is_gone(log, tmp_path):
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "no")}, log).look(health(ready=1), 1.0)
    (line,) = log.lines
    assert line.startswith("debug: Can't notify the service manager at ")
    assert line.endswith(": [Errno 2] No such file or directory")


# Sockets


def with_environment(monkeypatch, *binds: str, **variables: object) -> tuple[tuple[str, ...], list[str]]:
    """Where it listens, and what is to be said about it."""
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    given = Settings(bind=binds or ("127.0.0.1:8000",))
    return with_its_sockets(given).bind, list(remarks(given))


def test_sockets_take_the_place_of_bind(monkeypatch):
    both = ("fd://3", "fd://4")
    assert with_environment(monkeypatch, LISTEN_PID=os.getpid(), LISTEN_FDS=2) == (both, [])
    assert with_environment(monkeypatch, "fd://3") == (both, [])
    bind, said = with_environment(monkeypatch, ":80", "fd://3")
    assert bind == both
    assert said == ["--bind :80,fd://3 is not used: systemd has opened the sockets"]


@pytest.mark.parametrize("fds", ["0", "", "-1", "many"])
def test_no_sockets(monkeypatch, fds):
    here = ("127.0.0.1:8000",)
    assert with_environment(monkeypatch, LISTEN_PID=os.getpid(), LISTEN_FDS=fds) == (here, [])
    assert with_environment(monkeypatch, LISTEN_PID=os.getpid() + 1, LISTEN_FDS=2) == (here, [])


def test_sockets_for_our_parent(monkeypatch):
    """`ExecStart=/bin/sh -c 'pyserve ...; true'`: the shell is the one that was meant."""
    bind, (said,) = with_environment(monkeypatch, LISTEN_PID=os.getppid(), LISTEN_FDS=1)
    assert bind == ("127.0.0.1:8000",)
    assert "exec" in said


def test_a_daemon_of_systemds(monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "@x")
    assert "Type=notify" in next(remarks(Settings(daemon=True)))
