"""A WebSocket as ASGI has it (WebSocket spec 2.4), without an event loop."""

from collections.abc import Awaitable
from typing import Any

import pytest

from pyserve.protocol.asgi import Message, ScopeTemplate
from pyserve.protocol.asgi_websocket import WebSocketCall, websocket_scope
from pyserve.protocol.errors import ApplicationError, Disconnected
from pyserve.protocol.exchange import Sending
from pyserve.protocol.forwarded import PROTO, Forwarding, Trusted
from pyserve.protocol.websocket import State, Terms, WebSocket
from pyserve.protocol.websocket_handshake import Handshake
from tests.protocol.asgi_peer import Running, Waiting, run
from tests.protocol.http1_peer import sent as sent_by_wire
from tests.protocol.test_websocket_handshake import KEY, VERSION, ask
from tests.protocol.websocket_peer import TEXT, close, frame, sent

ACCEPT = {"type": "websocket.accept"}
CONNECT = {"type": "websocket.connect"}
HELLO = frame(TEXT, b"Hello")


class Peer:
    """A driver of one WebSocket."""

    def __init__(self, *more: bytes) -> None:
        self.wire, self.exchange = ask(KEY, VERSION, *more)
        self.handshake = Handshake(self.exchange, compresses=True)
        self.call = WebSocketCall(self.exchange, self.handshake, self)
        self.flushed = self.takings = 0
        self.full = False

    @property
    def socket(self) -> WebSocket:
        assert self.call.socket is not None
        return self.call.socket

    def flush(self) -> None:
        self.flushed += 1

    def writable(self) -> Awaitable[None] | None:
        return Waiting("room") if self.full else None

    def arrival(self) -> Awaitable[None]:
        return Waiting("arrival")

    def taken(self) -> None:
        self.takings += 1

    def open(self, handshake: Handshake, block: bytes) -> WebSocket:
        self.wire.switch(self.exchange, block)
        return WebSocket(Terms(1000, 32, True), handshake.agreement)

    def accept(self, **more: Any) -> bytes:
        assert run(self.call.receive()) == CONNECT
        self.send("accept", **more)
        return sent_by_wire(self.wire)

    def send(self, kind: str, **more: Any) -> None:
        run(self.call.send({"type": f"websocket.{kind}", **more}))


@pytest.fixture
def peer() -> Peer:
    """One whose handshake is agreed to."""
    peer = Peer()
    peer.accept()
    return peer


def scope_of(peer: Peer, template: ScopeTemplate) -> dict[str, Any]:
    return websocket_scope(template, peer.exchange, peer.handshake)


def test_scope() -> None:
    peer = Peer(b"Sec-WebSocket-Protocol: a, b", b"X-Forwarded-Proto: https")
    template = ScopeTemplate(("1.2.3.4", 5), ("6.7.8.9", 80), "http", "/base", {"a": 1})
    scope = scope_of(peer, template)
    assert [name for name, _ in scope.pop("headers")][-1] == b"x-forwarded-proto"
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/base/",
        "raw_path": b"/base/",
        "query_string": b"",
        "root_path": "/base",
        "client": ("1.2.3.4", 5),
        "server": ("6.7.8.9", 80),
        "subprotocols": ["a", "b"],
        "state": {"a": 1},
        "extensions": {"websocket.http.response": {}},
    }


def test_scope_behind_a_proxy_and_over_tls() -> None:
    peer = Peer(b"X-Forwarded-Proto: https")
    template = ScopeTemplate(("1.2.3.4", 5), None, "http", "", None)
    template.forwarding = Forwarding(Trusted(["*"]), [PROTO], {})
    assert scope_of(peer, template)["scheme"] == "wss"
    template = ScopeTemplate(None, None, "http", "", None)
    template.secure({"tls_version": 772})
    scope = scope_of(peer, template)
    assert scope["scheme"] == "wss"
    assert scope["extensions"] == {"websocket.http.response": {}, "tls": {"tls_version": 772}}
    assert "state" not in scope


def test_from_accept_to_close(peer: Peer) -> None:
    receiving = Running(peer.call.receive())
    assert receiving.waits_for == "arrival"
    peer.socket.receive(HELLO + frame(2, b"\xff"))
    receiving.go_on()
    assert receiving.result == {"type": "websocket.receive", "text": "Hello"}
    assert run(peer.call.receive()) == {"type": "websocket.receive", "bytes": b"\xff"}
    assert peer.takings == 2
    peer.send("send", text="a", bytes=None)
    peer.send("send", text=None, bytes=bytearray(b"b"))
    peer.send("send", text="")
    peer.send("close", code=4000, reason="ä")
    assert peer.exchange.sending is Sending.DONE
    frames = [(0x81, b"a"), (0x82, b"b"), (0x81, b""), (0x88, b"\x0f\xa0" + "ä".encode())]
    assert sent(peer.socket) == frames
    for _ in range(2):
        assert run(peer.call.receive()) == {"type": "websocket.disconnect", "code": 4000, "reason": "ä"}


