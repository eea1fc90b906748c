"""A stop in a life that has no settings; with a server it is tried in tests/integration/test_configuration.py."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyserve.server import second_chance
from pyserve.server.seats import Life, Member
from pyserve.server.takeover import Inheritance


@pytest.fixture(autouse=True)
def held_back() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT))
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.fixture
def children() -> Iterator[list[int]]:
    started: list[int] = []
    yield started
    for pid in started:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def a_child(code: int | None) -> int:
    """One that exits with this code when it is told to; None: it does not heed TERM."""
    pid = os.fork()
    if pid == 0:
        signal.sigwait({signal.SIGTERM} if code is not None else {signal.SIGINT})
        os._exit(code or 0)
    return pid


def left_by(pids: list[int], tmp_path: Path, *, successor: int = 0, patience: float = 30) -> Inheritance:
    """What a life has left with workers of these numbers, a unix socket and a pid file."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    listener.listen()
    status = (tmp_path / "socket").stat()
    (tmp_path / "pid").write_text(f"{os.getpid()}\n")
    told = {
        "address": f"unix:{tmp_path}/socket",
        "fds": {"0": listener.detach()},
        "per_seat": False,
        "made": [str(tmp_path / "socket"), status.st_dev, status.st_ino],
    }
    members = [Member(age, 0, 0, Life.READY, pid=pid) for age, pid in enumerate(pids, 1)]
    pidfile = str(tmp_path / "pid")
    return Inheritance(
        [told], None, (0, 0), (0, 0), members, {}, 2, 2, pidfile=pidfile, successor=successor, patience=patience
    )


@pytest.mark.parametrize("codes", [(0, 0), (0, 1)])
def test_workers_are_waited_for(codes: tuple[int, ...], tmp_path: Path) -> None:
    left = left_by([a_child(code) for code in codes], tmp_path)
    assert second_chance._stop(left, signal.SIGTERM) == max(codes)
    assert os.listdir(tmp_path) == []


def test_another_master_is_not_waited_for_and_keeps_the_sockets(tmp_path: Path, children: list[int]) -> None:
    children.append(a_child(None))
    assert second_chance._stop(left_by([a_child(0)], tmp_path, successor=children[0]), signal.SIGTERM) == 0
    assert os.listdir(tmp_path) == ["socket"]


def test_a_worker_that_does_not_end_in_time_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_chance, "LATE_MARGIN", 0.1)
    began = time.monotonic()
    assert second_chance._stop(left_by([a_child(None)], tmp_path, patience=0.1), signal.SIGTERM) == 1
    assert 0.2 <= time.monotonic() - began < 15


def test_a_worker_that_somebody_else_has_waited_for_is_gone(tmp_path: Path) -> None:
    pid = a_child(0)
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
    assert second_chance._stop(left_by([pid], tmp_path), signal.SIGTERM) == 0


def test_a_life_that_is_the_first_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("_PYSERVE_LIFE", raising=False)
    assert second_chance.second_chance() is None
