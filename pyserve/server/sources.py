"""From what was given (command line or keywords, configuration file, environment) to `Settings`, with the origin of
each value."""

import importlib.util
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from pyserve.foreign import FOREIGN, Foreign
from pyserve.settings import (
    DEFAULTS,
    EXIT_COMMAND_LINE,
    EXIT_CONFIGURATION,
    OPTIONS,
    Settings,
    SettingsError,
    flag_of,
)
from pyserve.values.addresses import DEFAULT_HOST, DEFAULT_PORT, TcpAddress
from pyserve.values.kinds import near
from pyserve.values.option import PREFIX, Option, shown_value
from pyserve.values.reference import parse_reference
from pyserve.workers.variables import read_file

ARGUMENTS: Final = ("GUNICORN_CMD_ARGS", "PYSERVE_CMD_ARGS")
"""Variables that hold a command line; the later one overrules."""

# As click separates them: at white space (None), paths as in PATH.
_LISTS: Final = {
    "UVICORN_HEADERS": None,
    "UVICORN_RELOAD_DIRS": os.pathsep,
    "UVICORN_RELOAD_INCLUDES": None,
    "UVICORN_RELOAD_EXCLUDES": None,
}

# Kubernetes describes a service named "pyserve" to every pod in variables that look like ours.
_KUBERNETES = re.compile(r"PYSERVE_(SERVICE_(HOST|PORT)|PORT_\d+_)")


class Source(IntEnum):
    """Where a value comes from; the greater one overrules."""

    DEFAULT = 0
    PLATFORM = 1
    """A variable that is not ours: PORT, WEB_CONCURRENCY, SCRIPT_NAME."""
    UVICORN = 2
    """UVICORN_PORT and the like."""
    ENVIRONMENT = 3
    FILE = 4
    ARGUMENTS = 5
    """The variables GUNICORN_CMD_ARGS and PYSERVE_CMD_ARGS, which hold a command line."""
    KEYWORD = 6
    COMMAND_LINE = 7


@dataclass(frozen=True, slots=True)
class Layer:
    """What one source gives. values: by field name; None is not given. place: the file or the variable that
    they stand in."""

    source: Source
    values: Mapping[str, object]
    place: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """name: the flag, variable or keyword. given: what stood there, None for a default. place: as in `Layer`."""

    source: Source
    name: str
    given: object = None
    place: str = ""

    def __str__(self) -> str:
        """The setting as it was written: `--workers auto`, `PYSERVE_WORKERS=4`, `workers=4`, `default`, without the
        value for a file: `gunicorn.conf.py: workers`."""
        if self.source is Source.DEFAULT:
            return "default"
        if self.given is None or self.source is Source.FILE:
            return self.where
        if self.source not in (Source.COMMAND_LINE, Source.ARGUMENTS):
            return f"{self.where}={shown_value(self.given)}"
        if isinstance(self.given, bool):
            return self.where if self.given else self.where.replace("--", "--no-")
        return f"{self.where} {shown_value(self.given)}"

    @property
    def in_full(self) -> str:
        """The same, with the value also for a file: `gunicorn.conf.py: workers = 4`."""
        return f"{self.where} = {shown_value(self.given)}" if self.source is Source.FILE else str(self)

    @property
    def where(self) -> str:
        """The place, if any, and the name."""
        return f"{self.place}: {self.name}" if self.place else self.name

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
    """Make the settings of one source and the environment.

    given: by field name or by flag with underscores (`keepalive` or `keep_alive`), text or Python values; None
    is the same as not given. source: COMMAND_LINE or KEYWORD. Raises as `merge` does.
    """
    return merge([Layer(source, by_field(given, source))], environ)


def merge(layers: Sequence[Layer], environ: Mapping[str, str]) -> Resolved:
    """Make the settings. layers: a later one overrules.

    Raises `SettingsError` for the first value that is wrong and for settings that contradict each other.
    """
    table = _Table(tuple(reversed(layers)), environ)
    table.read_env_file()
    for name, option in OPTIONS.items():
        table.read(name, option)
    table.combine()
    table.resolve_directories()
    exit_codes = {name: origin.exit_code for name, origin in table.origins.items()}
    written = {"worker_class": table.origins["worker_class"].in_full}
    settings = Settings(**table.values, exit_codes=exit_codes, written=written)
    for names, text in _contradictions(settings):
        quoted = " and ".join(map(table.quote, names))
        raise SettingsError(f"{quoted}: {text}", max(table.origins[name].exit_code for name in names))
    return Resolved(settings, table.origins, (*table.warnings, *table.foreign(), *_strangers(environ)))


