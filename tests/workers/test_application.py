"""Finding applications: each module is written to a directory of its own and loaded from there."""

import asyncio
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyserve.server.configuration import settle
from pyserve.server.sources import Layer, Source
from pyserve.settings import Settings, SettingsError
from pyserve.workers import application
from pyserve.workers.application import (
    Application,
    ApplicationLoadError,
    WorkerClassError,
    choose_worker_class,
    load,
    prepare_import_path,
)

WSGI = "def {name}(environ, start_response):\n    return []\n"
ASGI = "async def {name}(scope, receive, send):\n    pass\n"

_numbers = itertools.count()

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module into the working directory and return its name, which no other test uses."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def write(source: str, name: str = "", directory: str = ".") -> str:
        name = name or f"module_{next(_numbers)}"
        (tmp_path / directory).mkdir(parents=True, exist_ok=True)
        (tmp_path / directory / f"{name}.py").write_text(source)
        return name

    yield write
    for module in set(sys.modules) - before:
        del sys.modules[module]


def named(app: Any, **settings: Any) -> Application:
    return load(Settings(app=app, **settings))


def failure(app: Any, **settings: Any) -> tuple[str, str]:
    """The message and the traceback."""
    with pytest.raises(ApplicationLoadError) as caught:
        named(app, **settings)
    text = str(caught.value)
    assert "\n" not in text
    assert caught.value.exit_code == 4
    assert caught.value.__cause__ is None
    return text, caught.value.traceback or ""


# (source, what follows the module's name, interface)
FOUND = [
    (WSGI.format(name="application"), "", "wsgi"),
    (WSGI.format(name="app"), "", "wsgi"),
    (ASGI.format(name="app") + WSGI.format(name="application"), "", "wsgi"),
    (ASGI.format(name="api"), ":api", "asgi"),
    (WSGI.format(name="app") + "class box: inner = app\n", ":box.inner", "wsgi"),
    ("def make():\n    def app(environ, start_response): pass\n    return app\n", ":make()", "wsgi"),
    (
        "class box:\n    @staticmethod\n    def make():\n        async def a(s, r, w): pass\n        return a\n",
        ":box.make()",
        "asgi",
    ),
    ("class App:\n    async def __call__(self, scope, receive, send): pass\n", ":App", "asgi"),
    ("class App:\n    def __call__(self, environ, start_response): pass\n", ":App()", "wsgi"),
    (
        "def __getattr__(name):\n    if name != 'app': raise AttributeError(name)\n    return lambda e, s: []\n",
        "",
        "wsgi",
    ),
]


@pytest.mark.parametrize(("source", "rest", "interface"), FOUND)
def test_found(write: Write, source: str, rest: str, interface: str) -> None:
    module = write(source)
    found = named(module + rest)
    assert found.interface == interface
    assert found.name == module + rest
    assert callable(found.callable)
    assert not isinstance(found.callable, type)


def test_packages(write: Write) -> None:
    write("", "__init__", "package_a/inner")
    write(WSGI.format(name="app"), "main", "package_a/inner")
    assert named("package_a.inner.main:app").interface == "wsgi"


def test_factory_arguments(write: Write) -> None:
    module = write(
        "def make(*args, **kwargs):\n    def app(e, s): pass\n    app.given = args, kwargs\n    return app\n"
    )
    found = named(f"{module}:make('x', -1, key=[1, None], flag=True)")
    assert found.callable.given == (("x", -1), {"key": [1, None], "flag": True})


def test_factory_setting(write: Write) -> None:
    module = write("def make():\n    async def app(scope, receive, send): pass\n    return app\n")
    assert named(f"{module}:make", factory=True).interface == "asgi"


def test_an_object_instead_of_a_name(write: Write) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        return []

    found = named(app)
    assert found == Application(app, "wsgi", "test_an_object_instead_of_a_name.<locals>.app")
    assert named(lambda: app, factory=True).callable is app


def test_the_interface_can_be_said(write: Write) -> None:
    module = write("def app(*args): pass\n")
    assert named(module, interface="asgi").interface == "asgi"
    assert "--interface" in failure(module)[0]


# Failures


def test_no_app() -> None:
    with pytest.raises(SettingsError, match="APP is missing"):
        load(Settings())


def test_no_module(write: Write, tmp_path: Path) -> None:
    write("", "webshop_main")
    text, trace = failure("webshop_mian:app")
    assert text.startswith("no module 'webshop_mian': looked in ")
    assert str(tmp_path) in text
    assert text.endswith("did you mean 'webshop_main'?")
    assert trace == ""


