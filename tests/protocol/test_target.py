"""Targets and hosts (RFC 9112 section 3.2, RFC 9110 section 7.2, RFC 3986)."""

import pytest

from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.target import is_host, split_target

HOSTS = [
    b"",
    b"a",
    b"example.com",
    b"EXAMPLE.com.",
    b"a:0",
    b"a:65535",
    b"a:",
    b":8000",
    b"127.0.0.1:8000",
    b"[::1]",
    b"[::1]:8000",
    b"[::ffff:127.0.0.1]",
    b"[::]",
    b"[1:2:3:4:5:6:7:8]",
    b"[1:2:3:4:5:6:1.2.3.4]",
    b"[1::2:3:4:5:6:7]",
    b"[1:2:3:4:5:6:7::]",
    b"[v1.a:b]",
    b"xn--bcher-kva.example",
    b"a_b-c.d~e",
    b"%41%2f",
    b"a!$&'()*+,;=b",
]
NOT_HOSTS = [
    b" a",
    b"a b",
    b"a ",
    b"a/b",
    b"a/../admin?x=",
    b"a?b",
    b"a#b",
    b"a@b",
    b"a\\b",
    b"a\tb",
    b"a\x7f",
    b"a\xe9",
    b"a:b",
    b"a:-1",
    b"a:+1",
    b"a:123456",
    b"a:1:2",
    b"a:1 ",
    b"::1",
    b"[::1",
    b"::1]",
    b"[::1]a",
    b"[]",
    b"[:]",
    b"[:::]",
    b"[1:2]",
    b"[1::2::3]",
    b"[1:2:3:4:5:6:7:8:9]",
    b"[1:2:3:4:5:6:7::8:9]",
    b"[12345::]",
    b"[g::]",
    b"[1.2.3.4]",
    b"[::1.2.3]",
    b"[::1.2.3.256]",
    b"[::1.2.3.04]",
    b"[::1.2.3.4:5]",
    b"[::1%lo]",
    b"[::1]]",
    b"[a b]",
    b"[v1.]",
    b"%4",
    b"%zz",
    b"%",
    b"<a>",
    b'"a"',
    b"a\n",
    b"a|b",
    b"a^b",
    b"`a`",
    b"{a}",
]


@pytest.mark.parametrize("value", HOSTS)
def test_hosts(value: bytes) -> None:
    assert is_host(value)


@pytest.mark.parametrize("value", NOT_HOSTS)
def test_what_is_no_host(value: bytes) -> None:
    assert not is_host(value)


TARGETS = [
    ("origin", "GET", b"/", (b"/", b"", None)),
    ("origin with query", "GET", b"/a/b?c=d?e", (b"/a/b", b"c=d?e", None)),
    ("origin with an empty query", "GET", b"/a?", (b"/a", b"", None)),
    ("origin, escaped", "GET", b"/%2F%00?%23", (b"/%2F%00", b"%23", None)),
    ("origin of two slashes", "GET", b"//a/b", (b"//a/b", b"", None)),
    ("origin with a URI in it", "GET", b"/http://a/b", (b"/http://a/b", b"", None)),
    ("origin of OPTIONS", "OPTIONS", b"/a", (b"/a", b"", None)),
    ("absolute", "GET", b"http://a/b?c", (b"/b", b"c", b"a")),
    ("absolute of https", "GET", b"hTTps://a:443/", (b"/", b"", b"a:443")),
    ("absolute without path", "GET", b"http://a", (b"/", b"", b"a")),
    ("absolute without path, with query", "GET", b"http://a?b", (b"/", b"b", b"a")),
    ("absolute of IPv6", "GET", b"http://[::1]:80/", (b"/", b"", b"[::1]:80")),
    ("absolute of OPTIONS without path", "OPTIONS", b"http://a", (b"/", b"", b"a")),
    ("authority", "CONNECT", b"a:443", (b"", b"", None)),
    ("authority of IPv6", "CONNECT", b"[::1]:443", (b"", b"", None)),
    ("asterisk", "OPTIONS", b"*", (b"*", b"", None)),
    ("asterisk of a method of others", "M-SEARCH", b"*", (b"*", b"", None)),
]


@pytest.mark.parametrize(("method", "target", "expected"), [pytest.param(*t[1:], id=t[0]) for t in TARGETS])
def test_forms(method: str, target: bytes, expected: tuple[bytes, bytes, bytes | None]) -> None:
    assert split_target(method, target) == expected


NOT_TARGETS = [
    ("GET", b""),
    *((method, b"*") for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "PRI")),
    ("GET", b"a"),
    ("GET", b"a/b"),
    ("GET", b"?a"),
    ("GET", b"a:80"),
    ("GET", b"/#"),
    ("GET", b"/a#b"),
    ("GET", b"/?#"),
    ("GET", b"http:/a"),
    ("GET", b"http:a"),
    ("GET", b"http://"),
    ("GET", b"http:///a"),
    ("GET", b"http://:80/"),
    ("GET", b"http://?a"),
    ("GET", b"http://a#b"),
    ("GET", b"http://a/#b"),
    ("GET", b"http://a?#b"),
    ("GET", b"http://u@a/"),
    ("GET", b"http://u:p@a/"),
    ("GET", b"http://a:b/"),
    ("GET", b"http://a\\b/"),
    ("GET", b"http://a b/"),
    ("GET", b"ftp://a/"),
    ("GET", b"ws://a/"),
    ("GET", b"file:///etc/passwd"),
    ("GET", b"urn:a:b"),
    ("OPTIONS", b"**"),
    ("OPTIONS", b"*/a"),
    ("OPTIONS", b"*?a"),
    ("CONNECT", b""),
    ("CONNECT", b"/"),
    ("CONNECT", b"/a:443"),
    ("CONNECT", b"*"),
    ("CONNECT", b"a"),
    ("CONNECT", b"a:"),
    ("CONNECT", b":443"),
    ("CONNECT", b"u@a:443"),
    ("CONNECT", b"a:443/"),
    ("CONNECT", b"a:443?b"),
    ("CONNECT", b"http://a:443"),
]


@pytest.mark.parametrize(("method", "target"), NOT_TARGETS)
def test_what_is_no_target(method: str, target: bytes) -> None:
    with pytest.raises(ProtocolError) as raised:
        split_target(method, target)
    assert raised.value.status == 400


@pytest.mark.parametrize(
    "value", [b"a" * 65536 + b"/", b"%41" * 20000 + b"%", b"[" + b":" * 65536, b"a." * 30000 + b"@"]
)
def test_a_long_host_takes_no_long_time(value: bytes) -> None:
    """Backtracking would take hours here, not milliseconds: the test's own deadline is the assertion."""
    assert not is_host(value)
    with pytest.raises(ProtocolError):
        split_target("GET", b"http://" + value + b"#")
