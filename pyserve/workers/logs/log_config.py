"""A configuration of `logging` by the user: read, completed as gunicorn does it, and applied.

In this order, the first that is there: `logconfig_dict`, `logconfig_json`, `logconfig`. The last is a file that both
gunicorn and uvicorn know as --log-config: `.json` and `.yaml` hold a dict for `dictConfig`, others suit `fileConfig`.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging.config
import os
from collections.abc import Mapping
from configparser import ConfigParser, RawConfigParser
from typing import Any, Protocol

from pyserve.settings import SettingsError
from pyserve.workers.logs import loggers
from pyserve.workers.logs.loggers import DATE_FORMAT, ERROR_FORMAT

# What gunicorn completes a dict with, each part that is missing in whole.
_DEFAULTS: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["error_console"], "propagate": True},
        "gunicorn.access": {"level": "INFO", "handlers": ["console"], "propagate": True},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "generic", "stream": "ext://sys.stdout"},
        "error_console": {"class": "logging.StreamHandler", "formatter": "generic", "stream": "ext://sys.stderr"},
    },
    "formatters": {"generic": {"format": ERROR_FORMAT, "datefmt": DATE_FORMAT, "class": "logging.Formatter"}},
}

_UVICORNS = "uvicorn.logging."
_OURS = "pyserve.workers.logs.uvicorn_formatters."


class LogConfigSettings(Protocol):
    """What says how `logging` is configured."""

    @property
    def logconfig(self) -> str | None: ...
    @property
    def logconfig_dict(self) -> Mapping[str, Any] | None: ...
    @property
    def logconfig_json(self) -> str | None: ...


def is_given(settings: LogConfigSettings) -> bool:
    """Whether there is a configuration."""
    return bool(settings.logconfig_dict or settings.logconfig_json or settings.logconfig)


def apply(settings: LogConfigSettings) -> None:
    """Apply what is given. `SettingsError` for what cannot be read or applied, with the reason in one line."""
    if not is_given(settings):
        return
    name, given = read(settings)
    try:
        if isinstance(given, RawConfigParser):
            logging.config.fileConfig(given, disable_existing_loggers=False)
        else:
            logging.config.dictConfig(completed(given))
    except Exception as error:
        raise SettingsError(f"{name}: {_reason(error)}") from error
    loggers.enable()


def read(settings: LogConfigSettings) -> tuple[str, Mapping[str, Any] | RawConfigParser]:
    """Read what is given: where it stands, and a dict or a parsed ini file. `SettingsError` as of `apply`."""
    if settings.logconfig_dict:
        return "logconfig_dict", settings.logconfig_dict
    path = settings.logconfig_json or settings.logconfig or ""
    name = f"{'logconfig_json' if settings.logconfig_json else 'logconfig'} {path}"
    try:
        if settings.logconfig_json or path.endswith(".json"):
            with open(path, "rb") as file:
                found = json.load(file)
        elif path.endswith((".yaml", ".yml")):
            found = _read_yaml(path)
        else:
            return name, _read_ini(path)
    except SettingsError:
        raise
    except Exception as error:
        raise SettingsError(f"{name}: {_reason(error)}") from error
    if not isinstance(found, dict):
        raise SettingsError(f"{name}: expected a dict for logging.config.dictConfig")
    return name, found


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """A dict with gunicorn's defaults for what is missing.

    gunicorn refuses a dict whose handlers are not those that its default loggers have. Here these are left out: so the
    server's own handlers go on, and with a root logger of the user's records go there.
    """
    config = _without_uvicorn(config)
    merged = {**_DEFAULTS, **config}
    handlers = merged["handlers"] or {}
    if "root" not in config and not _has_handlers(_DEFAULTS["root"], handlers):
        del merged["root"]
    if "loggers" not in config:
        merged["loggers"] = {
            name: logger if _has_handlers(logger, handlers) else {"level": "INFO", "handlers": [], "propagate": True}
            for name, logger in _DEFAULTS["loggers"].items()
            if _has_handlers(logger, handlers) or "root" in merged
        }
    if config.get("incremental"):
        return {"version": 1, **config}
    return merged


def _has_handlers(logger: Mapping[str, Any], handlers: Mapping[str, Any]) -> bool:
    return all(name in handlers for name in logger["handlers"])


def _without_uvicorn(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where uvicorn is not installed any more, its formatters are ours, without colours."""
    formatters = config.get("formatters")
    if not isinstance(formatters, Mapping) or importlib.util.find_spec("uvicorn") is not None:
        return config

    return {**config, "formatters": {name: _translated(formatter) for name, formatter in formatters.items()}}


def _translated(formatter: Any) -> Any:
    if not isinstance(formatter, Mapping):
        return formatter
    return {
        key: value.replace(_UVICORNS, _OURS, 1) if isinstance(value, str) and value.startswith(_UVICORNS) else value
        for key, value in formatter.items()
    }


def _read_yaml(path: str) -> Any:
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        raise SettingsError(f"logconfig {path}: YAML needs the package PyYAML; install it, or use JSON") from None
    with open(path, "rb") as file:
        return yaml.safe_load(file)


def _read_ini(path: str) -> RawConfigParser:
    with open(path, encoding="utf-8") as file:
        parser = ConfigParser({"__file__": path, "here": os.path.dirname(path)})
        parser.read_file(file)
    for section in ("loggers", "handlers", "formatters"):
        if not parser.has_section(section):
            raise ValueError(f"there is no section [{section}]; files for dictConfig end with .json or .yaml")
    return parser


def _reason(error: BaseException) -> str:
    """The error in one line, with what has caused it: `dictConfig` says only where."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    texts = [" ".join(str(error).split()) or type(error).__name__]
    cause = error.__cause__
    if cause is not None and str(cause):
        texts.append(" ".join(str(cause).split()))
    return ": ".join(texts)
