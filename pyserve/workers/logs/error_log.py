"""The error log.

* It never stops serving (see `log_file`), and takes no lock unless the user has configured `logging`.
* A record cannot be mistaken for two: what a peer sent is escaped, and no line within a record may look like the
  beginning of another one.
* Once `logging` is configured for it (`Outlet`), messages go there instead. What a handler raises costs no message:
  that is then written to the file.
"""

import io
import os
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any, Protocol

from pyserve.workers.logs.log_file import STDERR, STDOUT, LogFile

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_NAMES = {number: name.upper() for name, number in LEVELS.items()}


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


class Outlet(Protocol):
    """`logging`, where messages go instead of straight to the file once the user has configured it."""

    @property
    def error_log(self) -> Any: ...
    @property
    def access_log(self) -> Any: ...

    def takes(self) -> bool:
        """Whether there is a configuration now."""

    def log(self, level: int, msg: Any, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        """Log a message; whatever it raises, the message then goes to the file. For levels that are not enabled it does
        nothing."""

    def reopen(self) -> None:
        """Open files anew."""


class Metrics(Protocol):
    """See `statsd.Statsd`."""

    def close(self) -> None: ...
    def connect(self) -> None: ...
    def increment(self, name: str, value: float) -> None: ...
    def request(self, status: int, milliseconds: float) -> None: ...
    def measure(self, extra: Mapping[str, Any]) -> None: ...


class ErrorLog:
    """The server's own log; the line format is gunicorn's: `[2026-11-21 10:00:00 +0000] [pid] [LEVEL] text`.

    destination: a path, or `-` for stderr. level: a name of `LEVELS`, in any case; `ValueError` for another one.
    outlet, metrics: set once the log is open, where there are such.

    Messages are %-formats, as in `logging`, and the methods take what those of `logging.Logger` take: `exc_info`,
    `extra`, `stack_info`, `stacklevel`. An argument of type bytes is taken for what a peer sent and escaped (see
    `escape`). Text may have several lines, as tracebacks do; a line that could pass for the beginning of a record is
    moved by a space, and control characters are shown as `\\xNN`.
    """

    __slots__ = ("_captures", "_complained", "_file", "_level", "level", "metrics", "outlet")

    def __init__(self, destination: str = "-", level: str = "info", *, captures: bool = False) -> None:
        self.outlet: Outlet | None = None
        self.metrics: Metrics | None = None
        self._complained = False  # a handler has raised, and it was told
        self.level = level.lower()
        if self.level not in LEVELS:
            raise ValueError(f"log level {level!r} is none of {', '.join(LEVELS)}")
        self._level = LEVELS[self.level]
        self._file = LogFile(destination, STDERR, self._report)
        self._captures = captures
        if self._captures:
            self._capture()

    def debug(self, msg: object, *args: object, **options: Any) -> None:
        """Log what only a developer of the server wants to know."""
        self.log(10, msg, *args, **options)

    def info(self, msg: object, *args: object, **options: Any) -> None:
        """Log an ordinary event."""
        self.log(20, msg, *args, **options)

    def warning(self, msg: object, *args: object, **options: Any) -> None:
        """Log what an operator should look at."""
        self._count("gunicorn.log.warning")
        self.log(30, msg, *args, **options)

    def error(self, msg: object, *args: object, **options: Any) -> None:
        """Log what went wrong."""
        self._count("gunicorn.log.error")
        self.log(40, msg, *args, **options)

    def exception(self, msg: object, *args: object, exc_info: Any = True, **options: Any) -> None:
        """Log an error with the traceback of the exception that is being handled."""
        self._count("gunicorn.log.exception")
        self.log(40, msg, *args, exc_info=exc_info, **options)

    def critical(self, msg: object, *args: object, **options: Any) -> None:
        """Log what ends the server or a worker."""
        self._count("gunicorn.log.critical")
        self.log(50, msg, *args, **options)

    def log(self, lvl: int | str, msg: object, *args: object, **options: Any) -> None:
        """Log at a level of any number or name; a name that there is not is `info`, as with gunicorn.

        With `metrics`, `extra` may hold one (`Statsd.measure`), and then a blank message is none.
        """
        level = LEVELS.get(lvl.lower(), 20) if isinstance(lvl, str) else lvl
        if self.metrics is not None and (extra := options.get("extra")):
            self.metrics.measure(extra)
        if not msg:
            return
        outlet = self.outlet
        if outlet is not None and outlet.takes():
            try:
                outlet.log(level, msg, tuple(_shown(arg) for arg in args), options)
            except Exception:
                self._complain()
            else:
                return
        elif level < self._level:
            return
        self._write(level, msg, args, options)

    def put(self, level: str, text: str) -> None:
        """Write a record straight to the file."""
        self.put_line(_record(level, text))

    def put_line(self, line: bytes) -> None:
        """Write a line, with its end, straight to the file."""
        if not self._file.write(line) and not self._file.is_stderr:
            _to_stderr(line)

    def reopen(self) -> None:
        """Open the file anew (SIGUSR1), and those of the user's handlers."""
        self._complained = False
        self._file.reopen()
        if self._captures:
            self._capture()
        if self.outlet is not None:
            self.outlet.reopen()

    def reopen_files(self) -> None:
        """The same by the name that gunicorn's logger has for it."""
        self.reopen()

    def close(self) -> None:
        """Close the file, when another log takes over or nothing is left to be said."""
        self._file.close()
        if self.metrics is not None:
            self.metrics.close()

    def fileno(self) -> int:
        """The descriptor that lines go to, -1 for none: for stacks that faulthandler writes from a signal handler."""
        return self._file.fileno()

    @property
    def lost(self) -> int:
        """Lines that did not get to their destination."""
        return self._file.lost

    @property
    def error_log(self) -> Any:
        """The logger of the server's messages (`logging`), as gunicorn's logger has one."""
        return self.outlet.error_log if self.outlet is not None else None

    @property
    def access_log(self) -> Any:
        """The logger of requests (`logging`)."""
        return self.outlet.access_log if self.outlet is not None else None

    def __getattr__(self, name: str) -> Any:
        """What a logger class of the user's has beyond this, and the methods of `statsd.Statsd` where that is on."""
        for other in (getattr(self.outlet, "voice", None), self.metrics):
            if other is not None and not name.startswith("__") and hasattr(other, name):
                return getattr(other, name)
        raise AttributeError(f"the log has no attribute {name!r}")

    def _count(self, metric: str) -> None:
        if self.metrics is not None:
            self.metrics.increment(metric, 1)

    def _complain(self) -> None:
        if not self._complained:
            self._complained = True
            self.put("ERROR", f"Logging has failed; what it does not take is written here\n{traceback.format_exc()}")

    def _write(self, level: int, msg: object, args: tuple[object, ...], options: dict[str, Any]) -> None:
        self.put(_NAMES.get(level, f"Level {level}"), _text(msg, args) + _trace(options))

    def _capture(self) -> None:
        """Have what is printed go to the file. What was a file before is told to be one of lines: the application's
        text shall not wait in memory until there is much of it."""
        fd = self._file.fileno()
        if fd < 0 or self._file.is_stderr:
            return
        for stream, number in ((sys.stdout, STDOUT), (sys.stderr, STDERR)):
            if stream is not None:
                stream.flush()
                if isinstance(stream, io.TextIOWrapper):
                    stream.reconfigure(line_buffering=True)
            os.dup2(fd, number)

    def _report(self, text: str) -> None:
        _to_stderr(_record("ERROR", text))


def _shown(arg: object) -> object:
    return escape(arg) if isinstance(arg, bytes) else arg


def _text(msg: object, args: tuple[object, ...]) -> str:
    try:
        text = str(msg)
        if not args:
            return text
        if len(args) == 1 and isinstance(args[0], Mapping) and args[0]:
            return text % args[0]
        return text % tuple(map(_shown, args))
    except Exception:
        # a mistake in a log line, or in the `__str__` of an application's object, must not cost the message
        shown = msg if isinstance(msg, str) else type(msg).__name__
        return f"{shown} (arguments: {', '.join(type(arg).__name__ for arg in args)})"


def _trace(options: dict[str, Any]) -> str:
    """What `exc_info` and `stack_info` add to a message, as `logging` takes them."""
    about = options.get("exc_info")
    error = about if isinstance(about, BaseException) else about[1] if isinstance(about, tuple) else None
    if about is True:
        error = sys.exc_info()[1]
    text = "" if error is None else "\n" + "".join(traceback.format_exception(error))
    if options.get("stack_info"):
        text += "\nStack (most recent call last):\n" + "".join(traceback.format_stack()[:-4])
    return text


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
