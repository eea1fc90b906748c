"""What gunicorn computes from a command line, and whether pyserve's settings say the same."""

import functools
import ipaddress
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from gunicorn import config as gunicorn_config
from gunicorn import util
from gunicorn.app.wsgiapp import WSGIApplication

from pyserve.foreign import FOREIGN
from pyserve.server.sources import FIELDS, Resolved, Source
from pyserve.settings import OPTIONS, Settings
from pyserve.values.addresses import InheritedAddress, UnixAddress, parse_address
from pyserve.values.log_addresses import parse_statsd_address
from tests.compat.surroundings import forget

WORKER_CLASSES = {"sync": "sync", "gthread": "sync", "gevent": "sync", "eventlet": "sync", "asgi": "async"}
LIMITS = {"limit_request_fields": {0: 32768}, "graceful_timeout": {0: 0.01}}
PARSERS = {"auto": "httptools", "fast": "httptools", "python": "h11"}


def gunicorn(arguments: Sequence[str], environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> WSGIApplication:
    """The application object of gunicorn's command, its `cfg` filled. SystemExit where gunicorn refuses.

    Two of gunicorn's defaults are taken from the environment when it is imported.
    """
    monkeypatch.setattr(sys, "argv", ["gunicorn", *arguments])
    bind = [f"0.0.0.0:{environ['PORT']}"] if "PORT" in environ else ["127.0.0.1:8000"]
    monkeypatch.setattr(gunicorn_config.Bind, "default", bind)
    monkeypatch.setattr(gunicorn_config.Workers, "default", int(environ.get("WEB_CONCURRENCY", 1)))
    trusted = environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")
    monkeypatch.setattr(gunicorn_config.ForwardedAllowIPS, "default", trusted)
    monkeypatch.setattr(gunicorn_config.Chdir, "default", os.getcwd())
    directory = os.getcwd()
    try:
        return WSGIApplication("%(prog)s [OPTIONS] [APP_MODULE]", prog="gunicorn")
    finally:
        os.chdir(directory)
        forget()


def differences(app: WSGIApplication, resolved: Resolved) -> list[str]:
    """A line for each setting that is not the same. What neither was told counts as the same: defaults may differ."""
    found = []
    if app.app_uri != resolved.settings.reference:
        found.append(f"app: {app.app_uri} and {resolved.settings.reference}")
    defaults = _defaults()
    for name, setting in app.cfg.settings.items():
        if name == "wsgi_app" or name in FOREIGN:
            continue
        theirs, default = setting.get(), defaults[name].get()
        field = FIELDS[name]
        origin = resolved.origins[field]
        untold = origin.source is Source.DEFAULT or origin.place == "CONFIG_KWARGS"
        if untold and theirs == default:
            continue
        ours = getattr(resolved.settings, field)
        if not same(name, theirs, ours, resolved.settings):
            found.append(f"{name}: {theirs!r} and {ours!r}")
    return found


@functools.cache
def _defaults() -> dict[str, gunicorn_config.Setting]:
    settings: dict[str, gunicorn_config.Setting] = gunicorn_config.Config().settings
    return settings


def same(name: str, theirs: Any, ours: Any, settings: Settings) -> bool:
    if name == "default_proc_name":
        return bool(theirs == (ours or settings.app))
    if theirs == "" and not ours:
        return True
    if name in _SPECIAL:
        return _SPECIAL[name](theirs, ours)
    if name == "threads" and ours != theirs and settings.worker_class == "sync":
        return bool(theirs == 1 and ours == 64)  # greenlets
    theirs = LIMITS.get(name, {}).get(theirs, theirs) if isinstance(theirs, int) else theirs
    if callable(theirs) and callable(ours):
        return bool(theirs.__name__ == ours.__name__)
    if isinstance(ours, tuple):
        return list(ours) == (theirs.split(",") if isinstance(theirs, str) else list(theirs or ()))
    if isinstance(ours, bool) or theirs is None:
        return bool(ours) == bool(theirs)
    return bool(theirs == ours)


def _addresses(theirs: Sequence[str], ours: Sequence[str]) -> bool:
    parsed = [util.parse_address(text) for text in theirs]
    anywhere = [("0.0.0.0", one[1]) if isinstance(one, tuple) and one[0] == "" else one for one in parsed]
    return anywhere == [_parts(text) for text in ours]


def _parts(text: str) -> tuple[str, int] | str | int:
    address = parse_address(text)
    if isinstance(address, UnixAddress):
        return address.path
    return address.fd if isinstance(address, InheritedAddress) else (address.host, address.port)


def _worker_class(theirs: Any, ours: str | None) -> bool:
    name = theirs if isinstance(theirs, str) else "UvicornWorker"
    for part, known in WORKER_CLASSES.items():
        if part in name.rpartition(".")[2].lower():
            return ours == known
    return "Uvicorn" in name and ours == "async"


def _headers(theirs: Mapping[str, str], ours: Sequence[str]) -> bool:
    return {f"{name.upper()}={value}" for name, value in theirs.items()} == {
        f"{name.upper()}={value}" for name, _, value in (text.partition("=") for text in ours)
    }


def _networks(theirs: Sequence[str], ours: Sequence[str]) -> bool:
    def plain(texts: Sequence[str]) -> set[object]:
        return {text if text == "*" else ipaddress.ip_network(text) for text in texts}

    return plain(theirs) == plain(ours)


def _paths(theirs: Sequence[str], ours: Sequence[str]) -> bool:
    return [os.path.realpath(path) for path in theirs] == [os.path.realpath(path) for path in ours]


def _text(theirs: object, ours: object) -> bool:
    return str(theirs).lower() == str(ours).lower()


_SPECIAL: dict[str, Callable[[Any, Any], bool]] = {
    "bind": _addresses,
    "worker_class": _worker_class,
    "config": lambda theirs, ours: bool(theirs == ours) or os.path.realpath(theirs) == os.path.realpath(ours),
    "loglevel": _text,
    "statsd_host": lambda theirs, ours: bool(theirs == parse_statsd_address(ours)),
    "secure_scheme_headers": _headers,
    "forwarded_allow_ips": _networks,
    "proxy_allow_ips": _networks,
    "reload_extra_files": _paths,
    "paste": lambda theirs, ours: bool(os.path.abspath(theirs) == ours),
    "http_parser": lambda theirs, ours: bool(PARSERS[theirs] == ours),
    "chdir": lambda theirs, ours: os.path.realpath(theirs) == os.path.realpath(ours or "."),
}

assert set(_SPECIAL) <= set(FIELDS)
assert set(LIMITS) <= set(OPTIONS)
