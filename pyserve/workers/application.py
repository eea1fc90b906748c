"""Finding the application that APP names, and what it is.

Every way in which that fails has a message of its own: no such module, a failing import (with the application's own
traceback), no such attribute, not a callable, a failing factory, neither WSGI nor ASGI.
"""

import importlib
import importlib.util
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, NoReturn

from pyserve.settings import EXIT_CONFIGURATION, Settings, SettingsError, WorkerClass
from pyserve.values.ini import split
from pyserve.values.kinds import near
from pyserve.values.reference import Reference, parse_reference
from pyserve.workers.interface import UnknownInterface, is_unmade, recognise

EXIT_APPLICATION = 4

_places: list[str] = []  # what `prepare_import_path` has put first
_DEFAULT_NAMES = ("application", "app")
_MACHINERY = (__file__, importlib.__file__)
_DEPLOYING = ("/paste/deploy/loadwsgi.py", "/paste/deploy/util.py")
_EXPECTED = "WSGI applications take (environ, start_response), ASGI applications take (scope, receive, send)"


@dataclass(frozen=True)
class Application:
    """callable: what the gateway calls. name: APP as it was given, or the type of an object that was given."""

    callable: Any
    interface: Literal["wsgi", "asgi"]
    name: str


class ApplicationLoadError(Exception):
    """The application could not be loaded; the text is one line.

    traceback: the application's own, without the frames that led to it; None where it raised nothing.
    """

    exit_code = EXIT_APPLICATION

    def __init__(self, text: str, traceback: str | None = None) -> None:
        super().__init__(text)
        self.traceback = traceback


class WorkerClassError(SettingsError):
    """The worker class that was asked for cannot serve this application."""


def prepare_import_path(settings: Settings) -> None:
    """Change to `chdir`, and put `app_dir` or else the working directory first on `sys.path`, behind `pythonpath` only.
    May be called again."""
    try:
        if settings.chdir is not None:
            os.chdir(settings.chdir)
        # As with gunicorn the last one is looked at first.
        places = [os.path.abspath(place) for place in (*reversed(settings.pythonpath), settings.app_dir or os.curdir)]
    except OSError as error:
        raise SettingsError(f"working directory {settings.chdir or os.curdir!r}: {error.strerror}") from None
    if sys.path[: len(places)] != places:
        sys.path[:0] = places
    _places[:] = places


def load(settings: Settings) -> Application:
    """Import and, where asked for, make the application. Raises `ApplicationLoadError`, or `SettingsError`
    without APP."""
    if settings.app is None and settings.paste is None:
        raise SettingsError("APP is missing, for example main:app")
    prepare_import_path(settings)
    if settings.paste is not None:
        name = settings.paste
        found = _deployed(name, settings.raw_paste_global_conf)
    elif isinstance(settings.app, str):
        name = settings.app
        found = _find(_parse(name))
    else:
        name, found = _name_of(settings.app), settings.app
    if settings.factory and settings.paste is None:
        found = _call(found, name, (), {})
    if not callable(found):
        raise ApplicationLoadError(f"{name!r} is {_a(found)}, not a callable{_callable_attribute(name, found)}")
    if settings.interface == "asgi2":
        return Application(_called_once(found), "asgi", name)
    if is_unmade(found):
        found = _call(found, name, (), {})
    return Application(found, settings.interface if settings.interface != "auto" else _interface(found, name), name)


