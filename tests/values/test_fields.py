"""The kinds of value for header fields and proxies: what each reads and what it refuses."""

import pytest

from pyserve.values import fields
from pyserve.values.kinds import Kind

SCHEMES = {"x-forwarded-proto": "https", "X-SSL": "on"}
SOME = fields.some_of("x-forwarded-for", "x-forwarded-proto", "forwarded", alone="forwarded")

GOOD: list[tuple[Kind, object, tuple[str, ...]]] = [
    (fields.peers(), "127.0.0.1, ::1,10.0.0.0/8", ("127.0.0.1", "::1", "10.0.0.0/8")),
    (fields.peers(), "*", ("*",)),
    (fields.peers(), "", ()),
    (fields.peers(), ["10.0.0.1", "10.0.0.2,10.0.0.1"], ("10.0.0.1", "10.0.0.2")),
    (fields.peers(), "2001:DB8::0:1", ("2001:db8::1",)),
    (fields.peers(), "unix:,/run/x.sock", ("unix", "/run/x.sock")),
    (fields.peers(), "unix,unix:/run/x.sock", ("unix", "unix:/run/x.sock")),
    (fields.field_names(), "script_name, Path_Info", ("SCRIPT_NAME", "PATH_INFO")),
    (fields.field_names(), ["*"], ("*",)),
    (fields.field_names(), "", ()),
    (SOME, "X-Forwarded-For", ("x-forwarded-for",)),
    (SOME, ("forwarded",), ("forwarded",)),
    (SOME, "", ()),
    (fields.field_values(), SCHEMES, ("X-FORWARDED-PROTO=https", "X-SSL=on")),
    (fields.field_values(), "X-SSL=on,X-A= b", ("X-SSL=on", "X-A=b")),
    (fields.field_values(), {}, ()),
    (fields.header(), "X-A:b", ("X-A: b",)),
    (fields.header(), ("x-a: b, c ", "Server:"), ("x-a: b, c", "Server: ")),
    (fields.header(), [("x-a", "b:c")], ("x-a: b:c",)),
    (fields.header(), [], ()),
]

PROXY: list[tuple[object, str]] = [
    *((given, "off") for given in ("off", "OFF", False, "false", 0, None, "none")),
    *((given, "auto") for given in ("auto", True, "true", "1")),
    ("v1", "v1"),
    (" V2 ", "v2"),
]

BAD: list[tuple[Kind, object]] = [
    *((fields.peers(), given) for given in ("localhost", "10.0.0.1/8", "10.0.0.0/33", "1.2.3", "**", "unix:x")),
    *((fields.peers(), given) for given in (1, [1], None)),
    *((fields.proxy_protocol(), given) for given in ("", "v3", "on", 2)),
    *((fields.field_names(), given) for given in ("a b", "a:", 1, None)),
    *((SOME, given) for given in ("x-real-ip", "forwarded,x-forwarded-for", 1)),
    *((fields.field_values(), given) for given in ("X-A", "=b", "a b=c", {"a": "b,c"}, {"a\n": "b"}, 1)),
    *(
        (fields.header(), given)
        for given in ("a", ":b", "a b: c", "a: b\r\nc: d", "a: \x01", "a: \u20ac", 1, [1], [("a",)])
    ),
    *((fields.header(), given) for given in ("Content-Length: 1", "connection: close", "Date: now")),
]


@pytest.mark.parametrize(("kind", "given", "expected"), GOOD)
def test_good(kind: Kind, given: object, expected: tuple[str, ...]) -> None:
    assert kind.parse(given) == expected
    assert kind.parse(list(expected)) == expected


@pytest.mark.parametrize(("given", "expected"), PROXY)
def test_proxy_protocol(given: object, expected: str) -> None:
    assert fields.proxy_protocol().parse(given) == expected


@pytest.mark.parametrize(("kind", "given"), BAD)
def test_bad(kind: Kind, given: object) -> None:
    with pytest.raises(ValueError):
        kind.parse(given)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("10.0.0.1/8", ": '10.0.0.1/8' has host bits set, '10.0.0.0/8' perhaps"),
        ("proxy", ": 'proxy' is neither; names are not resolved"),
    ],
)
def test_the_hint_for_peers(given: str, hint: str) -> None:
    with pytest.raises(ValueError) as caught:
        fields.peers().parse(given)
    assert str(caught.value) == hint
