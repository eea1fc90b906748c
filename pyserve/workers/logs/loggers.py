"""The loggers of `logging` by whose names the server's two logs are known.

    gunicorn.error                 the server's messages          uvicorn.error, uvicorn
    gunicorn.access                a record for each response     uvicorn.access

All are there from the start, with handlers that write to the server's own files: an application that takes over the
handlers or the level of `gunicorn.error`, or logs to `uvicorn.error`, finds its lines in the error log. What the server
itself has to say takes the short way to these files, without `logging`, for as long as nobody has changed the loggers.
Whoever adds a handler, a filter, another level or formatter to one of them, be it a configuration, a hook or the
application, gets the server's records through it.

The names of gunicorn go first. Where only those of uvicorn are configured, records go there, in uvicorn's form.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any

from pyserve.workers.logs.access_format import Answered, Peer

if TYPE_CHECKING:
    from pyserve.workers.logs.access import AccessLog
    from pyserve.workers.logs.error_log import ErrorLog

ERROR_FORMAT = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
DATE_FORMAT = "[%Y-%m-%d %H:%M:%S %z]"
UVICORN_LINE = '%s - "%s %s HTTP/%s" %d'

GUNICORN_ERROR = logging.getLogger("gunicorn.error")
GUNICORN_ACCESS = logging.getLogger("gunicorn.access")
UVICORN = logging.getLogger("uvicorn")
UVICORN_ERROR = logging.getLogger("uvicorn.error")
UVICORN_ACCESS = logging.getLogger("uvicorn.access")
_ALL = (GUNICORN_ERROR, GUNICORN_ACCESS, UVICORN, UVICORN_ERROR, UVICORN_ACCESS)

_PLAIN = logging.Formatter("%(message)s")


class Form(Enum):
    """How the access log is written."""

    OWN = "own"  # nobody has configured `logging` for it
    GUNICORN = "gunicorn"
    UVICORN = "uvicorn"
    SILENT = "silent"  # somebody has, so that nothing would come of a record


class UvicornArgs(tuple[Any, ...]):
    """(client_addr, method, full_path, http_version, status_code), and what the line is made of."""

    answered: tuple[Answered, Peer, float, float]


class OwnHandler(logging.Handler):
    """A handler of the server's own, until the user changes it. level: what its logger had then.

    The attribute `_gunicorn` is how code written for gunicorn finds the server's handlers.
    """

    _gunicorn = True

    def __init__(self, formatter: logging.Formatter, level: int) -> None:
        super().__init__()
        self._formatter = formatter
        self._logger_level = level
        self.setFormatter(formatter)

    @property
    def is_as_made(self) -> bool:
        """Whether nobody has changed how it prints."""
        return self.formatter is self._formatter

    def is_alone(self, logger: logging.Logger) -> bool:
        """Whether nobody has changed the logger or this."""
        if logger.filters or logger.propagate or logger.level != self._logger_level:
            return False
        return self.is_as_made and not self.filters and not self.level and len(logger.handlers) == 1


class ErrorHandler(OwnHandler):
    """Writes records to the error log's file."""

    def __init__(self, log: ErrorLog, level: int) -> None:
        super().__init__(logging.Formatter(ERROR_FORMAT, DATE_FORMAT), level)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self.is_as_made:
                self._log.put(record.levelname, _PLAIN.format(record))
            else:
                self._log.put_line(f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))
        except Exception:
            self.handleError(record)


class AccessHandler(OwnHandler):
    """Writes records to the access log's file. file: None where there is none, as in the master."""

    def __init__(self) -> None:
        super().__init__(_PLAIN, logging.INFO)
        self.file: AccessLog | None = None

    def emit(self, record: logging.LogRecord) -> None:
        file = self.file
        if file is None:
            return
        try:
            args = record.args
            if isinstance(args, UvicornArgs) and record.msg is UVICORN_LINE and self.is_as_made:
                file.write(*args.answered)
            else:
                file.put(f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))
        except Exception:
            self.handleError(record)


