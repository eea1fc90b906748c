"""The kind of value that is called; see `kinds`."""

import importlib
import inspect
import os
import sys
from collections.abc import Callable

from pyserve.values.kinds import Kind


def hook(arguments: str, least: int = 0) -> Kind:
    """A function, or its dotted path (which is imported here).

    arguments: what it is called with, as in "server, worker". least: it may take as few of them; 0: it must take all.
    """
    most = len(arguments.split(", "))

    def parse(given: object) -> Callable[..., object]:
        function = _imported(given.strip()) if isinstance(given, str) else given
        if not callable(function):
            raise ValueError(": Value is not callable")
        if not any(takes(function, count) for count in range(least or most, most + 1)):
            raise ValueError(f": Value must have an arity of: {most}")
        return function

    return Kind(f"a function of ({arguments}), or module.function", "FUNCTION", parse)


def takes(function: Callable[..., object], count: int) -> bool:
    """Whether a function can be called with so many arguments. What cannot be looked into is believed to."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _imported(path: str) -> object:
    """What a dotted path names. ValueError in gunicorn's words for one that names nothing."""
    module, dot, name = path.rpartition(".")
    if not dot:
        raise ValueError(": Value is not import string. Format: module[.submodules...].object")
    before = sys.path.copy()
    sys.path.insert(0, os.getcwd())  # where the configuration file is, or the command was given
    try:
        found = importlib.import_module(module)
    except Exception as error:  # whatever the module does when it is imported
        first = f"{error}".partition("\n")[0]
        raise ValueError(f": {type(error).__name__}: {first[:150]}") from None
    finally:
        sys.path[:] = before
    try:
        return getattr(found, name)
    except AttributeError:
        raise ValueError(f": Can not load {name[:80]!r} from {module[:80]!r}") from None
