"""The access log through `logging`: for those who have configured it, or have a logger class of their own.

Everybody else's lines go straight to the file (`access`). Which way it is, is decided when the worker begins to serve:
after the application was loaded and has started, as that is where filters and handlers are often added.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, unquote_to_bytes

from pyserve.workers.logs import loggers
from pyserve.workers.logs.atoms import Request, Response, atoms, environ_of, safe_atoms_for
from pyserve.workers.logs.loggers import UVICORN_LINE, Form, UvicornArgs

if TYPE_CHECKING:
    from pyserve.workers.logs.access import Access, AccessLog
    from pyserve.workers.logs.access_format import Answered, Peer
    from pyserve.workers.logs.error_log import ErrorLog, Metrics

Say = Callable[["Answered", "Peer", float, float], None]
"""Logs an exchange; what it raises is dealt with."""


class AccessSettings(Protocol):
    """What decides where the access log goes."""

    @property
    def access_log(self) -> bool | None: ...
    @property
    def accesslog(self) -> str | None: ...
    @property
    def access_log_format(self) -> str: ...
    @property
    def logconfig(self) -> str | None: ...
    @property
    def logconfig_dict(self) -> Any: ...
    @property
    def logconfig_json(self) -> str | None: ...
    @property
    def syslog(self) -> bool: ...
    @property
    def disable_redirect_access_to_syslog(self) -> bool: ...


class LoggedAccess:
    """The access log by way of `logging`. file: where the server's own handlers write to, if anywhere.

    A handler or filter that raises costs its line, never a request; the first time it is told in the error log with its
    traceback, and again after `reopen`.
    """

    __slots__ = ("_complained", "_errors", "_file", "_say", "lost", "wants_environ")

    def __init__(self, say: Say, file: AccessLog | None, errors: ErrorLog) -> None:
        self._say = say
        self._file = file
        self._errors = errors
        self._complained = False
        self.wants_environ = True  # also for the port of a client
        self.lost = 0

    def write(self, exchange: Answered, connection: Peer, seconds: float, now: float) -> None:
        """Log an exchange; see `AccessLog.write`."""
        try:
            self._say(exchange, connection, seconds, now)
        except Exception:
            self.lost += 1
            if not self._complained:
                self._complained = True
                self._errors.exception("The access log could not describe a request")

    def tick(self) -> None:
        """Write what has been gathered in the server's own file."""
        if self._file is not None:
            self._file.tick()

    def flush(self) -> None:
        """The same, for the last time."""
        if self._file is not None:
            self._file.flush()

    def reopen(self) -> None:
        """Open the server's own file anew; those of handlers are the error log's to open."""
        self._complained = False
        if self._file is not None:
            self._file.reopen()

    def close(self) -> None:
        """Close the server's own file."""
        if self._file is not None:
            self._file.close()


class MeteredAccess:
    """The access log, with metrics of each request. log: None where only metrics are wanted."""

    __slots__ = ("_log", "_metrics", "wants_environ")

    def __init__(self, metrics: Metrics, log: Access | None) -> None:
        self._metrics = metrics
        self._log = log
        self.wants_environ = log is not None and log.wants_environ

    def write(self, exchange: Answered, connection: Peer, seconds: float, now: float) -> None:
        """Log an exchange, and send its metrics."""
        self._metrics.request(exchange.status, seconds * 1000)
        if self._log is not None:
            self._log.write(exchange, connection, seconds, now)

    def tick(self) -> None:
        """See `AccessLog`, as of all that follows."""
        if self._log is not None:
            self._log.tick()

    def flush(self) -> None:
        if self._log is not None:
            self._log.flush()

    def reopen(self) -> None:
        if self._log is not None:
            self._log.reopen()

    def close(self) -> None:
        if self._log is not None:
            self._log.close()


def in_gunicorns_form(access_log_format: str, logger: logging.Logger) -> Say:
    """Records as gunicorn makes them: `msg` is the format, `args` the atoms."""
    safe_atoms = safe_atoms_for(access_log_format)

    def say(exchange: Answered, connection: Peer, seconds: float, now: float) -> None:
        environ = environ_of(exchange, connection)
        made = atoms(Response(exchange), Request(exchange), environ, timedelta(seconds=seconds))
        logger.info(access_log_format, safe_atoms(made))

    return say


