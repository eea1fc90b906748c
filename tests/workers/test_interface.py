"""WSGI or ASGI: every shape of callable, and the frameworks."""

import functools
import importlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from pyserve.workers.interface import UnknownInterface, is_unmade, recognise

# Plain shapes


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return []


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...


def asgi_sync(scope: Any, receive: Any, send: Any) -> Any:
    return asgi(scope, receive, send)


def wsgi_generator(environ: Any, start_response: Any) -> Iterator[bytes]:
    yield b""


async def asgi_generator(scope: Any, receive: Any, send: Any) -> AsyncIterator[None]:
    yield


async def asgi_of_anything(*args: Any) -> None: ...


def other_names_wsgi(a: Any, b: Any) -> None: ...


def other_names_asgi(a: Any, b: Any, c: Any) -> None: ...


def wsgi_with_default(environ: Any, start_response: Any, extra: Any = None) -> None: ...


def asgi_with_defaults(scope: Any, receive: Any = None, send: Any = None) -> None: ...


def wsgi_with_rest(environ: Any, *args: Any) -> None: ...


def asgi_with_rest(scope: Any, *args: Any, **kwargs: Any) -> None: ...


def anything(*args: Any, **kwargs: Any) -> None: ...


class WsgiObject:
    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        return []

    def method(self, environ: Any, start_response: Any) -> list[bytes]:
        return []

    @classmethod
    def class_method(cls, environ: Any, start_response: Any) -> list[bytes]:
        return []

    @staticmethod
    def static_method(environ: Any, start_response: Any) -> list[bytes]:
        return []


class AsgiObject:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    async def method(self, scope: Any, receive: Any, send: Any) -> None: ...

    def sync_method(self, scope: Any, receive: Any, send: Any) -> Any: ...


class AsgiObjectOfAnything:
    async def __call__(self, *args: Any, **kwargs: Any) -> None: ...


class WsgiClass:
    """An application of PEP 3333 that is a class: its instances are the response."""

    def __init__(self, environ: Any, start_response: Any) -> None: ...

    def __iter__(self) -> Iterator[bytes]:
        yield b""


class AsgiClass:
    """As Starlette's HTTPEndpoint: instances are awaited."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...

    def __await__(self) -> Iterator[None]:
        yield


class Asgi2:
    def __init__(self, scope: Any) -> None: ...

    async def __call__(self, receive: Any, send: Any) -> None: ...


# Wrappers


class Middleware:
    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.app(*args, **kwargs)


class PrivateMiddleware:
    def __init__(self, app: Any) -> None:
        self._app = app

    def __call__(self, *args: Any) -> Any:
        return self._app(*args)

    def serve(self, *args: Any) -> Any:
        return self._app(*args)


class AsgiMiddleware:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class Unbound:
    """A proxy whose attributes cannot be looked up yet, as werkzeug's LocalProxy."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("working outside of the request context")

    def __call__(self, *args: Any) -> None: ...


def decorated(app: Any) -> Any:
    @functools.wraps(app)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return app(*args, **kwargs)

    return wrapper


def closed_over(app: Any) -> Any:
    def wrapper(*args: Any) -> Any:
        return app(*args)

    return wrapper


def adapter(app: Any) -> Any:
    """What serves an ASGI application as WSGI: the wrapper counts, not what it wraps."""

    @functools.wraps(app)
    def wrapper(environ: Any, start_response: Any) -> Any:
        return []

    return wrapper


class Circle:
    def __init__(self) -> None:
        self.app = Middleware(self)

    def __call__(self, *args: Any) -> None: ...


def with_first(first: Any, scope: Any, receive: Any, send: Any) -> Any: ...


SHAPES: list[tuple[str, Any, str]] = [
    ("wsgi function", wsgi, "wsgi"),
    ("wsgi generator", wsgi_generator, "wsgi"),
    ("wsgi lambda", lambda e, s: [], "wsgi"),
    ("wsgi other names", other_names_wsgi, "wsgi"),
    ("wsgi default", wsgi_with_default, "wsgi"),
    ("wsgi rest", wsgi_with_rest, "wsgi"),
    ("wsgi object", WsgiObject(), "wsgi"),
    ("wsgi method", WsgiObject().method, "wsgi"),
    ("wsgi class method", WsgiObject.class_method, "wsgi"),
    ("wsgi static method", WsgiObject.static_method, "wsgi"),
    ("wsgi class", WsgiClass, "wsgi"),
    ("wsgi partial", functools.partial(wsgi_with_default, extra=1), "wsgi"),
    ("wsgi partial of object", functools.partial(WsgiObject()), "wsgi"),
    ("asgi function", asgi, "asgi"),
    ("asgi async generator", asgi_generator, "asgi"),
    ("asgi of anything", asgi_of_anything, "asgi"),
    ("asgi sync", asgi_sync, "asgi"),
    ("asgi lambda", lambda s, r, w: None, "asgi"),
    ("asgi other names", other_names_asgi, "asgi"),
    ("asgi defaults", asgi_with_defaults, "asgi"),
    ("asgi rest", asgi_with_rest, "asgi"),
    ("asgi object", AsgiObject(), "asgi"),
    ("asgi object of anything", AsgiObjectOfAnything(), "asgi"),
    ("asgi method", AsgiObject().method, "asgi"),
    ("asgi sync method", AsgiObject().sync_method, "asgi"),
    ("asgi class", AsgiClass, "asgi"),
    ("asgi partial", functools.partial(with_first, 1), "asgi"),
    ("asgi partial of coroutine function", functools.partial(asgi), "asgi"),
    ("asgi partial of partial", functools.partial(functools.partial(with_first), 1), "asgi"),
    ("asgi partial of object", functools.partial(AsgiObjectOfAnything()), "asgi"),
    ("middleware of wsgi", Middleware(wsgi), "wsgi"),
    ("middleware of asgi", Middleware(asgi), "asgi"),
    ("middlewares", Middleware(PrivateMiddleware(Middleware(AsgiObject()))), "asgi"),
    ("method of a middleware", PrivateMiddleware(wsgi).serve, "wsgi"),
    ("asgi middleware of wsgi", AsgiMiddleware(wsgi), "asgi"),
    ("decorated wsgi", decorated(wsgi), "wsgi"),
    ("decorated asgi", decorated(asgi), "asgi"),
    ("closure over wsgi", closed_over(WsgiObject()), "wsgi"),
    ("closure over asgi", closed_over(decorated(asgi)), "asgi"),
    ("partial of a middleware", functools.partial(Middleware(asgi)), "asgi"),
    ("adapter", adapter(asgi), "wsgi"),
]

