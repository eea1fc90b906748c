"""The kinds of value: what each reads and what it refuses."""

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
    ("whole zero", kinds.whole(zero=None), 0, None),
    ("whole of Python", kinds.whole(), "0x10", 16),
    ("whole of Python", kinds.whole(), " 0o17 ", 15),
    ("whole of Python", kinds.whole(), "007", 7),
    ("whole of Python", kinds.whole(), True, 1),
    ("whole clamped", kinds.whole(0, 9, clamps=True), "10", 9),
    ("size of Python", kinds.size(), "0x10", 16),
    ("size of Python", kinds.size(), False, 0),
    ("seconds of Python", kinds.seconds(), "0x10", 16.0),
    ("seconds of Python", kinds.seconds(), False, 0.0),
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
    ("boolean", kinds.boolean(), "False", False),
    ("boolean", kinds.boolean(), True, True),
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
    ("url_path", kinds.url_path(), "api/v1/", "/api/v1"),
    ("url_path", kinds.url_path(), "", ""),
    ("url_path of its own", kinds.url_path(mount=False), "/ready/", "/ready/"),
    ("url_path of its own", kinds.url_path(mount=False), "ready/", "/ready/"),
    ("url_path of its own", kinds.url_path(mount=False), "/", "/"),
    ("url_path of its own", kinds.url_path(mount=False), "", ""),
    ("host", kinds.host(), "0.0.0.0", "0.0.0.0"),
    ("host", kinds.host(), "::1", "::1"),
    ("host", kinds.host(), "[::1]", "::1"),
    ("host", kinds.host(), "localhost", "localhost"),
    ("addresses", kinds.addresses(), ":1", ("0.0.0.0:1",)),
    ("addresses", kinds.addresses(), "a:1,[::1]:2", ("a:1", "[::1]:2")),
    ("addresses", kinds.addresses(), ("a:1", "unix:/x"), ("a:1", "unix:/x")),
    ("addresses", kinds.addresses(), ["a:1"], ("a:1",)),
    ("addresses", kinds.addresses(), ("", "a:1"), ("0.0.0.0:8000", "a:1")),
    ("level", kinds.level("debug", "info"), "nonsense", "info"),
    ("assignments", kinds.assignments(), {}, ()),
    ("assignments", kinds.assignments(), "", ()),
    ("application", kinds.application(), " main:app ", "main:app"),
    ("application", kinds.application(), app, app),
]

BAD: list[tuple[str, Kind, object]] = [
    *(
        ("whole", kinds.whole(), given)
        for given in ("", "x", "1.0", "-1", "1_0", "٣", "1e3", "0x", "0o8", 1.0, None, "9" * 30)
    ),
    *(("whole 1-5", kinds.whole(1, 5), given) for given in ("0", "6", 0, 6)),
    ("whole", kinds.whole(), 2**31),
    *(("workers", kinds.workers(), given) for given in ("0", "-1", "4097", "many", False, None, 1.5)),
    *(("size", kinds.size(), given) for given in ("", "x", "-1", "1x", "k", "1kk", "1e3", -1, 1.0, None, "9" * 40)),
    ("size 1", kinds.size(1), "0"),
    *(("seconds", kinds.seconds(), given) for given in ("", "x", "-1", "nan", "inf", "1d", "s", ".", "9" * 400)),
    *(("seconds", kinds.seconds(), given) for given in (-1, float("nan"), float("inf"), None, [])),
    *(("choice", kinds.choice("a", "b"), given) for given in ("", "c", None, 1)),
    *(("level", kinds.level("a", "b"), given) for given in (None, 0, 21, True, [])),
    ("boolean", kinds.boolean(), "perhaps"),
    *(("switch", kinds.switch(), given) for given in ("", "2", "maybe", None, 2)),
    *(("text", kinds.text(), given) for given in ("a\nb", "a\0", 1, b"x")),
    *(("file", kinds.file(), given) for given in ("a\0", 1)),
    ("file", kinds.file(required=True), ""),
    *(("url_path", kinds.url_path(), given) for given in ("/a?b", "/a#b", "/a b", "http://x", 1)),
    *(("host", kinds.host(), given) for given in ("localhost:80", "a b", "http://x", 1)),
    *(("addresses", kinds.addresses(), given) for given in ((), [1], 1, ":1,", "x:y")),
    *(("application", kinds.application(), given) for given in ("", "a b", 1, None)),
    *(("dotted", kinds.dotted(), given) for given in ("", "a b", ".a", "a-b", 1, None, print)),
    *(("mapping", kinds.mapping(), given) for given in ("{}", None, 1, [])),
    *(("facility", kinds.facility(), given) for given in ("", "local8", None)),
    *(("address_of", kinds.address_of("statsd", "", parse_statsd_address), given) for given in ("a b:x", "a:b", 1)),
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


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        (kinds.level("debug", "info"), "nonsense", "info is taken"),
        (kinds.level("debug", "info"), "debugg", "info is taken; did you mean 'debug'?"),
        (kinds.level("debug", "info", warn="info"), " WARN ", ""),
        (kinds.level("debug", "info"), 10, ""),
        (kinds.whole(0, 9, clamps=True), "10", "9 is taken"),
        (kinds.whole(0, 9, clamps=True), "9", ""),
        (kinds.url_path(), "api", "/api is taken"),
        (kinds.url_path(), "/api/", ""),
        (kinds.addresses(), ("", "a:1"), "0.0.0.0:8000 is taken"),
        (kinds.addresses(), "a:1", ""),
        (kinds.text(), "a", ""),
    ],
)
def test_what_makes_no_sense_is_said(kind: Kind, given: object, said: str) -> None:
    assert kind.doubt(given) == said


def test_workers_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "available", lambda: 7)
    assert kinds.workers().parse("auto") == 7
    assert kinds.workers().parse(" AUTO ") == 7


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
