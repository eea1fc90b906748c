"""The chunked transfer coding (RFC 9112 section 7.1)."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyserve.protocol.chunked import ChunkedDecoder
from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.limits import Limits
from tests.protocol.conversation import LIMITS, cuts


def decode(pieces: list[bytes], limits: Limits = LIMITS) -> tuple[bytes, bytes] | None:
    """Feed pieces as the wire does, keeping what is not used: the content and what follows, or None while not done."""
    decoder = ChunkedDecoder(limits)
    content = bytearray()
    buffer = b""
    for piece in pieces:
        buffer += piece
        if not decoder.done:
            buffer = buffer[decoder.feed(buffer, 0, content) :]
    assert decoder.received == len(content)
    return (bytes(content), buffer) if decoder.done else None


def answer(octets: bytes, limits: Limits = LIMITS) -> tuple[bytes, bytes] | int | None:
    """The one result of decoding `octets`, however they are cut; an error by its status."""
    results = []
    for pieces in cuts(octets):
        try:
            results.append(decode(pieces, limits))
        except ProtocolError as error:
            results.append(error.status)
    assert all(result == results[0] for result in results), results
    return results[0]


BODIES = [
    ("nothing", b"0\r\n\r\n", (b"", b"")),
    ("one chunk", b"3\r\nabc\r\n0\r\n\r\n", (b"abc", b"")),
    ("chunks", b"1\r\na\r\n02\r\nbc\r\n00\r\n\r\n", (b"abc", b"")),
    ("hex", b"1a\r\n" + b"x" * 26 + b"\r\nA\r\n" + b"y" * 10 + b"\r\n0\r\n\r\n", (b"x" * 26 + b"y" * 10, b"")),
    ("16 digits", b"0000000000000003\r\nabc\r\n0\r\n\r\n", (b"abc", b"")),
    ("data like framing", b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", (b"\r\n0\r\n\r\n", b"")),
    ("the next message behind", b"1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n", (b"a", b"GET / HTTP/1.1\r\n")),
    ("the next message behind trailers", b"0\r\nA: b\r\n\r\n\r\n\r\nGET", (b"", b"\r\n\r\nGET")),
    ("trailers", b"0\r\nA: b\r\nc:d\r\nE:\r\n\r\n", (b"", b"")),
    ("trailers that may be dropped", b"0\r\nAuthorization: b\r\nSet-Cookie: c\r\n\r\n", (b"", b"")),
    ("extension", b"3;a\r\nabc\r\n0;b=c\r\n\r\n", (b"abc", b"")),
    ("extensions", b'3;a="b;\\\\\\" \xe9\t";c=d \t;e\r\nabc\r\n0\r\n\r\n', (b"abc", b"")),
    ("no octets", b"", None),
    ("size incomplete", b"3", None),
    ("size without LF", b"3\r", None),
    ("extension incomplete", b'3;a="', None),
    ("data incomplete", b"3\r\nab", None),
    ("data without its end", b"3\r\nabc\r", None),
    ("no last chunk", b"3\r\nabc\r\n", None),
    ("no last line", b"0\r\n", None),
    ("no last LF", b"0\r\n\r", None),
    ("trailers incomplete", b"0\r\nA: b\r\n", None),
    ("trailers without last LF", b"0\r\nA: b\r\n\r", None),
    ("no size", b"\r\n", 400),
    ("blank", b" ", 400),
    ("sign", b"+", 400),
    ("0x", b"0x", 400),
    ("underscore", b"1_", 400),
    ("17 digits", b"0" * 17, 400),
    ("bare LF", b"3\n", 400),
    ("CR and not LF", b"3\rx", 400),
    ("control in an extension", b"3;\x01", 400),
    ("blank behind the size", b"3 \r\n", 400),
    ("extension without name", b"3;\r\n", 400),
    ("extension without value", b"3;a=\r\n", 400),
    ("extension with a bad name", b"3;a@\r\n", 400),
    ("extension with open quotes", b'3;a="b\r\n', 400),
    ("extension with something behind the quotes", b'3;a="b"c\r\n', 400),
    ("data without end", b"3\r\nabcd", 400),
    ("data ended by LF", b"3\r\nabc\n", 400),
    ("data ended by CR", b"3\r\nabc\rx", 400),
    ("trailer folded", b"0\r\nA: b\r\n ", 400),
    ("trailer with bare LF", b"0\r\nA: b\n", 400),
    ("trailer with bare CR", b"0\r\nA: b\rc", 400),
    ("trailer without colon", b"0\r\nA\r\n\r\n", 400),
    ("trailer without name", b"0\r\n: b\r\n\r\n", 400),
    ("trailer with a bad name", b"0\r\nA b: c\r\n\r\n", 400),
    ("trailer with framing", b"0\r\nA: b\r\ncontent-LENGTH: 3\r\n\r\n", 400),
    ("trailer with routing", b"0\r\nhost: a\r\n\r\n", 400),
]  # fmt: skip


@pytest.mark.parametrize(("octets", "expected"), [pytest.param(*b[1:], id=b[0]) for b in BODIES])
def test_bodies(octets: bytes, expected: tuple[bytes, bytes] | int | None) -> None:
    assert answer(octets) == expected


@pytest.mark.parametrize(
    "name",
    [b"Transfer-Encoding", b"Content-Length", b"Host", b"Connection", b"Trailer", b"TE", b"Upgrade", b"Expect"],
)
def test_trailers_that_touch_framing_or_routing(name: bytes) -> None:
    for each in (name, name.lower(), name.upper()):
        assert answer(b"0\r\n%b: 1\r\n\r\n" % each) == 400


def test_a_size_line_has_its_limit() -> None:
    def line(size: int) -> bytes:
        return b"1;" + b"a" * (size - 4) + b"\r\na\r\n0\r\n\r\n"

    assert answer(line(1024)) == (b"a", b"")
    assert answer(line(1025)) == 400
    assert answer(b"1;" + b"a" * 1022) == 400  # whatever its end


def test_all_extensions_of_a_body_have_their_limit() -> None:
    """CVE-2023-39326: one octet of data for each thousand of extensions."""
    line = b"1;" + b"a" * 1000 + b"\r\nb\r\n"
    assert decode([line * 16 + b"0\r\n\r\n"]) == (b"b" * 16, b"")
    with pytest.raises(ProtocolError) as raised:
        decode([line * 17])
    assert raised.value.status == 400


@pytest.mark.parametrize(
    "octets", [b"1;" + b"a;" * 500, b"1" + b" " * 1000, b"1;a=" + b'"' + b"\\" * 900, b"1;" + b"a=a;" * 250]
)
@pytest.mark.parametrize("step", [1, 1024])
def test_an_extension_takes_no_long_time(octets: bytes, step: int) -> None:
    """Backtracking would take hours here, not milliseconds: the test's own deadline is the assertion."""
    for _ in range(20):
        try:
            decode([octets[i : i + step] for i in range(0, len(octets), step)])
        except ProtocolError:
            pass