def test_no_module_in_a_package(write: Write, tmp_path: Path) -> None:
    write("", "__init__", "package_b")
    write("", "asgi", "package_b")
    text, trace = failure("package_b.asgy:app")
    assert text.startswith(f"no module 'package_b.asgy': looked in {tmp_path}/package_b; did you mean 'asgi'?")
    assert trace == ""


def test_no_package(write: Write) -> None:
    assert failure("package_nowhere.x.y:app")[0].startswith("no module 'package_nowhere': looked in ")


def test_a_module_that_is_no_package(write: Write) -> None:
    module = write("")
    text, trace = failure(f"{module}.inner:app")
    assert "not a package" in text
    assert trace == ""


def test_a_module_further_down(write: Write) -> None:
    write("", "elsewhere", "source")
    assert failure("elsewhere:app")[0].endswith("there is source/elsewhere.py: --app-dir source")


def test_a_failing_import_shows_the_applications_own_traceback(write: Write) -> None:
    module = write("def inner():\n    1 / 0\n\ninner()\n")
    text, trace = failure(module)
    assert text == f"importing module {module!r} failed: ZeroDivisionError: division by zero"
    assert trace.startswith("Traceback (most recent call last):\n  File ")
    assert trace.count("  File ") == 2
    assert f"{module}.py" in trace.splitlines()[1]
    assert "importlib" not in trace
    assert "pyserve" not in trace.replace(os.getcwd(), "")


def test_a_failing_import_further_in(write: Write) -> None:
    inner = write("import module_that_is_not_there\n")
    outer = write(f"import {inner}\n")
    text, trace = failure(outer)
    assert "ModuleNotFoundError: No module named 'module_that_is_not_there'" in text
    assert sys.executable in text
    assert trace.count("  File ") == 2
    assert "importlib" not in trace


def test_causes_are_stripped_too(write: Write) -> None:
    inner = write("raise ValueError('first')\n")
    outer = write(f"try:\n    import {inner}\nexcept ValueError as e:\n    raise RuntimeError('second') from e\n")
    trace = failure(outer)[1]
    assert "first" in trace
    assert "second" in trace
    assert "importlib" not in trace


def test_groups_are_stripped_too(write: Write) -> None:
    inner = write("raise ValueError('first')\n")
    outer = write(f"try:\n    import {inner}\nexcept ValueError as e:\n    raise ExceptionGroup('all', [e])\n")
    trace = failure(outer)[1]
    assert "first" in trace
    assert "importlib" not in trace


def test_an_import_of_itself_that_fails(write: Write) -> None:
    module = write("raise ModuleNotFoundError(\"No module named 'x'\", name=__name__)\n")
    assert failure(module)[0].startswith(f"importing module {module!r} failed")


def test_a_syntax_error(write: Write) -> None:
    module = write("def app(:\n")
    text, trace = failure(module)
    assert text.startswith(f"importing module {module!r} failed: SyntaxError: ")
    assert f"{module}.py" in trace
    assert "line 1" in trace


def test_a_module_that_exits(write: Write) -> None:
    module = write("import sys\nsys.exit('no database')\n")
    text, trace = failure(module)
    assert text.endswith("SystemExit: no database")
    assert "sys.exit" in trace