def _called_once(app: Any) -> Any:
    """An application of ASGI 2 as one of ASGI 3."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "asgi": {**scope["asgi"], "version": "2.0"}})(receive, send)

    return application


def choose_worker_class(settings: Settings, application: Application) -> WorkerClass:
    """The worker class for an application. Raises `WorkerClassError` for ASGI in a sync worker: it is the setting
    that is wrong, and so where that was given decides with what the server ends."""
    if settings.worker_class is None:
        return "async" if application.interface == "asgi" else "sync"
    if settings.worker_class == "sync" and application.interface == "asgi":
        asked = settings.written.get("worker_class", "--worker-class sync")
        raise WorkerClassError(
            f"{asked} serves WSGI, and {application.name!r} is an ASGI application; this works: "
            f"pyserve --worker-class async {application.name}",
            settings.exit_codes.get("worker_class", EXIT_CONFIGURATION),
        )
    return settings.worker_class


def _deployed(location: str, variables: Iterable[str]) -> Any:
    """What an ini file describes, made by PasteDeploy."""
    try:
        return importlib.import_module("paste.deploy").loadapp(
            f"config:{location}", relative_to=os.getcwd(), global_conf=dict(map(split, variables))
        )
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        _fail(f"loading {location!r} failed", error)


def _parse(text: str) -> Reference:
    try:
        return parse_reference(text)
    except ValueError as error:
        raise ApplicationLoadError(f"APP: {text!r} given, expected module:attribute{error}") from None


def _find(reference: Reference) -> Any:
    module = _import(reference.module)
    found: Any = module
    for name in reference.path or (_default_name(module, reference),):
        found = _attribute(found, name, module, reference)
    if reference.called:
        found = _call(found, f"{reference.module}:{'.'.join(reference.path)}", reference.args, reference.kwargs)
    return found


def _import(name: str) -> ModuleType:
    importlib.invalidate_caches()  # a reload may come in the second in which a file was made
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit() at a module's top level must not end the server without a word
        own = own_traceback(error)
        if isinstance(error, ModuleNotFoundError) and _is_part_of(error.name, name) and own is None:
            raise ApplicationLoadError(_no_module(name, error.name or name)) from None
        hint = ""
        if isinstance(error, ModuleNotFoundError):
            hint = f" (is it installed for {sys.executable}?)"
        text = f"importing module {name!r} failed: {_one_line(error)}{hint}"
        raise ApplicationLoadError(text, own or _exception_only(error)) from None


def _no_module(name: str, missing: str) -> str:
    """The text for a module that there is not. missing: `name` or the parent of it that was not found."""
    parent, _, last = missing.rpartition(".")
    package = sys.modules.get(parent) if parent else None
    places = list(getattr(package, "__path__", [])) if package else _places or [sys.path[0]]
    if package is not None and not places:
        return f"no module {missing!r}: {parent!r} is a module ({package.__file__}), not a package"
    hint = near(last, _modules(places))
    if not hint and package is None:
        hint = _elsewhere(places[-1], last)
    installed = "" if package else " and in the installed packages"
    return f"no module {missing!r}: looked in {', '.join(places)}{installed}{hint}"


def _modules(places: Iterable[str]) -> list[str]:
    return [module.name for module in pkgutil.iter_modules(list(places))]


def _elsewhere(place: str, name: str) -> str:
    """The module one directory further down is a common case: src/main.py."""
    try:
        directories = sorted(entry.name for entry in os.scandir(place) if entry.is_dir())
    except OSError:
        return ""
    for directory in directories:
        if os.path.isfile(os.path.join(place, directory, f"{name}.py")):
            return f"; there is {directory}/{name}.py: --app-dir {directory}"
    return ""


def _default_name(module: ModuleType, reference: Reference) -> str:
    for name in _DEFAULT_NAMES:
        if hasattr(module, name):
            return name
    candidates = [name for name in vars(module) if not name.startswith("_") and _is_application(module, name)]
    hint = f"; did you mean {f'{reference.module}:{candidates[0]}'!r}?" if candidates else ""
    raise ApplicationLoadError(
        f"module {reference.module!r} ({_place(module)}) has neither 'application' nor 'app'; "
        f"name it as {reference.module}:attribute{hint}"
    )


def _is_application(module: ModuleType, name: str) -> bool:
    value = getattr(module, name)
    # Imported functions and classes are tools of the module, not its application.
    if getattr(value, "__module__", None) != module.__name__ and (
        isinstance(value, type) or hasattr(value, "__code__")
    ):
        return False
    try:
        return callable(value) and bool(recognise(value))
    except UnknownInterface:
        return False


def _attribute(owner: Any, name: str, module: ModuleType, reference: Reference) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError as error:
        if own_traceback(error) is not None:
            _fail(f"looking up {reference.text!r} failed", error)
    except Exception as error:
        _fail(f"looking up {reference.text!r} failed", error)
    names = [other for other in dir(owner) if not other.startswith("__")]
    what = (
        f"module {reference.module!r} ({_place(module)})" if owner is module else f"{_a(owner)} in {reference.text!r}"
    )
    raise ApplicationLoadError(f"{what} has no attribute {name!r}{near(name, names)}")


def _call(factory: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not callable(factory):
        raise ApplicationLoadError(f"{name!r} is {_a(factory)}, not a callable: it cannot be called as a factory")
    try:
        made = factory(*args, **kwargs)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        _fail(f"calling {name!r} failed", error)
    if hasattr(made, "__await__") and hasattr(made, "close") and not callable(made):
        made.close()
        raise ApplicationLoadError(f"{name!r} is a coroutine function: a factory is a plain function")
    return made


def _interface(app: Callable[..., Any], name: str) -> Literal["wsgi", "asgi"]:
    try:
        return recognise(app)
    except UnknownInterface as error:
        hint = ""
        if error.takes == 0:
            call = f"{name}()" if ":" in name else "module:factory()"
            hint = f"; if it makes the application, give {call!r} or --factory"
        elif isinstance(app, type):
            hint = "; it is a class: give an instance"
        elif error.takes is not None:
            hint = f"; {_EXPECTED}"
        raise ApplicationLoadError(f"{name!r} is neither WSGI nor ASGI: it {error}{hint}") from None


def own_traceback(error: BaseException) -> str | None:
    """The traceback as the application's author knows it: without our frames and those of the import machinery.

    None when no other frames are left, that is, when nothing of the application ran.
    """
    report = traceback.TracebackException.from_exception(error)
    return "".join(report.format()) if _strip(report) else None


def _strip(report: traceback.TracebackException) -> bool:
    for other in (report.__cause__, report.__context__, *(getattr(report, "exceptions", None) or ())):
        if other is not None:
            _strip(other)
    kept = [
        frame
        for frame in report.stack
        if frame.filename not in _MACHINERY
        and not frame.filename.startswith("<frozen importlib")
        and not frame.filename.endswith(_DEPLOYING)
    ]
    report.stack[:] = kept
    return bool(kept)


def _fail(what: str, error: BaseException) -> NoReturn:
    raise ApplicationLoadError(f"{what}: {_one_line(error)}", own_traceback(error) or _exception_only(error)) from None


def _exception_only(error: BaseException) -> str | None:
    """For errors that have no frame of the application but a place in it."""
    return "".join(traceback.format_exception_only(error)) if isinstance(error, SyntaxError) else None


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0].rstrip(": ")


def _is_part_of(missing: str | None, name: str) -> bool:
    return missing is not None and (name == missing or name.startswith(missing + "."))


def _place(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or f"a directory without __init__.py: {', '.join(module.__path__)}"


def _a(value: object) -> str:
    kind = type(value).__name__
    return "None" if value is None else f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def _name_of(app: object) -> str:
    return getattr(app, "__qualname__", None) or type(app).__qualname__


def _callable_attribute(name: str, found: object) -> str:
    """Dash, Gradio and others keep the application in an attribute."""
    if isinstance(found, ModuleType) or ":" not in name:
        return ""
    for attribute in ("server", "app", "wsgi_app", "asgi_app", "wsgi", "asgi"):
        if callable(getattr(found, attribute, None)):
            return f"; did you mean {f'{name}.{attribute}'!r}?"
    return ""
