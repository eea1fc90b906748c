"""The text that names an application: `module`, `module:attribute`, `module:obj.attr`, `module:factory("x",
key=1)`."""

import ast
import keyword
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Reference:
    """text: as it was given. module: its dotted name. path: attribute names from the module on; empty: not
    given. called: whether a call follows, with `args` and `kwargs`, which are literals."""

    text: str
    module: str
    path: tuple[str, ...] = ()
    called: bool = False
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text


def parse_reference(text: str) -> Reference:
    """Read a reference. ValueError with a hint (", … perhaps" or empty) for what is none.

    The call's arguments are literals (PEP 3333 servers' habit, gunicorn since 20.1): nothing is evaluated.
    """
    module, colon, expression = text.partition(":")
    if not _is_module(module) or module.endswith(".py"):
        raise ValueError(_hint(module, expression))
    if not colon:
        return Reference(text, module)
    try:
        node = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f" ({expression!r} is not an attribute)") from None
    if not isinstance(node, ast.Call):
        return Reference(text, module, _path(node))
    path = _path(node.func)
    try:
        args = tuple(ast.literal_eval(argument) for argument in node.args)
        kwargs = {name.arg: ast.literal_eval(name.value) for name in node.keywords if name.arg is not None}
    except (ValueError, TypeError, MemoryError, RecursionError):
        raise ValueError(" with literal arguments (texts, numbers, lists, None …)") from None
    if len(kwargs) != len(node.keywords):  # `**something`
        raise ValueError(" with literal arguments (texts, numbers, lists, None …)")
    return Reference(text, module, path, True, args, kwargs)


def _is_module(name: str) -> bool:
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split("."))


def _path(node: ast.expr) -> tuple[str, ...]:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise ValueError
    return (node.id, *reversed(names))


def _hint(module: str, expression: str) -> str:
    """Guess the module that a file's path means: src/main.py is `src.main`."""
    name = module.removesuffix(".py").removeprefix("./").strip("/").replace("/", ".")
    if not _is_module(name):
        return ""
    return f", {name + ':' + (expression or 'app')!r} perhaps"
