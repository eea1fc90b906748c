"""What is said of a worker that died; the lines themselves are in test_reports.py."""

import time
from pathlib import Path

import pytest

from pyserve.server.deaths import Killer, casualties
from pyserve.workers import notes
from pyserve.workers.scoreboard import Scoreboard


class Groups:
    """Control groups as files."""

    def __init__(self, directory: Path, line: str, events: str) -> None:
        self.cgroup = directory / "cgroup"
        self.cgroup.write_text(line)
        self.events = directory / events
        self.events.parent.mkdir(parents=True, exist_ok=True)

    def count(self, number: int) -> None:
        self.events.write_text(f"low 0\nhigh 0\nmax 3\noom 4\noom_kill {number}\noom_group_kill 0\n")

    def killer(self, directory: Path) -> Killer:
        return Killer(str(self.cgroup), str(directory / "v2"), str(directory / "v1"))


PLACES = {
    "v2": ("0::/system.slice/web.service\n", "v2/system.slice/web.service/memory.events"),
    "v2 in a container": ("0::/\n", "v2/memory.events"),
    "v2 in a container that is told the host's path": ("0::/kubepods/pod1\n", "v2/memory.events"),
    "v1": ("3:cpu:/\n9:memory:/docker/abc\n0::/\n", "v1/docker/abc/memory.oom_control"),
    "v1 with others": ("9:hugetlb,memory:/\n", "v1/memory.oom_control"),
}


@pytest.mark.parametrize("place", PLACES)
def test_the_kernel_has_killed_or_not(tmp_path: Path, place: str) -> None:
    groups = Groups(tmp_path, *PLACES[place])
    groups.count(2)
    killer = groups.killer(tmp_path)
    assert killer.verdict().startswith("No: the kernel has killed nobody for memory")
    groups.count(3)
    assert killer.verdict() == "Yes: the kernel has killed for memory in this control group (oom_kill 2 -> 3)"
    assert killer.verdict().startswith("No")


def test_two_die_at_once(tmp_path: Path) -> None:
    groups = Groups(tmp_path, *PLACES["v2"])
    groups.count(0)
    killer = groups.killer(tmp_path)
    groups.count(2)
    assert killer.verdict().startswith("Yes")
    assert killer.verdict().startswith("Yes")
    assert killer.verdict().startswith("No")


@pytest.mark.parametrize("line", ["", "1:name=systemd:/\n", "broken\n", "0::/nothing/there\n"])
def test_there_is_no_count(tmp_path: Path, line: str) -> None:
    (tmp_path / "cgroup").write_text(line)
    assert Killer(str(tmp_path / "cgroup"), str(tmp_path / "v2"), str(tmp_path / "v1")).verdict() == ""
    assert Killer(str(tmp_path / "missing"), str(tmp_path / "v2"), str(tmp_path / "v1")).verdict() == ""


def test_this_machine_does_not_mind() -> None:
    assert Killer().verdict()[:2] in ("", "No")


def test_nobody_was_served() -> None:
    assert casualties(Scoreboard(1, 1).slot(0)) == []


def test_some_were_served(monkeypatch: pytest.MonkeyPatch) -> None:
    slot = Scoreboard(1, 2).slot(0)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    notes.note(slot.notes, notes.place_for(slot, 8), b"GET", b"/young", now - 0.1)
    notes.note(slot.notes, notes.place_for(slot, 9), b"POST", b"/old\x1b", now - 3)
    assert casualties(slot) == ["POST /old\\x1b for 3.0 s", "GET /young for 0.1 s"]
