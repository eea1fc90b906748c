"""The error log, and the files that logs are written to.

Rules, for both logs:

* A log never stops serving: nothing here raises for what happens to a file. What cannot be opened or written is said
  once (until the next `reopen`), counted in `lost`, and serving goes on.
* A log takes no lock on the way to its file, so it may be used from a signal handler and after a fork. What several
  threads and processes write stays whole: each `os.write` holds whole lines, regular files are opened with O_APPEND,
  and pipes get at most PIPE_BUF octets at once, which is as much as they keep together (pipe(7)).
* A record cannot be mistaken for two: what a peer sent is escaped, and no line within a record may look like the
  beginning of another one.

A blocking pipe whose reader stands still blocks the writer, as it does with every server that logs to stdout.
"""

import os
import select
import stat
import sys
import time
import traceback
from collections.abc import Callable
from typing import Protocol

STDOUT = 1
STDERR = 2

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

# These cannot always be opened by name (a socket, or a pipe of another user), but they are open already.
_STANDARD = {"/dev/stdout": STDOUT, "/dev/stderr": STDERR}

_WAIT = 1000  # milliseconds that a non-blocking pipe may stay full before lines are dropped


class Escapes(dict[int, str]):
    r"""Code point -> what a log shows for it, for `str.translate`.

    `\xNN` for octets that are not printable ASCII, `\"` and `\\`; characters of `also` are escaped as well. Beyond
    Latin-1, where an octet read from the network never is, `\uNNNN` and `\UNNNNNNNN`.
    """

    def __init__(self, also: str = "") -> None:
        for octet in (*range(32), *range(127, 256), *map(ord, also)):
            self[octet] = self._octet(octet)
        self[ord('"')] = '\\"'
        self[ord("\\")] = "\\\\"

    def _octet(self, octet: int) -> str:
        return f"\\x{octet:02x}"

    def __missing__(self, point: int) -> str:
        if point < 128:
            return chr(point)
        return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


_escapes = Escapes()

# Control characters of the error log's own text, but for the tab and the line feed that a traceback consists of.
_CONTROLS = {point: f"\\x{point:02x}" for point in (*range(9), *range(11, 32), *range(127, 160))}


def escape(value: bytes | str) -> str:
    r"""Make what a peer sent fit for a log: printable ASCII on one line, `\"` for quotes, `\xNN` for other octets."""
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    return text.translate(_escapes)


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
        # O_NONBLOCK: a FIFO without a reader must be an error and not wait; afterwards writes shall wait again
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(self._path, flags, 0o666)
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


def _wait_writable(fd: int, milliseconds: int = _WAIT) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(milliseconds))


class ErrorLog:
    """The server's own log; the line format is gunicorn's: `[2026-11-21 10:00:00 +0000] [pid] [LEVEL] text`.

    destination: a path, or `-` for stderr. level: a name of `LEVELS`, in any case; `ValueError` for another one.

    Messages are %-formats, as in `logging`. An argument of type bytes is taken for what a peer sent and escaped (see
    `escape`). Text may have several lines, as tracebacks do; a line that could pass for the beginning of a record is
    moved by a space, and control characters are shown as `\\xNN`.
    """

    __slots__ = ("_file", "_level", "level")

    def __init__(self, destination: str = "-", level: str = "info") -> None:
        self.level = level.lower()
        if self.level not in LEVELS:
            raise ValueError(f"log level {level!r} is none of {', '.join(LEVELS)}")
        self._level = LEVELS[self.level]
        self._file = LogFile(destination, STDERR, self._report)

    def debug(self, msg: str, *args: object) -> None:
        """Log what only a developer of the server wants to know."""
        if self._level <= 10:
            self._log("DEBUG", msg, args)

    def info(self, msg: str, *args: object) -> None:
        """Log an ordinary event."""
        if self._level <= 20:
            self._log("INFO", msg, args)

    def warning(self, msg: str, *args: object) -> None:
        """Log what an operator should look at."""
        if self._level <= 30:
            self._log("WARNING", msg, args)

    def error(self, msg: str, *args: object) -> None:
        """Log what went wrong."""
        if self._level <= 40:
            self._log("ERROR", msg, args)

    def exception(self, msg: str, *args: object) -> None:
        """Log an error with the traceback of the exception that is being handled."""
        if self._level <= 40:
            trace = traceback.format_exc() if sys.exc_info()[0] is not None else ""
            self._log("ERROR", msg, args, trace)

    def critical(self, msg: str, *args: object) -> None:
        """Log what ends the server or a worker."""
        self._log("CRITICAL", msg, args)

    def reopen(self) -> None:
        """Open the file anew (SIGUSR1)."""
        self._file.reopen()

    def close(self) -> None:
        """Close the file, when another log takes over."""
        self._file.close()

    def fileno(self) -> int:
        """The descriptor that lines go to, -1 for none: for stacks that faulthandler writes from a signal handler."""
        return self._file.fileno()

    @property
    def lost(self) -> int:
        """Lines that did not get to their destination."""
        return self._file.lost

    def _log(self, level: str, msg: str, args: tuple[object, ...], trace: str = "") -> None:
        record = _record(level, _text(msg, args) + ("\n" + trace if trace else ""))
        if not self._file.write(record) and not self._file.is_stderr:
            _to_stderr(record)

    def _report(self, text: str) -> None:
        _to_stderr(_record("ERROR", text))


def _text(msg: str, args: tuple[object, ...]) -> str:
    try:
        return msg % tuple(escape(arg) if isinstance(arg, bytes) else arg for arg in args) if args else msg
    except Exception:
        # a mistake in a log line, or in the `__str__` of an application's object, must not cost the message
        return f"{msg} (arguments: {', '.join(type(arg).__name__ for arg in args)})"


def _record(level: str, text: str) -> bytes:
    now = time.strftime("%Y-%m-%d %H:%M:%S %z")
    text = text.rstrip("\n").translate(_CONTROLS).replace("\n[", "\n [")
    return f"[{now}] [{os.getpid()}] [{level}] {text}\n".encode("utf-8", "backslashreplace")


def _to_stderr(record: bytes) -> None:
    if sys.__stderr__ is None:
        return
    try:
        os.write(STDERR, record)
    except OSError:
        pass  # there is nobody left to tell


class LogSettings(Protocol):
    """What the error log needs to know of the settings."""

    @property
    def errorlog(self) -> str: ...
    @property
    def loglevel(self) -> str: ...


def setup(settings: LogSettings) -> ErrorLog:
    """Open the error log that the settings ask for. `ValueError` for a level that there is not."""
    return ErrorLog(settings.errorlog, settings.loglevel)
