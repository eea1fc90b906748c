"""The file that holds the master's process number, for scripts that signal it.

A file left behind by a server that was killed must not keep the next one from starting. That its number belongs to
a running process proves nothing: in a container the same few numbers come back at every start. So the process must
also be older than the file.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

SECOND: Final = ".2"
"""What the file of a second master is called after, as with gunicorn."""

_CLOCK_SLACK: Final = 2.0
"""Seconds by which the kernel's idea of a start time and a file's time may differ."""


class PidfileError(Exception):
    """The file belongs to a running server, or cannot be written."""


class Pidfile:
    """Written by `create`, removed by `remove` as long as it is still ours.

    A master that another one has started (USR2) has its number in a file beside, named `SECOND`, until it is alone.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)  # the application may change the working directory

    def create(self, heir_of: int = 0) -> None:
        """Write our process number in one step: a reader sees the old file or the whole new one.

        heir_of: a process that has ended, perhaps without its parent's notice; its file is ours now. PidfileError when
        a running server owns the file, or the directory cannot be written.
        """
        owner = self.owner()
        if owner not in (None, os.getpid(), heir_of):
            raise PidfileError(f"Already running on PID {owner} (pid file {self.path})")
        draft = f"{self.path}.{os.getpid()}"
        try:
            with open(draft, "w", encoding="ascii") as file:
                file.write(f"{os.getpid()}\n")
            os.replace(draft, self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise PidfileError(f"Can't write the pid file {self.path}: {error.strerror}") from error

    def rename(self, path: str, heir_of: int) -> None:
        """Go on under another name; see `create`. PidfileError leaves it as it was."""
        there = Pidfile(path)
        there.create(heir_of)
        self.remove()
        self.path = there.path

    def owner(self) -> int | None:
        """The process that wrote the file and still runs; None for no file, a stale one, or one without a number."""
        try:
            with open(self.path, "rb") as file:
                pid = int(file.read(32))
                written = os.fstat(file.fileno()).st_mtime
        except (OSError, ValueError):
            return None
        if pid <= 0 or not _runs(pid):
            return None
        started = _started(pid)
        if started is not None and started > written + _CLOCK_SLACK:
            return None
        return pid

    def remove(self) -> None:
        """Remove the file if it still holds our number. Never raises."""
        with contextlib.suppress(OSError, ValueError):
            with open(self.path, "rb") as file:
                ours = int(file.read(32)) == os.getpid()
            if ours:
                os.unlink(self.path)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # not ours to signal, but there
    return True


def _started(pid: int) -> float | None:
    """When the process began, in seconds since the epoch; None where /proc does not tell (proc(5))."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The second field is the name in parentheses and may hold anything; starttime is the 22nd.
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        with open("/proc/stat", "rb") as file:
            booted = next(int(line.split()[1]) for line in file if line.startswith(b"btime "))
    except (OSError, ValueError, IndexError, StopIteration):
        return None
    return booted + ticks / os.sysconf("SC_CLK_TCK")
