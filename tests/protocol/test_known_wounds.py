"""Wounds of other servers, each by its CVE: what a message of that kind must come to here.

Those that are one message, or some behind each other, are here, through both parsers and cut in every way; those that
need time, many connections or a worker are in tests/workers/test_known_wounds.py. A request that a case hides in
another one asks for /smuggled: no application may see it.
"""

import tracemalloc

import pytest

from pyserve.protocol.deflate import Agreement
from pyserve.protocol.errors import ApplicationError
from pyserve.protocol.websocket import State
from tests.protocol.conversation import verdict
from tests.protocol.http1_peer import begin
from tests.protocol.messages import GET, fields, post
from tests.protocol.test_deflate import deflated
from tests.protocol.websocket_peer import BINARY, CONTINUATION, frame, open_socket, taken

HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"
ZERO = b"0\r\n\r\n"


def length(value: bytes) -> bytes:
    return post(b"Content-Length:" + value, content=b"hello")


def chunks(content: bytes) -> bytes:
    return post(CHUNKED, content=content)


# (CVE, whose, octets, verdict)
WOUNDS: list[tuple[str, str, bytes, str]] = [
    # Transfer-Encoding: what is not exactly one final `chunked`
    ("CVE-2024-1135", "gunicorn", post(CHUNKED, b"Transfer-Encoding: identity", b"Content-Length: 5", content=ZERO),
     "400 close"),
    ("CVE-2024-1135 as a list", "gunicorn", post(b"Transfer-Encoding: chunked, identity", content=ZERO), "400 close"),
    ("CVE-2024-6827", "gunicorn", post(b"Transfer-Encoding: xchunked", b"Content-Length: 5", content=b"hello"),
     "400 close"),
    ("CVE-2024-6827 empty", "gunicorn", post(b"Transfer-Encoding:", b"Content-Length: 5", content=b"hello"),
     "400 close"),
    ("CVE-2019-16786", "waitress", post(b"Transfer-Encoding: gzip, chunked", b"Content-Length: 5", content=b"hello"),
     "400 close"),
    ("CVE-2019-16789", "waitress", post(b"Transfer-Encoding: \x0bchunked", content=ZERO), "400 close"),
    ("CVE-2019-15605", "llhttp", post(b"Transfer-Encoding: chunked\x0b", content=ZERO), "400 close"),
    ("CVE-2020-8287", "llhttp", post(CHUNKED, b"Transfer-Encoding: eee", content=ZERO), "400 close"),
    ("CVE-2022-32213", "llhttp", post(b"Transfer-Encoding: chunked, deflate", content=ZERO), "400 close"),
    ("CVE-2022-32215", "llhttp", post(b"Transfer-Encoding:\r\n chunked", content=ZERO), "400 close"),
    ("CVE-2025-69224", "aiohttp", post("Transfer-Encoding: chun\u212aed".encode(), content=ZERO), "400 close"),
    ("CVE-2020-11076", "puma", post(b"Transfer-Encoding: \tchunke d", b"Content-Length: 5", content=b"hello"),
     "400 close"),
    ("CVE-2020-11077", "puma", post(CHUNKED + b"\x0c", content=ZERO) + HIDDEN, "400 close"),
    ("GHSA-753j-mpmx-qq6g", "tornado", post(CHUNKED, CHUNKED, content=ZERO), "400 close"),
    # ... and Content-Length beside it
    ("CVE-2023-47641", "aiohttp", post(b"Content-Length: 5", CHUNKED, content=ZERO), "400 close"),
    ("CVE-2020-10109", "twisted", post(b"Content-Length: 5", CHUNKED, content=ZERO + HIDDEN), "400 close"),
    ("CVE-2020-7658", "meinheld", post(CHUNKED, b"Content-Length: 5", content=ZERO), "400 close"),
    # Content-Length: what is not exactly 1*DIGIT, once
    ("CVE-2019-16792", "waitress", post(b"Content-Length: 3", b"Content-Length: 6", content=b"helloo"), "400 close"),
    ("CVE-2020-10108", "twisted", post(b"Content-Length: 5", b"Content-Length: 0", content=b"hello"), "400 close"),
    ("CVE-2022-24761 a sign", "waitress", length(b" +5"), "400 close"),
    ("CVE-2023-47627 an underscore", "aiohttp", length(b" 0_5"), "400 close"),
    ("CVE-2022-24801 minus zero", "twisted", length(b" -0"), "400 close"),
    ("CVE-2018-7159", "http-parser", length(b" 0 5"), "400 close"),
    ("CVE-2023-40175 blank", "puma", length(b""), "400 close"),
    ("CVE-2023-40175 letters", "puma", length(b" 5abc"), "400 close"),
    ("CVE-2021-32715", "hyper", length(b" +3"), "400 close"),
    ("GHSA-qppv-j76h-2rpx", "tornado", length(b" -1_0"), "400 close"),
    ("CVE-2023-47627 digits of others", "aiohttp", length(" \u0665".encode()), "400 close"),
    ("SNYK-PYTHON-GUNICORN-541164", "gunicorn",
     post(b"Sec-WebSocket-Key1: x", b"Content-Length: 5", content=b"hello") + GET, "200 200"),
    ("CVE-2022-29361", "werkzeug", post(b"Content-Length: %d" % len(HIDDEN), content=HIDDEN) + GET, "200 200"),
    # chunk sizes
    ("gunicorn issue 3091", "gunicorn", chunks(b"1_0\r\n" + b"x" * 16 + b"\r\n" + ZERO), "400 close"),
    ("CVE-2022-24761 a chunk's prefix", "waitress", chunks(b"0x5\r\nhello\r\n" + ZERO), "400 close"),
    ("CVE-2022-24801 a chunk's sign", "twisted", chunks(b"+5\r\nhello\r\n" + ZERO), "400 close"),
    ("CVE-2022-24790", "puma", chunks(b"5 x\r\nhello\r\n" + ZERO), "400 close"),
    ("CVE-2021-32714", "hyper", chunks(b"f0000000000000003\r\nabc\r\n" + ZERO), "400 close"),
    ("CVE-2021-32714 a whole 64 bits", "hyper", chunks(b"10000000000000005\r\nhello\r\n" + ZERO), "400 close"),
    # the ends of chunks and their extensions
    ("CVE-2025-43859", "h11", chunks(b"5\r\nAAAAAXX2\r\n45\r\n" + ZERO), "400 close"),
    ("CVE-2025-22871", "Go", chunks(b"5\nhello\r\n" + ZERO), "400 close"),
    ("CVE-2022-24761 a control", "waitress", chunks(b"5;a=\x01\r\nhello\r\n" + ZERO), "400 close"),
    ("CVE-2024-52304", "aiohttp", chunks(b"2;\nxx\r\n4c\r\n0\r\n\r\n" + HIDDEN), "400 close"),
    ("CVE-2021-22960", "llhttp", chunks(b"1 \n\r\n;x\r\n" + ZERO), "400 close"),
    ("CVE-2024-22019", "llhttp", chunks(b"1;a=" + b"b" * 2000), "400 close"),
    ("CVE-2024-21647", "puma", chunks(b"5" + b";a" * 600 + b"\r\nhello\r\n" + ZERO), "400 close"),
    ("CVE-2023-39326", "Go", chunks((b"1;a=" + b"b" * 900 + b"\r\nx\r\n") * 40 + ZERO), "400 close"),
    # trailers
    ("CVE-2025-53643", "aiohttp", chunks(b"0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"), "400 close"),
    ("CVE-2025-58068", "eventlet", chunks(b"0\r\nSmug gled: 1\r\n\r\n"), "400 close"),
    ("CVE-2023-41419", "gevent", chunks(b"5\r\nhello\r\n0\r\nX: y\r\n\r\n") + GET, "200 200"),
    ("CVE-2023-41419 framing", "gevent", chunks(b"0\r\nContent-Length: 40\r\n\r\n") + HIDDEN, "400 close"),
    ("CVE-2026-22815", "aiohttp", chunks(b"0\r\n" + b"X: y\r\n" * 101 + b"\r\n"), "431 close"),
    # the ends of lines
    ("CVE-2019-16785", "waitress", fields(b"Foo: bar\nContent-Length: 5"), "400 close"),
    ("CVE-2023-37276, CVE-2023-30589", "aiohttp, llhttp", fields(b"X-Abc:\rxTransfer-Encoding: chunked"), "400 close"),
    ("CVE-2022-32214", "llhttp", fields(b"Dummy: x\nContent-Length: 23"), "400 close"),
    ("CVE-2022-35256", "llhttp", fields(b"Content-Length\n: 5"), "400 close"),
    ("CVE-2021-41136", "puma", fields(b"X: a\nTransfer-Encoding: chunked"), "400 close"),
    ("CVE-2025-23167", "llhttp", b"GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", "400 close"),
    ("CVE-2025-23167 at the end of a field", "llhttp", b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\rX\r\n\r\n", "400 close"),
    # names and their colon
    ("CVE-2023-47627 NUL", "aiohttp", fields(b"X\0Y: z"), "400 close"),
    ("CVE-2023-47627 a blank", "aiohttp", post(b"Content-Length : 5", content=b"hello"), "400 close"),
    ("CVE-2021-22959", "llhttp", post(b"Transfer-Encoding : chunked", content=ZERO), "400 close"),
    ("CVE-2024-27982", "llhttp", b"POST / HTTP/1.1\r\n Content-Length: 5\r\nHost: a\r\n\r\nhello", "400 close"),
    ("CVE-2024-23829 a name", "aiohttp", fields(b"Foo\xa0bar: x"), "400 close"),
    ("CVE-2019-15606", "llhttp", post(b"Content-Length: 5 \t ", content=b"hello") + GET, "200 200"),
    ("CVE-2020-5236", "waitress", fields(b"Bad-Header: " + b"x" * 4000 + b"\x10"), "400 close"),
    # request line, version, Host
    ("CVE-2024-23829 a version", "aiohttp", "GET / HTTP/1.\u0661\r\nHost: a\r\n\r\n".encode(), "400 close"),
    ("CVE-2024-23829 a method", "aiohttp", b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", "400 close"),
    ("CVE-2026-34525", "aiohttp", fields(b"Host: b"), "400 close"),
    ("CVE-2026-48710 a path", "starlette", b"GET / HTTP/1.1\r\nHost: a/../admin?x=\r\n\r\n", "400 close"),
    ("CVE-2026-48710 a fragment", "starlette", b"GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", "400 close"),
    ("CVE-2018-12121", "node", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200, "431 close"),
    ("CVE-2018-12121 one field", "node", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 9000, "431 close"),
    # what is behind a bad request, and the order of answers
    ("CVE-2024-49768", "waitress", GET + b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n" + HIDDEN, "200 400 close"),
    ("CVE-2023-46137, CVE-2024-41671", "twisted", GET * 3, "200 200 200"),
]  # fmt: skip


@pytest.mark.parametrize(("octets", "expected"), [pytest.param(*w[2:], id=w[0]) for w in WOUNDS])
def test_a_message(octets: bytes, expected: str) -> None:
    found = verdict(octets)
    assert str(found) == expected
    assert not any(request.target == b"/smuggled" for request in found.seen)


def test_cve_2023_46137_answers_are_in_the_order_of_their_requests() -> None:
    found = verdict(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(5)))
    assert [request.target for request in found.seen] == [b"/%d" % number for number in range(5)]


def test_cve_2019_15606_blanks_are_no_part_of_a_value() -> None:
    [request] = verdict(fields(b"X: a b \t ")).seen
    assert (b"x", b"a b") in request.fields


# CVE-2026-44546 (daphne): what `str.splitlines` takes for the end of a line, in a handshake's head
HANDSHAKE = (b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13")


@pytest.mark.parametrize("octet", [b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e"])
def test_cve_2026_44546_controls_end_no_line(octet: bytes) -> None:
    assert str(verdict(fields(*HANDSHAKE, b"X-A: a" + octet + b"X-Smuggled: yes"))) == "400 close"


@pytest.mark.parametrize("octets", [b"\x85", b"\xe2\x80\xa8"], ids=["NEL", "LINE SEPARATOR"])
def test_cve_2026_44546_octets_past_ascii_end_no_line(octets: bytes) -> None:
    [request] = verdict(fields(*HANDSHAKE, b"X-A: a" + octets + b"X-Smuggled: yes")).seen
    assert (b"x-a", b"a" + octets + b"X-Smuggled: yes") in request.fields
    assert not any(name == b"x-smuggled" for name, _ in request.fields)


def test_cve_2022_29361_content_is_content() -> None:
    [first, _] = verdict(post(b"Content-Length: %d" % len(HIDDEN), content=HIDDEN) + GET).seen
    assert first.content == HIDDEN


# CVE-2018-1000164 (gunicorn), CVE-2020-7695 (uvicorn), CVE-2020-5247 (puma): what an application puts into a head
SPLITS = [
    (b"X-A", b"a\r\nInjected: yes"), (b"X-A", b"a\nInjected: yes"), (b"X-A", b"a\rInjected: yes"), (b"X-A", b"a\0b"),
    (b"X-A", b"a\r\n\r\n<html>"), (b"X-A\r\nInjected: yes\r\nY", b"1"), (b"X Y", b"1"), (b"X:Y", b"1"), (b"", b"1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), SPLITS)
def test_cve_2018_1000164_cve_2020_7695_cve_2020_5247_a_response_is_not_split(name: bytes, value: bytes) -> None:
    wire, exchange = begin(GET)
    with pytest.raises(ApplicationError):
        exchange.send_head(200, None, [(name, value)])
    assert not wire.out


def test_cve_2020_7695_nor_by_its_reason() -> None:
    wire, exchange = begin(GET)
    with pytest.raises(ApplicationError):
        exchange.send_head(200, b"OK\r\nInjected: yes", [])
    assert not wire.out


def test_cve_2020_7695_nor_by_hints_and_trailers() -> None:
    _, exchange = begin(b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n")
    with pytest.raises(ApplicationError):
        exchange.send_early_hints([(b"link", b"a\r\nInjected: yes")])
    exchange.send_head(200, None, [])
    exchange.send_body(b"x", True)
    with pytest.raises(ApplicationError):
        exchange.send_trailers([(b"x", b"a\r\nInjected: yes")])


def test_cve_2020_5236_nothing_backtracks() -> None:
    """The test's own deadline is the assertion: with backtracking this takes hours."""
    for value in (b"x" * 8000 + b"\x10", b" \t" * 4000 + b"\x10", b'"' + b"\\" * 8000):
        verdict_of = str(verdict(fields(b"Bad-Header: " + value)))
        assert verdict_of.startswith(("400", "200"))


# WebSocket: (CVE, octets that are too much for a limit of 1 MiB). What they would become is never held.
FRAGMENT = frame(CONTINUATION, b"a" * 65536, fin=False)
TOO_MUCH = [
    ("CVE-2021-21419, CVE-2026-44545", frame(BINARY, size=1 << 40) + b"a" * 100_000),
    ("CVE-2026-44545", frame(BINARY, fin=False) + FRAGMENT * 40),
    ("CVE-2018-1000518", frame(BINARY, deflated(b"\0" * 16_000_000), rsv=4)),
]


@pytest.mark.parametrize("octets", [pytest.param(each[1], id=each[0]) for each in TOO_MUCH])
def test_a_message_that_is_too_large(octets: bytes) -> None:
    socket = open_socket(max_size=1 << 20, agreement=Agreement())
    tracemalloc.start()
    try:
        for at in range(0, len(octets), 65536):
            socket.receive(octets[at : at + 65536])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (socket.state, socket.code) == (State.CLOSED, 1009)
    assert not taken(socket)
    assert peak < 4 << 20


@pytest.mark.parametrize("content", [b"", b"a"], ids=["empty", "of an octet"])
def test_cve_2026_48779_cve_2026_65623_very_many_fragments_take_neither_memory_nor_time(content: bytes) -> None:
    """(ws, bandit.) The test's own deadline is the assertion about time."""
    count = 200_000
    octets = frame(BINARY, fin=False) + frame(CONTINUATION, content, fin=False) * count
    socket = open_socket(max_size=1 << 20)
    for at in range(0, len(octets), 65536):
        socket.receive(octets[at : at + 65536])
        while socket.behind:  # others have their turn
            socket.proceed()
        assert socket.pending < 20
    socket.receive(frame(CONTINUATION))
    assert taken(socket) == [content * count]
