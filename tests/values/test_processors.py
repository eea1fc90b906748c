"""The number of processors, read from imitated proc and cgroup file systems."""

import os
from pathlib import Path

import pytest

from pyserve.values import processors

# (name, /proc/self/cgroup, files below /sys/fs/cgroup, processors of a machine with 8)
CASES: list[tuple[str, str, dict[str, str], int]] = [
    ("no cgroup file system", "", {}, 8),
    ("v2 in a container", "0::/\n", {"cpu.max": "200000 100000\n"}, 2),
    ("v2 without quota", "0::/\n", {"cpu.max": "max 100000\n"}, 8),
    ("v2 half a processor", "0::/\n", {"cpu.max": "50000 100000\n"}, 1),
    ("v2 one and a half", "0::/\n", {"cpu.max": "150000 100000\n"}, 2),
    ("v2 more than there are", "0::/\n", {"cpu.max": "6400000 100000\n"}, 8),
    ("v2 without a period", "0::/\n", {"cpu.max": "300000\n"}, 3),
    ("v2 own group", "0::/a/b\n", {"a/b/cpu.max": "300000 100000\n"}, 3),
    ("v2 a parent is narrower", "0::/a/b\n", {"a/b/cpu.max": "300000 100000\n", "a/cpu.max": "100000 100000\n"}, 1),
    ("v2 only a parent", "0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "400000 100000\n"}, 4),
    ("v2 outside the namespace", "0::/../other\n", {"cpu.max": "300000 100000\n"}, 3),
    (
        "v1 in a container: the path is the host's",
        "12:cpu,cpuacct:/docker/0123\n3:memory:/docker/0123\n0::/\n",
        {"cpu,cpuacct/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
        3,
    ),
    (
        "v1 own group",
        "4:cpu:/a\n",
        {"cpu/a/cpu.cfs_quota_us": "20000\n", "cpu/a/cpu.cfs_period_us": "10000\n"},
        2,
    ),
    ("v1 without quota", "4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
    ("v1 without period", "4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "0\n"}, 8),
    ("hybrid", "4:memory:/\n0::/a\n", {"unified/a/cpu.max": "500000 100000\n"}, 5),
    ("nonsense", "what\n0::/\n", {"cpu.max": "lots of it\n"}, 8),
]


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


def imitate(root: Path, cgroup: str, files: dict[str, str]) -> None:
    for name, text in {"proc/self/cgroup": cgroup, **{f"sys/fs/cgroup/{name}": t for name, t in files.items()}}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize(("name", "cgroup", "files", "expected"), CASES, ids=[case[0] for case in CASES])
def test_quota(tmp_path: Path, name: str, cgroup: str, files: dict[str, str], expected: int) -> None:
    imitate(tmp_path, cgroup, files)
    assert processors.available(tmp_path) == expected


def test_affinity_is_the_upper_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    imitate(tmp_path, "0::/\n", {"cpu.max": "400000 100000\n"})
    assert processors.available(tmp_path) == 1


@pytest.mark.parametrize(("count", "expected"), [(4, 4), (None, 1)])
def test_without_affinity_the_machine_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int | None, expected: int
) -> None:
    def refuse(pid: int) -> set[int]:
        raise PermissionError

    monkeypatch.setattr(os, "sched_getaffinity", refuse)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert processors.available(tmp_path) == expected


def test_this_machine() -> None:
    assert 1 <= processors.available() <= len(os.sched_getaffinity(0))
