"""What one life of the master tells the next. That it works with real processes is tested in test_arbiter.py."""

import json
import os
import signal
import sys

import pytest

from pyserve import __version__
from pyserve.server import signals, takeover
from pyserve.server.seats import Life, Member
from pyserve.server.takeover import VARIABLE, Inheritance, Origin

INHERITANCE = Inheritance(
    listeners=[{"address": "127.0.0.1:8000", "fds": {"0": 5}, "per_seat": False, "made": None}],
    board=6,
    alive=(7, 8),
    wakeup=(11, 12),
    members=[
        Member(1, 0, 0, 3, 1001, Life.READY, ready_at=12.5, beat=13.0),
        Member(2, 1, 4, 3, 1002, Life.LEAVING, ready_at=1.0, kill_at=99.0),
        Member(3, 1, 2, 3, 1003, Life.BOOTING, boot_code=4, owes_reopen=True),
    ],
    pipes={1: 9, 3: 10},
    last_age=3,
    wanted=2,
)


@pytest.fixture
def no_descriptors(monkeypatch):
    """The numbers above are nobody's. Notes what was closed to children."""
    closed = []
    monkeypatch.setattr(os, "set_inheritable", lambda fd, inheritable: closed.append((fd, inheritable)))
    return closed


def test_it_is_understood(monkeypatch, no_descriptors):
    monkeypatch.setenv(VARIABLE, INHERITANCE.to_text())
    assert takeover.inherited() == INHERITANCE
    assert sorted(no_descriptors) == [(fd, False) for fd in (6, 7, 8, 9, 10, 11, 12)]
    assert VARIABLE not in os.environ
    assert takeover.inherited() is None


def test_a_child_that_finds_the_variable_does_not_believe_it(monkeypatch):
    told = json.loads(INHERITANCE.to_text())
    monkeypatch.setenv(VARIABLE, json.dumps({**told, "pid": os.getpid() + 1}))
    assert takeover.inherited() is None


def test_the_descriptors_that_must_survive():
    assert sorted(INHERITANCE.descriptors()) == [6, 7, 8, 9, 10, 11, 12]


@pytest.mark.parametrize(("value", "trial"), [("trial 1.2", True), ("", False), (None, False), ("{}", False)])
def test_a_trial(monkeypatch, value, trial):
    if value is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, value)
    assert takeover.is_trial() is trial


def test_a_trial_by_a_master_of_another_version(monkeypatch):
    """What it would leave us we might not understand, and then its workers would be lost."""
    monkeypatch.setenv(VARIABLE, "trial 0.0.1")
    assert not takeover.is_same_version()
    monkeypatch.setenv(VARIABLE, f"trial {__version__}")
    assert takeover.is_same_version()


def test_a_trial_inherits_nothing(monkeypatch):
    monkeypatch.setenv(VARIABLE, "trial 1.2")
    assert takeover.inherited() is None


def test_the_origin_is_without_what_the_application_changes(monkeypatch):
    monkeypatch.setenv(VARIABLE, "trial")
    origin = Origin.now()
    monkeypatch.setenv("CHANGED_LATER", "1")
    assert VARIABLE not in origin.environ
    assert "CHANGED_LATER" not in origin.environ
    assert origin.executable == sys.executable
    assert list(origin.arguments) == sys.orig_argv


def test_a_next_life_that_cannot_begin_leaves_this_one_as_it_was(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    reader, writer = os.pipe()
    inheritance = Inheritance([], None, (reader, writer), (reader, writer), [], {}, 0, 1)
    origin = Origin("/nonexistent/python", ("python",), {}, "/")
    with pytest.raises(FileNotFoundError):
        takeover.live_again(origin, inheritance, [])
    assert os.getcwd() == str(tmp_path)
    assert not os.get_inheritable(reader)
    os.close(reader)
    os.close(writer)


def test_all_signals_are_held_back_from_one_life_to_the_next(monkeypatch, no_descriptors):
    held = []
    monkeypatch.setattr(
        Origin, "execute", lambda origin, life: held.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    )
    takeover.live_again(Origin.now(), INHERITANCE, [])
    assert set(signals.HANDLED) <= held[0]
    assert not set(signals.HANDLED) & signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_trial_that_cannot_begin_fails(tmp_path):
    pid = takeover.try_out(Origin("/nonexistent/python", ("python",), {}, "/"))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


def test_a_trial_runs_the_command_in_the_directory_and_environment_of_the_start(tmp_path, monkeypatch):
    program = "import os; open('seen', 'w').write(os.environ['_PYSERVE_LIFE'] + os.environ['GIVEN'])"
    origin = Origin(sys.executable, ("python", "-c", program), {"GIVEN": "!"}, str(tmp_path))
    monkeypatch.setenv("GIVEN", "changed")
    pid = takeover.try_out(origin)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (tmp_path / "seen").read_text() == f"trial {__version__}!"