def test_content_has_its_limit_chunk_by_chunk() -> None:
    limits = Limits(100, 100, 100, body=5)
    assert answer(b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n", limits) == (b"abcde", b"")
    assert answer(b"2\r\nab\r\n4\r\n", limits) == 413  # before a single octet of it has come
    assert answer(b"6\r\n", limits) == 413
    assert answer(b"f" * 15 + b"\r\n", limits) == 413
    assert answer(b"2\r\nab\r\n4\r\ncdef\r\n", limits) == 413  # nor when all of it is here


def test_trailers_have_the_limits_of_a_head() -> None:
    limits = Limits(10, 2, 20, body=5)
    assert answer(b"0\r\nA:\r\nB:\r\n\r\n", limits) == (b"", b"")
    assert answer(b"0\r\nA:\r\nB:\r\nC:\r\n", limits) == 431
    assert answer(b"0\r\nA:" + b"x" * 18 + b"\r\n\r\n", limits) == (b"", b"")
    assert answer(b"0\r\nA:" + b"x" * 19, limits) == 431


class Watched(bytes):
    """A buffer that counts the octets that are copied out of it."""

    copied = 0

    def __getitem__(self, key: slice) -> bytes:  # type: ignore[override]
        part = super().__getitem__(key)
        self.copied += len(part)
        return part


@pytest.mark.parametrize("message", [b"0\r\n\r\n", b"1\r\na\r\n0\r\n\r\n", b"0\r\nA: b\r\n\r\n"])
def test_nothing_is_copied_of_what_was_sent_ahead(message: bytes) -> None:
    buffer = Watched(message * 200)
    position = 0
    for _ in range(200):
        decoder = ChunkedDecoder(LIMITS)
        position = decoder.feed(buffer, position, bytearray())
        assert decoder.done
    assert position == len(buffer)
    assert buffer.copied < 2 * len(buffer)


def test_done() -> None:
    decoder = ChunkedDecoder(LIMITS)
    content = bytearray(b"kept")
    assert decoder.feed(b"junk1\r\na\r\n0\r\n\r\nnext", 4, content) == 15
    assert decoder.done
    assert content == b"kepta"
    assert decoder.feed(b"next", 0, content) == 0  # nothing more is taken


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=6), st.binary(max_size=10), st.lists(st.integers(0, 120)))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_what_was_encoded_is_decoded(chunks: list[bytes], behind: bytes, at: list[int]) -> None:
    octets = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n" + behind
    edges = sorted({0, len(octets), *(i for i in at if i < len(octets))})
    pieces = [octets[i:j] for i, j in itertools.pairwise(edges)]
    assert decode(pieces) == (b"".join(chunks), behind)
