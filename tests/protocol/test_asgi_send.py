"""ASGI: what an application sends, in which order, and the extensions (HTTP spec 2.5)."""

from typing import Any

import pytest

from pyserve.protocol.asgi import Message
from pyserve.protocol.errors import ApplicationError, Disconnected
from pyserve.protocol.exchange import Receiving, Sending
from tests.protocol.asgi_peer import DISCONNECT, GET, POST, TAKES_TRAILERS, Peer, Running, body, start

# send


def test_a_response() -> None:
    peer = Peer()
    peer.send(start())
    assert peer.sent == b""
    peer.send(body(b"hello"))
    assert peer.response.content == b"hello"
    assert peer.response.fields == ((b"content-type", b"text/plain"), (b"content-length", b"5"))
    assert peer.exchange.sending is Sending.DONE


def test_a_response_in_pieces() -> None:
    peer = Peer()
    peer.send(start(), body(b"one", True))
    assert peer.sent.endswith(b"3\r\none\r\n")  # without delay
    peer.send(body(b"", True), body(b"two", True), body())
    assert peer.response.content == b"onetwo"
    assert peer.response[b"transfer-encoding"] == b"chunked"


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "http.response.start", "status": 200}, {"type": "http.response.body"}],
        [start(headers=[]), body()],
        [start(headers=()), body()],
        [start(headers=iter([])), body()],
        [start(trailers=False), body()],
        [start(reason="ignored"), body()],
    ],
)
def test_what_may_be_left_out(messages: list[Message]) -> None:
    peer = Peer()
    peer.send(*messages)
    assert (peer.response.status, peer.response.content) == (200, b"")


def test_headers_may_be_any_iterables() -> None:
    peer = Peer()
    peer.send(start(headers=([name, value] for name, value in [(b"A", b"b"), (b"C", b"d")])), body())
    assert peer.response.fields == ((b"a", b"b"), (b"c", b"d"), (b"content-length", b"0"))


@pytest.mark.parametrize("content", [b"abc", bytearray(b"abc"), memoryview(b"abc")])
def test_bodies(content: Any) -> None:
    peer = Peer()
    peer.send(start(), {"type": "http.response.body", "body": content})
    assert peer.response.content == b"abc"


def test_send_waits_while_the_peer_does_not_read() -> None:
    peer = Peer()
    peer.send(start())
    peer.full = True
    running = Running(peer.call.send(body(b"a", True)))
    assert running.waits_for == "writable"
    assert b"a" in peer.sent  # but what was given is on its way
    peer.full = False
    running.go_on()
    assert running.done
    peer.send(body(b"b"))
    assert peer.response.content == b"ab"


def test_send_that_is_cancelled_while_it_waits() -> None:
    peer = Peer()
    peer.send(start())
    peer.full = True
    running = Running(peer.call.send(body(b"a", True)))
    with pytest.raises(KeyboardInterrupt):
        running.throw(KeyboardInterrupt())
    peer.full = False
    peer.send(body(b"b"))
    assert peer.response.content == b"ab"


WITH_TRAILERS = start(trailers=True)
TRAILERS: Message = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}
PATHSEND: Message = {"type": "http.response.pathsend", "path": "/a"}
OUT_OF_ORDER: list[tuple[str, list[Message], Message]] = [
    ("a body first", [], body(b"a")),
    ("start twice", [start()], start()),
    ("start after data", [start(), body(b"a", True)], start()),
    ("start after the end", [start(), body(b"a")], start()),
    ("a body after the end", [start(), body(b"a")], body(b"b")),
    ("an empty body after the end", [start(), body(b"a")], body()),
    ("a file first", [], PATHSEND),
    ("trailers first", [], TRAILERS),
    ("trailers that were not announced", [start()], TRAILERS),
    ("trailers that were not announced, behind data", [start(), body(b"a", True)], TRAILERS),
    ("trailers before data", [WITH_TRAILERS], TRAILERS),
    ("trailers before the last data", [WITH_TRAILERS, body(b"a", True)], TRAILERS),
    ("trailers twice", [WITH_TRAILERS, body(b"a"), TRAILERS], TRAILERS),
    ("a body before trailers, after the last", [WITH_TRAILERS, body(b"a")], body(b"b")),
    ("a file before trailers, after the last", [WITH_TRAILERS, body(b"a")], PATHSEND),
    ("a body after trailers", [WITH_TRAILERS, body(b"a"), TRAILERS], body(b"b")),
    ("early hints after data", [start(), body(b"a", True)], {"type": "http.response.early_hint", "links": []}),
    ("a message of another kind", [start()], {"type": "http.response.debug"}),
    ("a message of a websocket", [], {"type": "websocket.accept"}),
]


@pytest.mark.parametrize(("before", "message"), [pytest.param(*o[1:], id=o[0]) for o in OUT_OF_ORDER])
def test_messages_out_of_order(before: list[Message], message: Message) -> None:
    peer = Peer(TAKES_TRAILERS)
    peer.send(*before)
    sent = peer.sent
    with pytest.raises(ApplicationError):
        peer.send(message)
    peer.flush()
    assert peer.sent == sent
    assert peer.opened == []


