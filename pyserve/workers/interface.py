"""Whether an application is WSGI (PEP 3333) or ASGI 3, by looking at it without calling it.

A server calls a WSGI application with two arguments (environ, start_response) and an ASGI application with three
(scope, receive, send). So the parameters tell, and where they leave it open (defaults, `*args`), in this order:
the first parameter's name; a coroutine function is ASGI; what a wrapper wraps, by `__wrapped__` or by the attribute
or closure variable in which middleware usually keeps its application.

`functools.partial`, bound methods and objects with `__call__` are looked through. A class is called by the server
like any other callable, so its constructor's parameters are those that count.
"""

import functools
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Literal

Found = Literal["wsgi", "asgi"]

_ARGUMENTS: dict[Found, int] = {"wsgi": 2, "asgi": 3}
_FIRST_NAMES: dict[str, Found] = {"scope": "asgi", "environ": "wsgi", "env": "wsgi"}
_WRAPPED = ("app", "application", "wrapped", "inner", "wsgi_app", "asgi_app", "func")
_DEPTH = 20  # middlewares in each other; also what ends a circle
_MANY = 1000

_OPTIONS: dict[str, Any] = {"follow_wrapped": False}
if sys.version_info >= (3, 14):
    import annotationlib

    # Annotations may name what only type checkers import; they are none of our business.
    _OPTIONS["annotation_format"] = annotationlib.Format.FORWARDREF


class UnknownInterface(Exception):
    """Neither WSGI nor ASGI, or it cannot be told. The text begins with a verb: "takes 1 argument …".

    takes: how many arguments the thing needs, None where that is open.
    """

    def __init__(self, text: str, takes: int | None = None) -> None:
        super().__init__(text)
        self.takes = takes


@dataclass(frozen=True, slots=True)
class _Parameters:
    """What a call may look like: from `least` to `most` positional arguments; `first`: the first one's name."""

    least: int
    most: int
    first: str

    def allow(self, interface: Found) -> bool:
        return self.least <= _ARGUMENTS[interface] <= self.most


def recognise(app: Any) -> Found:
    """Tell the interface of a callable. Raises `UnknownInterface`."""
    try:
        found = _look(app, _DEPTH)
    except UnknownInterface:
        raise
    except Exception:  # a proxy that is bound to nothing yet
        found = None
    if found is None:
        raise UnknownInterface("takes any arguments; say what it is with --interface wsgi or --interface asgi")
    return found


def is_unmade(app: object) -> bool:
    """Whether this is a class whose instances are applications, to be constructed without arguments.

    A class can be an application itself: of WSGI when its instances are iterable (PEP 3333), of ASGI when they
    are awaitable. Its constructor then needs what the protocol gives it.
    """
    if not isinstance(app, type) or not any("__call__" in base.__dict__ for base in app.__mro__):
        return False
    parameters = _parameters(app)
    return parameters is not None and parameters.least == 0


def _look(app: Any, depth: int) -> Found | None:
    """The interface of `app`, or None where it cannot be told."""
    if depth == 0:
        return None
    parameters = _parameters(app)
    coroutine = _is_coroutine_function(app)
    if parameters is not None:
        found = _by_parameters(parameters, coroutine)
        if found is not None:
            return found
    if coroutine:
        return "asgi"
    for inner in _inside(app):
        try:
            found = _look(inner, depth - 1)
        except Exception:  # UnknownInterface, or a proxy as above
            continue
        if found is not None:
            return found
    return None


def _by_parameters(parameters: _Parameters, coroutine: bool) -> Found | None:
    if coroutine and not parameters.allow("asgi"):
        raise UnknownInterface(f"is a coroutine function and takes {_count(parameters)}", parameters.least)
    if coroutine:
        return "asgi"
    allowed: list[Found] = [name for name in _ARGUMENTS if parameters.allow(name)]
    if not allowed:
        old = ": ASGI 2 is not supported" if parameters.first == "scope" and parameters.least == 1 else ""
        raise UnknownInterface(f"takes {_count(parameters)}{old}", parameters.least)
    if len(allowed) == 1:
        return allowed[0]
    return _FIRST_NAMES.get(parameters.first)


def _count(parameters: _Parameters) -> str:
    if parameters.most == 0:
        return "no arguments"
    if parameters.least == parameters.most:
        return f"{parameters.least} argument{'s' if parameters.least > 1 else ''}"
    if parameters.most >= _MANY:
        return f"{parameters.least} or more arguments"
    return f"{parameters.least} to {parameters.most} arguments"


def _parameters(app: Any) -> _Parameters | None:
    """The parameters of a call, not of what a decorator says it wraps; None for what has no signature."""
    try:
        signature = inspect.signature(app, **_OPTIONS)
    except (TypeError, ValueError):  # as of some built-in and compiled callables
        return None
    positional = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    most = _MANY if inspect.Parameter.VAR_POSITIONAL in kinds else len(positional)
    least = sum(parameter.default is parameter.empty for parameter in positional)
    return _Parameters(least, most, positional[0].name if positional else "")


def _is_coroutine_function(app: Any) -> bool:
    while isinstance(app, functools.partial):
        app = app.func
    if inspect.iscoroutinefunction(app):
        return True
    # callable(app) would not tell what its type's __call__ is.
    return not isinstance(app, type) and inspect.iscoroutinefunction(getattr(type(app), "__call__", None))  # noqa: B004


def _inside(app: Any) -> Iterator[Any]:
    """What a wrapper may wrap."""
    while isinstance(app, functools.partial):
        app = app.func
    if isinstance(app, FunctionType):
        cells = dict(zip(app.__code__.co_freevars, app.__closure__ or (), strict=True))
        named = [cells[name].cell_contents for name in _WRAPPED if name in cells]
    else:
        owner = getattr(app, "__self__", app)
        named = [_attribute(owner, prefix + name) for name in _WRAPPED for prefix in ("", "_")]
    candidates = [_attribute(app, "__wrapped__"), *named]
    yield from (inner for inner in candidates if callable(inner) and inner is not app)


def _attribute(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name, None)
    except Exception:  # a proxy that is bound to nothing yet
        return None