@dataclass(slots=True)
class _Table:
    """The values and origins while they are gathered."""

    layers: Sequence[Layer]
    environ: Mapping[str, str]
    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    written: Mapping[str, str] = field(default_factory=dict)
    """The variables in the `env_file`. As with uvicorn they are fallbacks of the environment's, and for the platform's
    variables only."""

    def read_env_file(self) -> None:
        self.read("env_file", OPTIONS["env_file"])
        if self.values["env_file"] is not None:
            origin = self.origins["env_file"]
            try:
                self.written = read_file(self.values["env_file"], origin.where)
            except SettingsError as error:
                raise SettingsError(str(error), origin.exit_code) from None

    def read(self, name: str, option: Option) -> None:
        origin = self.origins[name] = self._origin(name, option.flag, option.variable, *option.fallbacks)
        if origin.source is Source.DEFAULT:
            self.values[name] = getattr(DEFAULTS, name)
            return
        try:
            self.values[name] = option.kind.parse(origin.given)
            doubt = option.kind.doubt(origin.given)
        except (ValueError, OverflowError) as error:
            raise self._refusal(name, str(error)) from None
        if doubt:
            self.warnings.append(str(self._refusal(name, f"; {doubt}")))

    def combine(self) -> None:
        """Let the settings that are short for another one say it."""
        self._combine_addresses()
        log, switch = self.origins["accesslog"], self.origins["access_log"]
        if switch.source is Source.DEFAULT or log.source > switch.source:
            return
        on = self.values["access_log"]
        if not on or self.values["accesslog"] is None:
            self.values["accesslog"], self.origins["accesslog"] = "-" if on else None, switch

    def _combine_addresses(self) -> None:
        """Make one `bind` of `fd`, `uds`, or `host` and `port`, unless one from a greater source overrules them."""
        bind = self.origins["bind"]
        name = max(("fd", "uds", "host", "port"), key=lambda name: self.origins[name].source)
        other = self.origins[name]
        if other.source is Source.DEFAULT or bind.source > other.source:
            return
        if bind.source is other.source:
            text = f"{bind} and {other}: a --bind says where to listen already; give one or the other"
            raise SettingsError(text, other.exit_code)
        if name in ("fd", "uds"):
            self.values["bind"] = (f"{'fd://' if name == 'fd' else 'unix:'}{self.values[name]}",)
            self.origins["bind"] = other
        else:
            self._combine_host_and_port(other.source)

    def _combine_host_and_port(self, source: Source) -> None:
        host, port = self.origins["host"], self.origins["port"]
        # PORT is how a platform tells a container where its router connects: from outside (as gunicorn reads it).
        fallback = "0.0.0.0" if port.source is Source.PLATFORM else DEFAULT_HOST
        number = DEFAULT_PORT if self.values["port"] is None else self.values["port"]
        self.values["bind"] = (str(TcpAddress(self.values["host"] or fallback, number)),)
        names = [origin.where for origin in (host, port) if origin.source is not Source.DEFAULT]
        self.origins["bind"] = Origin(source, " and ".join(names))

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

    def foreign(self) -> Iterator[str]:
        """A line for each setting of other servers that was given and has no effect."""
        for name, row in FOREIGN.items():
            origin = self._origin(name, row.flag, row.variable)
            if origin.source is Source.DEFAULT or row.says_nothing(origin.given):
                continue
            if row.why:
                yield f"{origin} has no effect: {row.why}"

    def quote(self, name: str) -> str:
        """The setting as it was written, or its default."""
        if self.origins[name].source is Source.DEFAULT:
            return f"{flag_of(name)} {shown_value(self.values[name])} (the default)"
        return str(self.origins[name])

    def _origin(self, name: str, flag: str, *variables: str) -> Origin:
        for layer in self.layers:
            if (given := layer.values.get(name)) is not None:
                if name == "bind" and given in ("", [], ()):
                    self.warnings.append(
                        f"{layer.place or 'bind'}: {given!r} says nothing, where to listen is still to be told"
                    )
                    continue
                as_flag = layer.source in (Source.COMMAND_LINE, Source.ARGUMENTS)
                return Origin(layer.source, flag if as_flag else name, given, layer.place)
        for variable in variables:
            source = _source_of(variable)
            if source is Source.PLATFORM and self._is_moot(name):
                break
            written = self.written.get(variable, "").strip() if source is Source.PLATFORM else ""
            if text := self._variable(variable) or written:
                return Origin(source, variable, _several(variable, text))
        return Origin(Source.DEFAULT, flag or name)

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
            f"{origin.where}: {shown} given, expected {OPTIONS[name].kind.expected}{hint}", origin.exit_code
        )


