"""One response: what RFC 9110 lets an application say, and in which order."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyserve.protocol.errors import ApplicationError, Disconnected
from pyserve.protocol.exchange import Receiving
from tests.protocol.exchange_peer import (
    GET,
    HEAD,
    LENGTH,
    TAKES_TRAILERS,
    THREE,
    begin,
    read,
    send,
    sent,
)

# Nothing can be put into a response but what is meant (RFC 9110 section 5.5, RFC 9112 section 11.1)

BAD_FIELDS = [
    (b"X", b"a\r\nInjected: b"),
    (b"X", b"a\nb"),
    (b"X", b"a\rb"),
    (b"X", b"a\r\n b"),
    (b"X", b"a\r\n"),
    (b"X", b"\r\n\r\n<html>"),
    (b"X", b"a\0b"),
    (b"X", b"\0"),
    (b"X", b"a\x01"),
    (b"X", b"\x0b"),
    (b"X", b"\x7f"),
    (b"X\r\nInjected", b"a"),
    (b"X: y\r\nInjected", b"a"),
    (b"X:", b"a"),
    (b"X ", b"a"),
    (b" X", b"a"),
    (b"X Y", b"a"),
    (b"", b"a"),
    (b"\xe9", b"a"),
    (b"X\0", b"a"),
    ("X", b"a"),
    (b"X", "a"),
    (b"X", None),
    (b"X", 5),
]


@pytest.mark.parametrize(("name", "value"), BAD_FIELDS)
@pytest.mark.parametrize("way", ["head", "early hints", "trailers"])
def test_a_field_is_one_line(name: Any, value: Any, way: str) -> None:
    wire, exchange = begin(TAKES_TRAILERS)
    good = (b"Good", b"1")
    if way == "trailers":
        exchange.send_head(200, None, [])
        exchange.send_body(b"a", True)
    before = list(wire.out)
    call = {
        "head": lambda fields: exchange.send_head(200, None, fields),
        "early hints": exchange.send_early_hints,
        "trailers": exchange.send_trailers,
    }[way]
    with pytest.raises(ApplicationError):
        call([good, (name, value), good])
    assert wire.out == before


@given(st.lists(st.tuples(st.binary(max_size=5), st.binary(max_size=12)), max_size=4))
@example([(b"te", b"trailers"), (b"x", b"1")])
@settings(max_examples=200, deadline=None, derandomize=True)
def test_fields_arrive_as_they_were_given_or_not_at_all(fields: list[tuple[bytes, bytes]]) -> None:
    wire, exchange = begin()
    try:
        exchange.send_head(200, None, fields)
    except ApplicationError:
        return
    exchange.send_body(b"abc", False)
    response = read(wire)
    assert response.content == b"abc"
    # TE is hop-by-hop: the server's own business (RFC 9110 section 7.6.1).
    given_fields = [(name.lower(), value.strip(b" \t")) for name, value in fields if name.lower() != b"te"]
    assert [*given_fields, (LENGTH, b"3")] == list(response.fields)


def test_fields_in_their_order_and_as_they_are() -> None:
    wire, exchange = begin()
    fields = [(b"Set-Cookie", b"a=1"), (b"x-y", b" \t"), (b"Set-Cookie", b"b=\xff"), (b"X-Y", b"")]
    exchange.send_head(200, None, fields)
    exchange.send_body(b"", False)
    assert b"\r\nSet-Cookie: a=1\r\nx-y:  \t\r\nSet-Cookie: b=\xff\r\nX-Y: \r\n" in sent(wire)
    assert exchange.response_fields == fields


@pytest.mark.parametrize(
    "name",
    [b"Connection", b"KEEP-ALIVE", b"Proxy-Connection", b"te", b"Transfer-Encoding", b"Upgrade"],
)
def test_hop_by_hop_fields_are_the_servers_business(name: bytes) -> None:
    """RFC 9110 section 7.6.1, PEP 3333 ("Other HTTP Features")."""
    wire, exchange = begin()
    exchange.send_head(200, None, [(name, b"chunked"), (b"A", b"b"), (name, b"x"), (name.lower(), b"y")])
    exchange.send_body(b"abc", False)
    response = read(wire)
    assert response.fields == ((b"a", b"b"), (LENGTH, b"3"))
    assert not wire.closing


@pytest.mark.parametrize(
    ("value", "kept"), [(b"close", False), (b"x, CLOSE", False), (b"keep-alive", True), (b"", True)]
)
def test_the_application_may_close(value: bytes, kept: bool) -> None:
    wire, exchange = begin()
    exchange.send_head(200, None, [(b"connection", value)])
    exchange.send_body(b"", False)
    assert read(wire)[b"connection"] == (None if kept else b"close")
    assert wire.closing is not kept


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], [(b"date", b"now"), (b"server", b"us")]),
        ([(b"DATE", b"then")], [(b"server", b"us"), (b"date", b"then")]),
        ([(b"server", b"app")], [(b"date", b"now"), (b"server", b"app")]),
        ([(b"Date", b"then"), (b"Server", b"app")], [(b"date", b"then"), (b"server", b"app")]),
    ],
)
def test_date_and_server_unless_the_application_sets_them(
    fields: list[tuple[bytes, bytes]], expected: list[tuple[bytes, bytes]]
) -> None:
    wire, exchange = begin(date=b"Date: now\r\n", server=b"Server: us\r\n")
    exchange.send_head(200, None, fields)
    exchange.send_body(b"", False)
    assert list(read(wire).fields) == [*expected, (LENGTH, b"0")]


@pytest.mark.parametrize("fields", [[], [(b"server", b"app")], [(b"content-length", b"0")]])
def test_fields_of_every_response(fields: list[tuple[bytes, bytes]]) -> None:
    wire, exchange = begin(server=b"Server: us\r\nX-A: b\r\n", extra=b"X-A: b\r\n")
    exchange.send_head(200, None, fields)
    exchange.send_body(b"", False)
    found = list(read(wire).fields)
    assert found.count((b"x-a", b"b")) == 1
    assert [value for name, value in found if name == b"server"] == [b"app" if b"server" in dict(fields) else b"us"]


def test_a_worker_that_retires_keeps_no_connection() -> None:
    wire, exchange = begin()
    wire.config.retiring = True
    exchange.send_head(200, None, [])
    exchange.send_body(b"abc", False)
    assert read(wire)[b"connection"] == b"close"
    assert wire.closing


# The length is kept (RFC 9110 section 8.6)


@pytest.mark.parametrize(
    "fields",
    [
        [(b"Content-Length", b"")],
        [(b"Content-Length", b"-1")],
        [(b"Content-Length", b"+1")],
        [(b"Content-Length", b"1_0")],
        [(b"Content-Length", b" 1")],
        [(b"Content-Length", b"1, 1")],
        [(b"Content-Length", b"0x1")],
        [(b"Content-Length", b"1" * 19)],
        [(b"Content-Length", b"9" * 5000)],
        [(b"Content-Length", b"\xd9\xa5")],
        [(b"Content-Length", "1")],
        [(b"Content-Length", b"1"), (b"content-length", b"1")],
    ],
)
def test_a_length_is_a_number_and_there_is_one(fields: list[tuple[bytes, Any]]) -> None:
    _, exchange = begin()
    with pytest.raises(ApplicationError):
        exchange.send_head(200, None, fields)


@pytest.mark.parametrize(
    "data", [[b"abcde"], [b"abc", b"de"], [b"ab", b"cde"], [b"abc", b"d", b"e"], [b"ab", b"", b"cd"]]
)
def test_too_much_is_cut(data: list[bytes]) -> None:
    wire, exchange = begin()
    exchange.send_head(200, None, THREE)
    send(exchange, data)
    assert read(wire).content == b"abcde"[:3]
    assert "more data than Content-Length (3)" in exchange.complaint
    assert exchange.body_sent == 3
    assert not wire.closing


@pytest.mark.parametrize("data", [[b""], [b"ab"], [b"a", b"b"], [b"ab", b""]])
def test_too_little_closes(data: list[bytes]) -> None:
    wire, exchange = begin(GET + GET)
    exchange.send_head(200, None, THREE)
    send(exchange, data)
    assert wire.closing
    assert wire.proceed() is None
    assert not read(wire).whole
    assert "less than Content-Length (3)" in exchange.complaint


@pytest.mark.parametrize("status", [204, 205, 304])
def test_content_where_none_may_be_is_not_sent_and_complained_of(status: int) -> None:
    wire, exchange = begin()
    exchange.send_head(status, None, [])
    exchange.send_body(b"abc", False)
    assert b"abc" not in sent(wire)
    assert str(status) in exchange.complaint
    assert exchange.body_sent == 0


def test_head_may_have_data_without_complaint() -> None:
    _, exchange = begin(HEAD)
    exchange.send_head(200, None, THREE)
    exchange.send_body(b"abc", True)
    exchange.send_body(b"abc", False)
    assert exchange.complaint == ""


# Order


def test_data_before_the_head() -> None:
    wire, exchange = begin()
    with pytest.raises(ApplicationError, match="before"):
        exchange.send_body(b"abc", True)
    assert wire.out == []


def test_a_head_may_be_replaced_until_it_has_left() -> None:
    wire, exchange = begin()
    exchange.send_head(200, None, [*THREE, (b"A", b"1"), (b"Date", b"then")])
    exchange.send_head(404, b"Gone for good", [(b"B", b"2")])
    exchange.send_body(b"abcde", False)
    response = read(wire)
    assert (response.status, response.reason) == (404, b"Gone for good")
    assert response.fields == ((b"b", b"2"), (LENGTH, b"5"))
    assert response.content == b"abcde"


def test_nothing_replaces_a_head_that_has_left() -> None:
    _, exchange = begin()
    exchange.send_head(200, None, [])
    exchange.send_body(b"", True)
    with pytest.raises(ApplicationError, match="begun"):
        exchange.send_head(200, None, [])


def test_nothing_follows_the_end() -> None:
    wire, exchange = begin()
    exchange.send_head(200, None, [])
    exchange.send_body(b"abc", False)
    sent(wire)
    with pytest.raises(ApplicationError):
        exchange.send_body(b"d", False)
    with pytest.raises(ApplicationError):
        exchange.send_body(b"", False)
    with pytest.raises(ApplicationError):
        exchange.send_head(200, None, [])
    with pytest.raises(ApplicationError):
        exchange.send_trailers([])
    with pytest.raises(ApplicationError):
        exchange.send_early_hints([])
    exchange.fail(500, "too late")
    assert wire.out == []
    assert exchange.status == 200


def test_the_peer_has_gone() -> None:
    """Every way to send says so, and none is the application's mistake."""
    wire, exchange = begin()
    exchange.send_head(200, None, [])
    exchange.send_body(b"a", True)
    wire.lose()
    with pytest.raises(Disconnected):
        exchange.send_body(b"b", True)
    with pytest.raises(Disconnected):
        exchange.send_trailers([])
    with pytest.raises(Disconnected):
        exchange.send_early_hints([])
    with pytest.raises(Disconnected):
        exchange.send_head(200, None, [])
    exchange.send_continue()
    assert wire.out == []


# The request's content


def test_taking_content() -> None:
    _, exchange = begin(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
    assert (exchange.take(), exchange.take(5), exchange.buffered) == (b"", b"", 0)
    exchange.store(b"0123456789")
    exchange.store(bytearray(b"ab"))
    assert exchange.buffered == 12
    assert exchange.take(0) == b""
    assert exchange.take(3) == b"012"
    assert exchange.take(9) == b"3456789ab"
    exchange.store(b"x")
    assert exchange.take(9) == b"x"
    exchange.store(b"yz")
    assert exchange.take() == b"yz"
    assert exchange.buffered == 0
    assert exchange.receiving is Receiving.BODY


def test_stamps_are_the_drivers() -> None:
    _, exchange = begin()
    stamps = ("arrived", "parsed", "called", "answered", "finished")
    assert [getattr(exchange, stamp) for stamp in stamps] == [0.0] * 5
