"""From what was given (command line or keywords, environment) to `Settings`, with the origin of each value."""

import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from pyserve.settings import (
    DEFAULTS,
    EXIT_COMMAND_LINE,
    EXIT_CONFIGURATION,
    OPTIONS,
    Settings,
    SettingsError,
    shown_value,
)
from pyserve.values.addresses import DEFAULT_PORT, TcpAddress
from pyserve.values.kinds import near
from pyserve.values.option import PREFIX, Option
from pyserve.values.reference import parse_reference

# Kubernetes describes a service named "pyserve" to every pod in variables that look like ours.
_KUBERNETES = re.compile(r"PYSERVE_(SERVICE_(HOST|PORT)|PORT_\d+_)")


class Source(IntEnum):
    """Where a value comes from; the greater one overrules."""

    DEFAULT = 0
    PLATFORM = 1
    """A variable that is not ours: PORT, WEB_CONCURRENCY, SCRIPT_NAME."""
    ENVIRONMENT = 2
    KEYWORD = 3
    COMMAND_LINE = 4


@dataclass(frozen=True, slots=True)
class Origin:
    """name: the flag, variable or keyword. given: what stood there, None for a default."""

    source: Source
    name: str
    given: object = None

    def __str__(self) -> str:
        """The setting as it was written: `--workers auto`, `PYSERVE_WORKERS=4`, `workers=4`, `default`."""
        if self.source is Source.DEFAULT:
            return "default"
        if self.given is None:
            return self.name
        if self.source is not Source.COMMAND_LINE:
            return f"{self.name}={shown_value(self.given)}"
        if isinstance(self.given, bool):
            return self.name if self.given else f"--no-{self.name[2:]}"
        return f"{self.name} {shown_value(self.given)}"

    @property
    def exit_code(self) -> int:
        return EXIT_COMMAND_LINE if self.source is Source.COMMAND_LINE else EXIT_CONFIGURATION


@dataclass(frozen=True, slots=True)
class Resolved:
    """settings: checked. origins: for each field of `Settings`. warnings: one line each."""

    settings: Settings
    origins: Mapping[str, Origin]
    warnings: tuple[str, ...] = ()


def resolve(given: Mapping[str, object], environ: Mapping[str, str], source: Source = Source.COMMAND_LINE) -> Resolved:
    """Make the settings.

    given: by field name or by flag with underscores (`keepalive` or `keep_alive`), text or Python values; None
    is the same as not given. source: COMMAND_LINE or KEYWORD. Raises `SettingsError` for the first value that
    is wrong and for settings that contradict each other.
    """
    table = _Table(_by_field(given, source), environ, source)
    for name, option in OPTIONS.items():
        table.read(name, option)
    table.combine_host_and_port()
    table.resolve_directories()
    exit_codes = {name: origin.exit_code for name, origin in table.origins.items()}
    settings = Settings(**table.values, exit_codes=exit_codes)
    for names, text in _contradictions(settings):
        quoted = " and ".join(map(table.quote, names))
        raise SettingsError(f"{quoted}: {text}", max(table.origins[name].exit_code for name in names))
    return Resolved(settings, table.origins, (*table.warnings, *_strangers(environ)))


