"""Names in a Python configuration file that were meant as settings, and are none.

gunicorn ignores what it does not know, and real files are full of such names: imports, functions, the parts that a
value is put together from. They are told from a mistyped setting by what the file itself does with them: a variable
that is read somewhere serves the file; one that is set and never read can only have been meant for the server.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from pyserve.server.sources import FIELDS
from pyserve.settings import OPTIONS

_PLAIN: Final = (str, int, float, list, tuple, dict, set, type(None))
"""What settings are made of: a connection pool that is opened and kept is no setting."""

_WELL_KNOWN: Final = {"logfile": "errorlog", "worker_memory_limit": "max_worker_memory"}
"""Names that people use for a setting which is called otherwise."""


def strays(place: str, variables: Mapping[str, object], known: Collection[str], source: bytes) -> Iterator[str]:
    """One line, or none, about all of them.

    variables: of the executed module. known: the names that are settings. source: empty where there is none, and then
    nothing is said.
    """
    found = []
    for name, is_function in _unread(source):
        if name in known or name.startswith("_") or name.upper() == name or name not in variables:
            continue
        if is_function:
            hooks = [other for other in known if other in OPTIONS and not OPTIONS[other].flags]
            if not difflib.get_close_matches(name, hooks, n=1, cutoff=0.8):
                continue
        elif not isinstance(variables[name], _PLAIN):
            continue
        found.append(f"{name}{_hint(name, known)}")
    if found:
        verb = "is not a setting" if len(found) == 1 else "are not settings"
        yield f"{place}: {', '.join(found)} {verb}"


def _hint(name: str, known: Collection[str]) -> str:
    if name in OPTIONS:
        return " (it is in pyserve.conf.py)"
    other = _WELL_KNOWN.get(name) or FIELDS.get(name, "")
    if other not in known:
        other = next(iter(difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.75)), "")
    return f" (did you mean {other!r}?)" if other else ""


def _unread(source: bytes) -> Iterator[tuple[str, bool]]:
    """(name, whether it is a function) for what is set at the file's top level and read nowhere in it."""
    tree = ast.parse(source)
    read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    seen = {"__all__"} | read
    for name, is_function in _set(tree.body):
        if name not in seen:
            seen.add(name)
            yield name, is_function


def _set(body: list[ast.stmt]) -> Iterator[tuple[str, bool]]:
    for statement in body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, True
            case ast.Assign(targets=targets):
                yield from ((target.id, False) for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
                yield name, False
            case ast.If(body=inner, orelse=other) | ast.Try(body=inner, orelse=other):
                yield from _set(inner)
                yield from _set(other)
                for handler in getattr(statement, "handlers", ()):
                    yield from _set(handler.body)
            case ast.With(body=inner) | ast.For(body=inner):
                yield from _set(inner)
