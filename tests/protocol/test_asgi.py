"""ASGI: the scope, and what an application receives (HTTP spec 2.5)."""

from typing import Any

import pytest

from pyserve.protocol.asgi import Message, ScopeTemplate
from pyserve.protocol.errors import Disconnected
from tests.protocol.asgi_peer import CHUNKED, DISCONNECT, EXPECT, POST, Peer, Running, body, start

# scope


def scope_of(octets: bytes, **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "client": ("192.0.2.1", 5000),
        "server": ("127.0.0.1", 8000),
        "scheme": "http",
        "root_path": "",
        "state": None,
        **more,
    }
    return ScopeTemplate(**given).make(Peer(octets).exchange)


def test_scope_is_asgi_2_5s() -> None:
    octets = b"POST /a%20b/%C3%A9?c=%20d HTTP/1.1\r\nHost: A\r\nX-Y:1\r\nx-y: 2\r\nX_Z: 3\r\nContent-Length: 0\r\n\r\n"
    assert scope_of(octets) == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/a b/\u00e9",
        "raw_path": b"/a%20b/%C3%A9",
        "query_string": b"c=%20d",
        "root_path": "",
        "headers": [(b"host", b"A"), (b"x-y", b"1"), (b"x-y", b"2"), (b"x_z", b"3"), (b"content-length", b"0")],
        "client": ("192.0.2.1", 5000),
        "server": ("127.0.0.1", 8000),
        "extensions": {"http.response.pathsend": {}, "http.response.early_hint": {}, "http.response.trailers": {}},
    }


def test_scope_of_another_kind() -> None:
    scope = scope_of(b"GET / HTTP/1.0\r\n\r\n", client=None, server=("/run/a.sock", None), scheme="https")
    assert (scope["client"], scope["server"], scope["scheme"]) == (None, ("/run/a.sock", None), "https")
    assert (scope["http_version"], scope["headers"], scope["query_string"]) == ("1.0", [], b"")
    assert type(scope) is dict
    assert "state" not in scope


def test_scope_keeps_the_case_of_methods() -> None:
    assert scope_of(b"brew / HTTP/1.1\r\nHost: a\r\n\r\n")["method"] == "brew"


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        (b"/%2F%41", "//A", b"/%2F%41", b""),
        (b"/%ff", "/\ufffd", b"/%ff", b""),
        (b"/%zz?", "/%zz", b"/%zz", b""),
        (b"http://a/b?c", "/b", b"/b", b"c"),
        (b"http://a", "/", b"/", b""),
    ],
)
def test_paths(target: bytes, path: str, raw_path: bytes, query: bytes) -> None:
    scope = scope_of(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw_path, query)


