"""The kinds of value: what each reads and what it refuses."""

import functools
import sys
from pathlib import Path
from typing import Any

import pytest

from pyserve.values import kinds, processors
from pyserve.values.kinds import Kind, near
from pyserve.values.log_addresses import parse_statsd_address


def app(environ: Any, start_response: Any) -> list[bytes]:
    return []


GOOD: list[tuple[str, Kind, object, object]] = [
    ("whole", kinds.whole(), "0", 0),
    ("whole", kinds.whole(), " 12 ", 12),
    ("whole", kinds.whole(), "+12", 12),
    ("whole", kinds.whole(), 12, 12),
    ("whole", kinds.whole(1, 5), "5", 5),
    ("whole zero", kinds.whole(0, 9, zero=9), "0", 9),
    ("workers", kinds.workers(), "4", 4),
    ("workers", kinds.workers(), 4, 4),
    ("size", kinds.size(), "0", 0),
    ("size", kinds.size(), "65536", 65536),
    ("size", kinds.size(), "64k", 65536),
    ("size", kinds.size(), "10M", 10 * 1024**2),
    ("size", kinds.size(), "1.5g", 3 * 512 * 1024**2),
    ("size", kinds.size(), "1GiB", 1024**3),
    ("size", kinds.size(), "1 mb", 1024**2),
    ("size", kinds.size(), "7b", 7),
    ("size", kinds.size(), 512, 512),
    ("seconds", kinds.seconds(), "30", 30.0),
    ("seconds", kinds.seconds(), "0", 0.0),
    ("seconds", kinds.seconds(), ".5", 0.5),
    ("seconds", kinds.seconds(), "1.", 1.0),
    ("seconds", kinds.seconds(), "500ms", 0.5),
    ("seconds", kinds.seconds(), "30s", 30.0),
    ("seconds", kinds.seconds(), "2m", 120.0),
    ("seconds", kinds.seconds(), "1h", 3600.0),
    ("seconds", kinds.seconds(), 5, 5.0),
    ("seconds", kinds.seconds(), 0.25, 0.25),
    ("seconds", kinds.seconds(), "999999999", 999999999.0),
    ("choice", kinds.choice("sync", "async"), "sync", "sync"),
    ("choice", kinds.choice("sync", "async"), "ASYNC ", "async"),
    ("choice", kinds.choice("a", "b", c="b"), "C", "b"),
    ("level", kinds.level("debug", "info", "error", warn="error"), "WARN", "error"),
    ("level", kinds.level("debug", "info", "error"), 10, "debug"),
    ("level", kinds.level("debug", "info", "error"), 15, "info"),
    ("level", kinds.level("debug", "info", "error"), 30, "error"),
    ("seconds", kinds.seconds(zero=0.5), 0, 0.5),
    ("dotted", kinds.dotted(), "a.b.C", "a.b.C"),
    ("dotted", kinds.dotted(), "a.b:C", "a.b.C"),
    ("dotted", kinds.dotted(), "simple", "simple"),
    ("dotted", kinds.dotted(), Kind, Kind),
    ("mapping", kinds.mapping(), {"a": 1}, {"a": 1}),
    ("mapping", kinds.mapping(), {}, None),
    ("facility", kinds.facility(), "LOCAL7", "local7"),
    ("address_of", kinds.address_of("statsd", "", parse_statsd_address), "unix:///a", "unix:///a"),
    ("address_of", kinds.address_of("statsd", "", parse_statsd_address), "", None),
    ("switch", kinds.switch(), True, True),
    ("switch", kinds.switch(), False, False),
    ("switch", kinds.switch(), "1", True),
    ("switch", kinds.switch(), "Yes", True),
    ("switch", kinds.switch(), "on", True),
    ("switch", kinds.switch(), "0", False),
    ("switch", kinds.switch(), "FALSE", False),
    ("switch", kinds.switch(), "off", False),
    ("text", kinds.text(), "x y", "x y"),
    ("file", kinds.file(), "-", "-"),
    ("file", kinds.file(), "", None),
    ("file", kinds.file(), Path("/a/b"), "/a/b"),
    ("directory", kinds.directory(), "src", "src"),
    ("no directory", kinds.directory(), "", None),
    *(("no texts", kinds.texts("", "", separator=","), given, ()) for given in ("", ("",), [""])),
    ("url_path", kinds.url_path(), "/api/v1", "/api/v1"),
    ("url_path", kinds.url_path(), "/api/", "/api"),
    ("url_path", kinds.url_path(), "/", ""),
    ("url_path", kinds.url_path(), "", ""),
    ("host", kinds.host(), "0.0.0.0", "0.0.0.0"),
    ("host", kinds.host(), "::1", "::1"),
    ("host", kinds.host(), "[::1]", "::1"),
    ("host", kinds.host(), "localhost", "localhost"),
    ("addresses", kinds.addresses(), ":1", ("0.0.0.0:1",)),
    ("addresses", kinds.addresses(), "a:1,[::1]:2", ("a:1", "[::1]:2")),
    ("addresses", kinds.addresses(), ("a:1", "unix:/x"), ("a:1", "unix:/x")),
    ("addresses", kinds.addresses(), ["a:1"], ("a:1",)),
    ("application", kinds.application(), " main:app ", "main:app"),
    ("application", kinds.application(), app, app),
]

