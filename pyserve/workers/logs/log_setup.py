"""Opens the server's logs as the settings ask for: file, `logging`, syslog, a logger class of the user's, metrics."""

from __future__ import annotations

import atexit
import importlib
import logging
from typing import TYPE_CHECKING, Any

from pyserve.settings import SettingsError, flag_of
from pyserve.workers.cfg import Config
from pyserve.workers.identity import name_of
from pyserve.workers.logs import log_config
from pyserve.workers.logs.error_log import LEVELS, ErrorLog
from pyserve.workers.logs.log_file import obstacle
from pyserve.workers.logs.loggers import Loggers
from pyserve.workers.logs.statsd import Statsd

if TYPE_CHECKING:
    from pyserve.settings import Settings

_OWN = ("gunicorn.glogging.Logger", "pyserve.glogging.Logger", "simple")
_STATSD = "gunicorn.instrument.statsd.Statsd"
"""What gunicorn takes by itself with `statsd_host`."""


def open_log(settings: Settings, *, captures: bool = False) -> ErrorLog:
    """Open the error log. captures: what is printed goes there, too, if it is a file.

    `SettingsError` for a log configuration or a logger class that cannot be had.
    """
    log = ErrorLog(settings.errorlog, settings.loglevel, captures=captures)
    log.outlet = outlet = Loggers(log, LEVELS[settings.loglevel])
    if is_own(settings.logger_class):
        _add_syslog(settings, outlet)
        log_config.apply(settings)
    else:
        outlet.voice = _voice(settings)
    if settings.statsd_host is not None and not _counts(outlet.voice):
        log.metrics = Statsd(settings.statsd_host, settings.statsd_prefix, settings.dogstatsd_tags, log.warning)
        atexit.register(log.metrics.close)
    return log


def check_files(settings: Settings) -> None:
    """Open what a start needs, as gunicorn does: who mistypes a log's place is to see that at once. `SettingsError` for
    a file that cannot be opened; later that is said in the log, and serving goes on."""
    if not is_own(settings.logger_class):
        return
    for name, path in (("errorlog", settings.errorlog), ("accesslog", settings.accesslog)):
        if path and (error := obstacle(path)) is not None:
            raise SettingsError(f"{flag_of(name)}: {path!r} cannot be opened: {error.strerror}")


def _counts(voice: Any) -> bool:
    """Whether it is a Statsd of gunicorn's, and counts for itself."""
    return hasattr(voice, "increment") and hasattr(voice, "timer")


def check(settings: Settings) -> None:
    """Look whether the log could be opened, as far as that changes nothing. `SettingsError` as of `open_log`."""
    if log_config.is_given(settings):
        log_config.read(settings)
    if not is_own(settings.logger_class):
        load_class(settings.logger_class)


def is_own(logger_class: str | type) -> bool:
    """Whether the logger class is the server's own."""
    name = logger_class if isinstance(logger_class, str) else f"{logger_class.__module__}.{logger_class.__qualname__}"
    return name in (*_OWN, _STATSD, "pyserve.workers.logs.glogging.Logger")


def _add_syslog(settings: Settings, outlet: Loggers) -> None:
    if not settings.syslog:
        return
    from pyserve.workers.logs.syslog import SyslogHandler, formatter

    prefix = settings.syslog_prefix or name_of(settings).replace(":", ".")
    logs: dict[str, logging.Logger] = {"error": outlet.error_log}
    if not settings.disable_redirect_access_to_syslog:
        logs["access"] = outlet.access_log
    for name, logger in logs.items():
        handler = SyslogHandler(settings.syslog_addr, settings.syslog_facility)
        handler.setFormatter(formatter(prefix, name))
        logger.addHandler(handler)


def _voice(settings: Settings) -> Any:
    """Make an object of the user's logger class."""
    made = load_class(settings.logger_class)
    try:
        if hasattr(made, "install"):
            made.install()
        return made(Config(settings))
    except SettingsError:
        raise
    except Exception as error:
        raise SettingsError(f"logger_class {settings.logger_class}: {type(error).__name__}: {error}") from error


def load_class(logger_class: str | type) -> type[Any]:
    """Import a class by its dotted name. `SettingsError` for one that there is not."""
    if isinstance(logger_class, type):
        return logger_class
    module_name, _, name = logger_class.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        hint = ""
        if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "gunicorn":
            hint = "; where gunicorn is not installed, `from pyserve import glogging` has the same class"
        raise SettingsError(f"logger_class {logger_class}: {type(error).__name__}: {error}{hint}") from error
    found = getattr(module, name, None)
    if not isinstance(found, type):
        raise SettingsError(f"logger_class {logger_class}: {module_name} has no class {name}")
    return found
