"""One response on the wire: its framing, its end, its files (RFC 9112 sections 4, 6 and 7)."""

from typing import Any

import pytest

from pyserve.protocol.errors import ApplicationError, Disconnected
from pyserve.protocol.exchange import FileSpan, Sending
from tests.protocol.exchange_peer import (
    CODING,
    CONNECT,
    GET,
    HEAD,
    LAST,
    LENGTH,
    NONE,
    OLD,
    OLD_HEAD,
    OLD_KEPT,
    TAKES_TRAILERS,
    THREE,
    begin,
    read,
    send,
    sent,
)

# How a response is framed: (name, request, status, the application's fields, its data, the field of framing on the
# wire, the content that arrives, whether the connection is kept). Data in one piece is complete at once.
FRAMING = [
    ("one piece", GET, 200, [], [b"abc"], LENGTH, b"abc", True),
    ("one empty piece", GET, 200, [], [b""], LENGTH, b"", True),
    ("pieces", GET, 200, [], [b"abc", b"de", b""], CODING, b"abcde", True),
    ("pieces, some empty", GET, 200, [], [b"", b"abc", b"", b"de"], CODING, b"abcde", True),
    ("no piece, late", GET, 200, [], [b"", b""], CODING, b"", True),
    ("a length of the application's", GET, 200, THREE, [b"abc"], LENGTH, b"abc", True),
    ("pieces and a length", GET, 200, THREE, [b"a", b"bc", b""], LENGTH, b"abc", True),
    ("a length of zero", GET, 200, [(b"content-length", b"0")], [b""], LENGTH, b"", True),
    ("an error", GET, 500, [], [b"abc"], LENGTH, b"abc", True),
    ("a status of nobody's", GET, 299, [], [b"abc"], LENGTH, b"abc", True),
    ("HEAD of one piece", HEAD, 200, [], [b"abc"], LENGTH, b"", True),
    ("HEAD of pieces", HEAD, 200, [], [b"abc", b"de"], NONE, b"", True),
    ("HEAD with a length", HEAD, 200, THREE, [b""], LENGTH, b"", True),
    ("HEAD with a length and pieces", HEAD, 200, THREE, [b"a", b"bc"], LENGTH, b"", True),
    ("204", GET, 204, [], [b""], NONE, b"", True),
    ("204 with data", GET, 204, [], [b"abc"], NONE, b"", True),
    ("204 with pieces", GET, 204, [], [b"abc", b"de"], NONE, b"", True),
    ("204 with a length", GET, 204, THREE, [b"abc"], NONE, b"", True),
    ("205", GET, 205, [], [b""], LENGTH, b"", True),
    ("205 with data", GET, 205, [], [b"abc"], LENGTH, b"", True),
    ("205 with pieces", GET, 205, [], [b"abc", b"de"], LENGTH, b"", True),
    ("205 with a length", GET, 205, THREE, [b"abc"], LENGTH, b"", True),
    ("304", GET, 304, [], [b""], NONE, b"", True),
    ("304 with data", GET, 304, [], [b"abc"], NONE, b"", True),
    ("304 with a length", GET, 304, THREE, [b""], LENGTH, b"", True),
    ("HEAD of 204", HEAD, 204, [], [b"abc"], NONE, b"", True),
    ("HEAD of 304", HEAD, 304, THREE, [b"abc"], LENGTH, b"", True),
    ("CONNECT", CONNECT, 200, [], [b"abc"], NONE, b"", False),
    ("CONNECT with a length", CONNECT, 200, THREE, [b"abc"], NONE, b"", False),
    ("CONNECT of pieces", CONNECT, 200, [], [b"abc", b"de"], NONE, b"", False),
    ("CONNECT refused", CONNECT, 403, [], [b"abc"], LENGTH, b"abc", False),
    ("CONNECT refused in pieces", CONNECT, 403, [], [b"abc", b""], CODING, b"abc", False),
    ("Connection: close", LAST, 200, [], [b"abc"], LENGTH, b"abc", False),
    ("pieces and Connection: close", LAST, 200, [], [b"abc", b""], CODING, b"abc", False),
    ("HTTP/1.0", OLD, 200, [], [b"abc"], LENGTH, b"abc", False),
    ("HTTP/1.0, pieces", OLD, 200, [], [b"abc", b"de"], NONE, b"abcde", False),
    ("HTTP/1.0, kept", OLD_KEPT, 200, [], [b"abc"], LENGTH, b"abc", True),
    ("HTTP/1.0, kept, pieces", OLD_KEPT, 200, [], [b"abc", b"de"], NONE, b"abcde", False),
    ("HTTP/1.0, kept, pieces and a length", OLD_KEPT, 200, THREE, [b"a", b"bc"], LENGTH, b"abc", True),
    ("HTTP/1.0, kept, 204", OLD_KEPT, 204, [], [b""], NONE, b"", True),
    ("HTTP/1.0, kept, HEAD of pieces", OLD_HEAD, 200, [], [b"abc", b"de"], NONE, b"", True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "status", "fields", "data", "framing", "content", "kept"),
    [pytest.param(*f[1:], id=f[0]) for f in FRAMING],
)
def test_framing(
    request_: bytes,
    status: int,
    fields: list[tuple[bytes, bytes]],
    data: list[bytes],
    framing: bytes,
    content: bytes,
    kept: bool,
) -> None:
    wire, exchange = begin(request_)
    exchange.send_head(status, None, fields)
    assert wire.out == []  # the head leaves together with the first data
    send(exchange, data)
    assert exchange.sending is Sending.DONE
    assert wire.closing is not kept
    response = read(wire, request_)
    assert response.status == exchange.status == status
    assert response.content == content
    assert [name for name, _ in response.fields if name in (LENGTH, CODING)] == ([framing] if framing else [])
    if framing == CODING:
        assert response[CODING] == b"chunked"
    if status == 205:
        assert response[LENGTH] == b"0"
    expected = (b"keep-alive" if b"1.0" in request_ else None) if kept else b"close"
    assert response[b"connection"] == expected
    if not request_.startswith(b"CONNECT"):
        assert response.whole
        assert exchange.body_sent == len(content)
    assert (wire.proceed() or wire.receive(GET) is not None) is kept