def test_what_is_accepted() -> None:
    peer = Peer(b"Sec-WebSocket-Protocol: a, b")
    head = peer.accept(subprotocol="b", headers=[(b"X-A", b"1")])
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"\r\nSec-WebSocket-Protocol: b\r\n" in head
    assert b"\r\nX-A: 1\r\n" in head


def test_an_application_may_accept_without_asking() -> None:
    peer = Peer()
    peer.send("accept")
    assert run(peer.call.receive()) == CONNECT
    assert Running(peer.call.receive()).waits_for == "arrival"


@pytest.mark.parametrize("message", [{}, {"code": 1001, "reason": None}])
def test_a_close_is_regular_unless_it_says_otherwise(peer: Peer, message: Message) -> None:
    peer.send("close", **message)
    assert sent(peer.socket) == [(0x88, message.get("code", 1000).to_bytes(2))]


def test_send_waits_for_room(peer: Peer) -> None:
    peer.full = True
    assert Running(peer.call.send({"type": "websocket.send", "text": "a"})).waits_for == "room"


def test_the_peer_closes(peer: Peer) -> None:
    peer.socket.receive(HELLO + close(1001, "bye"))
    assert run(peer.call.receive())["text"] == "Hello"
    assert run(peer.call.receive()) == {"type": "websocket.disconnect", "code": 1001, "reason": "bye"}
    for kind in ("send", "close"):
        with pytest.raises(Disconnected):
            peer.send(kind, text="late")
    assert issubclass(Disconnected, OSError)


def test_the_connection_is_lost(peer: Peer) -> None:
    peer.socket.lose()
    assert run(peer.call.receive()) == {"type": "websocket.disconnect", "code": 1006, "reason": ""}


def test_a_failure_is_told_when_it_is_met(peer: Peer) -> None:
    peer.socket.receive(HELLO + b"\xff\xff")
    assert run(peer.call.receive())["text"] == "Hello"
    assert peer.socket.state is State.OPEN
    message = run(peer.call.receive())
    assert (message["type"], message["code"]) == ("websocket.disconnect", 1002)
    assert peer.takings == 2  # the driver has to hear of it


# Before the handshake is agreed to


def test_denial() -> None:
    peer = Peer()
    assert run(peer.call.receive()) == CONNECT
    peer.send("close", code=1008)
    octets = sent_by_wire(peer.wire)
    assert octets.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"Content-Length: 0\r\n" in octets
    assert peer.wire.closing
    assert run(peer.call.receive()) == {"type": "websocket.disconnect", "code": 1006, "reason": ""}


def test_denial_with_a_response() -> None:
    peer = Peer()
    peer.send("http.response.start", status=401, headers=[(b"x-a", b"1")])
    peer.send("http.response.body", body=b"no", more_body=True)
    peer.send("http.response.body", body=b"!")
    head, _, body = sent_by_wire(peer.wire).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b"x-a: 1" in head
    assert body == b"2\r\nno\r\n1\r\n!\r\n0\r\n\r\n"
    assert peer.wire.closing


@pytest.mark.parametrize("fact", ["gone", "peer_done"])
def test_a_peer_that_leaves_while_it_waits(fact: str) -> None:
    peer = Peer()
    assert run(peer.call.receive()) == CONNECT
    receiving = Running(peer.call.receive())
    assert receiving.waits_for == "arrival"
    setattr(peer.exchange, fact, True)
    receiving.go_on()
    assert receiving.result == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
    if fact == "gone":
        with pytest.raises(Disconnected):
            peer.send("accept")


OUT_OF_ORDER: list[tuple[list[str], dict[str, Any]]] = [
    ([], {"type": "websocket.send", "text": "a"}),
    ([], {"type": "http.response.start", "status": 200}),
    ([], {"type": "websocket.http.response.body"}),
    (["accept"], ACCEPT),
    (["accept"], {"type": "websocket.http.response.start", "status": 400}),
    (["accept"], {"type": "websocket.send"}),
    (["accept"], {"type": "websocket.send", "text": b"a"}),
    (["accept"], {"type": "websocket.send", "bytes": "a"}),
    (["accept"], {"type": "websocket.close", "code": 1006}),
    (["close"], ACCEPT),
    (["close"], {"type": "websocket.send", "text": "a"}),
]


@pytest.mark.parametrize(("before", "message"), OUT_OF_ORDER)
def test_what_is_wrong_or_out_of_order(before: list[str], message: dict[str, Any]) -> None:
    peer = Peer()
    for kind in before:
        peer.send(kind)
    with pytest.raises(ApplicationError):
        run(peer.call.send(message))
