"""`pyserve.glogging`: the logger class of gunicorn, for `logger_class` settings of those who have subclassed it.

`from gunicorn import glogging` goes on to work where gunicorn is installed; else write `from pyserve import glogging`.
The interface is gunicorn's; handlers, formats and atoms come about in the same way, so that a subclass may replace any
of these methods. The server's own logs do not go through this: see `loggers`.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from datetime import timedelta
from typing import Any

from pyserve.settings import SettingsError
from pyserve.workers.logs import log_config, loggers, syslog
from pyserve.workers.logs.atoms import LoggedResponse, SafeAtoms, atoms, user_of
from pyserve.workers.logs.loggers import DATE_FORMAT, ERROR_FORMAT

__all__ = ["Logger", "SafeAtoms"]


class Logger:
    """Both logs. cfg: the settings, by gunicorn's names.

    error_log and access_log are loggers of `logging`, which `setup` gives handlers.
    """

    LOG_LEVELS = {  # noqa: RUF012 - as gunicorn has it
        "critical": logging.CRITICAL,
        "error": logging.ERROR,
        "warning": logging.WARNING,
        "info": logging.INFO,
        "debug": logging.DEBUG,
    }
    loglevel = logging.INFO
    error_fmt = ERROR_FORMAT
    datefmt = DATE_FORMAT
    access_fmt = "%(message)s"
    syslog_fmt = "[%(process)d] %(message)s"
    atoms_wrapper_class: type[dict[str, Any]] = SafeAtoms

    def __init__(self, cfg: Any) -> None:
        self.error_log = logging.getLogger("gunicorn.error")
        self.access_log = logging.getLogger("gunicorn.access")
        self.error_log.propagate = self.access_log.propagate = False
        self.error_handlers: list[logging.Handler] = []
        self.access_handlers: list[logging.Handler] = []
        self.logfile = None
        self.cfg = cfg
        self.setup(cfg)

    def setup(self, cfg: Any) -> None:
        """Give the loggers their handlers: files, syslog, and what a log configuration says."""
        self.cfg = cfg
        self.loglevel = self.LOG_LEVELS.get(cfg.loglevel.lower(), logging.INFO)
        self.error_log.setLevel(self.loglevel)
        self.access_log.setLevel(logging.INFO)
        for log in (self.error_log, self.access_log):
            for handler in [handler for handler in log.handlers if getattr(handler, "_gunicorn", False)]:
                log.removeHandler(handler)
        self._set_handler(self.error_log, cfg.errorlog, logging.Formatter(self.error_fmt, self.datefmt))
        if cfg.accesslog is not None:
            self._set_handler(self.access_log, cfg.accesslog, logging.Formatter(self.access_fmt), sys.stdout)
        if cfg.syslog:
            self._set_syslog_handler(self.error_log, cfg, self.syslog_fmt, "error")
            if not cfg.disable_redirect_access_to_syslog:
                self._set_syslog_handler(self.access_log, cfg, self.syslog_fmt, "access")
        log_config.apply(cfg)

    # Messages

    def critical(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        self.error_log.critical(msg, *args, **kwargs)

    def error(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        self.error_log.error(msg, *args, **kwargs)

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        self.error_log.warning(msg, *args, **kwargs)

    def info(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        self.error_log.info(msg, *args, **kwargs)

    def debug(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        self.error_log.debug(msg, *args, **kwargs)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        self.error_log.exception(msg, *args, **kwargs)

    def log(self, lvl: int | str, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log at a level by its number or its name."""
        level = self.LOG_LEVELS.get(lvl.lower(), logging.INFO) if isinstance(lvl, str) else lvl
        self.error_log.log(level, msg, *args, **kwargs)

    # Requests

    @property
    def access_log_enabled(self) -> bool:
        """Whether the settings ask for an access log."""
        cfg = self.cfg
        to_syslog = cfg.syslog and not cfg.disable_redirect_access_to_syslog
        return bool(cfg.accesslog or log_config.is_given(cfg) or to_syslog)

    def atoms(self, resp: LoggedResponse, req: Any, environ: Any, request_time: timedelta) -> dict[str, Any]:
        """What a line may hold; see `pyserve.workers.logs.atoms`."""
        return atoms(resp, req, environ, request_time)

    def access(self, resp: LoggedResponse, req: Any, environ: Any, request_time: timedelta) -> None:
        """Log a request."""
        if self.access_log_enabled:
            made = self.atoms_wrapper_class(self.atoms(resp, req, environ, request_time))
            self.access_log.info(self.cfg.access_log_format, made)

    def now(self) -> str:
        """The time as an access log has it."""
        return time.strftime("[%d/%b/%Y:%H:%M:%S %z]")

    # Files

    def reopen_files(self) -> None:
        """Open all files anew (USR1)."""
        loggers.reopen_files(self.error)

    def close_on_exec(self) -> None:
        """Nothing: Python's files are not inherited by what is executed (PEP 446)."""

    def _get_gunicorn_handler(self, log: logging.Logger) -> logging.Handler | None:
        return next((handler for handler in log.handlers if getattr(handler, "_gunicorn", False)), None)

    def _set_handler(self, log: logging.Logger, output: str | None, fmt: logging.Formatter, stream: Any = None) -> None:
        old = self._get_gunicorn_handler(log)
        if old is not None:
            log.removeHandler(old)
        if output is None:
            return
        handler: logging.Handler
        if output == "-":
            handler = logging.StreamHandler(stream)
        else:
            try:
                handler = logging.FileHandler(output)
            except OSError as error:
                raise SettingsError(f"log file {output}: {error.strerror}") from None
            self._give_away(output)
        self._add(log, handler, fmt)

    def _give_away(self, path: str) -> None:
        """The workers, with a user of their own, must be able to open it anew."""
        try:
            os.chown(path, self.cfg.user, self.cfg.group)
        except OSError:
            pass  # /dev/stdout, say

    def _set_syslog_handler(self, log: logging.Logger, cfg: Any, fmt: str, name: str) -> None:
        handler = syslog.SyslogHandler(cfg.syslog_addr, cfg.syslog_facility)
        prefix = cfg.syslog_prefix or cfg.proc_name.replace(":", ".")
        self._add(log, handler, logging.Formatter(f"gunicorn.{prefix}.{name}: {fmt}"))

    def _add(self, log: logging.Logger, handler: logging.Handler, fmt: logging.Formatter) -> None:
        handler.setFormatter(fmt)
        handler._gunicorn = True  # type: ignore[attr-defined] # the mark of gunicorn's
        log.addHandler(handler)

    def _get_user(self, environ: Any) -> str | None:
        user = user_of(environ.get("HTTP_AUTHORIZATION", ""))
        return None if user == "-" else user
