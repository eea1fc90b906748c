"""A WebSocket: octets in, messages and octets out (RFC 6455, in its order)."""

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyserve.protocol.deflate import Agreement
from pyserve.protocol.errors import ApplicationError, Disconnected
from pyserve.protocol.websocket import State
from pyserve.protocol.websocket_frames import Code
from tests.protocol.test_deflate import deflated
from tests.protocol.websocket_peer import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close,
    frame,
    open_socket,
    read_frames,
    sent,
    taken,
)

HELLO = frame(TEXT, b"Hello")
BYE = close(1000)
AGREED = Agreement()

# (name, section, octets, messages, what is answered: (opcode, payload), the code that it ends with or None)
Row = tuple[str, str, bytes, list[str | bytes], list[tuple[int, bytes]], int | None]
GOOD: list[Row] = [
    ("a text", "5.7", HELLO, ["Hello"], [], None),
    ("octets", "5.6", frame(BINARY, b"\xff\0"), [b"\xff\0"], [], None),
    ("nothing", "5.6", frame(TEXT) + frame(BINARY), ["", b""], [], None),
    ("lengths of 7, 16 and 64 bits", "5.2", b"".join(frame(BINARY, b"a" * size) for size in (125, 126, 65535, 65536)),
     [b"a" * size for size in (125, 126, 65535, 65536)], [], None),
    ("another mask", "5.3", frame(TEXT, b"Hello", mask=b"\0\0\0\0") + frame(TEXT, b"Hello", mask=b"\xff\0\1\x80"),
     ["Hello", "Hello"], [], None),
    ("fragments", "5.4",
     frame(TEXT, b"Hel", fin=False) + frame(CONTINUATION, fin=False) + frame(CONTINUATION, b"lo") + HELLO,
     ["Hello", "Hello"], [], None),
    ("a character in fragments", "5.4",
     frame(TEXT, b"\xe2", fin=False) + frame(CONTINUATION, b"\x82", fin=False) + frame(CONTINUATION, b"\xac"),
     ["€"], [], None),
    ("control frames between fragments", "5.4",
     frame(TEXT, b"Hel", fin=False) + frame(PING, b"1") + frame(PONG) + frame(CONTINUATION, b"lo"),
     ["Hello"], [(PONG, b"1")], None),
    ("pings", "5.5.2", frame(PING) + frame(PING, b"a" * 125) + frame(PING, b"\xff"),
     [], [(PONG, b""), (PONG, b"a" * 125), (PONG, b"\xff")], None),
    ("a pong that nobody asked for", "5.5.3", frame(PONG, b"hm"), [], [], None),
    ("a close frame", "5.5.1", HELLO + BYE, ["Hello"], [(CLOSE, b"\x03\xe8")], 1000),
    ("one without a code", "7.1.5", frame(CLOSE), [], [(CLOSE, b"")], 1005),
    ("one with a reason", "7.1.6", close(4000, "ä"), [], [(CLOSE, b"\x0f\xa0")], 4000),
    ("what follows one", "5.5.1", BYE + HELLO + b"\xff\xff", [], [(CLOSE, b"\x03\xe8")], 1000),
]  # fmt: skip