def test_the_status_line() -> None:
    for reason, expected in ((None, b"Not Found"), (b"Nope", b"Nope"), (b"", b""), (b"\xe9\tx", b"\xe9\tx")):
        wire, exchange = begin()
        exchange.send_head(404, reason, [])
        exchange.send_body(b"", False)
        assert sent(wire).startswith(b"HTTP/1.1 404 " + expected + b"\r\n")


@pytest.mark.parametrize("status", [-1, 0, 99, 100, 101, 103, 199, 600, 999, 200.0, "200", None])
def test_a_status_that_is_none(status: Any) -> None:
    wire, exchange = begin()
    with pytest.raises(ApplicationError, match="status"):
        exchange.send_head(status, None, [])
    assert exchange.status == 0
    assert wire.out == []


@pytest.mark.parametrize("reason", [b"a\r\nb", b"a\nb", b"a\rb", b"\0", b"a\x7f", b"\r\n", b"a\r\n\r\nb"])
def test_a_reason_is_one_line(reason: bytes) -> None:
    _, exchange = begin()
    with pytest.raises(ApplicationError, match="reason"):
        exchange.send_head(200, reason, [])


# Giving up (RFC 9112 section 8)


def test_failing_before_the_head() -> None:
    wire, exchange = begin(GET + GET)
    exchange.send_head(200, None, [(b"Secret", b"1"), *THREE])
    exchange.fail(500, "the application failed (RFC 9110 section 15.6.1)")
    response = read(wire)
    assert response.status == exchange.status == 500
    assert response.content == b"the application failed (RFC 9110 section 15.6.1)\n"
    assert exchange.body_sent == len(response.content)
    assert response[b"secret"] is None
    assert response[b"connection"] == b"close"
    assert not wire.cut
    assert wire.closing
    assert wire.proceed() is None
    with pytest.raises(Disconnected):
        exchange.send_head(200, None, [])
    with pytest.raises(Disconnected):
        exchange.send_body(b"abc", False)


