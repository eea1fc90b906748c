"""WSGI: start_response, write and blocks (PEP 3333)."""

import gc
import itertools
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from pyserve.protocol.errors import ApplicationError
from pyserve.protocol.wsgi import serve
from tests.protocol.wsgi_peer import (
    GET,
    HEAD,
    Peer,
    Start,
    hello,
    make,
)

# start_response


def test_a_list_of_one_block_gets_a_length() -> None:
    peer = Peer()
    response = peer.serve(hello)
    assert response.content == b"hello"
    assert response[b"content-length"] == b"5"
    assert peer.flushed == [b"".join(peer.flushed)]  # in one piece


@pytest.mark.parametrize("result", [[], (), [b""], [b"a", b"", b"b"], (b"a", b"b")])
def test_what_is_all_at_hand_gets_a_length(result: Any) -> None:
    def application(environ: Any, start_response: Start) -> Any:
        start_response("200 OK", [])
        return result

    response = Peer().serve(application)
    assert response.content == b"".join(result)
    assert response[b"content-length"] == b"%d" % len(b"".join(result))


@pytest.mark.parametrize("octets", [GET, HEAD])
@pytest.mark.parametrize("fields", [[], [("Content-Length", str(3 * (1 << 20)))]])
def test_large_blocks_that_are_all_at_hand_are_not_copied(octets: bytes, fields: list[tuple[str, str]]) -> None:
    blocks = [letter * (1 << 20) for letter in (b"a", b"b", b"c")]
    peer = Peer(octets)

    def application(environ: Any, start_response: Start) -> Any:
        start_response("200 OK", fields)
        return [blocks[0], b"", *blocks[1:]]

    serve(application, make(peer.exchange), peer.exchange, peer)
    sent = [data for data in peer.wire.out if len(data) > 1000]
    assert [id(data) for data in sent] == ([id(block) for block in blocks] if octets == GET else [])
    peer.flush()
    assert peer.response[b"content-length"] == b"%d" % (3 << 20)
    assert peer.response.content == (b"".join(blocks) if octets == GET else b"")
    assert not peer.wire.closing


def test_large_blocks_before_a_head_are_an_error() -> None:
    peer = Peer()
    with pytest.raises(ApplicationError, match="before the response's head"):
        peer.serve(lambda environ, start_response: [b"a" * (1 << 20)] * 2)


def test_blocks_are_sent_without_delay() -> None:
    """PEP 3333, "Buffering and Streaming": each before the next is asked for."""
    peer = Peer()
    flushed_before = []

    def application(environ: Any, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [])
        for block in (b"one", b"", b"two", b"three"):
            yield block
            flushed_before.append(len(peer.flushed))

    response = peer.serve(application)
    assert flushed_before == [1, 1, 2, 3]
    assert response.content == b"onetwothree"
    assert response[b"transfer-encoding"] == b"chunked"
    assert peer.flushed[0].endswith(b"3\r\none\r\n")


def test_start_response_may_be_late() -> None:
    def application(environ: Any, start_response: Start) -> Iterator[bytes]:
        yield b""
        start_response("200 OK", [])
        yield b"a"

    assert Peer().serve(application).content == b"a"


def test_write() -> None:
    peer = Peer()

    def application(environ: Any, start_response: Start) -> list[bytes]:
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"one")
        assert len(peer.flushed) == 1
        write(b"")
        write(b"two")
        assert len(peer.flushed) == 3 - 1
        return [b"three"]

    assert peer.serve(application).content == b"onetwothree"


def test_write_with_a_length() -> None:
    def application(environ: Any, start_response: Start) -> list[bytes]:
        write = start_response("200 OK", [("Content-Length", "6")])
        write(b"one")
        write(b"two")
        return []

    peer = Peer()
    assert peer.serve(application).content == b"onetwo"
    assert not peer.wire.closing


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [("200 OK", 200, b"OK"), ("404 Nicht da \xe4", 404, b"Nicht da \xe4"), ("299", 299, b""), ("500 ", 500, b"")],
)
def test_statuses(status: str, code: int, reason: bytes) -> None:
    for _ in range(2):  # met before, and not
        peer = Peer()

        def application(environ: Any, start_response: Start) -> list[bytes]:
            start_response(status, [])
            return [b"a"]

        response = peer.serve(application)
        assert (response.status, response.reason) == (code, reason)


