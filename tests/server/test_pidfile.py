"""The pid file: written whole, respected while its server runs, replaced when stale, removed by its owner."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyserve.server.pidfile import SECOND, Pidfile, PidfileError


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "server.pid"


@pytest.fixture
def other():
    """Another process, running."""
    process = subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1)
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_create_and_remove(path):
    pidfile = Pidfile(str(path))
    pidfile.create()
    assert path.read_text() == f"{os.getpid()}\n"
    assert pidfile.owner() == os.getpid()
    assert os.listdir(path.parent) == [path.name], "no draft is left"
    pidfile.remove()
    assert not path.exists()
    pidfile.remove()


def test_a_running_server_is_respected(path, other):
    path.write_text(f"{other.pid}\n")
    with pytest.raises(PidfileError, match=f"Already running on PID {other.pid}"):
        Pidfile(str(path)).create()
    assert path.read_text() == f"{other.pid}\n"


def gone() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("text", ["", "\n", "no number", "0", "-1", "99999999999999999999", "12 34"])
def test_what_is_no_process_number_is_replaced(path, text):
    path.write_text(text)
    assert Pidfile(str(path)).owner() is None
    Pidfile(str(path)).create()
    assert path.read_text() == f"{os.getpid()}\n"


def test_a_dead_process_is_stale(path):
    path.write_text(f"{gone()}\n")
    Pidfile(str(path)).create()
    assert path.read_text() == f"{os.getpid()}\n"


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
def test_a_number_that_was_given_to_a_younger_process_is_stale(path, other):
    """The usual case in a container: the server before was killed, and its number belongs to something else now."""
    path.write_text(f"{other.pid}\n")
    before = time.time() - 3600
    os.utime(path, (before, before))
    Pidfile(str(path)).create()
    assert path.read_text() == f"{os.getpid()}\n"


def test_our_own_number_from_a_life_before(path):
    path.write_text(f"{os.getpid()}\n")
    Pidfile(str(path)).create()
    assert path.read_text() == f"{os.getpid()}\n"


def test_another_ones_file_is_not_removed(path, other):
    pidfile = Pidfile(str(path))
    pidfile.create()
    path.write_text(f"{other.pid}\n")
    pidfile.remove()
    assert path.exists()


def test_a_child_does_not_remove_it(path):
    pidfile = Pidfile(str(path))
    pidfile.create()
    pid = os.fork()
    if pid == 0:
        pidfile.remove()
        os._exit(0)
    os.waitpid(pid, 0)
    assert path.exists()


def test_a_directory_that_cannot_be_written(tmp_path):
    with pytest.raises(PidfileError, match=r"Can't write the pid file .*/no/server.pid: No such file"):
        Pidfile(str(tmp_path / "no" / "server.pid")).create()


def test_the_working_directory_may_change(path, monkeypatch, tmp_path):
    monkeypatch.chdir(path.parent)
    pidfile = Pidfile("server.pid")
    pidfile.create()
    monkeypatch.chdir("/")
    pidfile.remove()
    assert not path.exists()


def test_a_process_of_another_user_counts_as_running(path, monkeypatch):
    def kill(pid: int, number: int) -> None:
        assert number == 0
        raise PermissionError

    monkeypatch.setattr("os.kill", kill)
    monkeypatch.setattr("pyserve.server.pidfile._started", lambda pid: None)
    path.write_text("4242\n")
    assert Pidfile(str(path)).owner() == 4242


def test_a_killed_process_that_nobody_waited_for_is_still_there(path, other):
    """A zombie's number cannot be given to anybody else, so nothing is wrong with waiting for its end."""
    path.write_text(f"{other.pid}\n")
    other.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert Pidfile(str(path)).owner() == other.pid
    other.wait()
    assert Pidfile(str(path)).owner() is None


def test_another_name(path, tmp_path):
    """As when the master that had the name has ended; its process may still wait for its parent."""
    path.write_text(f"{os.getppid()}\n")
    pidfile = Pidfile(f"{path}{SECOND}")
    pidfile.create()
    with pytest.raises(PidfileError):
        pidfile.rename(str(path), heir_of=0)
    assert os.path.exists(f"{path}{SECOND}")
    pidfile.rename(str(path), heir_of=os.getppid())
    assert path.read_text() == f"{os.getpid()}\n"
    assert pidfile.path == str(path)
    assert not os.path.exists(f"{path}{SECOND}")
