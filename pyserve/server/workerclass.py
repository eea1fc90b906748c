"""What `--worker-class` may say besides sync and async: the names and classes of gunicorn's and uvicorn's workers.

A worker class of theirs is not run: it tells which of ours serves the same purpose, and what it is configured to
(`CONFIG_KWARGS` of uvicorn's). Classes of one's own are imported and judged by what they are derived from.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any, Final

from pyserve.server.configfile import executed, lead_import_path
from pyserve.server.sources import FIELDS
from pyserve.settings import SettingsError, WorkerClass
from pyserve.values.option import shown_value

_UVICORN: Final[Mapping[str, Mapping[str, object]]] = {
    "UvicornWorker": {},
    "UvicornH11Worker": {"loop": "asyncio", "http": "h11"},
}
_STAND_INS: Final = ("uvicorn.workers", "uvicorn_worker")
_PACKAGES: Final = ("uvicorn", "uvicorn_worker", "gunicorn")
_UNUSED: Final = {"app", "host", "port", "uds", "fd", "workers", "reload"}
"""Keys of CONFIG_KWARGS that have no effect under gunicorn either."""


@dataclass(frozen=True, slots=True)
class Found:
    """settings: by field, what the class is configured to. green: whether many greenlets are what it is chosen for.
    warnings: one line each."""

    worker_class: WorkerClass
    settings: Mapping[str, object] = field(default_factory=dict)
    green: bool = False
    warnings: tuple[str, ...] = ()


class Meant(str):
    """A worker class of ours that was asked for by another name; messages show that one."""

    __slots__ = ("given",)
    given: object

    def __new__(cls, worker_class: WorkerClass, given: object) -> Meant:
        self = super().__new__(cls, worker_class)
        self.given = given
        return self

    def __str__(self) -> str:
        return shown_value(self.given)


_KNOWN: Final[dict[str, Found]] = {
    "sync": Found("sync"),
    "gthread": Found("sync"),
    "async": Found("async"),
    "asgi": Found("async"),
    **dict.fromkeys(("gevent", "gevent_wsgi", "gevent_pywsgi", "eventlet", "tornado"), Found("sync", green=True)),
    "gaiohttp": Found("sync", green=True),
    "gunicorn.workers.sync.SyncWorker": Found("sync"),
    "gunicorn.workers.gthread.ThreadWorker": Found("sync"),
    "gunicorn.workers.gasgi.ASGIWorker": Found("async"),
    "gunicorn.workers.ggevent.GeventWorker": Found("sync", green=True),
    "gunicorn.workers.ggevent.GeventPyWSGIWorker": Found("sync", green=True),
    "gunicorn.workers.geventlet.EventletWorker": Found("sync", green=True),
    "gunicorn.workers.gtornado.TornadoWorker": Found("sync", green=True),
    **{f"{module}.{name}": Found("async", kwargs) for module in _STAND_INS for name, kwargs in _UVICORN.items()},
}


def recognise(given: object) -> Found | None:
    """The worker class of ours that is meant. None for a word that means none; ConfigFileError for a class that cannot
    be imported, and SettingsError for one that is no worker's."""
    if inspect.isfunction(given) or inspect.ismethod(given):
        try:
            given = given()  # as gunicorn does
        except Exception as error:
            raise SettingsError(f"worker_class: calling {shown_value(given)} failed: {error}") from None
    if isinstance(given, str):
        name = given.strip().removeprefix("egg:gunicorn#")
        found = _KNOWN.get(name) or _KNOWN.get(name.lower())
        if found or "." not in name:
            return found
        given = _imported(name)
    if isinstance(given, Found):
        return given
    if not inspect.isclass(given):
        raise SettingsError(f"{given!r} is not a worker class")
    return _judged(given)


def _imported(path: str) -> object:
    """The class, or, where what it is derived from is not installed, what its name says."""
    module, _, name = path.rpartition(".")
    lead_import_path()
    try:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            try:
                return getattr(importlib.import_module(module), name)
            except ModuleNotFoundError as error:
                if (error.name or "").partition(".")[0] not in _PACKAGES:
                    raise
            with _stand_ins():
                return getattr(importlib.import_module(module), name)
    except Exception:
        for known, found in _KNOWN.items():
            suffix = known.rpartition(".")[2]
            if suffix != known and name.endswith(suffix):
                text = f"{path} cannot be imported, and is taken for a {suffix} by its name"
                return replace(found, warnings=(text,))
    return executed(f"worker_class {path}", lambda: getattr(importlib.import_module(module), name))


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    """Lets a class derived from uvicorn's worker be imported where gunicorn, which that needs, is not installed."""
    made: dict[str, ModuleType] = {}
    for name in (*_STAND_INS, *(() if importlib.util.find_spec("uvicorn") else ("uvicorn",))):
        module = made[name] = ModuleType(name)
        for worker, kwargs in _UVICORN.items():
            setattr(module, worker, type(worker, (), {"CONFIG_KWARGS": kwargs, "__module__": name}))
    before = {name: sys.modules.get(name) for name in made}
    sys.modules.update(made)
    try:
        yield
    finally:
        for name, earlier in before.items():
            if earlier is None:
                del sys.modules[name]
            else:
                sys.modules[name] = earlier


def _judged(given: type) -> Found:
    own: list[str] = []
    for base in given.__mro__:
        top = base.__module__.partition(".")[0]
        name = f"{top}.{base.__name__}" if top == "uvicorn_worker" else f"{base.__module__}.{base.__name__}"
        if found := _KNOWN.get(name):
            said = [f"{given.__name__}: its {', '.join(own)} are not called"] if own else []
            settings, more = _configured(given, getattr(given, "CONFIG_KWARGS", {}))
            return Found(found.worker_class, settings, found.green, (*said, *more))
        own += [name for name, value in vars(base).items() if inspect.isfunction(value)]
    raise SettingsError(f"{given.__module__}.{given.__name__} is a worker of its own kind; take sync or async")


def _configured(given: type, kwargs: Any) -> tuple[dict[str, object], list[str]]:
    """CONFIG_KWARGS by field, and what is to be said of the rest."""
    settings: dict[str, object] = {}
    unknown = []
    for key, value in dict(kwargs).items():
        name = FIELDS.get(key, "")
        if name == "logconfig" and isinstance(value, dict):
            name = "logconfig_dict"
        if key in _UNUSED or value in (None, "auto"):
            continue
        if name:
            settings[name] = value
        else:
            unknown.append(key)
    warning = f"{given.__name__}.CONFIG_KWARGS: {', '.join(unknown)} has no effect"
    return settings, [warning] if unknown else []
