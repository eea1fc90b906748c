"""What uvicorn computes from a command line, and whether pyserve's settings say the same."""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click
from click.core import ParameterSource

from pyserve.foreign import FOREIGN
from pyserve.server.sources import FIELDS, Resolved, Source
from pyserve.settings import Settings

importlib.import_module("uvicorn.main")
COMMAND: click.Command = sys.modules["uvicorn.main"].main

WORDS = {"none": "asyncio", "asgi3": "asgi", "trace": "debug"}


def uvicorn(arguments: Sequence[str]) -> click.Context:
    """The context of uvicorn's command. click.UsageError where uvicorn refuses."""
    return COMMAND.make_context("uvicorn", list(arguments))


def differences(theirs: click.Context, resolved: Resolved) -> list[str]:
    """A line for each parameter that is not the same. What nobody gave counts as the same: defaults may differ."""
    found = []
    for name, value in theirs.params.items():
        if name in FOREIGN or name == "version":
            continue
        given = theirs.get_parameter_source(name) is not ParameterSource.DEFAULT
        ours = getattr(resolved.settings, FIELDS[name])
        if not given and resolved.origins[FIELDS[name]].source not in (Source.DEFAULT, Source.PLATFORM):
            found.append(f"{name}: not given and {ours!r}")
        if given and not same(name, value, ours, resolved.settings):
            found.append(f"{name}: {value!r} and {ours!r}")
    found += [] if _listens(theirs, resolved.settings) else [f"it listens at {resolved.settings.bind}"]
    return found


def same(name: str, theirs: Any, ours: Any, settings: Settings) -> bool:
    if name in _SPECIAL:
        return _SPECIAL[name](theirs, settings)
    if isinstance(ours, tuple):
        return list(ours) == (theirs.split(",") if isinstance(theirs, str) else list(theirs or ()))
    expected = "httptools" if (name, theirs) == ("http", "auto") else WORDS.get(theirs, theirs)
    return bool(ours == expected)


def _listens(theirs: click.Context, settings: Settings) -> bool:
    """Where uvicorn binds: --fd, --uds, or else host and port. PORT, which it does not read, is not given here."""
    given = theirs.params
    if given["fd"] is not None:
        expected = f"fd://{given['fd']}"
    elif given["uds"] is not None:
        expected = f"unix:{given['uds']}"
    else:
        host = given["host"]
        expected = f"[{host}]:{given['port']}" if ":" in host else f"{host}:{given['port']}"
    return settings.bind == (expected,)


_SPECIAL: dict[str, Callable[[Any, Settings], bool]] = {
    "access_log": lambda theirs, settings: bool((settings.accesslog == "-") == theirs),
    "headers": lambda theirs, settings: (
        [text.partition(":")[0].lower() for text in theirs]
        == [text.partition(":")[0].lower() for text in settings.headers]
    ),
    "reload_dirs": lambda theirs, settings: bool(
        [os.path.realpath(path) for path in theirs] == list(settings.reload_dirs)
    ),
    "ws": lambda theirs, settings: bool(settings.ws == ("none" if theirs == "none" else "auto")),
    "app_dir": lambda theirs, settings: str(settings.app_dir).endswith(theirs),
}
