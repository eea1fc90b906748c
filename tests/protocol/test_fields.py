"""Field names and values (RFC 9110 section 5)."""

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyserve.protocol import fields
from pyserve.protocol.errors import ApplicationError, ProtocolError
from pyserve.protocol.fields import (
    TEXT,
    TOKEN,
    Meaning,
    RequestNames,
    ResponseNames,
    are_lines,
    count_lines,
    options,
    request_names,
    response_names,
)

TCHAR = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def test_tokens() -> None:
    for octet in range(256):
        assert bool(TOKEN.fullmatch(bytes([octet]))) is (octet in TCHAR), octet
    assert not TOKEN.fullmatch(b"")


@pytest.mark.parametrize(
    ("octets", "count"),
    [
        (b"", 0),
        (b"a", 0),
        (b"a\r\n", 1),
        (b"a\r\nb\r\n\r\n", 3),
        (b"\r\n\r\n", 2),
        (b"a\tb \x80\xff\r\n", 1),
        (b"a\n", -1),
        (b"a\r", -1),
        (b"\r\n\n", -1),
        (b"\r\r\n", -1),
        (b"\n\r", -1),
        (b"a\rb\r\n", -1),
        (b"a\nb\r\n", -1),
    ],
)
def test_counting_lines(octets: bytes, count: int) -> None:
    assert count_lines(octets) == count


def test_no_line_holds_a_control_character_but_tab() -> None:
    for octet in range(256):
        expected = -1 if octet != 9 and (octet < 32 or octet == 127) else 1
        assert count_lines(b"a%cb\r\n" % octet) == expected, octet


def test_every_order_of_line_ends() -> None:
    for parts in itertools.product([b"\r", b"\n", b"a"], repeat=6):
        octets = b"".join(parts)
        left = octets.replace(b"\r\n", b"")
        expected = -1 if b"\r" in left or b"\n" in left else octets.count(b"\r\n")
        # A CR LF that comes about only once another is taken out of it is none.
        if b"\r\r\n\n" in octets:
            expected = -1
        assert count_lines(octets) == expected, octets


@given(st.binary(max_size=40))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_counting_agrees_with_a_slow_reading(octets: bytes) -> None:
    count = i = 0
    while i < len(octets) and count >= 0:
        if octets[i : i + 2] == b"\r\n":
            count += 1
            i += 1
        elif octets[i] != 9 and (octets[i] < 32 or octets[i] == 127):
            count = -1
        i += 1
    assert count_lines(octets) == count


@given(st.lists(st.binary(max_size=8), max_size=4))
@example([b"a\r\nb"])
@example([b"a\r", b"\nb"])
@example([b"a\x7f", b"b\tc"])
@settings(max_examples=300, deadline=None, derandomize=True)
def test_lines_of_our_own_are_judged_alike(lines: list[bytes]) -> None:
    block = b"".join(line + b"\r\n" for line in lines)
    assert are_lines(block, len(lines)) == (count_lines(block) == len(lines))


def test_request_names_become_lower_case() -> None:
    assert request_names.learn(b"Content-Type") == b"content-type"
    assert request_names.known[b"Content-Type"] == b"content-type"
    assert request_names.learn(b"X_!#$%&'*+-.^`|~09") == b"x_!#$%&'*+-.^`|~09"


@pytest.mark.parametrize("name", [b"", b" ", b"a b", b"a:", b"\xe9", b"a\0", b"\xe2\x84\xaa", b"(a)", b'"a"'])
def test_names_that_are_no_tokens(name: bytes) -> None:
    for _ in range(2):  # nothing is remembered of them
        with pytest.raises(ProtocolError, match="name"):
            RequestNames().learn(name)
        with pytest.raises(ApplicationError, match="name"):
            ResponseNames(bytes).learn(name)


@pytest.mark.parametrize("name", ["a", None, 5])
def test_response_names_are_bytes(name: object) -> None:
    with pytest.raises(ApplicationError, match="bytes"):
        ResponseNames(bytes).learn(name)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        (b"Content-Length", Meaning.LENGTH),
        (b"CONNECTION", Meaning.CONNECTION),
        (b"keep-Alive", Meaning.HOP),
        (b"Transfer-Encoding", Meaning.HOP),
        (b"TE", Meaning.HOP),
        (b"Upgrade", Meaning.HOP),
        (b"Proxy-Connection", Meaning.HOP),
        (b"date", Meaning.DATE),
        (b"Server", Meaning.SERVER),
        (b"Content-Type", Meaning.NONE),
        (b"Trailer", Meaning.NONE),
    ],
)
def test_what_response_fields_mean(name: bytes, meaning: Meaning) -> None:
    assert response_names.learn(name) == meaning
    assert response_names.learn(name.swapcase()) == meaning


@pytest.mark.parametrize("name", [b"a", None, 5])
def test_response_names_of_text_are_text(name: object) -> None:
    with pytest.raises(ApplicationError, match="must be str"):
        ResponseNames(str).learn(name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "a b", "a:", "\xe9", "\u212a", "a\0"])
def test_names_of_text_that_are_no_tokens(name: str) -> None:
    with pytest.raises(ApplicationError, match="invalid response field name"):
        ResponseNames(str).learn(name)


def test_names_mean_the_same_as_text() -> None:
    assert TEXT.names.learn("Content-LENGTH") == Meaning.LENGTH
    assert TEXT.names.learn("X-Other") == Meaning.NONE


def test_meanings_are_bits_of_a_set() -> None:
    bits = [int(meaning) for meaning in Meaning if meaning]
    assert all(bit.bit_count() == 1 for bit in bits)
    assert len(set(bits)) == len(bits)


@pytest.mark.parametrize("table", [RequestNames(), ResponseNames(bytes)])
def test_a_peer_cannot_fill_memory_with_names(table: RequestNames | ResponseNames) -> None:
    for n in range(3 * fields._KNOWN_AT_MOST):
        name = b"X-%d" % n
        assert table.learn(name) == (name.lower() if isinstance(table, RequestNames) else Meaning.NONE)
    assert len(table.known) == fields._KNOWN_AT_MOST
    assert table.learn(b"x-new") in (b"x-new", Meaning.NONE)


def test_a_peer_cannot_fill_memory_with_long_names() -> None:
    table = RequestNames()
    name = b"X" * (fields.LONGEST_KNOWN + 1)
    assert table.learn(name) == name.lower()
    assert not table.known


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", []),
        (b",", []),
        (b" , \t,", []),
        (b"close", [b"close"]),
        (b"Close, KEEP-alive", [b"close", b"keep-alive"]),
        (b",a,,\tb ,", [b"a", b"b"]),
        (b"a b", [b"a b"]),
        (b"\xa0close", [b"\xa0close"]),  # not a blank (RFC 9110 section 5.6.3)
        (b"\x0bclose", [b"\x0bclose"]),
    ],
)
def test_options(value: bytes, expected: list[bytes]) -> None:
    assert options(value) == expected