@dataclass(slots=True)
class _Table:
    """The values and origins while they are gathered."""

    given: Mapping[str, object]
    environ: Mapping[str, str]
    source: Source
    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def read(self, name: str, option: Option) -> None:
        origin = self.origins[name] = self._origin(name, option)
        if origin.source is Source.DEFAULT:
            self.values[name] = getattr(DEFAULTS, name)
            return
        try:
            self.values[name] = option.kind.parse(origin.given)
        except (ValueError, OverflowError) as error:
            raise self._refusal(name, str(error)) from None

    def combine_host_and_port(self) -> None:
        """Make one `bind` of `host` and `port`, unless a `bind` from a greater source overrules them."""
        bind, host, port = (self.origins[name] for name in ("bind", "host", "port"))
        pair = max((host, port), key=lambda origin: origin.source)
        if pair.source is Source.DEFAULT or bind.source > pair.source:
            return
        if bind.source is pair.source:
            text = f"{bind} and {pair}: a --bind holds host and port already; give one or the other"
            raise SettingsError(text, pair.exit_code)
        # PORT is how a platform tells a container where its router connects: from outside (as gunicorn reads it).
        fallback = "0.0.0.0" if port.source is Source.PLATFORM else "127.0.0.1"
        number = DEFAULT_PORT if self.values["port"] is None else self.values["port"]
        self.values["bind"] = (str(TcpAddress(self.values["host"] or fallback, number)),)
        names = [origin.name for origin in (host, port) if origin.source is not Source.DEFAULT]
        self.origins["bind"] = Origin(pair.source, " and ".join(names))

    def resolve_directories(self) -> None:
        """Make `chdir` absolute, and `app_dir`, which is relative to it."""
        base = ""
        for name in ("chdir", "app_dir"):
            if self.values[name] is None:
                continue
            path = os.path.join(base, self.values[name])
            try:
                self.values[name] = base = os.path.abspath(path)
            except FileNotFoundError:  # the working directory itself is gone
                raise self._refusal(name) from None
            if not os.path.isdir(path):
                raise self._refusal(name)

    def quote(self, name: str) -> str:
        """The setting as it was written, or its default."""
        if self.origins[name].source is Source.DEFAULT:
            return f"{OPTIONS[name].flag} {shown_value(self.values[name])} (the default)"
        return str(self.origins[name])

    def _origin(self, name: str, option: Option) -> Origin:
        if self.given.get(name) is not None:
            shown = option.flag if self.source is Source.COMMAND_LINE else name
            return Origin(self.source, shown, self.given[name])
        if text := self._variable(option.variable):
            return Origin(Source.ENVIRONMENT, option.variable, text)
        for variable in option.fallbacks:
            if self._is_moot(name):
                break
            if text := self._variable(variable):
                return Origin(Source.PLATFORM, variable, text)
        return Origin(Source.DEFAULT, option.flag)

    def _variable(self, variable: str) -> str:
        text = self.environ.get(variable, "").strip()
        if variable == "PYSERVE_PORT" and text.startswith(("tcp://", "udp://", "sctp://")):
            self.warnings.append(f"{variable}={text} describes a Kubernetes service and is ignored")
            return ""
        return text

    def _is_moot(self, name: str) -> bool:
        """PORT says nothing, not even something wrong, to who gives a --bind."""
        return name == "port" and self.origins["bind"].source is not Source.DEFAULT

    def _refusal(self, name: str, hint: str = "") -> SettingsError:
        origin = self.origins[name]
        shown = repr(origin.given if not isinstance(origin.given, tuple) else ",".join(map(str, origin.given)))
        if len(shown) > 80:
            shown = shown[:76] + " ..."
        return SettingsError(
            f"{origin.name}: {shown} given, expected {OPTIONS[name].kind.expected}{hint}", origin.exit_code
        )


def _by_field(given: Mapping[str, object], source: Source) -> dict[str, object]:
    """Bring the names to those of the fields."""
    fields = {name: name for name in OPTIONS}
    for name, option in OPTIONS.items():
        for flag in option.flags.split():
            if flag.startswith("--"):
                fields.setdefault(flag[2:].replace("-", "_"), name)
    found: dict[str, object] = {}
    code = Origin(source, "").exit_code
    for key, value in given.items():
        name = fields.get(key, "")
        if not name:
            raise SettingsError(f"{key} is not a setting{near(key, fields)}", code)
        if value is None:
            continue
        if name in found:
            raise SettingsError(f"{key} and {name} are the same setting: give one", code)
        found[name] = value
    return found


def _contradictions(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """(names of the settings, what would be right) for each contradiction."""
    if settings.worker_class == "sync" and settings.interface == "asgi":
        yield ("worker_class", "interface"), "ASGI needs --worker-class async"
    if settings.interface == "wsgi" and settings.lifespan == "on":
        yield ("interface", "lifespan"), "WSGI has no lifespan; take --lifespan auto"
    if settings.factory and isinstance(settings.app, str) and parse_reference(settings.app).called:
        yield ("factory", "app"), "APP calls the factory already; leave out one of them"
    if settings.body_buffer_size > settings.body_buffer_total:
        yield ("body_buffer_size", "body_buffer_total"), "one body's buffer is larger than all bodies' together"
    if len(set(settings.bind)) < len(settings.bind):
        yield ("bind",), "the same address is given twice"
    if settings.loop == "uvloop" and importlib.util.find_spec("uvloop") is None:
        yield ("loop",), "uvloop is not installed; take --loop auto or asyncio"


def _strangers(environ: Mapping[str, str]) -> Iterator[str]:
    """Variables that look like a mistyped one of ours. Without a near name it may be the application's own."""
    known = {option.variable for option in OPTIONS.values()}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in known or _KUBERNETES.match(variable):
            continue
        if hint := near(variable, known, PREFIX):
            yield f"{variable} is not a setting{hint}"
