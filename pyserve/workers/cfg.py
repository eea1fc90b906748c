"""The settings as code written for gunicorn reads them: `server.cfg`, `worker.cfg`, a logger class's `cfg`.

Fields of `Settings` have gunicorn's names, so most are passed on as they are; what is accepted without effect has its
default. What gunicorn derives (`address`, `env`, `uid`, ...) is derived here, and lists and whole numbers of seconds
look as they do there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pyserve.foreign import FOREIGN
from pyserve.settings import DEFAULTS, OPTIONS, Settings
from pyserve.values.addresses import InheritedAddress, UnixAddress, parse_address
from pyserve.values.log_addresses import parse_statsd_address
from pyserve.workers.identity import name_of

Address = tuple[str, int] | str | int

_NAMES: Final = {
    **dict.fromkeys(FOREIGN, ""),
    **{name: field for field, option in OPTIONS.items() for name in (*option.names, field)},
}
"""By each name, that of the field; empty where there is none."""


class Entry:
    """One setting, as in `cfg.settings["workers"]`."""

    __slots__ = ("default", "name", "value")

    def __init__(self, name: str, value: Any, default: Any) -> None:
        self.name = name
        self.value = value
        self.default = default

    def get(self) -> Any:
        return self.value

    def __repr__(self) -> str:
        return f"<{self.name}={self.value!r}>"


class Entries(Mapping[str, Entry]):
    """`cfg.settings`: every setting by its name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __getitem__(self, name: str) -> Entry:
        return Entry(name, _value(self._settings, name), _value(DEFAULTS, name))

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


class Config:
    """gunicorn's `Config` to read from; attributes are settings by their names.

    env_orig: the environment at the start, before `raw_env` and others have changed it.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str] = os.environ) -> None:
        self._settings = settings
        self.settings = Entries(settings)
        self.env_orig = dict(environ)

    def __getattr__(self, name: str) -> Any:
        if name in _NAMES:
            return _value(self._settings, name)
        raise AttributeError(f"No configuration setting for: {name}")

    def __str__(self) -> str:
        return "\n".join(f"{name} = {entry.value!r}" for name, entry in self.settings.items())

    def set(self, name: str, value: object) -> None:
        """Refused: the settings are final once the server has started."""
        raise AttributeError(f"{name}: the settings cannot be changed by a hook; set it in the configuration file")

    @property
    def address(self) -> list[Address]:
        """Where the server listens: (host, port), the path of a unix socket, or a descriptor's number."""
        return [_address(text) for text in self._settings.bind]

    @property
    def env(self) -> dict[str, str]:
        """What `raw_env` adds to the environment."""
        pairs = (text.partition("=") for text in self._settings.raw_env)
        return {name: value for name, _, value in pairs}

    @property
    def uid(self) -> int:
        return os.geteuid() if self._settings.user is None else self._settings.user

    @property
    def gid(self) -> int:
        return os.getegid() if self._settings.group is None else self._settings.group

    user = uid
    group = gid

    @property
    def proc_name(self) -> str:
        return name_of(self._settings)

    @property
    def worker_class_str(self) -> str:
        """The worker class by its name; empty where the application decides."""
        return self._settings.worker_class or ""

    @property
    def is_ssl(self) -> bool:
        return any(getattr(self._settings, name, None) for name in ("certfile", "keyfile", "ssl_context_factory"))


def _value(settings: Settings, name: str) -> Any:
    """A setting by any of its names: lists where gunicorn has them, 30 instead of 30.0. KeyError for what is none."""
    field = _NAMES[name]
    if not field:
        default = FOREIGN[name].default
        return default[0] if isinstance(default, tuple) else default
    value = getattr(settings, field)
    if field in ("certfile", "keyfile") and len(value) < 2:
        return value[0] if value else None
    if field == "statsd_host" and value:
        return parse_statsd_address(value)
    if field == "logconfig_dict":
        return value or {}
    if isinstance(value, tuple):
        return list(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _address(text: str) -> Address:
    address = parse_address(text)
    if isinstance(address, UnixAddress):
        return address.path
    if isinstance(address, InheritedAddress):
        return address.fd
    return address.host, address.port
