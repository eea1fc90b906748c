"""How many processors this process may use: the affinity mask, narrowed by the CPU quota of its cgroups.

In a container `os.cpu_count()` counts the host's processors. The mask tells about cpusets (`docker run
--cpuset-cpus`), the quota about bandwidth limits (`docker run --cpus`, Kubernetes `resources.limits.cpu`). A
quota holds for everything below the group that sets it, so every group from the process's own up to the root
is looked at and the smallest counts.

Sources: cgroups(7), the kernel's `cgroup-v2.rst` (`cpu.max`: "$MAX $PERIOD") and `sched-bwc.rst`
(`cpu.cfs_quota_us`, -1 for none, and `cpu.cfs_period_us`).
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_ROOT = Path("/")


def available(root: Path = _ROOT) -> int:
    """The number of processors to plan for, at least 1.

    root: where `proc` and `sys` are found; a test gives a directory that imitates them. A part of a processor
    counts as a whole one (1.5 gives 2), since a worker less would leave the half unused.
    """
    count = _affinity()
    quota = _quota(root)
    if quota is not None:
        count = min(count, math.ceil(quota))
    return max(count, 1)


def _affinity() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not Linux, or forbidden by a seccomp filter
        return os.cpu_count() or 1


def _quota(root: Path) -> float | None:
    """The smallest quota in processors, or None when there is none (or no cgroup file system)."""
    quotas = [quota for group in _groups(root) if (quota := _quota_of(group)) is not None]
    return min(quotas, default=None)


def _groups(root: Path) -> Iterator[Path]:
    """The directories of this process's CPU control groups, each followed by its parents."""
    mounts = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0" and not controllers:  # version 2; in a hybrid setup it is mounted beside version 1
            tops = [mounts, mounts / "unified"]
        elif "cpu" in controllers.split(","):
            tops = [mounts / controllers, mounts / "cpu"]
        else:
            continue
        # Inside a container of version 1 the path is the host's and does not exist here: its parents end at
        # the mount.
        relative = PurePosixPath(path.lstrip("/"))
        for top in tops:
            for group in (relative, *relative.parents):
                if ".." not in group.parts:  # a group outside the cgroup namespace's root
                    yield top / group


def _quota_of(group: Path) -> float | None:
    maximum, _, period = _read(group / "cpu.max").strip().partition(" ")
    if not maximum:
        maximum = _read(group / "cpu.cfs_quota_us").strip()
        period = _read(group / "cpu.cfs_period_us").strip()
    try:
        quota = int(maximum) / int(period or "100000")
    except (ValueError, ZeroDivisionError):  # "max", an empty file
        return None
    return quota if quota > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
