"""What one life of the master tells the next. That it works with real processes is tested in test_arbiter.py."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from pyserve import __version__
from pyserve.server import signals, takeover
from pyserve.server.seats import Life, Member
from pyserve.server.takeover import VARIABLE, Handover, Inheritance, Origin

INHERITANCE = Inheritance(
    listeners=[{"address": "127.0.0.1:8000", "fds": {"0": 5}, "per_seat": False, "made": None}],
    board=6,
    alive=(7, 8),
    wakeup=(11, 12),
    members=[
        Member(1, 0, 0, False, 1001, Life.READY, ready_at=12.5, beat=13.0),
        Member(2, 1, 4, True, 1002, Life.LEAVING, ready_at=1.0, kill_at=99.0),
        Member(3, 1, 2, False, 1003, Life.BOOTING, boot_code=4, owes_reopen=True),
    ],
    pipes={1: 9, 3: 10},
    last_age=3,
    wanted=2,
    pidfile="/run/pid",
    bindfile=("/run/binds", 1, 2),
    successor=77,
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
    monkeypatch.setenv(VARIABLE, json.dumps({"pid": os.getpid() + 1, "trial": "1.2", "listening": []}))
    assert not takeover.is_trial()


def test_a_new_master_beside_this_one_is_told_what_it_needs(monkeypatch):
    handover = Handover(INHERITANCE.listeners, parent=77)
    monkeypatch.setenv(VARIABLE, handover.to_text())
    assert not takeover.is_trial()
    assert takeover.inherited() == handover
    assert takeover.inherited() is None


def test_a_handover_in_another_way_of_writing_is_not_understood(monkeypatch):
    told = json.loads(Handover([], parent=77).to_text())
    monkeypatch.setenv(VARIABLE, json.dumps({**told, "handover": 2}))
    assert takeover.inherited() is None


def test_the_descriptors_that_must_survive():
    assert sorted(INHERITANCE.descriptors()) == [6, 7, 8, 9, 10, 11, 12]


TRIAL = {"pid": os.getpid(), "trial": "1.2", "listening": ["127.0.0.1:8000"]}


@pytest.mark.parametrize("value", ["", "{}", "[1]", "trial 1.2", None])
def test_what_is_no_trial(monkeypatch, value):
    if value is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, value)
    assert not takeover.is_trial()
    assert takeover.inherited() is None


def test_a_trial_knows_by_whom_it_was_begun(monkeypatch):
    """What another version would leave we might not understand, and then its workers would be lost."""
    monkeypatch.setenv(VARIABLE, json.dumps(TRIAL))
    assert takeover.is_trial()
    assert takeover.tried_by() == ("1.2", ["127.0.0.1:8000"])
    assert takeover.inherited() is None


def test_the_directory_has_the_name_by_which_it_was_entered(monkeypatch, tmp_path):
    """A link to the release in use leads to the next one when the next life begins."""
    (tmp_path / "one").mkdir()
    (tmp_path / "current").symlink_to("one")
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setenv("PWD", str(tmp_path / "current"))
    assert Origin.now().directory == str(tmp_path / "current")
    monkeypatch.setenv("PWD", str(tmp_path))
    assert Origin.now().directory == str((tmp_path / "one").resolve())
    monkeypatch.setenv("PWD", str(tmp_path / "gone"))
    assert Origin.now().directory == str((tmp_path / "one").resolve())


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


def begin(origin: Origin, said: Path) -> int:
    """A trial's exit code."""
    with said.open("w+b") as stderr:
        return os.waitstatus_to_exitcode(os.waitpid(takeover.try_out(origin, ["a:1"], stderr.fileno()), 0)[1])


def test_a_trial_that_cannot_begin_fails_and_says_why(tmp_path):
    said = tmp_path / "said"
    assert begin(Origin("/nonexistent/python", ("python",), {}, "/"), said) == 1
    assert "No such file or directory: '/nonexistent/python'" in said.read_text()


def test_a_trial_runs_the_command_in_the_directory_and_environment_of_the_start(tmp_path, monkeypatch):
    program = (
        "import os, sys; open('seen', 'w').write(os.environ['_PYSERVE_LIFE'] + os.environ['GIVEN']);"
        "sys.stderr.write(repr(sys.stdin.read())); sys.exit(86)"
    )
    origin = Origin(sys.executable, ("python", "-c", program), {"GIVEN": "!"}, str(tmp_path))
    monkeypatch.setenv("GIVEN", "changed")
    assert begin(origin, tmp_path / "said") == takeover.PASSED
    told = json.loads((tmp_path / "seen").read_text().removesuffix("!"))
    del told["pid"]
    assert told == {"trial": __version__, "listening": ["a:1"]}
    assert (tmp_path / "said").read_text() == "''"


def test_a_new_master_inherits_what_it_is_given(tmp_path):
    program = "import os, json; told = json.loads(os.environ['_PYSERVE_LIFE']); assert told['pid'] == os.getpid();"
    program += "os.write(told['listeners'][0]['fds']['0'], b'here ' + os.environ['LISTEN_PID'].encode())"
    reader, writer = os.pipe()
    handover = Handover([{"fds": {"0": writer}}], os.getpid())
    origin = Origin(sys.executable, ("python", "-c", program), {"LISTEN_PID": "1"}, str(tmp_path))
    pid = takeover.start_beside(origin, handover, [writer], lambda: (tmp_path / "before").touch())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (tmp_path / "before").exists()
    assert os.read(reader, 100).decode() == f"here {pid}"
    assert not os.get_inheritable(writer)
    os.close(reader)
    os.close(writer)
