"""The configuration file: found, executed or parsed, and brought to the names of the settings.

A Python file is executed as gunicorn executes it: a module called `__config__` with `__file__`, the working directory
first on `sys.path`. It is a program, so most of its names are no settings (`strays.py`). TOML holds nothing but
settings: there an unknown name is an error.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import tomllib
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType, ModuleType, TracebackType
from typing import Any, Final

from pyserve.foreign import FOREIGN
from pyserve.server.sources import Layer, Source, by_field
from pyserve.server.strays import strays
from pyserve.settings import DEFAULTS, OPTIONS, SettingsError

NAMES: Final = ("pyserve.conf.py", "pyserve.toml", "pyproject.toml", "gunicorn.conf.py")
"""What is looked for in the working directory; the first one is read."""

_MODULE: Final = "__config__"
_INSTEAD: Final = {
    "gunicorn": ": pyserve.glogging has its Logger, pyserve.embedding its BaseApplication; all else needs it installed",
    "uvicorn": ": it must be installed for that, though nothing of it runs",
}
"""What to do where a file is of a time when another server was installed."""
_PYPROJECT: Final = "pyproject.toml"
_TABLE: Final = "[tool.pyserve"
_MACHINERY: Final = (__file__, os.path.join(os.path.dirname(__file__), "workerclass.py"), importlib.__file__)


class ConfigFileError(SettingsError):
    """The configuration file cannot be read. traceback: the file's own, None where it raised nothing."""

    def __init__(self, text: str, traceback: str | None = None) -> None:
        super().__init__(text)
        self.traceback = traceback


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What a file gives. warnings: one line each."""

    layer: Layer
    warnings: tuple[str, ...] = ()


def read(location: str) -> ConfigFile:
    """Read `PATH`, `file:PATH` or `python:MODULE`. Raises SettingsError, ConfigFileError among them.

    `sys.exit()` in the file is the file's own way to end the server, and passes.
    """
    lead_import_path()
    if location.startswith("python:"):
        name = location.removeprefix("python:")
        module = executed(location, lambda: importlib.import_module(name))
        return _python(location, module, _source_of(module))
    path = location.removeprefix("file:")
    octets = _octets(path)
    if path.endswith(".toml"):
        return _toml(path, octets)
    module = _module(path)
    executed(path, lambda: exec(_code(path, octets), module.__dict__))
    return _python(path, module, b"" if path.endswith(".pyc") else octets)


def find() -> ConfigFile | None:
    """Read the first of `NAMES` that is in the working directory; the others are named in a warning."""
    found = [name for name in NAMES if os.path.isfile(name) and (name != _PYPROJECT or _has_table())]
    if not found:
        return None
    first, *others = found
    file = read(first)
    warnings = (f"{first} is read, {' and '.join(others)} not",) if others else ()
    layer = Layer(Source.FILE, {**file.layer.values, "config": first}, first)
    return ConfigFile(layer, (*warnings, *file.warnings))


# Python


def lead_import_path() -> None:
    """A file imports its neighbours and the application's modules, as it does with gunicorn."""
    try:
        directory = os.getcwd()
    except OSError:  # gone: said where it is needed
        return
    if directory not in sys.path:
        sys.path.insert(0, directory)


def _module(path: str) -> ModuleType:
    """Like imported, but no compiled file is written. In `sys.modules` as pickle and dataclasses look there."""
    loader = importlib.machinery.SourceFileLoader(_MODULE, os.path.abspath(path))
    spec = importlib.util.spec_from_file_location(_MODULE, loader.path, loader=loader)
    assert spec is not None
    module = sys.modules[_MODULE] = importlib.util.module_from_spec(spec)
    return module


def _code(path: str, octets: bytes) -> CodeType:
    location = os.path.abspath(path)
    if path.endswith(".pyc"):
        code = importlib.machinery.SourcelessFileLoader(_MODULE, location).get_code(_MODULE)
        assert code is not None
        return code
    return compile(octets, location, "exec", dont_inherit=True)


def executed(location: str, act: Callable[[], Any]) -> Any:
    """What `act` returns; ConfigFileError, with the traceback of the code that it runs, if it fails.

    What the code does to the working directory is undone, as with gunicorn: the settings' paths, and the next life of
    this process, count from where it was started.
    """
    try:
        with _same_directory():
            return act()
    except Exception as error:
        own = _own(error.__traceback__)
        # Without frames there is nothing to be shown, but for a place in the file.
        parts = traceback.format_exception(type(error), error, own) if own else traceback.format_exception_only(error)
        shown = "".join(parts) if own or isinstance(error, SyntaxError) else None
        text = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(": ")
        if isinstance(error, ModuleNotFoundError):
            text += _INSTEAD.get((error.name or "").partition(".")[0], "")
        raise ConfigFileError(f"{location} failed: {text}", shown) from None


@contextlib.contextmanager
def _same_directory() -> Iterator[None]:
    try:
        before = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # gone, or not to be read: where is said
        yield
        return
    try:
        yield
    finally:
        os.fchdir(before)
        os.close(before)


def _own(trace: TracebackType | None) -> TracebackType | None:
    """Without our frames and those of the import machinery."""
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name not in _MACHINERY and not name.startswith("<frozen importlib"):
            break
        trace = trace.tb_next
    return trace


def _source_of(module: ModuleType) -> bytes:
    path = getattr(module, "__file__", None) or ""
    return _octets(path) if path.endswith(".py") else b""


def _python(place: str, module: ModuleType, source: bytes) -> ConfigFile:
    """The settings among the module's variables. Names are those of the fields alone, not of flags: gunicorn ignores
    `log_level`, and what a file wrote there may be wrong."""
    ours = os.path.basename(place.removeprefix("python:")).startswith("pyserve")
    names = {name: name for name, option in OPTIONS.items() if ours or not option.common_word}
    names |= {other: name for name, option in OPTIONS.items() for other in option.names}
    names |= {name: name for name in FOREIGN}
    variables = vars(module)
    values: dict[str, object] = {}
    for name, field in names.items():
        if name not in variables or isinstance(variables[name], ModuleType):
            continue
        value = variables[name]
        default = getattr(DEFAULTS, field, None)
        if value is None and isinstance(default, int | float) and not isinstance(default, bool):
            expected = OPTIONS[field].kind.expected
            raise SettingsError(f"{place}: {name}: None given, expected {expected}")
        values[field] = value
    return ConfigFile(Layer(Source.FILE, values, place), tuple(strays(place, variables, names, source)))


# TOML


def _toml(path: str, octets: bytes) -> ConfigFile:
    try:
        table: object = tomllib.loads(octets.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigFileError(f"{path}: {error}") from None
    if os.path.basename(path) == _PYPROJECT:
        for name in ("tool", "pyserve"):
            table = table.get(name, {}) if isinstance(table, dict) else {}
    if not isinstance(table, dict):
        raise ConfigFileError(f"{path}: tool.pyserve is not a table")
    given = {key.replace("-", "_"): value for key, value in table.items()}
    return ConfigFile(Layer(Source.FILE, by_field(given, Source.FILE, path), path))


def _has_table() -> bool:
    """Whether the project's own file has a table for us. What else is wrong with it is none of our business."""
    with open(_PYPROJECT, encoding="utf-8", errors="replace") as file:
        return any(line.startswith(_TABLE) for line in file)


def _octets(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigFileError(f"{path}: {error.strerror}") from None