class Loggers:
    """The server's way into `logging` (`logs.Outlet`).

    voice: an object of the user's `logger_class`, which then gets all messages; None where there is none.
    """

    def __init__(self, log: ErrorLog, level: int) -> None:
        self.voice: Any = None
        self._log = log
        for logger in (GUNICORN_ERROR, UVICORN):
            _equip(logger, ErrorHandler(log, level), level)
        for logger in (GUNICORN_ACCESS, UVICORN_ACCESS):
            _equip(logger, AccessHandler(), logging.INFO)

    @property
    def error_log(self) -> Any:
        return GUNICORN_ERROR if self.voice is None else getattr(self.voice, "error_log", GUNICORN_ERROR)

    @property
    def access_log(self) -> Any:
        return GUNICORN_ACCESS if self.voice is None else getattr(self.voice, "access_log", GUNICORN_ACCESS)

    # The error log

    def takes(self) -> bool:
        """Whether messages go through `logging`; asked for each one, as they are rare and applications late."""
        return self.voice is not None or _chosen() is not None

    def log(self, level: int, msg: Any, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        """Log a message there; the place in the code that it names is that of the server."""
        if self.voice is not None:
            self._speak(level, msg, args, options)
            return
        logger = _chosen() or GUNICORN_ERROR
        if logger.isEnabledFor(level):
            options["stacklevel"] = options.get("stacklevel", 1) + 3
            logger.log(level, msg, *args, **options)

    def _speak(self, level: int, msg: Any, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        voice = self.voice
        match level:
            case logging.DEBUG:
                voice.debug(msg, *args, **options)
            case logging.INFO:
                voice.info(msg, *args, **options)
            case logging.WARNING:
                voice.warning(msg, *args, **options)
            case logging.ERROR if options.get("exc_info"):
                voice.exception(msg, *args, **options)
            case logging.ERROR:
                voice.error(msg, *args, **options)
            case logging.CRITICAL:
                voice.critical(msg, *args, **options)
            case _:
                voice.log(level, msg, *args, **options)

    # Files

    def reopen(self) -> None:
        """Open the files of all handlers anew (USR1)."""
        try:
            if self.voice is not None:
                self.voice.reopen_files()
            else:
                reopen_files(self._report)
        except Exception as error:
            self._report(f"The log files could not be opened anew: {error}")

    def _report(self, text: str) -> None:
        self._log.put("ERROR", text)


def enable() -> None:
    """`dictConfig` disables by default what it does not name: nobody means that for the server's own loggers."""
    for logger in _ALL:
        logger.disabled = False


def state() -> list[object]:
    """How the server's loggers are set up, to be compared with how they are later."""
    found: list[object] = []
    for logger in _ALL:
        found += [logger, logger.level, logger.propagate, *logger.filters]
        for handler in logger.handlers:
            found += [handler, handler.level, handler.formatter, *handler.filters]
    return found


def _equip(logger: logging.Logger, handler: logging.Handler, level: int) -> None:
    for old in [handler for handler in logger.handlers if getattr(handler, "_gunicorn", False)]:
        logger.removeHandler(old)
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False


def _is_touched(logger: logging.Logger) -> bool:
    handlers = logger.handlers
    return not (handlers and isinstance(handlers[0], OwnHandler) and handlers[0].is_alone(logger))


def _chosen() -> logging.Logger | None:
    """The logger for the server's messages, None while nobody cares.

    One that is disabled, as `dictConfig` does by default with all that it does not name, does not silence the server.
    """
    if _is_touched(GUNICORN_ERROR):
        return None if GUNICORN_ERROR.disabled else GUNICORN_ERROR
    error = UVICORN_ERROR
    if error.disabled:
        return None
    if _is_touched(UVICORN) or error.handlers or error.filters or error.level or not error.propagate:
        return error
    # Some services for errors replace a method of all loggers, and so hear what no handler of theirs gets.
    return None if logging.Logger.callHandlers.__module__ == "logging" else GUNICORN_ERROR


def access_form() -> Form:
    """How the access log is written, as things are now. Who silences it by either name has silenced it."""
    by_gunicorn, by_uvicorn = _is_touched(GUNICORN_ACCESS), _is_touched(UVICORN_ACCESS)
    if any(map(_is_silent, (GUNICORN_ACCESS, UVICORN_ACCESS))):
        return Form.SILENT
    if GUNICORN_ACCESS.disabled if by_gunicorn else UVICORN_ACCESS.disabled:
        return Form.SILENT
    if by_gunicorn:
        return Form.GUNICORN
    return Form.UVICORN if by_uvicorn else Form.OWN


def _is_silent(logger: logging.Logger) -> bool:
    return logger.getEffectiveLevel() > logging.INFO or not logger.hasHandlers()


def write_access_to(file: AccessLog | None) -> None:
    """Have the server's own handlers of the access log write there."""
    for logger in (GUNICORN_ACCESS, UVICORN_ACCESS):
        for handler in logger.handlers:
            if isinstance(handler, AccessHandler):
                handler.file = file


def reopen_files(report: Callable[[str], object]) -> None:
    """Open the files of all handlers of `logging` anew, also those of the root logger. report: told, in a sentence, of
    one that cannot be opened; the handler then goes on with the old one."""
    found = {handler for logger in _all_loggers() for handler in logger.handlers}
    for handler in found:
        if not isinstance(handler, logging.FileHandler):
            continue
        lock: Any = handler.lock
        if lock is not None and lock._is_owned():
            # A signal has interrupted this very thread while it writes there: it must be done with that first.
            threading.Thread(target=_reopen, args=(handler, report), daemon=True).start()
        else:
            _reopen(handler, report)


def _reopen(handler: logging.FileHandler, report: Callable[[str], object]) -> None:
    handler.acquire()
    try:
        if handler.stream is not None:
            stream = handler._open()  # first the new one: where that fails the old one goes on
            handler.stream, old = stream, handler.stream
            old.close()
    except OSError as error:
        report(f"Log file {handler.baseFilename!r} cannot be opened anew: {error.strerror}")
    finally:
        handler.release()


def _all_loggers() -> Iterator[logging.Logger]:
    yield logging.root
    for logger in tuple(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            yield logger