def _several(variable: str, text: str) -> str | tuple[str, ...]:
    """What stands in a variable in which uvicorn has several values. A header whose value stands behind a blank is one,
    though there it is none."""
    parts = text.split(_LISTS.get(variable, "\0"))
    is_one = variable == "UVICORN_HEADERS" and not all(":" in part[:-1] for part in parts)
    return text if len(parts) == 1 or is_one else tuple(filter(None, parts))


def _source_of(variable: str) -> Source:
    if variable.startswith("UVICORN_"):
        return Source.UVICORN
    return Source.ENVIRONMENT if variable.startswith(PREFIX) else Source.PLATFORM


def platform_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Of the environment what hosting platforms set: PORT, WEB_CONCURRENCY."""
    names = {variable for option in OPTIONS.values() for variable in option.fallbacks}
    return {name: environ[name] for name in names & set(environ) if _source_of(name) is Source.PLATFORM}


def by_field(given: Mapping[str, object], source: Source, place: str = "") -> dict[str, object]:
    """Bring the names to those of the fields, and leave out what is None. SettingsError for one that is unknown."""
    found: dict[str, object] = {}
    code = Origin(source, "").exit_code
    before = f"{place}: " if place else ""
    for key, value in given.items():
        name = FIELDS.get(key, "")
        if not name:
            raise SettingsError(f"{before}{key} is not a setting{near(key, FIELDS)}", code)
        if value is None:
            continue
        if name == "logconfig" and isinstance(value, dict):  # as uvicorn's log_config may be
            name = "logconfig_dict"
        if name in found:
            raise SettingsError(f"{before}{key} and {name} are the same setting: give one", code)
        found[name] = value
    return found


def _fields() -> dict[str, str]:
    """By each name that a setting goes by as a keyword, that of its field."""
    fields = {name: name for name in (*OPTIONS, *FOREIGN)}
    rows: list[tuple[str, Option | Foreign]] = [*OPTIONS.items(), *FOREIGN.items()]
    for name, option in rows:
        flags = [flag[2:].replace("-", "_") for flag in option.flags.split() if flag.startswith("--")]
        for other in (*option.names, *flags):
            fields.setdefault(other, name)
    return fields


FIELDS: Final = _fields()


def _contradictions(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """(names of the settings, what would be right) for each contradiction."""
    if settings.worker_class == "sync" and settings.interface.startswith("asgi"):
        yield ("worker_class", "interface"), "ASGI needs --worker-class async"
    if settings.interface == "wsgi" and settings.lifespan == "on":
        yield ("interface", "lifespan"), "WSGI has no lifespan; take --lifespan auto"
    if settings.factory and isinstance(settings.app, str) and parse_reference(settings.app).called:
        yield ("factory", "app"), "APP calls the factory already; leave out one of them"
    if settings.paste is not None and not _is_installed("paste.deploy"):
        yield ("paste",), "PasteDeploy is not installed: pip install 'pyserve-http[paste]'"
    if settings.body_buffer_size > settings.body_buffer_total:
        yield ("body_buffer_size", "body_buffer_total"), "one body's buffer is larger than all bodies' together"
    if len(set(settings.bind)) < len(settings.bind):
        yield ("bind",), "the same address is given twice"
    if settings.loop == "uvloop" and not _is_installed("uvloop"):
        yield ("loop",), "uvloop is not installed; take --loop auto or asyncio"
    if settings.reload and settings.reload_engine == "inotify" and not _is_installed("watchfiles"):
        yield ("reload_engine",), "watchfiles is not installed: pip install 'pyserve-http[reload]', or take poll"


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # nor is the package that it would be in
        return False


def _strangers(environ: Mapping[str, str]) -> Iterator[str]:
    """Variables that look like a mistyped one of ours. Without a near name it may be the application's own."""
    known = {option.variable for option in OPTIONS.values() if option.variable}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in known or variable in ARGUMENTS or _KUBERNETES.match(variable):
            continue
        if hint := near(variable, known, PREFIX):
            yield f"{variable} is not a setting{hint}"