WRONG: list[tuple[str, list[Message], Message]] = [
    ("status", [], start(status="200")),
    ("status None", [], start(status=None)),
    ("status 101", [], start(status=101)),
    ("status 600", [], start(status=600)),
    ("header of str", [], start(headers=[("a", "b")])),
    ("value of str", [], start(headers=[(b"a", "b")])),
    ("splitting", [], start(headers=[(b"a", b"b\r\nc: d")])),
    ("bad name", [], start(headers=[(b"a b", b"c")])),
    ("length", [], start(headers=[(b"content-length", b"x")])),
    ("body of str", [start()], {"type": "http.response.body", "body": "a"}),
    ("body None", [start()], {"type": "http.response.body", "body": None}),
    ("body of numbers", [start()], {"type": "http.response.body", "body": [1]}),
    ("splitting in hints", [], {"type": "http.response.early_hint", "links": [b"a\r\nb: c"]}),
    ("hints of str", [], {"type": "http.response.early_hint", "links": ["a"]}),
    ("splitting in trailers", [WITH_TRAILERS, body()], {**TRAILERS, "headers": [(b"a", b"b\r\n\r\nc")]}),
    ("framing in trailers", [WITH_TRAILERS, body()], {**TRAILERS, "headers": [(b"Content-Length", b"1")]}),
]


@pytest.mark.parametrize(("before", "message"), [pytest.param(*w[1:], id=w[0]) for w in WRONG])
def test_messages_with_something_wrong(before: list[Message], message: Message) -> None:
    peer = Peer(TAKES_TRAILERS)
    peer.send(*before)
    sent = peer.sent
    with pytest.raises(ApplicationError):
        peer.send(message)
    peer.flush()
    assert peer.sent == sent


@pytest.mark.parametrize("message", [{}, {"type": "http.response.start"}])
def test_messages_with_something_missing(message: Message) -> None:
    with pytest.raises(KeyError):
        Peer().send(message)


def test_a_start_that_was_refused_may_be_made_good() -> None:
    peer = Peer()
    with pytest.raises(ApplicationError):
        peer.send(start(status=1000))
    peer.send(start(status=404), body(b"a"))
    assert peer.response.status == 404


@pytest.mark.parametrize(
    ("before", "message"),
    [
        ([], start()),
        ([start()], body(b"a")),
        ([start(), body(b"a", True)], body(b"b")),
        ([WITH_TRAILERS, body(b"a")], TRAILERS),
        ([], {"type": "http.response.early_hint", "links": []}),
    ],
)
def test_send_after_the_peer_has_gone_raises_an_oserror(before: list[Message], message: Message) -> None:
    peer = Peer(TAKES_TRAILERS)
    peer.send(*before)
    peer.wire.lose()
    for _ in range(2):
        with pytest.raises(OSError):
            peer.send(message)


def test_content_after_the_response_is_not_the_applications() -> None:
    peer = Peer(POST)
    peer.send(start(), body(b"early"))
    assert peer.receive() == DISCONNECT
    peer.wire.receive(b"abcdef")
    assert peer.exchange.receiving is Receiving.DONE
    assert peer.exchange.buffered == 0
    assert peer.receive() == DISCONNECT
    assert not peer.wire.closing


# Extensions


def test_trailers() -> None:
    peer = Peer(TAKES_TRAILERS)
    peer.send(WITH_TRAILERS, body(b"a", True), body(b"b"))
    assert peer.exchange.sending is Sending.BODY
    peer.send({**TRAILERS, "more_trailers": True}, {**TRAILERS, "headers": [(b"b", b"2")]})
    assert peer.response.content == b"ab"
    assert peer.response.trailers == ((b"x-sum", b"1"), (b"b", b"2"))


def test_trailers_for_a_peer_that_does_not_take_them() -> None:
    peer = Peer()
    peer.send(WITH_TRAILERS, body(b"a"), TRAILERS)
    assert peer.response.whole
    assert peer.response.trailers == ()


def test_early_hints() -> None:
    peer = Peer()
    peer.send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>"]})
    assert peer.sent == b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nlink: </b.js>\r\n\r\n"
    peer.send(start(), body(b"a"))
    assert peer.response.informational == (103,)


def send_file(peer: Peer) -> None:
    running = Running(peer.call.send(PATHSEND))
    assert running.waits_for == "file"
    running.go_on()
    assert running.done


def test_pathsend() -> None:
    peer = Peer()
    peer.send(start())
    send_file(peer)
    assert peer.opened == ["/a"]
    assert peer.response.content == b"f" * 10
    assert peer.response[b"content-length"] == b"10"
    assert peer.exchange.sending is Sending.DONE


def test_pathsend_before_trailers() -> None:
    peer = Peer(TAKES_TRAILERS)
    peer.send(WITH_TRAILERS)
    send_file(peer)
    peer.send(TRAILERS)
    assert peer.response.content == b"f" * 10
    assert peer.response.trailers == ((b"x-sum", b"1"),)


def test_pathsend_of_head() -> None:
    peer = Peer(GET.replace(b"GET", b"HEAD"))
    peer.send(start())
    send_file(peer)
    assert peer.response.content == b""
    assert peer.response[b"content-length"] == b"10"
    assert peer.closed == 1


def test_pathsend_of_a_file_that_is_not_there() -> None:
    peer = Peer()
    peer.send(start())
    peer.file_error = FileNotFoundError("/a")
    running = Running(peer.call.send(PATHSEND))
    with pytest.raises(FileNotFoundError):
        running.go_on()
    assert peer.sent == b""
    peer.send(body(b"instead"))
    assert peer.response.content == b"instead"


def test_pathsend_for_a_peer_that_leaves_meanwhile() -> None:
    peer = Peer()
    peer.send(start())
    running = Running(peer.call.send(PATHSEND))
    peer.wire.lose()
    with pytest.raises(Disconnected):
        running.go_on()
    assert peer.closed == 1
