"""Limits are exact: what is at one passes, what is one past it does not, however the octets are cut."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.fields import count_lines
from pyserve.protocol.limits import Limits, Scanner
from pyserve.protocol.parsers import Parser
from tests.protocol.conversation import Conversation, both_parsers, cuts, verdict
from tests.protocol.messages import CHUNKED, fields, post

SMALL = Limits(request_line=40, fields=4, field_size=50, body=10)


def line_of(size: int) -> bytes:
    return b"GET /" + b"a" * (size - len(b"GET / HTTP/1.1")) + b" HTTP/1.1\r\nHost: a\r\n\r\n"


LIMITED = [
    ("request line", line_of(40), "200"),
    ("request line + 1", line_of(41), "414 close"),
    ("request line + 1, nothing behind", line_of(41)[:41], "414 close"),
    ("request line, its end to come", line_of(40)[:40], "nothing"),
    ("request line, its CR here", line_of(40)[:41], "nothing"),
    ("request line + many", line_of(400), "414 close"),
    ("request line + 1 without an end", b"a" * 41, "400 close"),
    ("a method longer than a request line", b"a" * 41 + b" / HTTP/1.1\r\nHost: a\r\n\r\n", "400 close"),
    ("a method as long as a request line", b"a" * 40 + b" / HTTP/1.1\r\nHost: a\r\n\r\n", "400 close"),
    ("a method and a space as long as a request line", b"a" * 39 + b" / HTTP/1.1\r\n", "414 close"),
    ("a bad octet within the limit", b"GET /\0" + b"a" * 50, "400 close"),
    ("a bad octet behind the limit", b"GET /" + b"a" * 50 + b"\0", "414 close"),
    ("bare LF behind the limit", b"GET /" + b"a" * 50 + b"\n", "414 close"),
    ("request line + 1 and a field + 1", line_of(41)[:-2] + b"X: " + b"a" * 99 + b"\r\n\r\n", "414 close"),
    ("field", fields(b"X: " + b"a" * 47), "200"),
    ("field + 1", fields(b"X: " + b"a" * 48), "431 close"),
    ("field + 1, nothing behind", fields(b"X: " + b"a" * 48)[:-4], "431 close"),
    ("field, its CR here", fields(b"X: " + b"a" * 47)[:-3], "nothing"),
    ("field + many", fields(b"X: " + b"a" * 480), "431 close"),
    ("field of a long name", fields(b"X" * 49 + b":"), "200"),
    ("field of a name + 1", fields(b"X" * 50 + b":"), "431 close"),
    ("field + 1 of blanks", fields(b"X:" + b" " * 49), "431 close"),
    ("folded line + 1", fields(b"X:", b" " * 51), "400 close"),
    ("bad octet in a field + 1", fields(b"X:\0" + b"a" * 50), "400 close"),
    ("bad octet behind a field's limit", fields(b"X:" + b"a" * 50 + b"\0"), "431 close"),
    ("fields", fields(b"A:", b"B:", b"C:"), "200"),
    ("fields + 1", fields(b"A:", b"B:", b"C:", b"D:"), "431 close"),
    ("fields + 1 and no Host", b"GET / HTTP/1.1\r\n" + b"A:\r\n" * 5 + b"\r\n", "431 close"),
    ("fields + 1, the head's end to come", fields(b"A:", b"B:", b"C:", b"D:")[:-2], "431 close"),
    ("fields + 1 of the same name", fields(b"A:", b"A:", b"A:", b"A:"), "431 close"),
    ("fields + 1 behind a bad line", b"GET /\xe9 HTTP/1.1\r\n" + b"A:\r\n" * 5 + b"\r\n", "400 close"),
    ("fields + 1 behind a folded one", b"GET / HTTP/1.1\r\nA:\r\n b\r\n" + b"A:\r\n" * 4 + b"\r\n", "400 close"),
    ("content", post(b"Content-Length: 10", content=b"a" * 10), "200"),
    ("content + 1", post(b"Content-Length: 11"), "413 close"),
    ("content + 1 with Expect", post(b"Content-Length: 11", b"Expect: 100-continue"), "413 close"),
    ("content + 1 without Host", b"POST / HTTP/1.1\r\nContent-Length: 11\r\n\r\n", "400 close"),
    ("content in chunks", CHUNKED + b"9\r\n123456789\r\n1\r\n1\r\n0\r\n\r\n", "200"),
    ("content in a chunk + 1", CHUNKED + b"b\r\n", "413 close"),
    ("content in chunks + 1", CHUNKED + b"9\r\n123456789\r\n2\r\n", "413 close"),
    ("content of a chunk near 2**60", CHUNKED + b"fffffffffffffff\r\n", "413 close"),
    ("trailers", CHUNKED + b"0\r\nA:\r\nB:\r\nC:\r\nD:\r\n\r\n", "200"),
    ("trailers + 1", CHUNKED + b"0\r\nA:\r\nB:\r\nC:\r\nD:\r\nE:\r\n", "431 close"),
    ("trailer", CHUNKED + b"0\r\n" + b"T" * 49 + b":\r\n\r\n", "200"),
    ("trailer + 1", CHUNKED + b"0\r\n" + b"T" * 50 + b":\r\n", "431 close"),
    ("trailer without end", CHUNKED + b"0\r\n" + b"T" * 51, "431 close"),
]  # fmt: skip


@pytest.mark.parametrize(("octets", "expected"), [pytest.param(*m[1:], id=m[0]) for m in LIMITED])
def test_limits_are_exact(octets: bytes, expected: str) -> None:
    assert str(verdict(octets, SMALL)) == expected


def test_limits_hold_for_the_second_request_too() -> None:
    assert str(verdict(line_of(40) + fields(b"A:", b"B:", b"C:"), SMALL)) == "200 200"
    assert str(verdict(line_of(40) + line_of(41), SMALL)) == "200 414 close"


@both_parsers
def test_an_endless_head_is_not_kept(parse: Parser) -> None:
    conversation = Conversation(parse, SMALL)
    conversation.feed(b"GET / HTTP/1.1\r\nX: ")
    while not conversation.wire.closing:
        conversation.feed(b"a" * 7)
        assert conversation.wire.pending < 100
    assert str(conversation.verdict) == "431 close"


# The scanner by itself


def scan(octets: bytes, limits: Limits = SMALL, first_line: int = 0) -> int | ProtocolError:
    """The one answer of a scanner that is fed all of `octets`, however they are cut."""
    answers = []
    for pieces in cuts(octets):
        scanner = Scanner(limits, 0, first_line=first_line)
        buffer = bytearray()
        answer: int | ProtocolError = -1
        for piece in pieces:
            buffer += piece
            try:
                answer = scanner.scan(buffer)
            except ProtocolError as error:
                answer = error
            if answer != -1:
                break
        answers.append(answer)
    first = answers[0]
    assert {str(answer) for answer in answers} == {str(first)}
    return first


SECTIONS = [
    ("end", b"GET / HTTP/1.1\r\nA: b\r\n\r\n", 0, 24),
    ("end before more", b"GET / HTTP/1.1\r\n\r\nmore\n\0", 0, 18),
    ("no end", b"GET / HTTP/1.1\r\nA: b\r\n\r", 0, -1),
    ("no octets", b"", 0, -1),
    ("trailers", b"A: b\r\n\r\nGET", 1, 8),
    ("no trailers", b"\r\nGET", 1, 2),
]


@pytest.mark.parametrize(("octets", "first_line", "end"), [pytest.param(*s[1:], id=s[0]) for s in SECTIONS])
def test_where_a_section_ends(octets: bytes, first_line: int, end: int) -> None:
    assert scan(octets, first_line=first_line) == end


GOOD = b"GET / HTTP/1.1\r\nA: b\r\nC: d\r\n"
BAD_SECTIONS = [
    ("folded", GOOD + b"E: f\r\n g\r\n\r\n", 400),
    ("folded by a tab", GOOD + b"E: f\r\n\tg\r\n\r\n", 400),
    ("folded first", b"GET / HTTP/1.1\r\n\tA: b\r\nC: d\r\nE: f\r\n\r\n", 400),
    ("bare LF", GOOD + b"E: f\ng\r\n\r\n", 400),
    ("bare CR", GOOD + b"E: f\rg\r\n\r\n", 400),
    ("bare CR and bare LF", GOOD + b"E: f\rg\n\r\n", 400),
    ("control", GOOD + b"E: \x01\r\n\r\n", 400),
    ("too long", GOOD + b"E: " + b"f" * 48 + b"\r\n\r\n", 431),
    ("too many", GOOD + b"E: f\r\n" * 3 + b"\r\n", 431),
    ("too many behind a bad one", GOOD + b"E: \x01\r\n" * 3 + b"\r\n", 400),
    ("too many before a bad one", GOOD + b"E: f\r\n" * 3 + b"G: \x01\r\n\r\n", 431),
]


@pytest.mark.parametrize(("octets", "status"), [pytest.param(*s[1:], id=s[0]) for s in BAD_SECTIONS])
def test_the_first_thing_wrong_decides(octets: bytes, status: int) -> None:
    found = scan(octets)
    assert isinstance(found, ProtocolError)
    assert found.status == status


def test_a_section_may_begin_within_the_buffer() -> None:
    buffer = bytearray(b"\0\n\0rest A: b\r\n\r\n")
    assert Scanner(SMALL, 8, first_line=1).scan(buffer) == len(buffer)


class Watched(bytearray):
    """A buffer that counts the octets that are searched or copied out of it."""

    touched = 0

    def find(self, sub: bytes, start: int = 0, *end: int) -> int:  # type: ignore[override]
        found = super().find(sub, start, *end)
        self.touched += (len(self) if found < 0 else found + 1) - start
        return found

    def __getitem__(self, key: slice) -> bytearray:  # type: ignore[override]
        part = super().__getitem__(key)
        self.touched += len(part)
        return part


@pytest.mark.parametrize("step", [1, 2, 7, 100])
@pytest.mark.parametrize(
    "section",
    [b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 300 + b"\r\n", b"G" * 3000, b"GET / HTTP/1.1\r\nX:" + b" y" * 2000],
    ids=["short lines", "one line", "one field"],
)
def test_work_grows_with_the_octets_and_not_with_their_square(section: bytes, step: int) -> None:
    """However a section arrives, each octet is looked at a few times, not once for each piece."""
    scanner = Scanner(Limits(10_000, 10_000, 10_000, 0), 0)
    buffer = Watched()
    for i in range(0, len(section), step):
        buffer += section[i : i + step]
        scanner.scan(buffer)
    assert buffer.touched < 5 * len(section)


HUGE = Limits(10_000, 10_000, 10_000, 0)
octet = st.sampled_from([b"a", b":", b" ", b"\t", b"\r", b"\n", b"\r\n", b"\0", b"\x7f", b"\x80", b"\xff", b"-"])


@given(st.lists(octet, max_size=30).map(b"".join))
@example(b"a\r\n\r\n")
@example(b"a:\x80\tb\r\n\r\n")
@settings(max_examples=300, deadline=None, derandomize=True)
def test_the_scanner_agrees_with_the_count_over_the_whole(octets: bytes) -> None:
    """Both say the same of a field section, but that only the scanner knows of folded lines."""
    section = octets + b"\r\n\r\n"
    section = section[: section.find(b"\r\n\r\n") + 4]
    if section.startswith(b"\r\n"):
        return
    good = count_lines(section) >= 0 and not any(line[:1] in (b" ", b"\t") for line in section.split(b"\r\n"))
    found = scan(section, HUGE, first_line=1)
    if good:
        assert found == len(section)
    else:
        assert isinstance(found, ProtocolError)
        assert found.status == 400