def in_uvicorns_form(logger: logging.Logger) -> Say:
    """Records as uvicorn makes them: `args` is (client_addr, method, full_path, http_version, status_code). A request
    that was never answered has no status, and no record."""

    def say(exchange: Answered, connection: Peer, seconds: float, now: float) -> None:
        if exchange.status and logger.isEnabledFor(logging.INFO):
            logger.handle(_uvicorns_record(logger, (exchange, connection, seconds, now)))

    return say


def _uvicorns_record(logger: logging.Logger, answered: tuple[Answered, Peer, float, float]) -> logging.LogRecord:
    exchange, connection, _, _ = answered
    path = quote(unquote_to_bytes(exchange.path))
    if exchange.query:
        path += "?" + exchange.query.decode("latin-1")
    args = UvicornArgs((_client(exchange, connection), exchange.method, path, exchange.version, exchange.status))
    args.answered = answered
    # `Logger.info` would make a plain tuple of the arguments
    return logger.makeRecord(logger.name, logging.INFO, __file__, 0, UVICORN_LINE, args, None, "say")


def if_uvicorns_filters_agree(say: Say) -> Say:
    """An application that was written for uvicorn may filter there what goes to handlers of gunicorn's logger."""
    logger = loggers.UVICORN_ACCESS
    if not logger.filters:
        return say

    def ask(exchange: Answered, connection: Peer, seconds: float, now: float) -> None:
        if not exchange.status or logger.filter(_uvicorns_record(logger, (exchange, connection, seconds, now))):
            say(exchange, connection, seconds, now)

    return ask


def by_voice(voice: Any) -> Say:
    """By the method `access` of a logger class written for gunicorn."""

    def say(exchange: Answered, connection: Peer, seconds: float, now: float) -> None:
        environ = environ_of(exchange, connection)
        voice.access(Response(exchange), Request(exchange), environ, timedelta(seconds=seconds))

    return say


def _client(exchange: Answered, connection: Any) -> str:
    """`127.0.0.1:50000`, nothing on a unix socket; whom a proxy names has port 0, as with uvicorn."""
    if exchange.client:
        return f"{exchange.client}:0"
    environ = getattr(connection, "environ", None)
    if environ is not None:
        port = environ.get("REMOTE_PORT")
    else:
        transport = getattr(connection, "transport", None)
        name = transport.get_extra_info("peername") if transport is not None else None
        port = name[1] if isinstance(name, tuple) else None
    return f"{connection.remote}:{port}" if connection.remote and port else connection.remote


def choose(settings: AccessSettings, errors: ErrorLog, file: AccessLog | None) -> Access | None:
    """What a worker writes its access log to from now on. file: opened by `access.setup`, None if none is wanted."""
    access = _choose(settings, errors, file)
    metrics = errors.metrics
    if metrics is None:
        return access
    metrics.connect()
    return MeteredAccess(metrics, access)


def _choose(settings: AccessSettings, errors: ErrorLog, file: AccessLog | None) -> Access | None:
    if settings.access_log is False:
        return None
    voice = getattr(errors.outlet, "voice", None)
    if voice is not None:
        return LoggedAccess(if_uvicorns_filters_agree(by_voice(voice)), None, errors) if _has_access(voice) else None
    configured = settings.logconfig or settings.logconfig_dict or settings.logconfig_json
    to_syslog = settings.syslog and not settings.disable_redirect_access_to_syslog
    if file is None and not (configured or to_syslog):
        return None
    form = loggers.access_form() if errors.outlet is not None else Form.OWN
    loggers.write_access_to(file)
    match form:
        case Form.GUNICORN:
            say = in_gunicorns_form(settings.access_log_format, errors.access_log)
            return LoggedAccess(if_uvicorns_filters_agree(say), file, errors)
        case Form.UVICORN:
            return LoggedAccess(in_uvicorns_form(loggers.UVICORN_ACCESS), file, errors)
        case Form.SILENT:
            return None
    return file


def _has_access(voice: Any) -> bool:
    """Whether a logger of the user's logs requests: one that has gunicorn's own method does so where that would."""
    own = getattr(type(voice).access, "__module__", "") in ("gunicorn.glogging", "pyserve.workers.logs.glogging")
    return not own or bool(getattr(voice, "access_log_enabled", True))
