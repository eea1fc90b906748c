"""What is said of a worker that died; the lines themselves are in test_reports.py."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from pyserve.server.deaths import Killer, casualties, is_told
from pyserve.workers import witness
from pyserve.workers.scoreboard import REQUESTS, Scoreboard


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


def note(count: int, ago: float, *, since: int = 0) -> tuple[int, str]:
    slot = Scoreboard(1, 2).slot(0)
    now = time.monotonic_ns()
    requests = [
        SimpleNamespace(method="GET", target=b"/%d" % number, arrived=now / 1e9 - ago - 3 + number / 10)
        for number in range(count)
    ]
    witness.write(slot, requests, now - int(ago * 1e9))
    slot.thread(0).words[REQUESTS] += since
    return casualties(slot)


def test_nothing_is_known() -> None:
    assert casualties(Scoreboard(1, 1).slot(0)) == (0, "")


def test_nobody_was_served() -> None:
    assert note(0, 0.2) == (0, "no request was in progress 0.2 s before its end")
    assert note(0, 0.2, since=5) == (0, "no request was in progress 0.2 s before its end (5 finished since)")


def test_whether_the_note_names_them() -> None:
    slot = Scoreboard(1, 2).slot(0)
    assert not is_told(slot)
    witness.write(slot, [SimpleNamespace(method="GET", target=b"/", arrived=1.0)], 5)
    assert is_told(slot)
    slot.thread(0).words[REQUESTS] += 1  # perhaps this one
    assert not is_told(slot)
    witness.write(slot, [], 6)
    assert not is_told(slot)


def test_some_were_served() -> None:
    assert note(2, 0.1) == (2, "2 in progress 0.1 s before its end: GET /0 for 3.0 s, GET /1 for 2.9 s")
    assert note(1, 0.1, since=1) == (1, "1 in progress 0.1 s before its end (1 finished since): GET /0 for 3.0 s")


def test_many_were_served() -> None:
    count, text = note(25, 0.1)
    assert count == 25
    assert text.count("GET /") == 10
    assert text.endswith("GET /9 for 2.1 s, 15 others")
