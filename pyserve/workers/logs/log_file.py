"""Files that logs are written to.

* A log never stops serving: nothing here raises for what happens to a file. What cannot be opened or written is said
  once (until the next `reopen`), counted in `lost`, and serving goes on.
* A log takes no lock on the way to its file, so it may be used from a signal handler and after a fork. What several
  threads and processes write stays whole: each `os.write` holds whole lines, regular files are opened with O_APPEND,
  and pipes get at most PIPE_BUF octets at once, which is as much as they keep together (pipe(7)).

A blocking pipe whose reader stands still blocks the writer, as it does with every server that logs to stdout.
"""

import errno
import os
import select
import stat
import sys
from collections.abc import Callable

STDOUT = 1
STDERR = 2

# These cannot always be opened by name (a socket, or a pipe of another user), but they are open already.
_STANDARD = {"/dev/stdout": STDOUT, "/dev/stderr": STDERR}

# O_NONBLOCK: a FIFO without a reader must be an error and not wait; afterwards writes shall wait again
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC

_WAIT = 1000  # milliseconds that a non-blocking pipe may stay full before lines are dropped


class LogFile:
    """Where a log goes: a path, or `-` for the standard stream `standard`.

    A path that cannot be opened is replaced by stderr. `report` is told, in one sentence, of the first failure after
    each opening. `lost` counts the lines that could not be written.
    """

    __slots__ = ("_at_once", "_fd", "_own", "_path", "_report", "_reported", "_standard", "_torn", "lost")

    def __init__(self, destination: str, standard: int, report: Callable[[str], None]) -> None:
        self._standard = _STANDARD.get(destination, standard)
        self._path = "" if destination == "-" or destination in _STANDARD else destination
        self._report = report
        self._reported = False
        self._own = False  # whether _fd was opened here
        self._fd = -1
        self._torn = False  # whether the last line written is incomplete
        self.lost = 0
        self._open()

    def reopen(self) -> None:
        """Open the path anew, after it was renamed (rotation). The old file stays where that fails."""
        self._reported = False
        if self._path:
            self._open()

    def close(self) -> None:
        """Close a file opened here, while nobody else writes. What is written later is lost."""
        fd = self._fd
        self._fd = -1
        if self._own:
            self._own = False
            os.close(fd)

    def fileno(self) -> int:
        """The descriptor that lines go to, -1 for none; the number stays the same over `reopen`."""
        return self._fd

    @property
    def is_stderr(self) -> bool:
        """Whether lines go to stderr, by choice or because the path could not be opened."""
        return self._fd == STDERR

    def write(self, lines: bytes) -> bool:
        """Write whole lines. Returns False if some were lost; they are counted, and the first loss is reported."""
        if self._torn:
            lines = b"\n" + lines
        written = 0
        try:
            while written < len(lines):
                written = self._write_some(lines, written)
        except OSError as error:
            # the line end that was put in front of the lines ends none of them
            self.lost += lines.count(b"\n", max(written, int(self._torn)))
            if written:
                self._torn = lines[written - 1] != 10
            self._fail("written", error)
            return False
        self._torn = False
        return True

    def _write_some(self, lines: bytes, start: int) -> int:
        """Write octets from `start`, at most what stays together; returns where the next ones begin."""
        end = len(lines)
        if end - start > self._at_once:
            # the last line end within reach; a line longer than that goes out in pieces
            end = lines.rfind(b"\n", start, start + self._at_once) + 1 or start + self._at_once
        data = lines[start:end]
        try:
            return start + os.write(self._fd, data)
        except BlockingIOError:
            if self._reported or not _wait_writable(self._fd):
                raise
            return start + os.write(self._fd, data)

    def _open(self) -> None:
        if not self._path:
            self._use_standard(self._standard)
            return
        try:
            fd = os.open(self._path, _FLAGS, 0o666)
        except (OSError, ValueError) as error:
            if not self._own:
                self._use_standard(STDERR)
            self._fail("opened", error)
            return
        os.set_blocking(fd, True)
        if self._own:
            # The number must not become free, not even for a moment: another thread may be about to write to it, and
            # would write into whatever was opened in between.
            os.dup2(fd, self._fd, inheritable=False)
            os.close(fd)
        else:
            self._fd = fd
            self._own = True
        self._torn = False
        self._measure()

    def _use_standard(self, fd: int) -> None:
        # A standard stream that was closed when the interpreter started has no object in `sys`. Its number then belongs
        # to whatever was opened next, perhaps a client's connection.
        stream = sys.__stdout__ if fd == STDOUT else sys.__stderr__
        self._fd = fd if stream is not None else -1
        self._measure()

    def _measure(self) -> None:
        """Learn how many octets of one write stay together."""
        try:
            regular = stat.S_ISREG(os.fstat(self._fd).st_mode)
        except OSError:
            regular = False
        self._at_once = sys.maxsize if regular else select.PIPE_BUF

    def _fail(self, what: str, error: Exception) -> None:
        if self._reported:
            return
        self._reported = True
        reason = error.strerror if isinstance(error, OSError) else str(error)
        name = self._path or {STDOUT: "stdout", STDERR: "stderr"}[self._standard]
        self._report(f"Log file {name!r} cannot be {what}: {reason}")


def obstacle(destination: str) -> OSError | None:
    """Why a log cannot be opened there; None where it can. That a FIFO has no reader yet is none."""
    if destination == "-" or destination in _STANDARD:
        return None
    try:
        os.close(os.open(destination, _FLAGS, 0o666))
    except OSError as error:
        return None if error.errno == errno.ENXIO else error
    return None


def _wait_writable(fd: int, milliseconds: int = _WAIT) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(milliseconds))