def test_root_path_is_part_of_path() -> None:
    scope = scope_of(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", root_path="/app")
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/app", "/app/a", b"/app/a")


def test_state_is_copied_and_no_deeper() -> None:
    deep = {"a": 1}
    state = {"deep": deep}
    template = ScopeTemplate(None, None, "http", "", state)
    one, other = template.make(Peer().exchange), template.make(Peer().exchange)
    one["state"]["mine"] = 1
    assert other["state"] == state == {"deep": deep}
    assert one["state"]["deep"] is deep
    assert ScopeTemplate(None, None, "http", "", {}).make(Peer().exchange)["state"] == {}


def test_what_one_application_does_to_its_scope_stays_there() -> None:
    template = ScopeTemplate(None, None, "http", "", None)
    one = template.make(Peer().exchange)
    one["asgi"]["version"] = "1"
    one["extensions"]["mine"] = {}
    one["path"] = one["type"] = "x"
    other = template.make(Peer().exchange)
    assert other["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert set(other["extensions"]) == {"http.response.pathsend", "http.response.early_hint", "http.response.trailers"}
    assert (other["path"], other["type"]) == ("/", "http")


# receive


def request(content: bytes, more: bool = False) -> Message:
    return {"type": "http.request", "body": content, "more_body": more}


def test_no_content() -> None:
    peer = Peer()
    assert peer.receive() == request(b"")
    running = Running(peer.call.receive())
    assert running.waits_for == "arrival"  # until the peer leaves or the response is complete
    peer.send(start(), body(b"a"))
    running.go_on()
    assert running.result == DISCONNECT
    assert peer.receive() == DISCONNECT


def test_content_that_is_here() -> None:
    peer = Peer(POST + b"abcdef")
    assert peer.receive() == request(b"abcdef")
    assert peer.times_taken == 1


@pytest.mark.parametrize(
    ("head", "pieces", "expected"),
    [
        (POST, [b"ab", b"cd", b"ef"], [request(b"ab", True), request(b"cd", True), request(b"ef")]),
        (CHUNKED, [b"2\r\nab\r\n", b"4\r\ncdef", b"\r\n0\r\n\r\n"],
         [request(b"ab", True), request(b"cdef", True), request(b"")]),
    ],
)  # fmt: skip
def test_content_streams(head: bytes, pieces: list[bytes], expected: list[Message]) -> None:
    peer = Peer(head)
    got = []
    for piece in pieces:
        running = Running(peer.call.receive())
        assert running.waits_for == "arrival"
        running.go_on()
        assert running.waits_for == "arrival"  # woken for nothing
        peer.wire.receive(piece)
        running.go_on()
        got.append(running.result)
    assert got == expected


def test_content_that_came_in_the_meantime_is_one_message() -> None:
    peer = Peer(POST)
    for piece in (b"ab", b"c", b"d"):
        peer.wire.receive(piece)
    assert peer.receive() == request(b"abcd", True)
    peer.wire.receive(b"ef")
    assert peer.receive() == request(b"ef")


def test_continue_is_said_at_the_first_receive() -> None:
    peer = Peer(EXPECT)
    assert peer.sent == b""
    running = Running(peer.call.receive())
    assert running.waits_for == "arrival"
    assert peer.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    peer.wire.receive(b"abc")
    running.go_on()
    assert running.result == request(b"abc", True)
    Running(peer.call.receive())
    assert peer.sent.count(b"100") == 1


def test_continue_is_not_said_behind_the_response() -> None:
    peer = Peer(EXPECT)
    peer.send(start(), body(b"a", True))
    Running(peer.call.receive())
    assert b"100 Continue" not in peer.sent


def test_a_peer_that_has_ended_reads_its_answer() -> None:
    """A FIN is no death: the request is delivered, then http.disconnect, and the response is sent in full."""
    peer = Peer(POST + b"abcdef")
    peer.wire.receive_eof()
    assert peer.receive() == request(b"abcdef")
    assert peer.receive() == DISCONNECT
    peer.send(start(), body(b"a", True), body(b"b"))
    assert peer.response.content == b"ab"


def test_a_peer_that_ends_while_receive_waits() -> None:
    peer = Peer()
    peer.receive()
    running = Running(peer.call.receive())
    peer.wire.receive_eof()
    running.go_on()
    assert running.result == DISCONNECT
    assert not peer.exchange.gone


@pytest.mark.parametrize("lose", ["lose", "receive_eof", "expire"])
def test_a_peer_that_leaves_within_content(lose: str) -> None:
    peer = Peer(POST + b"ab")
    assert peer.receive() == request(b"ab", True)
    running = Running(peer.call.receive())
    getattr(peer.wire, lose)()
    running.go_on()
    assert running.result == DISCONNECT
    for message in (start(), body(b"a")):
        with pytest.raises(Disconnected):
            peer.send(message)


def test_content_of_a_lost_connection_is_not_delivered_as_if_whole() -> None:
    peer = Peer(POST + b"abcdef")
    peer.wire.lose()
    assert peer.receive() == DISCONNECT


def test_malformed_content() -> None:
    peer = Peer(CHUNKED)
    running = Running(peer.call.receive())
    peer.wire.receive(b"x\r\n")
    running.go_on()
    assert running.result == DISCONNECT
    peer.flush()
    assert peer.response.status == 400