BAD: list[tuple[str, Kind, object]] = [
    *(
        ("whole", kinds.whole(), given)
        for given in ("", "x", "1.0", "-1", "1_0", "٣", "1e3", 1.0, True, None, "9" * 30)
    ),
    *(("whole 1-5", kinds.whole(1, 5), given) for given in ("0", "6", 0, 6)),
    ("whole", kinds.whole(), 2**31),
    *(("workers", kinds.workers(), given) for given in ("0", "-1", "4097", "many", True, None, 1.5)),
    *(("size", kinds.size(), given) for given in ("", "x", "-1", "1x", "k", "1kk", "1e3", -1, 1.0, True, "9" * 40)),
    ("size 1", kinds.size(1), "0"),
    *(("seconds", kinds.seconds(), given) for given in ("", "x", "-1", "nan", "inf", "1d", "s", ".", "9" * 400)),
    *(("seconds", kinds.seconds(), given) for given in (-1, float("nan"), float("inf"), True, None, [])),
    *(("choice", kinds.choice("a", "b"), given) for given in ("", "c", None, 1)),
    *(("level", kinds.level("a", "b"), given) for given in ("", "c", None, 0, 21, True)),
    *(("switch", kinds.switch(), given) for given in ("", "2", "maybe", None, 2)),
    *(("text", kinds.text(), given) for given in ("a\nb", "a\0", 1, b"x")),
    *(("file", kinds.file(), given) for given in ("a\0", 1)),
    ("file", kinds.file(required=True), ""),
    *(("url_path", kinds.url_path(), given) for given in ("api", "/a?b", "/a#b", "/a b", "http://x", 1)),
    *(("host", kinds.host(), given) for given in ("", "localhost:80", "a b", "http://x", 1)),
    *(("addresses", kinds.addresses(), given) for given in ("", (), [1], 1, ":1,", "x:y")),
    *(("application", kinds.application(), given) for given in ("", "a b", 1, None)),
    *(("dotted", kinds.dotted(), given) for given in ("", "a b", ".a", "a-b", 1, None, print)),
    *(("mapping", kinds.mapping(), given) for given in ("{}", None, 1, [])),
    *(("facility", kinds.facility(), given) for given in ("", "local8", None)),
    *(("address_of", kinds.address_of("statsd", "", parse_statsd_address), given) for given in ("a b:x", "a:b", 1)),
    *(("hook", kinds.hook("server"), given) for given in ("", "f", "a b.c", ".f", "..", 1, None, [])),
]


@pytest.mark.parametrize(("name", "kind", "given", "expected"), GOOD)
def test_good(name: str, kind: Kind, given: object, expected: object) -> None:
    found = kind.parse(given)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(("name", "kind", "given"), BAD)
def test_bad(name: str, kind: Kind, given: object) -> None:
    with pytest.raises(ValueError):
        kind.parse(given)


def test_workers_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "available", lambda: 7)
    assert kinds.workers().parse("auto") == 7
    assert kinds.workers().parse(" AUTO ") == 7


class Callable2:
    def __call__(self, server: object, worker: object) -> None: ...

    def method(self, server: object, worker: object) -> None: ...


def of_one(server: object) -> None: ...
def of_two(server: object, worker: object) -> None: ...
def of_two_or_three(server: object, worker: object, more: object = None) -> None: ...
def of_three(server: object, new: object, old: object) -> None: ...
def of_any(*arguments: object) -> None: ...
def of_names(server: object, *, worker: object) -> None: ...


@pytest.mark.parametrize(
    "function",
    [of_two, of_two_or_three, of_any, functools.partial(of_three, None), Callable2(), Callable2().method, max],
)
def test_a_hook_is_what_can_be_called_so(function: object) -> None:
    assert kinds.hook("server, worker").parse(function) is function


@pytest.mark.parametrize("function", [of_one, of_three, of_names, Callable2, lambda: None])
def test_a_hook_of_other_arguments_is_refused(function: object) -> None:
    with pytest.raises(ValueError, match=r"^: Value must have an arity of: 2$"):
        kinds.hook("server, worker").parse(function)


def test_a_hook_may_take_less_where_that_is_allowed() -> None:
    kind = kinds.hook("a, b, c", least=2)
    assert [kind.parse(function) for function in (of_two, of_three, of_any)] == [of_two, of_three, of_any]
    with pytest.raises(ValueError, match=r"^: Value must have an arity of: 3$"):
        kind.parse(of_one)


def test_a_hook_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some_hooks.py").write_text("def post_fork(server, worker):\n    pass\n")
    (tmp_path / "broken_hooks.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    before = sys.path.copy()
    kind = kinds.hook("server, worker")
    assert kind.parse(" some_hooks.post_fork ") is sys.modules["some_hooks"].post_fork
    for given, hint in {
        "post_fork": ": Value is not import string. Format: module[.submodules...].object",
        "some_hooks.other": ": Can not load 'other' from 'some_hooks'",
        "no_such_module.f": ": ModuleNotFoundError: No module named 'no_such_module'",
        "broken_hooks.f": ": ZeroDivisionError: division by zero",
        "some_hooks.__name__": ": Value is not callable",
    }.items():
        with pytest.raises(ValueError) as caught:
            kind.parse(given)
        assert str(caught.value) == hint
    assert sys.path == before


@pytest.mark.parametrize(
    ("name", "names", "hint"),
    [
        ("worker", ["workers", "threads"], "; did you mean 'workers'?"),
        ("PYSERVE_WORKER", ["PYSERVE_WORKERS"], "; did you mean 'PYSERVE_WORKERS'?"),
        ("App", ["app"], "; did you mean 'app'?"),
        ("xyz", ["workers"], ""),
        ("x", [], ""),
    ],
)
def test_near(name: str, names: list[str], hint: str) -> None:
    assert near(name, names) == hint