def test_failing_before_the_head_of_head() -> None:
    wire, exchange = begin(HEAD)
    exchange.fail(500, "no")
    response = read(wire, HEAD)
    assert response.whole
    assert response[LENGTH] == b"3"
    assert exchange.body_sent == 0


@pytest.mark.parametrize(
    ("request_", "fields", "cut"),
    [
        (GET, [], False),  # the last chunk is missing
        (GET, THREE, False),  # some of the length is missing
        (OLD, [], True),  # the end of the connection would look like the end of the content
        (OLD, THREE, False),
        (HEAD, [], False),
        (HEAD, THREE, False),
    ],
)
def test_failing_within_the_content_cuts_it(request_: bytes, fields: list[tuple[bytes, bytes]], cut: bool) -> None:
    wire, exchange = begin(request_)
    exchange.send_head(200, None, fields)
    exchange.send_body(b"a", True)
    exchange.fail(500, "the application failed")
    assert wire.cut is cut
    assert wire.closing
    response = read(wire, request_)
    assert response.status == 200
    assert response.whole is (cut or request_ == HEAD)
    with pytest.raises(Disconnected):
        exchange.send_body(b"b", False)


# What needs no response head of its own: early hints (RFC 8297), trailers (RFC 9110 section 6.5)


def test_early_hints() -> None:
    wire, exchange = begin()
    exchange.send_early_hints([(b"Link", b"</a>"), (b"Link", b"</b>")])
    exchange.send_early_hints([(b"Link", b"</c>")])
    assert sent(wire) == (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </c>\r\n\r\n"
    )
    exchange.send_head(200, None, [])
    exchange.send_body(b"abc", False)
    assert read(wire).content == b"abc"


def test_no_early_hints_for_http_1_0() -> None:
    wire, exchange = begin(OLD)
    exchange.send_early_hints([(b"Link", b"</a>")])
    assert wire.out == []


def test_no_early_hints_behind_the_head() -> None:
    _, exchange = begin()
    exchange.send_head(200, None, [])
    exchange.send_body(b"", True)
    with pytest.raises(ApplicationError, match="RFC 8297"):
        exchange.send_early_hints([(b"Link", b"</a>")])


@pytest.mark.parametrize(
    ("request_", "fields", "expected"),
    [
        (TAKES_TRAILERS, [], ((b"x-sum", b"1"), (b"a", b""))),
        (TAKES_TRAILERS.replace(b"trailers", b"gzip;q=0.5, Trailers"), [], ((b"x-sum", b"1"), (b"a", b""))),
        (GET, [], ()),  # nobody has said that he takes them
        (TAKES_TRAILERS, THREE, ()),  # nowhere to put them
        (OLD, [], ()),
    ],
)
def test_trailers(
    request_: bytes, fields: list[tuple[bytes, bytes]], expected: tuple[tuple[bytes, bytes], ...]
) -> None:
    wire, exchange = begin(request_)
    exchange.send_head(200, None, fields)
    exchange.send_body(b"abc", True)
    exchange.send_trailers([(b"X-Sum", b"1"), (b"A", b"")])
    response = read(wire, request_)
    assert response.whole
    assert response.content == b"abc"
    assert response.trailers == expected
    assert exchange.sending is Sending.DONE


def test_trailers_before_data() -> None:
    _, exchange = begin(TAKES_TRAILERS)
    exchange.send_head(200, None, [])
    with pytest.raises(ApplicationError, match="before"):
        exchange.send_trailers([])


@pytest.mark.parametrize("name", [b"Content-Length", b"transfer-encoding", b"Connection", b"TE", b"Upgrade"])
def test_framing_stands_in_the_head_only(name: bytes) -> None:
    _, exchange = begin(TAKES_TRAILERS)
    with pytest.raises(ApplicationError, match=r"section 6\.5\.1"):
        exchange.send_early_hints([(name, b"1")])
    exchange.send_head(200, None, [])
    exchange.send_body(b"", True)
    with pytest.raises(ApplicationError, match=r"section 6\.5\.1"):
        exchange.send_trailers([(name, b"1")])