def test_an_interrupt_is_not_a_failure(write: Write) -> None:
    module = write("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        named(module)


def test_an_error_of_several_lines(write: Write) -> None:
    module = write("raise RuntimeError('one\\ntwo')\n")
    text, trace = failure(module)
    assert text.endswith("RuntimeError: one")
    assert "two" in trace


def test_an_error_without_text(write: Write) -> None:
    module = write("raise RuntimeError\n")
    assert failure(module)[0].endswith("failed: RuntimeError")


def test_no_attribute(write: Write) -> None:
    module = write(WSGI.format(name="application"))
    text, trace = failure(f"{module}:aplication")
    assert text.startswith(f"module {module!r} (")
    assert f"{module}.py" in text
    assert text.endswith("has no attribute 'aplication'; did you mean 'application'?")
    assert trace == ""


def test_no_inner_attribute(write: Write) -> None:
    module = write("class Box: server = None\nbox = Box()\n")
    assert (
        failure(f"{module}:box.serve")[0]
        == f"a Box in '{module}:box.serve' has no attribute 'serve'; did you mean 'server'?"
    )


def test_no_default_attribute(write: Write) -> None:
    module = write("from wsgiref.simple_server import demo_app\nnumber = 1\n" + WSGI.format(name="api"))
    text, _ = failure(module)
    assert "neither 'application' nor 'app'" in text
    assert text.endswith(f"did you mean '{module}:api'?")


def test_no_default_attribute_and_nothing_like_it(write: Write) -> None:
    module = write("number = 1\n")
    assert failure(module)[0].endswith(f"name it as {module}:attribute")


def test_a_directory_without_init(write: Write) -> None:
    write("", "x", "namespace_a")
    assert "a directory without __init__.py" in failure("namespace_a")[0]


def test_a_failing_attribute(write: Write) -> None:
    module = write(
        "def __getattr__(name):\n    if name.startswith('__'): raise AttributeError(name)\n    return {}['x']\n"
    )
    text, trace = failure(f"{module}:app")
    assert text == f"looking up '{module}:app' failed: KeyError: 'x'"
    assert "__getattr__" in trace


# (source, what follows the module's name, the message)
NOT_CALLABLE = [
    ("app = 'x'\n", ":app", "is a str, not a callable"),
    ("app = None\n", ":app", "is None, not a callable"),
    ("class Box:\n    def server(self, e, s): pass\nout = Box()\n", ":out", "is a Box, not a callable; did you mean"),
    ("app = 1\n", ":app()", "is an int, not a callable: it cannot be called as a factory"),
    ("def make(): pass\n", ":make()", "is None, not a callable"),
]


@pytest.mark.parametrize(("source", "rest", "message"), NOT_CALLABLE)
def test_not_callable(write: Write, source: str, rest: str, message: str) -> None:
    module = write(source)
    assert message in failure(module + rest)[0]


# (source, what follows the module's name, the message)
NEITHER = [
    (
        "def make(): pass\n",
        ":make",
        "it takes no arguments; if it makes the application, give '{}:make()' or --factory",
    ),
    ("def app(request): pass\n", ":app", "it takes 1 argument; WSGI applications take (environ, start_response), ASGI"),
    ("async def app(request): pass\n", ":app", "it is a coroutine function and takes 1 argument; WSGI"),
    (
        "class App:\n    def __init__(self, name): pass\n    def __call__(self, e, s): pass\n",
        ":App",
        "give an instance",
    ),
    ("def app(scope): pass\n", ":app", "ASGI 2 is not supported"),
]


@pytest.mark.parametrize(("source", "rest", "message"), NEITHER)
def test_neither(write: Write, source: str, rest: str, message: str) -> None:
    module = write(source)
    text, _ = failure(module + rest)
    assert "is neither WSGI nor ASGI" in text
    assert message.format(module) in text


def test_a_failing_factory(write: Write) -> None:
    module = write("def make(x):\n    raise ValueError('bad x')\n")
    text, trace = failure(f"{module}:make(1)")
    assert text == f"calling '{module}:make' failed: ValueError: bad x"
    assert trace.count("  File ") == 1


def test_a_factory_with_wrong_arguments(write: Write) -> None:
    module = write("def make(x): pass\n")
    text, trace = failure(f"{module}:make()")
    assert text == f"calling '{module}:make' failed: TypeError: make() missing 1 required positional argument: 'x'"
    assert trace == ""


def test_a_factory_that_is_a_coroutine_function(write: Write) -> None:
    module = write("async def make(): pass\n")
    assert "a factory is a plain function" in failure(f"{module}:make()")[0]


def test_what_is_not_a_reference() -> None:
    assert failure("main.py")[0] == "APP: 'main.py' given, expected module:attribute, 'main:app' perhaps"


# The import path


def test_the_working_directory_is_first(write: Write, tmp_path: Path) -> None:
    sys.path.insert(0, "/elsewhere")
    prepare_import_path(Settings())
    prepare_import_path(Settings())
    assert sys.path[:2] == [str(tmp_path), "/elsewhere"]


def test_app_dir_is_first_and_the_working_directory_stays(write: Write, tmp_path: Path) -> None:
    write(WSGI.format(name="app"), "lower_a", "lower")
    assert named("lower_a", app_dir="lower").interface == "wsgi"
    assert sys.path[0] == str(tmp_path / "lower")
    assert Path.cwd() == tmp_path


def test_chdir(write: Write, tmp_path: Path) -> None:
    write(WSGI.format(name="app"), "lower_b", "lower")
    assert named("lower_b", chdir=str(tmp_path / "lower")).interface == "wsgi"
    assert sys.path[0] == str(tmp_path / "lower")
    assert Path.cwd() == tmp_path / "lower"


def test_chdir_to_nowhere(write: Write) -> None:
    with pytest.raises(SettingsError, match="working directory '/does/not/exist': No such file or directory"):
        prepare_import_path(Settings(chdir="/does/not/exist"))


# The worker class


@pytest.mark.parametrize(
    ("asked", "interface", "chosen"),
    [
        (None, "wsgi", "sync"),
        (None, "asgi", "async"),
        ("sync", "wsgi", "sync"),
        ("async", "asgi", "async"),
        ("async", "wsgi", "async"),
    ],
)
def test_worker_class(asked: Any, interface: Any, chosen: str) -> None:
    assert choose_worker_class(Settings(worker_class=asked), Application(None, interface, "main:app")) == chosen


def test_asgi_in_a_sync_worker_is_refused() -> None:
    with pytest.raises(WorkerClassError) as caught:
        choose_worker_class(Settings(worker_class="sync"), Application(None, "asgi", "main:app"))
    assert str(caught.value).endswith("this works: pyserve --worker-class async main:app")
    assert isinstance(caught.value, SettingsError)


@pytest.mark.parametrize(("exit_codes", "code"), [({}, 1), ({"worker_class": 1}, 1), ({"worker_class": 2}, 2)])
def test_a_refused_worker_class_is_a_mistake_of_where_it_was_given(exit_codes, code):
    with pytest.raises(WorkerClassError) as caught:
        choose_worker_class(Settings(worker_class="sync", exit_codes=exit_codes), Application(None, "asgi", "main:app"))
    assert caught.value.exit_code == code


def test_a_refused_worker_class_is_called_as_it_was_written() -> None:
    application = Application(None, "asgi", "main:app")
    for layer, said in (
        (Layer(Source.COMMAND_LINE, {"worker_class": "gevent"}), "--worker-class gevent"),
        (Layer(Source.FILE, {"worker_class": "gthread"}, "a.py"), "a.py: worker_class = gthread"),
    ):
        settings = settle([layer], {}).settings
        with pytest.raises(WorkerClassError) as caught:
            choose_worker_class(settings, application)
        assert str(caught.value).startswith(f"{said} serves WSGI, and 'main:app' is an ASGI application")


def test_nothing_of_the_application_in_a_traceback_is_none() -> None:
    assert application.own_traceback(ValueError()) is None


# Applications of an ini file


INI = """[app:main]
use = call:{module}:make
greeting = %(word)s

[app:admin]
use = call:{module}:make
greeting = admin
"""
MAKE = """def make(global_conf, greeting):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [greeting.encode()]
    app.greeting = greeting
    return app
"""


def test_an_application_of_an_ini_file(write: Write, tmp_path: Path) -> None:
    ini = tmp_path / "a.ini"
    ini.write_text(INI.format(module=write(MAKE)))
    for name in (str(ini), f"{ini}#admin"):
        found = load(Settings(paste=name, raw_paste_global_conf=("word=hello",)))
        assert (found.name, found.interface) == (name, "wsgi")
        assert found.callable.greeting == ("admin" if "#" in name else "hello")


INI_WRONG = [
    ("[app:other]\nuse = call:os:getcwd\n", "LookupError: No section 'main'", False),
    ("[app:main]\nuse = call:nowhere_at_all:make\n", "ModuleNotFoundError: No module named 'nowhere_at_all'", False),
    ("[app:main]\nuse = call:{module}:make\n", "ZeroDivisionError", True),
]


@pytest.mark.parametrize(("text", "said", "traced"), INI_WRONG)
def test_an_ini_file_that_describes_none(write: Write, tmp_path: Path, text: str, said: str, traced: bool) -> None:
    ini = tmp_path / "a.ini"
    ini.write_text(text.format(module=write("def make(global_conf):\n    1 / 0\n")))
    with pytest.raises(ApplicationLoadError, match=said) as caught:
        load(Settings(paste=str(ini)))
    assert "\n" not in str(caught.value)
    assert bool(caught.value.traceback) == traced
    assert "loadwsgi.py" not in (caught.value.traceback or "")


ASGI2 = """class App:
    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        await send((self.scope, await receive()))
"""


def test_an_application_of_asgi_2(write: Write) -> None:
    found = load(Settings(app=f"{write(ASGI2)}:App", interface="asgi2"))
    assert found.interface == "asgi"
    sent: list[Any] = []

    async def receive() -> str:
        return "received"

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.5"}}
    asyncio.run(found.callable(scope, receive, send))
    assert sent == [({"type": "http", "asgi": {"version": "2.0", "spec_version": "2.5"}}, "received")]
    assert scope["asgi"]["version"] == "3.0"
