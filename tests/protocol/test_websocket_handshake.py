"""The opening handshake (RFC 6455 section 4.2)."""

import pytest

from pyserve.protocol.config import WireConfig
from pyserve.protocol.errors import ApplicationError, ProtocolError
from pyserve.protocol.exchange import Exchange
from pyserve.protocol.http1 import Http1Wire
from pyserve.protocol.parsers import PARSERS
from pyserve.protocol.websocket_handshake import Handshake, refuse
from tests.protocol.conversation import LIMITS
from tests.protocol.http1_peer import sent
from tests.protocol.messages import fields

ASKS = (b"Connection: Upgrade", b"Upgrade: websocket")
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="  # of section 1.3
VERSION = b"Sec-WebSocket-Version: 13"


def ask(*more: bytes) -> tuple[Http1Wire, Exchange]:
    wire = Http1Wire(WireConfig(LIMITS, PARSERS["httptools"], upgrades=True))
    assert wire.receive(fields(*ASKS, *more)) is None
    assert wire.exchange is not None
    return wire, wire.exchange


def test_section_1_3_the_example() -> None:
    _, exchange = ask(KEY, VERSION, b"Sec-WebSocket-Protocol: chat, superchat")
    handshake = Handshake(exchange, compresses=True)
    assert handshake.subprotocols == ["chat", "superchat"]
    assert handshake.agreement is None
    assert handshake.block("chat", []) == (
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"Sec-WebSocket-Protocol: chat\r\n"
    )


REFUSED = [
    ("no version", "4.2.1", [KEY], 426),
    ("an old version", "4.4", [KEY, b"Sec-WebSocket-Version: 8"], 426),
    ("two versions", "4.2.1", [KEY, VERSION, b"Sec-WebSocket-Version: 8"], 426),
    ("no key", "4.2.1", [VERSION], 400),
    ("two keys", "4.2.1", [VERSION, KEY, KEY], 400),
    ("a short key", "4.2.1", [VERSION, b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j"], 400),
    ("a long key", "4.2.1", [VERSION, b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZXM="], 400),
    ("a key with a blank", "4.2.1", [VERSION, b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBu b25jZQ="], 400),
    ("a key that is no base64", "4.2.1", [VERSION, b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ!="], 400),
    ("a key beyond ASCII", "4.2.1", [VERSION, b"Sec-WebSocket-Key: \xff" + b"A" * 21 + b"=="], 400),
    ("a subprotocol that is no token", "4.2.1", [KEY, VERSION, b"Sec-WebSocket-Protocol: a b"], 400),
    ("a subprotocol beyond ASCII", "4.2.1", [KEY, VERSION, b"Sec-WebSocket-Protocol: \x80\xff"], 400),
    ("malformed extensions", "9.1", [KEY, VERSION, b"Sec-WebSocket-Extensions: a; b="], 400),
]


@pytest.mark.parametrize(("more", "status"), [pytest.param(*row[2:], id=f"{row[1]} {row[0]}") for row in REFUSED])
def test_what_is_refused(more: list[bytes], status: int) -> None:
    wire, exchange = ask(*more)
    with pytest.raises(ProtocolError) as caught:
        Handshake(exchange, compresses=True)
    assert caught.value.status == status
    refuse(exchange, caught.value)
    octets = sent(wire)
    assert octets.startswith(b"HTTP/1.1 %d " % status)
    assert (b"\r\nUpgrade: websocket\r\n" in octets) is (status == 426)
    assert (b"\r\nSec-WebSocket-Version: 13\r\n" in octets) is (status == 426)
    assert wire.closing


def test_subprotocols_of_several_fields() -> None:
    _, exchange = ask(KEY, VERSION, b"Sec-WebSocket-Protocol: a,,B", b"Sec-WebSocket-Protocol: c")
    assert Handshake(exchange, compresses=True).subprotocols == ["a", "B", "c"]


@pytest.mark.parametrize("compresses", [True, False])
def test_compression_is_for_the_server_to_agree_to(compresses: bool) -> None:
    _, exchange = ask(KEY, VERSION, b"Sec-WebSocket-Extensions: permessage-deflate")
    handshake = Handshake(exchange, compresses=compresses)
    assert (handshake.agreement is not None) is compresses
    assert (b"Sec-WebSocket-Extensions: permessage-deflate; server" in handshake.block(None, [])) is compresses


def handshake() -> Handshake:
    return Handshake(ask(KEY, VERSION)[1], compresses=True)


def test_fields_of_the_application() -> None:
    given = [(b"X-A", b"1"), (b"content-length", b"5"), (b"Connection", b"close"), (b"set-cookie", b"a=b")]
    block = handshake().block(None, given)
    assert block.endswith(b"+xOo=\r\nX-A: 1\r\nset-cookie: a=b\r\n")
    assert b"close" not in block


WRONG = [
    ("a line end in a value", None, [(b"X", b"a\r\nY: b")]),
    ("a name that is no token", None, [(b"a b", b"")]),
    ("a field of the server's", None, [(b"sec-websocket-protocol", b"a")]),
    ("a subprotocol that is no token", "a b", []),
    ("a subprotocol with a line end", "a\r\nX: b", []),
]


@pytest.mark.parametrize(("subprotocol", "given"), [pytest.param(*row[1:], id=row[0]) for row in WRONG])
def test_what_an_application_may_not(subprotocol: str | None, given: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(ApplicationError):
        handshake().block(subprotocol, given)
