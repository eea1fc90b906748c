"""Messages that come in parts (RFC 6455 sections 5.4 and 8.1)."""

import tracemalloc

import pytest

from pyserve.protocol.deflate import Agreement, Deflate
from pyserve.protocol.websocket_frames import Code, Failure
from pyserve.protocol.websocket_message import PartialMessage
from tests.protocol.test_deflate import deflated

TEXT = "aä€😀\r\n\0"


@pytest.mark.parametrize("compresses", [False, True])
@pytest.mark.parametrize("step", [1, 2, 3, 100])
def test_text_in_parts(step: int, compresses: bool) -> None:
    octets = TEXT.encode()
    deflate = Deflate(Agreement()) if compresses else None
    data = deflated(octets) if compresses else octets
    message = PartialMessage(True, deflate, len(octets))
    last = (len(data) - 1) // step * step
    for at in range(0, last, step):
        message.add(data[at : at + step])
    assert message.end(data[last:]) == TEXT


def test_octets_in_parts() -> None:
    message = PartialMessage(False, None, 100)
    for part in (b"\xff", b"", b"\0\x80"):
        message.add(part)
    assert message.end(b"\xfe") == b"\xff\0\x80\xfe"
    assert type(PartialMessage(False, None, 100).end(bytearray(b"a"))) is bytes


# What Autobahn's cases 6.4 and the like cut in two: the first octet that makes it no text.
NO_TEXT = ["f490", "80", "c0", "c1", "e080", "eda0", "edbf", "f080", "f5", "61ff", "e228"]


@pytest.mark.parametrize("octets", NO_TEXT)
def test_section_8_1_no_text_is_found_at_its_first_octet(octets: str) -> None:
    *begun, last = bytes.fromhex(octets)
    message = PartialMessage(True, None, 100)
    for octet in begun:
        message.add(bytes([octet]))
    with pytest.raises(Failure) as caught:
        message.add(bytes([last]))
    assert caught.value.code is Code.INVALID_DATA


@pytest.mark.parametrize("begun", [b"", b"a"])
def test_a_character_that_is_cut_short(begun: bytes) -> None:
    message = PartialMessage(True, None, 100)
    if begun:
        message.add(begun)
    with pytest.raises(Failure) as caught:
        message.end(b"\xe2\x82")
    assert caught.value.code is Code.INVALID_DATA


def test_fragments_cost_what_they_hold() -> None:
    for is_text in (True, False):
        message = PartialMessage(is_text, None, 1 << 20)
        tracemalloc.start()
        for _ in range(50_000):
            message.add(b"a")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 150_000
        assert len(message.end(b"")) == 50_000
