"""Frames: masks, heads and close codes (RFC 6455 sections 5 and 7.4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyserve.protocol.errors import ApplicationError
from pyserve.protocol.websocket_frames import (
    Code,
    Failure,
    extended_length,
    frame_head,
    is_valid_code,
    read_close,
    unmask,
    write_close,
)
from tests.protocol.websocket_peer import MASK, masked


@pytest.mark.parametrize("size", [*range(10), 125, 511, 512, 513, 514, 515, 516, 70001])
def test_unmask(size: int) -> None:
    payload = (bytes(range(256)) * (size // 256 + 1))[:size]
    assert unmask(masked(payload), MASK) == payload
    assert unmask(bytearray(masked(payload)), MASK) == payload


@given(st.binary(max_size=2000), st.binary(min_size=4, max_size=4))
def test_unmask_whatever_it_is(payload: bytes, mask: bytes) -> None:
    assert unmask(payload, mask) == masked(payload, mask)


HEADS = [
    (0, "8100"), (125, "817d"), (126, "817e007e"), (65535, "817effff"), (65536, "817f0000000000010000"),
]  # fmt: skip


@pytest.mark.parametrize(("size", "head"), HEADS)
def test_section_5_2_lengths_are_as_short_as_can_be(size: int, head: str) -> None:
    assert frame_head(1, size) == bytes.fromhex(head)
    if size > 125:
        assert extended_length(126 if size < 65536 else 127, bytes.fromhex(head)[2:]) == size


@pytest.mark.parametrize(
    ("kind", "octets"), [(126, "0000"), (126, "007d"), (127, "000000000000ffff"), (127, "8" + "0" * 15)]
)
def test_section_5_2_other_lengths_are_refused(kind: int, octets: str) -> None:
    with pytest.raises(Failure) as caught:
        extended_length(kind, bytes.fromhex(octets))
    assert caught.value.code is Code.PROTOCOL_ERROR


def test_section_7_4_codes() -> None:
    valid = {code for code in range(65536) if is_valid_code(code)}
    assert valid == {1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)}


CLOSES = [
    ("nothing", b"", (1005, "")),
    ("a code", b"\x03\xe8", (1000, "")),
    ("a code and a reason", b"\x0f\xa0" + "ä".encode(), (4000, "ä")),
    ("half a code", b"\x03", Code.PROTOCOL_ERROR),
    ("a code that is never sent", b"\x03\xee", Code.PROTOCOL_ERROR),
    ("a reason that is no text", b"\x03\xe8\xff", Code.INVALID_DATA),
]


@pytest.mark.parametrize(("payload", "expected"), [pytest.param(*row[1:], id=row[0]) for row in CLOSES])
def test_section_5_5_1_a_close_frame(payload: bytes, expected: tuple[int, str] | Code) -> None:
    if isinstance(expected, Code):
        with pytest.raises(Failure) as caught:
            read_close(payload)
        assert caught.value.code is expected
    else:
        assert read_close(payload) == expected
        assert write_close(*expected) == payload


def test_a_reason_that_is_too_long_is_cut_between_characters() -> None:
    assert write_close(1000, "ä" * 100) == b"\x03\xe8" + ("ä" * 61).encode()


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 2999, 5000])
def test_an_application_cannot_send_other_codes(code: int) -> None:
    with pytest.raises(ApplicationError, match="7\\.4"):
        write_close(code, "")
