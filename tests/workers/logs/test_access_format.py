"""Atoms as gunicorn prints them; values that cannot break a line or a quotation."""

import base64
import json
import os
import re
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyserve.workers.logs.access_format import compile_format

COMBINED = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
NOW = 1795255200.25  # 2026-11-21 10:00:00 UTC


class Exchange:
    """What the format reads of an exchange, with the same meanings."""

    def __init__(self, target: bytes = b"/", fields: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self.method = "GET"
        self.target = target
        self.path, _, self.query = target.partition(b"?")
        self.version = "1.1"
        self.fields = list(fields)
        self.index: dict[bytes, bytes] = {}
        for name, value in fields:
            self.index[name] = self.index[name] + b", " + value if name in self.index else value
        self.status = 200
        self.response_fields = [(b"Content-Type", b"text/plain"), (b"X-Id", b"1"), (b"x-id", b"2")]
        self.body_sent = 13
        self.client = ""


class Connection:
    remote = "192.0.2.7"


class WsgiConnection(Connection):
    def __init__(self, **environ: object) -> None:
        self.environ = environ


def line(log_format: str, exchange: Exchange, connection: Connection | None = None, seconds: float = 1.234567) -> str:
    return compile_format(log_format)(exchange, connection or Connection(), seconds, NOW).decode()


@pytest.fixture
def in_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def change(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield change
    monkeypatch.undo()
    time.tzset()


REQUEST = Exchange(
    b"/caf%C3%A9%20x?q=%20a&b",
    (
        (b"host", b"example.org"),
        (b"referer", b"http://example.org/"),
        (b"user-agent", b"probe/1"),
        (b"user-agent", b"second"),
        (b"x-forwarded-for", b"198.51.100.1"),
        (b"x-forwarded-for", b"198.51.100.2"),
        (b"authorization", b"Basic " + base64.b64encode(b"ada:secret")),
    ),
)

ATOMS = [
    ("%(h)s", "192.0.2.7"),
    ("%(l)s", "-"),
    ("%(u)s", "ada"),
    ("%(r)s", "GET /caf%C3%A9%20x?q=%20a&b HTTP/1.1"),
    ("%(m)s", "GET"),
    ("%(U)s", "/caf\\xc3\\xa9 x"),
    ("%(q)s", "q=%20a&b"),
    ("%(H)s", "HTTP/1.1"),
    ("%(s)s", "200"),
    ("%(b)s", "13"),
    ("%(B)s", "13"),
    ("%(f)s", "http://example.org/"),
    ("%(a)s", "probe/1, second"),
    ("%(T)s", "1"),
    ("%(M)s", "1234"),
    ("%(D)s", "1234567"),
    ("%(L)s", "1.234567"),
    ("%(p)s", f"<{os.getpid()}>"),
    ("%({X-Forwarded-For}i)s", "198.51.100.2"),
    ("%({host}i)s", "example.org"),
    ("%({X-Missing}i)s", "-"),
    ("%({X-ID}o)s", "2"),
    ("%({content-type}o)s", "text/plain"),
    ("%({missing}o)s", "-"),
    ("%({REMOTE_ADDR}e)s", "192.0.2.7"),
    ("%({http_host}e)s", "example.org"),
    ("%({REQUEST_METHOD}e)s", "GET"),
    ("%({missing}e)s", "-"),
    ("%(Z)s", "-"),
    ("%(status)s", "-"),
    ("%({x})s", "-"),
    ("%()s", "-"),
    ("100%% %(s)s%%", "100% 200%"),
    ("%(s)d|%(D)010d|%(b)-6s|%(l)3s|%(M)5.1f", "200|0001234567|13    |  -|1234.0"),
    ("%(m).2s|%(U).3s|%(s).1s", "GE|/ca|2"),
    ("caf\u00e9\t\\ %(m)s", "caf\u00e9\t\\ GET"),
    ("", ""),
]


@pytest.mark.parametrize(("log_format", "expected"), ATOMS, ids=[atom for atom, _ in ATOMS])
def test_atoms(log_format: str, expected: str) -> None:
    assert line(log_format, REQUEST) == expected + "\n"


def test_combined_format(in_zone: Callable[[str], None]) -> None:
    in_zone("UTC")
    assert line(COMBINED, REQUEST) == (
        '192.0.2.7 - ada [21/Nov/2026:10:00:00 +0000] "GET /caf%C3%A9%20x?q=%20a&b HTTP/1.1" 200 13 '
        '"http://example.org/" "probe/1, second"\n'
    )


def test_time_follows_zone_and_second(in_zone: Callable[[str], None]) -> None:
    in_zone("<+0530>-5:30")
    render = compile_format("%(t)s")
    peer = Connection()
    assert render(REQUEST, peer, 0, NOW) == b"[21/Nov/2026:15:30:00 +0530]\n"
    assert render(REQUEST, peer, 0, NOW + 0.7) == b"[21/Nov/2026:15:30:00 +0530]\n"
    assert render(REQUEST, peer, 0, NOW + 0.75) == b"[21/Nov/2026:15:30:01 +0530]\n"
    assert render(REQUEST, peer, 0, NOW) == b"[21/Nov/2026:15:30:00 +0530]\n"


DURATIONS = [
    (0.0, "0 0 0 0.000000"),
    (0.0009999, "0 1 1000 0.001000"),
    (0.000123, "0 0 123 0.000123"),
    (59.9999999, "60 60000 60000000 60.000000"),
    (90061.5, "90061 90061500 90061500000 90061.500000"),
]


@pytest.mark.parametrize(("seconds", "expected"), DURATIONS)
def test_durations(seconds: float, expected: str) -> None:
    assert line("%(T)s %(M)s %(D)s %(L)s", Exchange(), seconds=seconds) == expected + "\n"


def test_nothing_known() -> None:
    exchange = Exchange(b"/")
    exchange.status = 0
    exchange.body_sent = 0
    del exchange.response_fields
    peer = Connection()
    peer.remote = ""
    assert line("%(h)s %(u)s %(s)s %(b)s %(f)s %(a)s %({x}o)s", exchange, peer) == "- - - 0 - - -\n"


def test_present_but_empty_field_is_empty() -> None:
    assert line('"%(f)s" "%(q)s"', Exchange(b"/?", ((b"referer", b""),))) == '"" ""\n'


CREDENTIALS = [
    (b"Basic " + base64.b64encode(b"ada:x"), "ada"),
    (b"basic   " + base64.b64encode(b"ada:x:y"), "ada"),
    (b"Basic " + base64.b64encode(b"ada"), "ada"),
    (b"Basic " + base64.b64encode(b":x"), "-"),
    (b"Basic " + base64.b64encode(b"j\xc3\xbcrgen:x"), "j\\xc3\\xbcrgen"),
    (b"Basic " + base64.b64encode(b"\xff:x"), "-"),
    (b"Basic " + base64.b64encode(b'a "b\n:x'), 'a\\x20\\"b\\x0a'),
    (b"Basic YQ", "-"),
    (b"Basic", "-"),
    (b"Bearer " + base64.b64encode(b"ada:x"), "-"),
    (b"", "-"),
]


@pytest.mark.parametrize(("value", "expected"), CREDENTIALS)
def test_user(value: bytes, expected: str) -> None:
    assert line("%(u)s", Exchange(b"/", ((b"authorization", value),))) == expected + "\n"


def test_environ_is_preferred() -> None:
    class Unprintable:
        def __str__(self) -> str:
            return 'a"\n\u20ac\U0001f600\ud800'

    peer = WsgiConnection(REMOTE_USER="eve", lower=3, unprintable=Unprintable(), octets=b"\xff")
    log_format = "%({remote_user}e)s %({LOWER}e)s %({unprintable}e)s %({octets}e)s %({REMOTE_ADDR}e)s"
    assert line(log_format, REQUEST, peer) == 'eve 3 a\\"\\x0a\\u20ac\\U0001f600\\ud800 \\xff -\n'


ESCAPED = [
    ('"%(a)s"', b'"', '"\\""'),
    ('"%(a)s"', b"\\", '"\\\\"'),
    ('"%(a)s"', b"\x00\x1b\r\n\x7f", '"\\x00\\x1b\\x0d\\x0a\\x7f"'),
    ('"%(a)s"', b"\xc3\xa9\x85", '"\\xc3\\xa9\\x85"'),
    ('"%(a)s"', b"it's", '"it\'s"'),
    ("'%(a)s'", b"it's", "'it\\x27s'"),
    ('{"a": "%(a)s"}', b"\x00\"\\\n\xe9'\x7f", '{"a": "\\u0000\\"\\\\\\u000a\\u00e9\'\\u007f"}'),
    ('"%(a).3s"', b'ab"c', '"ab"'),
    ('"%(a).4s"', b'ab"c', '"ab\\""'),
    ('"%(a).5s"', b"a\n\n", '"a\\x0a"'),
]


@pytest.mark.parametrize(("log_format", "agent", "expected"), ESCAPED)
def test_escapes(log_format: str, agent: bytes, expected: str) -> None:
    assert line(log_format, Exchange(b"/", ((b"user-agent", agent),))) == expected + "\n"


MALFORMED = ["%h", "%(h)", "%(h", "%", "100% %(s)s", "%(a)d", "%(l)d", "%(h)r", "%(s)*d", "%5%", "%(s)c", "\ud800"]


@pytest.mark.parametrize("log_format", MALFORMED)
def test_malformed_format_is_refused(log_format: str) -> None:
    with pytest.raises(ValueError):
        compile_format(log_format)


octets = st.binary(max_size=40) | st.text("\"\\\n\r\t 'x%{}", max_size=12).map(str.encode)
QUOTED = re.compile(r'(?:[ !#-\[\]-~]|\\["\\]|\\x[0-9a-f]{2})*')


@given(target=octets, referer=octets, agent=octets, user=octets)
def test_no_value_breaks_the_line_or_its_quotations(target: bytes, referer: bytes, agent: bytes, user: bytes) -> None:
    fields = (
        (b"referer", referer),
        (b"user-agent", agent),
        (b"authorization", b"Basic " + base64.b64encode(user)),
    )
    written = line(COMBINED, Exchange(target, fields))
    quoted = rf'"({QUOTED.pattern})"'
    match = re.fullmatch(rf"192\.0\.2\.7 - (\S+) \[[^]]+\] {quoted} 200 13 {quoted} {quoted}\n", written)
    assert match is not None
    for shown, value in zip(match.groups()[1:], (b"GET %b HTTP/1.1" % target, referer, agent), strict=True):
        assert shown.encode().decode("unicode_escape").encode("latin-1") == value


@given(values=st.tuples(octets, octets), length=st.integers(0, 12), variable=st.text(max_size=20))
def test_json_stays_json(values: tuple[bytes, bytes], length: int, variable: str) -> None:
    log_format = f'{{"a": "%(a)s", "U": "%(U)20s", "i": "%({{x}}i).{length}s", "e": "%({{x}}e)s", "s": %(s)s}}'
    exchange = Exchange(b"/", ((b"user-agent", values[0]), (b"x", values[1])))
    written = line(log_format, exchange, WsgiConnection(X=variable))
    assert written.count("\n") == 1
    record = json.loads(written)
    assert record["a"] == values[0].decode("latin-1")
    assert record["e"] == variable
    assert values[1].decode("latin-1").startswith(record["i"])
    assert record["U"].strip() == "/"


@given(values=st.tuples(octets, octets), length=st.integers(0, 12))
def test_single_quotes_hold(values: tuple[bytes, bytes], length: int) -> None:
    written = line(f"'%(a)s' '%({{x}}i).{length}s'", Exchange(b"/", ((b"user-agent", values[0]), (b"x", values[1]))))
    assert re.fullmatch(r"'[ -&(-~]*' '([ -&(-\[\]-~]|\\[\"\\x])*'\n", written)
