"""Two libraries, one answer: a complete head to its fields."""

import gc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyserve.protocol.fields import Fields
from pyserve.protocol.parsers import PARSERS, Malformed, Parser, parse_h11, parse_httptools
from tests.protocol.conversation import both_parsers


def head(*lines: bytes, first: bytes = b"GET / HTTP/1.1\r\nHost: a") -> bytes:
    return b"".join(line + b"\r\n" for line in (first, *lines, b""))


FIELDS = [
    ("none", head(first=b"GET / HTTP/1.0"), []),
    ("one", head(), [(b"host", b"a")]),
    ("order and repetition", head(b"B: 1", b"A: 2", b"b:3"),
     [(b"host", b"a"), (b"b", b"1"), (b"a", b"2"), (b"b", b"3")]),
    ("all token characters", head(b"!#$%&'*+-.^_`|~0aZ: 1"), [(b"host", b"a"), (b"!#$%&'*+-.^_`|~0az", b"1")]),
    ("blanks around", head(b"A: \t b \t "), [(b"host", b"a"), (b"a", b"b")]),
    ("blanks within", head(b"A: b \t c"), [(b"host", b"a"), (b"a", b"b \t c")]),
    ("no blanks", head(b"A:b"), [(b"host", b"a"), (b"a", b"b")]),
    ("empty", head(b"A:", b"B: ", b"C:\t \t"), [(b"host", b"a"), (b"a", b""), (b"b", b""), (b"c", b"")]),
    ("colons", head(b"A::b:", b"B: :"), [(b"host", b"a"), (b"a", b":b:"), (b"b", b":")]),
    ("obs-text", head(b"A: \xe9\x80\xff\xa0\x85"), [(b"host", b"a"), (b"a", b"\xe9\x80\xff\xa0\x85")]),
    ("all visible characters", head(b"A: " + bytes(range(33, 127))), [(b"host", b"a"), (b"a", bytes(range(33, 127)))]),
    ("a long value", head(b"A: " + b"b" * 20_000), [(b"host", b"a"), (b"a", b"b" * 20_000)]),
    ("many", head(*[b"A: %d" % n for n in range(200)]),
     [(b"host", b"a"), *((b"a", b"%d" % n) for n in range(200))]),
    ("upgrade", head(b"Connection: upgrade", b"Upgrade: websocket"),
     [(b"host", b"a"), (b"connection", b"upgrade"), (b"upgrade", b"websocket")]),
    ("chunked", head(b"Transfer-Encoding: CHUNKED"), [(b"host", b"a"), (b"transfer-encoding", b"CHUNKED")]),
    ("length", head(b"Content-Length: 0005"), [(b"host", b"a"), (b"content-length", b"0005")]),
    ("close", head(b"Connection: close"), [(b"host", b"a"), (b"connection", b"close")]),
    ("a method that is not known", head(first=b"BREW / HTTP/1.1\r\nHost: a"), [(b"host", b"a")]),
    ("a method of another protocol", head(first=b"SETUP / HTTP/1.1\r\nHost: a"), [(b"host", b"a")]),
    ("CONNECT", head(first=b"CONNECT a:443 HTTP/1.1\r\nHost: a"), [(b"host", b"a")]),
    ("OPTIONS *", head(first=b"OPTIONS * HTTP/1.1\r\nHost: a"), [(b"host", b"a")]),
    ("absolute form", head(first=b"GET http://a/ HTTP/1.1\r\nHost: a"), [(b"host", b"a")]),
    ("HTTP/1.0", head(b"Connection: keep-alive", first=b"GET / HTTP/1.0"), [(b"connection", b"keep-alive")]),
]  # fmt: skip


@both_parsers
@pytest.mark.parametrize(("octets", "expected"), [pytest.param(*f[1:], id=f[0]) for f in FIELDS])
def test_fields(parse: Parser, octets: bytes, expected: Fields) -> None:
    found = parse(octets)
    assert list(found) == expected
    assert all(type(name) is bytes and type(value) is bytes for name, value in found)