BAD_STARTS: list[tuple[str, Any, Any]] = [
    ("bytes", b"200 OK", []),
    ("a number", 200, []),
    ("None", None, []),
    ("empty", "", []),
    ("no code", "OK", []),
    ("two digits", "20 OK", []),
    ("four digits", "2000 OK", []),
    ("no space", "200OK", []),
    ("a sign", "+20 OK", []),
    ("other digits", "\u0662\u0660\u0660 OK", []),
    ("1xx", "100 Continue", []),
    ("101", "101 Switching Protocols", []),
    ("600", "600 Beyond", []),
    ("CR LF in the reason", "200 OK\r\nInjected: a", []),
    ("NUL in the reason", "200 O\0K", []),
    ("not latin-1", "200 \u20ac", []),
    ("headers None", "200 OK", None),
    ("bytes in headers", "200 OK", [(b"A", b"b")]),
    ("a name alone", "200 OK", [("A",)]),
    ("three", "200 OK", [("A", "b", "c")]),
    ("a number", "200 OK", [("Content-Length", 5)]),
    ("name not latin-1", "200 OK", [("\u20ac", "a")]),
    ("value not latin-1", "200 OK", [("A", "\u20ac")]),
    ("CR LF in a value", "200 OK", [("A", "b\r\nInjected: a")]),
    ("LF in a value", "200 OK", [("A", "b\nc")]),
    ("NUL in a value", "200 OK", [("A", "\0")]),
    ("a bad name", "200 OK", [("A b", "c")]),
    ("a colon in a name", "200 OK", [("A:", "c")]),
    ("no name", "200 OK", [("", "c")]),
    ("a bad length", "200 OK", [("Content-Length", "x")]),
    ("two lengths", "200 OK", [("Content-Length", "1"), ("content-length", "1")]),
]


@pytest.mark.parametrize(("status", "headers"), [pytest.param(*b[1:], id=b[0]) for b in BAD_STARTS])
def test_what_start_response_refuses(status: Any, headers: Any) -> None:
    peer = Peer()

    def application(environ: Any, start_response: Start) -> list[bytes]:
        with pytest.raises(ApplicationError):
            start_response(status, headers)
        start_response("200 OK", [("A", "b")])  # nothing of it remains
        return [b"a"]

    response = peer.serve(application)
    assert response.fields == ((b"a", b"b"), (b"content-length", b"1"))


def test_start_response_is_called_once() -> None:
    def application(environ: Any, start_response: Start) -> list[bytes]:
        start_response("200 OK", [])
        start_response("200 OK", [])
        return []

    with pytest.raises(ApplicationError, match="exc_info"):
        Peer().serve(application)


def test_start_response_is_called_before_data() -> None:
    def application(environ: Any, start_response: Start) -> list[bytes]:
        return [b"a"]

    with pytest.raises(ApplicationError):
        Peer().serve(application)


def test_exc_info_replaces_the_head() -> None:
    def application(environ: Any, start_response: Start) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "100"), ("X", "1"), ("Date", "then")])
        try:
            raise ValueError
        except ValueError:
            start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())
        return [b"failed"]

    response = Peer().serve(application)
    assert (response.status, response.reason, response.content) == (500, b"Oops", b"failed")
    assert response.fields == ((b"content-type", b"text/plain"), (b"content-length", b"6"))


def test_exc_info_is_raised_when_the_head_has_left() -> None:
    error = ValueError("mine")

    def application(environ: Any, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        try:
            raise error
        except ValueError:
            start_response("500 Oops", [], sys.exc_info())

    peer = Peer()
    with pytest.raises(ValueError, match="mine") as raised:
        peer.serve(application)
    assert raised.value is error
    assert peer.exchange.status == 200


def test_exc_info_makes_no_cycle() -> None:
    """PEP 3333: the frame of start_response must not keep the traceback that holds it."""

    class Mine(Exception):
        pass

    remembered: list[weakref.ref[Mine]] = []

    def application(environ: Any, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        try:
            raise Mine
        except Mine as error:
            remembered.append(weakref.ref(error))
            start_response("500 Oops", [], sys.exc_info())

    gc.disable()
    try:
        try:
            Peer().serve(application)
        except Mine:
            pass
        assert remembered[0]() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("result", [["a"], [bytearray(b"a")], "abc", b"abc", [None], [b"a", "b"], iter(["a"]), [5]])
def test_blocks_are_bytes(result: Any) -> None:
    def application(environ: Any, start_response: Start) -> Any:
        start_response("200 OK", [])
        return result

    with pytest.raises(ApplicationError, match="bytes"):
        Peer().serve(application)


def test_write_takes_bytes() -> None:
    def application(environ: Any, start_response: Start) -> list[bytes]:
        start_response("200 OK", [])("text")  # type: ignore[arg-type]
        return []

    with pytest.raises(ApplicationError, match="bytes"):
        Peer().serve(application)


def test_too_much_is_cut_and_not_asked_for() -> None:
    asked = []

    def application(environ: Any, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "3")])
        for n in itertools.count():
            asked.append(n)
            yield b"ab"

    peer = Peer()
    assert peer.serve(application).content == b"aba"
    assert len(asked) == 2
    assert "Content-Length" in peer.exchange.complaint


def test_nothing_is_read_of_a_body_for_head() -> None:
    asked = []

    def application(environ: Any, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "6")])
        for block in (b"abc", b"def"):
            asked.append(block)
            yield block

    peer = Peer(HEAD)
    response = peer.serve(application)
    assert (response.content, response[b"content-length"]) == (b"", b"6")
    assert asked == [b"abc"]
    assert not peer.wire.closing
