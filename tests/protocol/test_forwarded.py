"""Trusted proxies: RFC 7239, X-Forwarded-*, gunicorn's secure_scheme_headers; what environs and scopes make of it."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyserve.protocol.asgi import ScopeTemplate
from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.forwarded import (
    FOR,
    FORWARDED,
    HOST,
    PORT,
    PROTO,
    Forwarding,
    Origin,
    Trusted,
    parse_forwarded,
    parse_hop,
    split_host,
)
from pyserve.protocol.wsgi import EnvironKeys, make_environ
from tests.protocol.exchange_peer import begin
from tests.protocol.wsgi_peer import template, with_fields

LOCAL = ("127.0.0.1", "::1")
SECURE = {b"x-forwarded-protocol": b"ssl", b"x-forwarded-proto": b"https", b"x-forwarded-ssl": b"on"}
FORWARDER = frozenset((b"script_name", b"path_info"))
BOTH = (FOR, PROTO)

# Forwarded, RFC 7239 section 4: (octets, elements)
WELL_FORMED: list[tuple[str, list[dict[str, str]]]] = [
    ("", []),
    ("for=192.0.2.60", [{"for": "192.0.2.60"}]),
    (
        "for=192.0.2.60;proto=http;by=203.0.113.43",
        [{"for": "192.0.2.60", "proto": "http", "by": "203.0.113.43"}],
    ),
    ("for=192.0.2.43, for=198.51.100.17", [{"for": "192.0.2.43"}, {"for": "198.51.100.17"}]),
    ('For="[2001:db8:cafe::17]:4711"', [{"for": "[2001:db8:cafe::17]:4711"}]),
    ('for="_gazonk"', [{"for": "_gazonk"}]),
    ("for=_hidden;PROTO=HTTPS", [{"for": "_hidden", "proto": "HTTPS"}]),
    ('for="a\\"b\\\\c,d;e"', [{"for": 'a"b\\c,d;e'}]),
    ('for="", for=b', [{"for": ""}, {"for": "b"}]),
    (" for=a ; proto=http ,\t, ;, for=b; ", [{"for": "a", "proto": "http"}, {"for": "b"}]),
    ("secret=x!y;host=example.com", [{"secret": "x!y", "host": "example.com"}]),
]
MALFORMED = ["for", "for=", "=a", "for =a", "for= a", 'for="a', 'for="a\\"', "for=a b", "for=[::1]", "for=a:80",
             "for=a;for=b", 'for="a"b', "for=a/b", "for=\xe9", "(a)=b"]  # fmt: skip


@pytest.mark.parametrize(("value", "elements"), WELL_FORMED)
def test_rfc_7239_section_4(value: str, elements: list[dict[str, str]]) -> None:
    assert parse_forwarded(value) == elements


@pytest.mark.parametrize("value", MALFORMED)
def test_rfc_7239_section_4_malformed(value: str) -> None:
    with pytest.raises(ProtocolError, match="RFC 7239") as caught:
        parse_forwarded(value)
    assert caught.value.status == 400


@pytest.mark.parametrize("value", [" " * 8000 + "!", "a=b " * 2000, 'a="' + "\\a" * 4000, ";" * 8000 + "?"])
def test_what_a_client_writes_into_it_is_read_in_linear_time(value: str) -> None:
    start = time.process_time()
    with pytest.raises(ProtocolError):
        parse_forwarded(value)
    assert time.process_time() - start < 0.5


# node, RFC 7239 section 6, and what X-Forwarded-For has
@pytest.mark.parametrize(
    ("text", "hop"),
    [
        ("192.0.2.1", ("192.0.2.1", 0)),
        ("192.0.2.1:80", ("192.0.2.1", 80)),
        ("192.0.2.1:_secret", ("192.0.2.1", 0)),
        ("192.0.2.1:", ("192.0.2.1", 0)),
        ("2001:db8::1", ("2001:db8::1", 0)),
        ("[2001:db8::1]", ("2001:db8::1", 0)),
        ("[2001:db8::1]:65535", ("2001:db8::1", 65535)),
        ("unknown", ("unknown", 0)),
        ("_hidden", ("_hidden", 0)),
        ("192.0.2.1:65536", ("192.0.2.1:65536", 0)),
        ("192.0.2.1:+80", ("192.0.2.1:+80", 0)),
        ("192.0.2.1:\u0668\u0660", ("192.0.2.1:\u0668\u0660", 0)),
        ("[::1", ("[::1", 0)),
        ("[::1]80", ("[::1]80", 0)),
        ("[]:80", ("[]:80", 0)),
        (":80", (":80", 0)),
    ],
)
def test_hops(text: str, hop: tuple[str, int]) -> None:
    assert parse_hop(text) == hop


@pytest.mark.parametrize(
    ("names", "trusted", "not_trusted"),
    [
        (
            LOCAL,
            ["", "127.0.0.1", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1"],
            ["127.0.0.2", "localhost", "::2", "x"],
        ),
        (
            ["10.0.0.0/8"],
            ["", "10.255.0.1", "::ffff:10.1.1.1"],
            ["11.0.0.1", "::1", "10.0.0", "10.0.0.1/32", "10.0.0.1 "],
        ),
        (["2001:db8::/32"], ["2001:DB8::1"], ["2001:db9::1", "127.0.0.1"]),
        (["::ffff:10.0.0.1"], ["10.0.0.1"], ["10.0.0.2"]),
        (["::ffff:10.0.0.0/104"], ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.1", "::1"]),
        (["::/0"], ["::1", "2001:db8::1"], ["10.0.0.1"]),
        (["*"], ["", "127.0.0.1", "anything"], []),
        ([], [""], ["127.0.0.1", "unknown"]),
        (["/run/x.sock", "unix"], ["", "unix", "/run/x.sock"], ["127.0.0.1", "/run/y.sock", "unix:"]),
        (LOCAL, [""], ["unix", "unknown"]),
        (["0.0.0.0/0"], ["1.2.3.4"], ["::1", "1" * 10_000]),
    ],
)
def test_trusted_peers(names: list[str], trusted: list[str], not_trusted: list[str]) -> None:
    peers = Trusted(names)
    for _ in range(2):
        assert [host for host in trusted if host not in peers] == []
        assert [host for host in not_trusted if host in peers] == []


def test_the_verdicts_that_are_kept_are_bounded() -> None:
    peers = Trusted(["10.0.0.0/8"])
    for number in range(10_000):
        assert f"10.0.{number // 250}.{number % 250}" in peers
    assert len(peers._known) <= 4096


def read(*lines: bytes, believed: tuple[bytes, ...] = BOTH, secure: Any = (), names: Any = LOCAL) -> Origin:
    _, exchange = begin(with_fields(*lines))
    return Forwarding(Trusted(names), believed, dict(secure)).read(exchange)


CLIENTS: list[tuple[tuple[str, ...], tuple[bytes, ...], tuple[str, int] | None]] = [
    (LOCAL, (b"X-Forwarded-For: 203.0.113.9",), ("203.0.113.9", 0)),
    (LOCAL, (b"X-Forwarded-For: 203.0.113.9:4711",), ("203.0.113.9", 4711)),
    (LOCAL, (b"X-Forwarded-For: [2001:db8::9]:4711",), ("2001:db8::9", 4711)),
    (LOCAL, (b"X-Forwarded-For: 6.6.6.6, 203.0.113.9",), ("203.0.113.9", 0)),
    (LOCAL, (b"X-Forwarded-For: 6.6.6.6, 203.0.113.9, ::1, 127.0.0.1",), ("203.0.113.9", 0)),
    (LOCAL, (b"X-Forwarded-For: 6.6.6.6", b"X-Forwarded-For: 203.0.113.9"), ("203.0.113.9", 0)),
    (LOCAL, (b"X-Forwarded-For: 203.0.113.9, ,",), ("203.0.113.9", 0)),
    (LOCAL, (b"X-Forwarded-For: 127.0.0.1, ::1",), ("127.0.0.1", 0)),
    (LOCAL, (b"X-Forwarded-For: 1.2.3.4, unknown, 127.0.0.1",), ("unknown", 0)),
    (LOCAL, (b"X-Forwarded-For:",), None),
    (LOCAL, (b"X-Forwarded-For: ,,",), None),
    (("10.0.0.0/8",), (b"X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.0.0.7, 10.0.0.8:80",), ("203.0.113.9", 0)),
    (("*",), (b"X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.0.0.7",), ("6.6.6.6", 0)),
    ((), (b"X-Forwarded-For: 6.6.6.6, 203.0.113.9",), ("203.0.113.9", 0)),
    (("unix",), (b"X-Forwarded-For: 203.0.113.9, unix:",), ("203.0.113.9", 0)),
    (("unix:/x",), (b"X-Forwarded-For: 203.0.113.9, unix:/x",), ("203.0.113.9", 0)),
    (LOCAL, (b"X-Forwarded-For: 203.0.113.9, unix:",), ("unix", 0)),
]


@pytest.mark.parametrize(("names", "lines", "client"), CLIENTS)
def test_x_forwarded_for_is_read_from_the_right(names: Any, lines: tuple[bytes, ...], client: Any) -> None:
    assert read(*lines, names=names).client == client


_ADDRESSES = st.sampled_from(
    ["127.0.0.1", "10.0.0.1", "10.9.9.9", "::1", "[::1]:80", "1.2.3.4:5", "8.8.8.8", "2001:db8::1"]
)


@settings(deadline=None, derandomize=True)
@given(
    st.lists(_ADDRESSES, min_size=1), st.sampled_from(["127.0.0.1,::1", "10.0.0.0/8", "*", "10.0.0.1,127.0.0.1,::1"])
)
def test_the_client_is_the_one_that_uvicorn_finds(hops: list[str], names: str) -> None:
    middleware = pytest.importorskip("uvicorn.middleware.proxy_headers")
    value = ", ".join(hops)
    expected = middleware._TrustedHosts(names).get_trusted_client_address(value)
    assert read(b"X-Forwarded-For: " + value.encode(), names=names.split(",")).client == expected


@pytest.mark.parametrize(
    ("lines", "scheme"),
    [
        ((b"X-Forwarded-Proto: https",), "https"),
        ((b"X-Forwarded-Proto: HTTP",), "http"),
        ((b"X-Forwarded-Proto: wss",), "https"),
        ((b"X-Forwarded-Proto: gopher",), None),
        ((b"X-Forwarded-Proto:",), None),
        ((b"X-Forwarded-Proto: http, https",), "https"),
        ((b"X-Forwarded-Proto: http", b"X-Forwarded-Proto: https"), "https"),
        ((b"X-Forwarded-Proto: https, http", b"X-Forwarded-For: 1.2.3.4, 127.0.0.1"), "https"),
        ((b"X-Forwarded-Proto: http, https", b"X-Forwarded-For: 6.6.6.6, 1.2.3.4"), "https"),
        ((b"X-Forwarded-Proto: http, https", b"X-Forwarded-For: 6.6.6.6, 1.2.3.4, 127.0.0.1"), "https"),
        ((b"X-Forwarded-Ssl: on",), None),
    ],
)
def test_x_forwarded_proto_is_that_of_the_clients_hop(lines: tuple[bytes, ...], scheme: str | None) -> None:
    assert read(*lines).scheme == scheme


def test_host_and_port_are_read_where_they_are_asked_for() -> None:
    lines = (b"X-Forwarded-Host: example.com", b"X-Forwarded-Port: 8443")
    assert read(*lines) == Origin()
    assert read(*lines, believed=(HOST, PORT)) == Origin(host=b"example.com", port=8443)
    assert read(*lines, believed=(HOST,)) == Origin(host=b"example.com")


@pytest.mark.parametrize("line", [b"X-Forwarded-Host: a/b", b"X-Forwarded-Host: a b", b"X-Forwarded-Host: :80",
                                  b"X-Forwarded-Port: 0x50", b"X-Forwarded-Port: 65536",
                                  b"X-Forwarded-Port: -1"])  # fmt: skip
def test_a_host_or_port_that_is_none_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        read(line, believed=(HOST, PORT))
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("lines", "origin"),
    [
        ((b"Forwarded: for=1.2.3.4;proto=https;host=example.com",), Origin(("1.2.3.4", 0), "https", b"example.com")),
        ((b"Forwarded: for=6.6.6.6;proto=http, for=1.2.3.4;proto=https",), Origin(("1.2.3.4", 0), "https")),
        (
            (b"Forwarded: for=6.6.6.6, for=1.2.3.4;proto=https, for=127.0.0.1;proto=http",),
            Origin(("1.2.3.4", 0), "https"),
        ),
        ((b"Forwarded: for=6.6.6.6", b'Forwarded: for="[2001:db8::1]:80"'), Origin(("2001:db8::1", 80))),
        ((b"Forwarded: for=1.2.3.4, for=_secret", b"Forwarded: for=127.0.0.1"), Origin(("_secret", 0))),
        ((b"Forwarded: for=1.2.3.4, proto=https",), Origin(scheme="https")),
        ((b"Forwarded:",), Origin()),
        ((b"X-Forwarded-For: 1.2.3.4",), Origin()),
    ],
)
def test_forwarded_is_read_from_the_right(lines: tuple[bytes, ...], origin: Origin) -> None:
    assert read(*lines, believed=(FORWARDED,)) == origin


def test_a_quote_that_a_client_leaves_open_hides_nothing() -> None:
    with pytest.raises(ProtocolError, match="malformed Forwarded"):
        read(b'Forwarded: for="6.6.6.6', b"Forwarded: for=1.2.3.4", believed=(FORWARDED,))


@pytest.mark.parametrize(
    ("lines", "scheme"),
    [
        ((b"X-Forwarded-Proto: https",), "https"),
        ((b"X-Forwarded-Proto: HTTPS",), "http"),
        ((b"X-Forwarded-Proto: http",), "http"),
        ((b"X-Forwarded-Ssl: on", b"X-Forwarded-Protocol: ssl"), "https"),
        ((b"X-Forwarded-Proto: https", b"X-Forwarded-Proto: https"), "https"),
        ((b"X-Forwarded-For: 1.2.3.4",), None),
        ((b"X-Forwarded-Ssl: on", b"X-Forwarded-Proto: http"), 400),
        ((b"X-Forwarded-Proto: https", b"X-Forwarded-Proto: http"), 400),
        ((b"X-Forwarded-Ssl: off", b"X-Forwarded-Proto: https"), 400),
    ],
)
def test_secure_scheme_headers_must_agree(lines: tuple[bytes, ...], scheme: str | int | None) -> None:
    if scheme == 400:
        with pytest.raises(ProtocolError) as caught:
            read(*lines, believed=(), secure=SECURE)
        assert caught.value.status == 400
    else:
        assert read(*lines, believed=(), secure=SECURE) == Origin(scheme=scheme)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lines", "scheme"),
    [
        ((b"X-Forwarded-Proto: HTTPS", b"X-Forwarded-Ssl: on"), "https"),
        ((b"X-Forwarded-Proto: wss", b"X-Forwarded-Ssl: on"), "https"),
        ((b"X-Forwarded-Proto: https", b"X-Forwarded-Proto: HTTPS"), "https"),
        ((b"X-Forwarded-Proto: https, http", b"X-Forwarded-For: 1.2.3.4, 127.0.0.1"), "https"),
        ((b"X-Forwarded-Ssl: on",), None),
        ((b"X-Forwarded-Proto: gopher", b"X-Forwarded-Ssl: on"), None),
        ((b"X-Forwarded-Proto: https", b"X-Forwarded-Proto: http"), 400),
        ((b"X-Forwarded-Proto: http", b"X-Forwarded-Ssl: on"), 400),
        ((b"X-Forwarded-Proto: https", b"X-Forwarded-Protocol: http"), 400),
        ((b"X-Forwarded-Ssl: on", b"X-Forwarded-Protocol: http"), 400),
    ],
)
def test_secure_scheme_headers_that_decide_nothing_must_agree(lines: tuple[bytes, ...], scheme: Any) -> None:
    _, exchange = begin(with_fields(*lines))
    forwarding = Forwarding(Trusted(LOCAL), BOTH, dict(SECURE), decides=False)
    if scheme == 400:
        with pytest.raises(ProtocolError, match="contradictory scheme headers"):
            forwarding.read(exchange)
    else:
        assert forwarding.read(exchange).scheme == scheme


@pytest.mark.parametrize(
    ("host", "parts"),
    [
        (b"a", ("a", None)),
        (b"a:80", ("a", 80)),
        (b"[::1]", ("[::1]", None)),
        (b"[::1]:8", ("[::1]", 8)),
        (b"a:", ("a", None)),
    ],
)
def test_split_host(host: bytes, parts: tuple[str, int | None]) -> None:
    assert split_host(host) == parts


# WSGI


def keys(*believed: bytes, header_map: str = "drop", forwarder: frozenset[bytes] = FORWARDER) -> EnvironKeys:
    return EnvironKeys(header_map, forwarder, Forwarding(Trusted(LOCAL), believed, SECURE))


def environ(*lines: bytes, keys: EnvironKeys, target: bytes = b"/a/b%20c", **more: Any) -> dict[str, Any]:
    _, exchange = begin(with_fields(*lines).replace(b"GET / ", b"GET " + target + b" "))
    made = make_environ(exchange, template(REMOTE_PORT="9", **more), keys)
    assert exchange.client == ("" if made["REMOTE_ADDR"] == "127.0.0.1" else made["REMOTE_ADDR"])
    return made


def test_by_default_wsgi_has_gunicorns_rule() -> None:
    made = environ(b"X-Forwarded-For: 1.2.3.4", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: b", keys=keys())
    assert made["wsgi.url_scheme"] == "https"
    assert (made["REMOTE_ADDR"], made["REMOTE_PORT"], made["HTTP_HOST"]) == ("127.0.0.1", "9", "a")
    assert made["HTTP_X_FORWARDED_FOR"] == "1.2.3.4"


def test_proxy_headers_rewrite_the_environ() -> None:
    made = environ(
        *(b"X-Forwarded-For: 1.2.3.4:5", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: [::1]"),
        keys=keys(FOR, PROTO, HOST, PORT),
    )
    assert (made["REMOTE_ADDR"], made["REMOTE_PORT"], made["wsgi.url_scheme"]) == ("1.2.3.4", "5", "https")
    assert (made["HTTP_HOST"], made["SERVER_NAME"], made["SERVER_PORT"]) == ("[::1]", "[::1]", "443")
    made = environ(
        b"X-Forwarded-For: 1.2.3.4", b"X-Forwarded-Host: b:81", b"X-Forwarded-Port: 82", keys=keys(FOR, HOST, PORT)
    )
    assert (made["REMOTE_PORT"], made["HTTP_HOST"], made["SERVER_NAME"], made["SERVER_PORT"]) == ("", "b:81", "b", "82")


def test_forwarded_gives_the_scheme_where_no_secure_scheme_header_does() -> None:
    made = environ(b"Forwarded: for=1.2.3.4;proto=https", keys=keys(FORWARDED))
    assert (made["REMOTE_ADDR"], made["wsgi.url_scheme"]) == ("1.2.3.4", "https")


def test_a_trusted_proxy_may_set_the_script_name() -> None:
    made = environ(b"SCRIPT_NAME: /a/", b"REMOTE_USER: x", keys=keys())
    assert (made["SCRIPT_NAME"], made["PATH_INFO"], made["HTTP_SCRIPT_NAME"]) == ("/a", "/b c", "/a/")
    assert "HTTP_REMOTE_USER" not in made
    made = environ(b"SCRIPT_NAME: /x", keys=keys(), SCRIPT_NAME="/a")
    assert (made["SCRIPT_NAME"], made["PATH_INFO"]) == ("/x", "/a/b c")
    made = environ(b"SCRIPT_NAME: /x", b"SCRIPT_NAME: /a", keys=keys())
    assert (made["SCRIPT_NAME"], made["PATH_INFO"]) == ("/a", "/b c")


def test_all_names_with_an_underscore() -> None:
    made = environ(b"REMOTE_USER: x", b"SCRIPT_NAME: /a", keys=keys(forwarder=frozenset((b"*",))))
    assert (made["HTTP_REMOTE_USER"], made["SCRIPT_NAME"]) == ("x", "/a")


@pytest.mark.parametrize(
    "lines", [(b"REMOTE_USER: proxy", b"Remote-User: client"), (b"Remote-User: client", b"REMOTE_USER: proxy")]
)
def test_a_forwarders_field_is_not_the_clients_of_the_same_key(lines: tuple[bytes, ...]) -> None:
    for header_map in ("drop", "refuse", "dangerous"):
        trusted = keys(header_map=header_map, forwarder=frozenset((b"remote_user",)))
        assert environ(*lines, keys=trusted)["HTTP_REMOTE_USER"] == "proxy"


def test_others_with_an_underscore_are_still_refused() -> None:
    with pytest.raises(ProtocolError):
        environ(b"REMOTE_USER: x", keys=keys(header_map="refuse"))


def test_what_others_than_trusted_proxies_say_changes_nothing() -> None:
    lines = (b"X-Forwarded-For: 1.2.3.4", b"X-Forwarded-Proto: https", b"SCRIPT_NAME: /a", b"Forwarded: for=1.2.3.4")
    made = environ(*lines, keys=EnvironKeys("drop"))
    for line in lines:
        name = line.partition(b":")[0].decode().upper().replace("-", "_")
        made.pop(f"HTTP_{name}", None)
    assert made == environ(keys=EnvironKeys("drop"))
    assert environ(*lines, keys=EnvironKeys("dangerous"))["SCRIPT_NAME"] == ""


# ASGI


def scope(*lines: bytes, believed: tuple[bytes, ...] | None = BOTH) -> dict[str, Any]:
    _, exchange = begin(with_fields(*lines))
    made = ScopeTemplate(("127.0.0.1", 9), ("127.0.0.1", 8000), "http", "", None)
    if believed is not None:
        made.forwarding = Forwarding(Trusted(LOCAL), believed, {})
    made_scope = made.make(exchange)
    assert exchange.client == ("" if made_scope["client"][0] == "127.0.0.1" else made_scope["client"][0])
    return made_scope


def test_by_default_asgi_has_uvicorns_rule() -> None:
    made = scope(b"X-Forwarded-For: 6.6.6.6, 1.2.3.4", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: b")
    assert (made["client"], made["scheme"], made["server"]) == (("1.2.3.4", 0), "https", ("127.0.0.1", 8000))
    assert (b"host", b"a") in made["headers"]


def test_proxy_headers_rewrite_the_scope() -> None:
    believed = (FOR, PROTO, HOST, PORT)
    made = scope(b"X-Forwarded-Proto: https", b"X-Forwarded-Host: b", believed=believed)
    assert (made["client"], made["server"]) == (("127.0.0.1", 9), ("b", 443))
    assert [value for name, value in made["headers"] if name == b"host"] == [b"b"]
    assert scope(b"X-Forwarded-Host: b:81", believed=believed)["server"] == ("b", 81)
    assert scope(b"X-Forwarded-Port: 82", believed=believed)["server"] == ("127.0.0.1", 82)


def test_fields_of_others_change_no_scope() -> None:
    lines = (b"X-Forwarded-For: 1.2.3.4", b"X-Forwarded-Proto: https")
    made, plain = scope(*lines, believed=None), scope(believed=None)
    del made["headers"], plain["headers"]
    assert made == plain