MALFORMED = [
    ("no colon", head(b"A")),
    ("no name", head(b": a")),
    ("blank before the colon", head(b"A : a")),
    ("blank in the name", head(b"A B: a")),
    ("obs-text in the name", head(b"\xe9: a")),
    ("NUL in the name", head(b"A\0: a")),
    ("folded", head(b"A: a", b" b")),
    ("folded by a tab", head(b"A: a", b"\tb")),
    ("folded first", head(b" b", first=b"GET / HTTP/1.0")),
    ("bare LF between fields", head(b"A: a\nB: b")),
    ("bare LF in a value", head(b"A: a\nb")),
    ("bare CR in a value", head(b"A: a\rb")),
    ("bare CR before the end", head(b"A: a\r")),
    ("NUL in a value", head(b"A: a\0b")),
    ("control in a value", head(b"A: a\x01b")),
    ("DEL in a value", head(b"A: \x7f")),
    ("control in the last value", head(b"A: \x1f")),
    ("bare LF after the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    ("NUL in the target", head(first=b"GET /\0 HTTP/1.0")),
    ("obs-text in the target", head(first=b"GET /\xe9 HTTP/1.0")),
    ("DEL in the target", head(first=b"GET /\x7f HTTP/1.0")),
    ("control in the target of an unknown method", head(first=b"BREW /\x01 HTTP/1.0")),
    ("bare CR in the target of an unknown method", head(first=b"BREW /\r HTTP/1.0")),
    ("tab in the target of an unknown method", head(first=b"BREW /\t HTTP/1.0")),
    ("an empty line first", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
]


@both_parsers
@pytest.mark.parametrize("octets", [pytest.param(m[1], id=m[0]) for m in MALFORMED])
def test_malformed(parse: Parser, octets: bytes) -> None:
    with pytest.raises(Malformed):
        parse(octets)


@both_parsers
def test_a_parser_keeps_nothing_from_one_head_to_the_next(parse: Parser) -> None:
    for _ in range(3):
        with pytest.raises(Malformed):
            parse(head(b"Transfer-Encoding: chunked", b"bad"))
        assert list(parse(head(b"X: y"))) == [(b"host", b"a"), (b"x", b"y")]


@pytest.mark.parametrize("octets", [pytest.param(m[1], id=m[0]) for m in MALFORMED])
def test_nothing_is_left_of_a_malformed_head(octets: bytes) -> None:
    """An error that holds the frame that holds it would be there, and all that has called it, until a collection. h11
    has such errors of its own."""
    gc.collect()
    gc.disable()
    try:
        try:
            parse_httptools(octets)
        except Malformed:
            pass
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_the_parsers_have_names() -> None:
    assert {"httptools": parse_httptools, "h11": parse_h11} == PARSERS


def attempt(parse: Parser, octets: bytes) -> Fields | None:
    try:
        return list(parse(octets))
    except Malformed:
        return None


names = st.text("abcXYZ-_09!~", min_size=1, max_size=8).map(str.encode)
values = st.binary(max_size=12) | st.text('ab \t,;:"=', max_size=10).map(str.encode)


@given(st.lists(st.tuples(names, st.sampled_from([b":", b": ", b":\t ", b" :", b""]), values), max_size=5))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_both_parsers_agree(lines: list[tuple[bytes, bytes, bytes]]) -> None:
    octets = head(*(b"".join(parts) for parts in lines))
    if octets.find(b"\r\n\r\n") != len(octets) - 4:
        return  # a value has ended the head
    one, other = (attempt(parse, octets) for parse in PARSERS.values())
    assert one == other


@given(st.binary(max_size=30), st.sampled_from([b"GET", b"BREW", b"OPTIONS"]))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_what_is_taken_is_what_was_sent(value: bytes, method: bytes) -> None:
    octets = head(b"A: " + value, first=method + b" / HTTP/1.1\r\nHost: a")
    if octets.find(b"\r\n\r\n") != len(octets) - 4:
        return
    bad = any((octet < 32 and octet != 9) or octet == 127 for octet in value)
    expected = None if bad else [(b"host", b"a"), (b"a", value.strip(b" \t"))]
    for parse in PARSERS.values():
        assert attempt(parse, octets) == expected