# (name, thing, what the text holds, number of arguments)
UNKNOWN: list[tuple[str, Any, str, int | None]] = [
    ("no arguments", lambda: None, "takes no arguments", 0),
    ("one", lambda request: None, "takes 1 argument", 1),
    ("four", lambda a, b, c, d: None, "takes 4 arguments", 4),
    ("asgi 2", lambda scope: None, "ASGI 2 is not supported", 1),
    ("asgi 2 class", Asgi2, "ASGI 2 is not supported", 1),
    ("one to ...", lambda a, b=1, c=2, d=3: None, "takes any arguments", None),
    ("anything", anything, "--interface", None),
    ("circle", Circle(), "--interface", None),
    ("unbound", Unbound(), "--interface", None),
    ("middleware of nothing", Middleware(lambda: None), "--interface", None),
]


async def handler(request: Any) -> None: ...


@pytest.mark.parametrize(("name", "app", "expected"), SHAPES, ids=[case[0] for case in SHAPES])
def test_shapes(name: str, app: Callable[..., Any], expected: str) -> None:
    assert recognise(app) == expected


@pytest.mark.parametrize(("name", "app", "text", "takes"), UNKNOWN, ids=[case[0] for case in UNKNOWN])
def test_unknown(name: str, app: Any, text: str, takes: int | None) -> None:
    with pytest.raises(UnknownInterface) as caught:
        recognise(app)
    assert text in str(caught.value)
    assert caught.value.takes == takes


def test_a_coroutine_function_of_one_argument() -> None:
    with pytest.raises(UnknownInterface, match="is a coroutine function and takes 1 argument"):
        recognise(handler)


@pytest.mark.parametrize(
    ("app", "unmade"),
    [
        (WsgiObject, True),
        (AsgiObject, True),
        (AsgiObjectOfAnything, True),
        (WsgiClass, False),
        (AsgiClass, False),
        (Asgi2, False),
        (Middleware, False),
        (WsgiObject(), False),
        (wsgi, False),
        (Exception, False),
    ],
)
def test_unmade(app: Any, unmade: bool) -> None:
    assert is_unmade(app) is unmade


# The frameworks


def django(make: str) -> Any:
    settings = pytest.importorskip("django.conf").settings
    if not settings.configured:
        settings.configure(SECRET_KEY="x", ROOT_URLCONF=__name__)
    return getattr(importlib.import_module(f"django.core.{make[4:8]}"), make)()


def framework(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(pytest.importorskip(module), attribute)


FRAMEWORKS: list[tuple[str, Callable[[], Any], str]] = [
    ("Flask", lambda: framework("flask.Flask")("x"), "wsgi"),
    ("Flask wsgi_app", lambda: framework("flask.Flask")("x").wsgi_app, "wsgi"),
    ("ProxyFix", lambda: framework("werkzeug.middleware.proxy_fix.ProxyFix")(wsgi), "wsgi"),
    ("Django WSGI", lambda: django("get_wsgi_application"), "wsgi"),
    ("Django ASGI", lambda: django("get_asgi_application"), "asgi"),
    ("Falcon WSGI", lambda: framework("falcon.App")(), "wsgi"),
    ("Falcon ASGI", lambda: framework("falcon.asgi.App")(), "asgi"),
    ("Starlette", lambda: framework("starlette.applications.Starlette")(), "asgi"),
    ("Starlette middleware", lambda: framework("starlette.middleware.cors.CORSMiddleware")(asgi), "asgi"),
    ("Starlette endpoint", lambda: framework("starlette.endpoints.HTTPEndpoint"), "asgi"),
    ("FastAPI", lambda: framework("fastapi.FastAPI")(), "asgi"),
    ("FastAPI in partial", lambda: functools.partial(framework("fastapi.FastAPI")()), "asgi"),
    ("Quart", lambda: framework("quart.Quart")("x"), "asgi"),
    ("Litestar", lambda: framework("litestar.Litestar")(), "asgi"),
    ("asgiref WsgiToAsgi", lambda: framework("asgiref.wsgi.WsgiToAsgi")(wsgi), "asgi"),
    ("wsgiref validator", lambda: framework("wsgiref.validate.validator")(wsgi), "wsgi"),
    ("wsgiref demo", lambda: framework("wsgiref.simple_server.demo_app"), "wsgi"),
]


@pytest.mark.parametrize(("name", "make", "expected"), FRAMEWORKS, ids=[case[0] for case in FRAMEWORKS])
def test_frameworks(name: str, make: Callable[[], Any], expected: str) -> None:
    assert recognise(make()) == expected
