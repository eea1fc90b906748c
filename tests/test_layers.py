"""The layer rule (docs/design.md), kept over the syntax trees.

`protocol/` never waits, `workers/` wait for sockets and for the application, `server/` waits for processes.
So `protocol` imports nothing of ours but itself, `workers` import `protocol` and `settings`, `server` imports
`workers` and `settings`, and nobody imports upward. `values`, the kinds of value that settings have, imports
nothing else of ours and is open to all but `protocol`.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pyserve"

# The packages of ours that each layer may import; `values` is how the values of settings are read, and counts with
# them. "" is the package's own front: __init__, __main__.
MAY_IMPORT = {
    "protocol": {"protocol"},
    "values": {"values"},
    "settings": {"values", "settings", "manual"},
    "effects": {"values", "settings"},
    "foreign": {"values", "settings"},
    "manual": {"values", "settings"},
    "workers": {"workers", "protocol", "settings", "values", "effects", "foreign"},
    "server": {"server", "workers", "settings", "values", "effects", "foreign"},
    "": {"server", "workers", "settings", "values"},
}

# What would let protocol wait, look at a clock or write to a log.
WAITS = {
    *("asyncio", "concurrent", "logging", "multiprocessing", "os", "queue", "select", "selectors", "signal"),
    *("socket", "socketserver", "ssl", "subprocess", "threading", "time", "uvloop"),
}
PARSER_LIBRARIES = {"httptools", "h11"}
ROOT_LINKS = {"protocol", "server", "workers"}


def layer_of(path: Path) -> str:
    """The layer that a file of the package belongs to: "protocol", "settings", ... or "" for the front."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return first if first in MAY_IMPORT else ""


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import, wherever it stands; `from pyserve import x` is pyserve.x."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(level=level) if level:
                yield node.lineno, "." * level + (node.module or "")
            case ast.ImportFrom(module=str(module), names=names):
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in names)
            case ast.Call(
                func=ast.Name(id="__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name


def objection(layer: str, name: str) -> str | None:
    """Why a file of `layer` may not import `name`, or None where it may."""
    top, _, rest = name.partition(".")
    if top == "":
        return "a relative import"
    if top == "pyserve":
        ours = rest.partition(".")[0]
        if ours == "__version__" and layer != "protocol":
            return None
        return None if ours in MAY_IMPORT[layer] else f"{layer or 'the front'} may not import pyserve.{ours}"
    if top in ROOT_LINKS:
        return "goes through a link at the root"
    if layer == "protocol" and top in WAITS:
        return "protocol never waits"
    if layer == "protocol" and top not in sys.stdlib_module_names | PARSER_LIBRARIES:
        return "protocol needs only its parser libraries"
    return None


def violations(layer: str, source: str) -> list[str]:
    """One line for each import in `source` that breaks the rule."""
    found = ((line, name, objection(layer, name)) for line, name in imported(ast.parse(source)))
    return [f"line {line}: {name}: {why}" for line, name, why in sorted(found) if why]


SOURCES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(ROOT)) for path in SOURCES])
def test_every_file_keeps_its_layer(path: Path) -> None:
    assert violations(layer_of(path), path.read_text()) == []


def test_nothing_else_goes_through_the_links_at_the_root() -> None:
    for folder in ("tests", "bench", "examples"):
        for path in (ROOT / folder).rglob("*.py"):
            names = {name.partition(".")[0] for _, name in imported(ast.parse(path.read_text()))}
            assert not names & ROOT_LINKS, path


@pytest.mark.parametrize("name", sorted(ROOT_LINKS))
def test_the_links_at_the_root_are_relative(name: str) -> None:
    link = ROOT / name
    assert link.is_symlink()
    assert str(link.readlink()) == f"pyserve/{name}"


@pytest.mark.parametrize(
    ("layer", "source"),
    [
        ("protocol", "import asyncio"),
        ("protocol", "import asyncio.events as e"),
        ("protocol", "from time import monotonic"),
        ("protocol", "import click"),
        ("protocol", "from pyserve import __version__"),
        ("protocol", "from pyserve import settings"),
        ("protocol", "import pyserve.workers.worker"),
        ("protocol", "from pyserve.workers.worker import run"),
        ("protocol", "def f():\n    import socket"),
        ("protocol", "if TYPE_CHECKING:\n    from pyserve.settings import Settings"),
        ("protocol", "import importlib\nimportlib.import_module('pyserve.server')"),
        ("protocol", "from . import errors"),
        ("values", "from pyserve import settings"),
        ("settings", "from pyserve.workers import logs"),
        ("values", "import pyserve.settings"),
        ("workers", "import pyserve"),
        ("workers", "from pyserve.server.arbiter import Arbiter"),
        ("workers", "import workers.logs"),
        ("server", "from pyserve import protocol"),
        ("server", "from pyserve.protocol.http1 import Http1Wire"),
        ("", "from pyserve.protocol.http1 import Http1Wire"),
    ],
)
def test_a_violation_is_found(layer: str, source: str) -> None:
    assert len(violations(layer, source)) == 1


@pytest.mark.parametrize(
    ("layer", "source"),
    [
        ("protocol", "import re\nimport h11\nimport httptools\nfrom pyserve.protocol import errors"),
        ("settings", "import os\nfrom pyserve.values.kinds import Kind"),
        ("workers", "import os, uvloop\nfrom pyserve.protocol import http1\nimport pyserve.settings"),
        ("workers", "from pyserve import __version__"),
        ("server", "import click\nfrom pyserve.workers.worker import run\nfrom pyserve import settings"),
        ("", "from pyserve.server.cli import main"),
    ],
)
def test_what_a_layer_needs_is_allowed(layer: str, source: str) -> None:
    assert violations(layer, source) == []