BAD: list[tuple[str, str, bytes, list[str | bytes], int]] = [
    ("no mask", "5.1", b"\x81\x05Hello", [], 1002),
    ("no mask, and behind a message", "5.1", HELLO + b"\x81\x05Hello", ["Hello"], 1002),
    ("no mask on a control frame", "5.1", b"\x89\0", [], 1002),
    *((f"reserved bit {rsv}", "5.2", frame(TEXT, b"a", rsv=rsv), [], 1002) for rsv in (1, 2, 4)),
    *((f"reserved bit {rsv} of a control frame", "5.2", frame(PING, rsv=rsv), [], 1002) for rsv in (1, 2, 4)),
    *((f"reserved opcode {opcode}", "5.2", frame(opcode), [], 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    ("a length that could be shorter", "5.2", b"\x82\xfe\0\x7d" + b"\0" * 129, [], 1002),
    ("one that could be much shorter", "5.2", b"\x82\xff" + (65535).to_bytes(8) + b"\0" * 9, [], 1002),
    ("a length with the top bit", "5.2", b"\x82\xff" + (1 << 63).to_bytes(8) + b"\0" * 9, [], 1002),
    ("a length that is too big", "10.4", frame(BINARY, size=70001), [], 1009),
    ("one of 1 TB", "10.4", frame(BINARY, size=1 << 40), [], 1009),
    ("fragments that are too much", "10.4",
     frame(BINARY, b"a" * 40000, fin=False) + frame(CONTINUATION, size=30001), [], 1009),
    ("a continuation of nothing", "5.4", HELLO + frame(CONTINUATION, b"a"), ["Hello"], 1002),
    ("a message within a message", "5.4", frame(TEXT, b"a", fin=False) + HELLO, [], 1002),
    ("a control frame in fragments", "5.5", frame(PING, b"a", fin=False), [], 1002),
    ("a control frame that is too long", "5.5", frame(PING, b"a" * 126), [], 1002),
    ("a close frame that is too long", "5.5", frame(CLOSE, b"\x03\xe8" + b"a" * 124), [], 1002),
    ("half a code", "5.5.1", frame(CLOSE, b"\x03"), [], 1002),
    *((f"code {code}", "7.4", close(code), [], 1002) for code in (0, 999, 1004, 1005, 1006, 1015, 1100, 2999, 5000)),
    ("a reason that is no text", "7.1.6", frame(CLOSE, b"\x03\xe8\xff"), [], 1007),
    ("a text that is none", "8.1", frame(TEXT, b"a\xff"), [], 1007),
    ("a surrogate", "8.1", frame(TEXT, b"\xed\xa0\x80"), [], 1007),
    ("a text that is cut short", "8.1", frame(TEXT, b"\xe2\x82"), [], 1007),
    ("a text whose fragments are cut short", "8.1",
     frame(TEXT, b"\xe2", fin=False) + frame(CONTINUATION, b"\x82"), [], 1007),
    ("a text that is none from its first fragment", "8.1", frame(TEXT, b"\xf4\x90", fin=False), [], 1007),
    ("one that is none from the first half of a frame", "8.1", frame(TEXT, b"\xf4\x90" + b"a" * 9)[:-9], [], 1007),
]  # fmt: skip

DEFLATED: list[tuple[str, str, bytes, list[str | bytes], int | None]] = [
    ("a message", "7.2.3.1", frame(TEXT, deflated(b"Hello"), rsv=4), ["Hello"], None),
    ("one that is not compressed", "6", HELLO, ["Hello"], None),
    ("an empty one", "7.2.3.6", frame(TEXT, b"\0", rsv=4), [""], None),
    ("one without an octet", "7.2.2", frame(BINARY, rsv=4), [b""], None),
    ("fragments", "7.2.3.2", frame(TEXT, deflated(b"Hello")[:3], fin=False, rsv=4) + frame(PING)
     + frame(CONTINUATION, deflated(b"Hello")[3:]), ["Hello"], None),
    ("a bit on a continuation", "6.1", frame(TEXT, fin=False, rsv=4) + frame(CONTINUATION, rsv=4), [], 1002),
    ("a bit on a control frame", "6.1", frame(PING, rsv=4), [], 1002),
    ("another bit", "6.1", frame(TEXT, rsv=6), [], 1002),
    ("what is not deflated", "7.2.2", frame(TEXT, b"\xff\xff", rsv=4), [], 1007),
    ("a text that is none", "7.2.2", frame(TEXT, deflated(b"a\xff"), rsv=4), [], 1007),
    ("a bomb", "7.2.2", frame(BINARY, deflated(b"\0" * 70001), rsv=4), [], 1009),
    ("a bomb of fragments", "7.2.2", frame(BINARY, deflated(b"\0" * 70001)[:50], fin=False, rsv=4)
     + frame(CONTINUATION, deflated(b"\0" * 70001)[50:]), [], 1009),
    ("a frame that is too big", "7.2.2", frame(BINARY, b"a", rsv=4, size=70001), [], 1009),
]  # fmt: skip

STEPS = [1, 2, 7, 1000000]


def converse(
    octets: bytes, step: int, agreement: Agreement | None = None
) -> tuple[list[str | bytes], list[tuple[int, bytes]], int | None]:
    """What comes of octets that are fed `step` at a time: messages, frames that are sent, and the code of the end."""
    socket = open_socket(max_size=70000, agreement=agreement)
    messages: list[str | bytes] = []
    for at in range(0, len(octets), step):
        socket.receive(octets[at : at + step])
        messages += taken(socket)
    ended = socket.code if socket.state is State.CLOSED else None
    return messages, [(first & 15, payload) for first, payload in sent(socket)], ended


@pytest.mark.parametrize("row", [pytest.param(row, id=f"{row[1]} {row[0]}") for row in GOOD])
def test_what_is_as_it_should_be(row: Row) -> None:
    for step in STEPS:
        assert converse(row[2], max(step, len(row[2]) // 3000)) == row[3:], f"{step} at a time"


@pytest.mark.parametrize("row", [pytest.param(row, id=f"{row[1]} {row[0]}") for row in BAD])
def test_what_is_not(row: tuple[str, str, bytes, list[str | bytes], int]) -> None:
    for step in STEPS:
        messages, frames, ended = converse(row[2], max(step, len(row[2]) // 3000))
        assert (messages, ended) == (row[3], row[4]), f"{step} at a time"
        [(opcode, payload)] = frames
        assert (opcode, int.from_bytes(payload[:2])) == (CLOSE, row[4])


@pytest.mark.parametrize("row", [pytest.param(row, id=f"RFC 7692 {row[1]} {row[0]}") for row in DEFLATED])
def test_compression(row: tuple[str, str, bytes, list[str | bytes], int | None]) -> None:
    for step in STEPS:
        messages, _, ended = converse(row[2], step, AGREED)
        assert (messages, ended) == (row[3], row[4]), f"{step} at a time"


def test_section_5_a_frame_is_judged_by_its_first_octets() -> None:
    socket = open_socket(held=frame(15, b"a")[:2])
    assert socket.state is State.CLOSED
    assert socket.error == "reserved bit or opcode (RFC 6455 section 5.2)"


def test_section_10_4_a_length_is_judged_before_its_mask_is_here() -> None:
    socket = open_socket(max_size=1000, held=frame(BINARY, size=1001)[:4])
    assert (socket.state, socket.code) == (State.CLOSED, Code.TOO_BIG)


def test_what_came_before_a_failure_may_be_answered() -> None:
    socket = open_socket(held=HELLO + HELLO + b"\xff\xff")
    assert socket.full
    assert socket.take() == "Hello"
    socket.send("one")
    assert socket.take() == "Hello"
    socket.send("two")
    assert socket.state is State.OPEN
    assert socket.take() is None
    assert socket.state is State.CLOSED
    assert [payload[:3] for _, payload in sent(socket)] == [b"one", b"two", b"\x03\xear"]


# Sending


def test_messages_are_sent_in_one_frame() -> None:
    socket = open_socket()
    socket.send("ä")
    socket.send(b"\0" * 70000)
    assert sent(socket) == [(0x81, "ä".encode()), (0x82, b"\0" * 70000)]
    assert socket.sent == 70002


def test_messages_are_compressed_when_that_is_agreed_and_worth_it() -> None:
    socket = open_socket(agreement=Agreement(server_window=12))
    socket.send("a" * 1000)
    socket.send("a")
    (first, payload), second = sent(socket)
    assert first == 0xC1
    assert len(payload) < 20
    assert zlib.decompressobj(-12).decompress(payload + b"\0\0\xff\xff") == b"a" * 1000
    assert second == (0x81, b"a")


def test_ping() -> None:
    socket = open_socket()
    socket.ping()
    assert sent(socket) == [(0x89, b"")]


# The end


def test_section_7_1_2_closing_from_this_side() -> None:
    socket = open_socket(held=HELLO)
    socket.close(1001, "bye")
    assert socket.state is State.CLOSING
    assert socket.take() is None
    socket.receive(HELLO + frame(PING) + frame(BINARY, size=1 << 40))
    socket.receive(b"a" * 1000)
    with pytest.raises(Disconnected):
        socket.send("late")
    socket.close(1000)
    assert sent(socket) == [(0x88, b"\x03\xe9bye")]
    assert (socket.state, socket.code, socket.reason) == (State.CLOSING, 1001, "bye")


def test_section_7_1_1_both_have_closed() -> None:
    socket = open_socket()
    socket.close(1001)
    socket.receive(frame(TEXT, b"a", fin=False) + close(4000, "too"))
    assert (socket.state, socket.code, socket.reason) == (State.CLOSED, 1001, "")
    assert len(sent(socket)) == 1
    socket.receive(HELLO)
    assert not socket.pending


def test_a_code_that_does_not_exist() -> None:
    socket = open_socket()
    with pytest.raises(ApplicationError):
        socket.close(1006)
    assert socket.state is State.OPEN


def test_section_7_1_7_failing() -> None:
    socket = open_socket()
    socket.fail(Code.SERVER_ERROR, "keepalive ping timeout")
    assert sent(socket) == [(0x88, b"\x03\xf3keepalive ping timeout")]
    assert (socket.state, socket.error) == (State.CLOSED, "")


@pytest.mark.parametrize("how", ["lose", "receive_eof"])
def test_a_connection_that_is_lost(how: str) -> None:
    socket = open_socket(held=HELLO + frame(TEXT, b"a", fin=False))
    getattr(socket, how)()
    assert (socket.state, socket.code, sent(socket)) == (State.CLOSED, 1006, [])
    assert taken(socket) == ["Hello"]
    with pytest.raises(Disconnected):
        socket.send("late")


# Whatever comes

FRAMES = st.one_of(
    st.builds(frame, st.sampled_from([CONTINUATION, TEXT, BINARY]), st.binary(max_size=300), fin=st.booleans()),
    st.builds(frame, st.just(TEXT), st.text(max_size=40).map(str.encode)),
    st.builds(lambda data: frame(TEXT, deflated(data), rsv=4), st.text(max_size=40).map(str.encode)),
    st.builds(frame, st.sampled_from([PING, PONG]), st.binary(max_size=125)),
    st.builds(frame, st.integers(0, 15), st.binary(max_size=5), rsv=st.integers(0, 7), fin=st.booleans()),
    st.binary(max_size=8),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(FRAMES, max_size=8).map(b"".join), st.integers(1, 400), st.booleans())
def test_it_cannot_matter_how_octets_are_cut(octets: bytes, step: int, compresses: bool) -> None:
    agreement = AGREED if compresses else None
    assert converse(octets, step, agreement) == converse(octets, 1 << 20, agreement)


# How much is held


def test_a_queue_that_is_full_leaves_octets_where_they_are() -> None:
    socket = open_socket(max_queue=2, held=HELLO * 5 + frame(PING))
    assert socket.full
    assert socket.pending == 3 * len(HELLO) + len(frame(PING))
    assert socket.take() == "Hello"
    socket.proceed()
    assert socket.pending == 2 * len(HELLO) + len(frame(PING))
    assert taken(socket) == ["Hello"] * 4
    assert sent(socket) == [(0x8A, b"")]
    assert not socket.full


def test_a_queue_is_full_by_octets_too() -> None:
    socket = open_socket(max_size=100000, held=frame(BINARY, b"a" * 40000) * 3)
    assert socket.full
    assert socket.pending == 40008
    assert len(taken(socket)) == 3


def test_the_end_waits_for_its_turn() -> None:
    socket = open_socket(max_queue=1, held=HELLO + HELLO + BYE)
    socket.receive_eof()
    assert socket.state is State.OPEN
    assert taken(socket) == ["Hello", "Hello"]
    assert (socket.state, socket.code) == (State.CLOSED, 1000)


def test_eof_behind_a_full_queue_is_a_loss_once_that_is_taken() -> None:
    socket = open_socket(max_queue=1, held=HELLO + HELLO)
    socket.receive_eof()
    assert taken(socket) == ["Hello", "Hello"]
    assert (socket.state, socket.code) == (State.CLOSED, 1006)


def test_very_many_frames_are_looked_at_by_turns() -> None:
    socket = open_socket(max_queue=10**6, held=frame(PONG) * 2500)
    assert socket.behind
    assert socket.full
    socket.proceed()
    assert socket.behind
    socket.proceed()
    assert not socket.behind
    assert not socket.pending


def test_octets_are_counted() -> None:
    socket = open_socket(held=HELLO)
    assert socket.received == len(HELLO)
    socket.send("abc")
    assert (socket.sent, read_frames(b"".join(socket.out))) == (3, [(0x81, b"abc")])