# Data of all sizes, and files


@pytest.mark.parametrize("size", [1, 15, 16, 255, 256, 4095, 16384, 16385, 100_000])
@pytest.mark.parametrize("request_", [GET, OLD], ids=["chunks", "until the close"])
def test_data_of_any_size(request_: bytes, size: int) -> None:
    wire, exchange = begin(request_)
    exchange.send_head(200, None, [])
    send(exchange, [b"a" * size, b"b", b"c" * size, b""])
    assert read(wire, request_).content == b"a" * size + b"b" + b"c" * size


def test_head_and_short_data_leave_in_one_piece() -> None:
    wire, exchange = begin()
    exchange.send_head(200, None, [])
    exchange.send_body(b"a" * 16384, False)
    assert len(wire.out) == 1


def test_long_data_is_not_copied() -> None:
    for more in (False, True):
        wire, exchange = begin()
        exchange.send_head(200, None, [])
        data = bytes(1 << 20)
        exchange.send_body(data, more)
        assert any(each is data for each in wire.out)


class File:
    """A span that counts how often it is closed."""

    def __init__(self, count: int) -> None:
        self.closed = 0
        self.span = FileSpan(7, 100, count, self._close)

    def _close(self) -> None:
        self.closed += 1


def test_a_file_stands_among_the_octets() -> None:
    wire, exchange = begin()
    file = File(5)
    exchange.send_head(200, None, [])
    exchange.send_body(file.span, False)
    assert wire.out[-1] is file.span
    assert (file.span.fd, file.span.offset, file.span.count, len(file.span)) == (7, 100, 5, 5)
    assert file.closed == 0  # by whoever sends it
    assert b"Content-Length: 5\r\n" in b"".join(wire.out[:-1])  # type: ignore[arg-type]
    assert exchange.body_sent == 5


def test_a_file_as_a_chunk() -> None:
    wire, exchange = begin()
    file = File(18)
    exchange.send_head(200, None, [])
    exchange.send_body(b"a", True)
    exchange.send_body(file.span, True)
    exchange.send_body(b"", False)
    octets = b"".join(b"f" * data.count if isinstance(data, FileSpan) else data for data in wire.out)
    wire.out[:] = [octets]
    assert read(wire).content == b"a" + b"f" * 18


def test_a_file_longer_than_its_length_is_cut() -> None:
    wire, exchange = begin()
    file = File(5)
    exchange.send_head(200, None, THREE)
    exchange.send_body(file.span, False)
    assert wire.out[-1] is file.span
    assert file.span.count == 3
    assert exchange.complaint


UNSENT = [
    ("HEAD", HEAD, 200, [], 5),
    ("no content", GET, 304, [], 5),
    ("empty", GET, 200, [], 0),
    ("empty, as the rest", GET, 200, [(b"Content-Length", b"0")], 0),
    ("no room for it", GET, 200, [(b"Content-Length", b"0")], 5),
]


@pytest.mark.parametrize(
    ("request_", "status", "fields", "count"), [pytest.param(*each[1:], id=each[0]) for each in UNSENT]
)
def test_a_file_that_is_not_sent_is_closed(
    request_: bytes, status: int, fields: list[tuple[bytes, bytes]], count: int
) -> None:
    for more in (False, True):
        wire, exchange = begin(request_)
        file = File(count)
        exchange.send_head(status, None, fields)
        exchange.send_body(file.span, more)
        assert file.closed == 1
        assert file.span not in wire.out


def test_a_file_out_of_order_is_closed() -> None:
    wire, exchange = begin()
    files = [File(5), File(5), File(5)]
    with pytest.raises(ApplicationError):
        exchange.send_body(files[0].span, False)
    exchange.send_head(200, None, [])
    exchange.send_body(b"", False)
    with pytest.raises(ApplicationError):
        exchange.send_body(files[1].span, False)
    wire, exchange = begin()
    exchange.send_head(200, None, [])
    wire.lose()
    with pytest.raises(Disconnected):
        exchange.send_body(files[2].span, False)
    assert [file.closed for file in files] == [1, 1, 1]
