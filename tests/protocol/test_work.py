"""Work grows with the octets and not with their square, whatever their shape and however they arrive.

Processor time per octet of a small and of a large message of the same shape is compared: squares would make it grow 32
times. Other processes disturb it, so the best of some attempts counts.
"""

import gc
import sys
from collections.abc import Callable, Iterator
from time import thread_time
from typing import Any

import pytest

from pyserve.protocol import chunked, wsgi
from pyserve.protocol.asgi import Call
from pyserve.protocol.config import WireConfig
from pyserve.protocol.exchange import Exchange, Receiving
from pyserve.protocol.http1 import Http1Wire
from pyserve.protocol.limits import Limits
from pyserve.protocol.parsers import PARSERS, Parser

SMALL, LARGE = 8192, 262144
HUGE = 1048576  # where octets are searched: that is so fast that it takes many to tell
GROWTH = 2.5  # of the time per octet; 2 is the goal, the rest is measuring
ATTEMPTS = 20
LIMITLESS = Limits(*[sys.maxsize] * 5)

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

# name -> what begins the message, what is repeated, what ends it
SHAPES: dict[str, tuple[bytes, bytes, bytes]] = {
    "a long target": (b"GET /", b"y", b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a long authority": (b"GET http://a", b".y", b"/ HTTP/1.0\r\n\r\n"),
    "a long host": (b"GET / HTTP/1.1\r\nHost: a", b".y", b"\r\n\r\n"),
    "a long field": (GET + b"X: ", b"y", b"\r\n\r\n"),
    "blanks in a field": (GET + b"X:", b" ", b"y\r\n\r\n"),
    "many fields": (GET, b"".join(b"X-%d: yyyyyyyyyyyy\r\n" % number for number in range(50)), b"\r\n"),
    "one field many times": (GET, b"X: yyyyyyyyyyyyy\r\n", b"\r\n"),
    "many cookies": (GET, b"Cookie: a=bbbbbb\r\n", b"\r\n"),
    "a long list": (GET + b"Connection: ", b"a,", b"\r\n\r\n"),
    "a long list of nothing": (GET + b"Connection: ", b",", b"\r\n\r\n"),
    "many lists": (GET, b"Connection: a, b\r\n", b"\r\n"),
    "tiny chunks": (CHUNKED, b"1\r\nx\r\n", b"0\r\n\r\n"),
    "chunks with extensions": (CHUNKED, b"8;a=bbbbbbbbbbbbbbbb\r\nxxxxxxxx\r\n", b"0\r\n\r\n"),
    "trailers": (CHUNKED + b"0\r\n", b"X-T: yyyyyyyyyyyyyyy\r\n", b"\r\n"),
    "one long trailer": (CHUNKED + b"0\r\nX: ", b"y", b"\r\n\r\n"),
    "pipelined requests": (b"", GET + b"\r\n", b""),
    "pipelined bodies": (b"", POST + b"Content-Length: 5\r\n\r\nhello", b""),
    "pipelined chunks": (b"", CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", b""),
}


def message(shape: tuple[bytes, bytes, bytes], size: int) -> bytes:
    begins, piece, ends = shape
    return begins + piece * (size // len(piece)) + ends


def open_wire(parse: Parser = PARSERS["httptools"]) -> Http1Wire:
    return Http1Wire(WireConfig(LIMITLESS, parse))


def feed(wire: Http1Wire, data: bytes, step: int) -> int:
    """Hand data in, and answer what it asks for; how many requests that were."""
    count = 0
    for at in range(0, len(data), step):
        exchange = wire.receive(data[at : at + step])
        while exchange is not None and exchange.receiving is Receiving.DONE:
            count += 1
            exchange.send_head(200, None, [])
            exchange.send_body(b"ok", False)
            wire.out.clear()
            exchange = wire.proceed()
    return count


def judge(work: Callable[[int], object], small: int = SMALL, large: int = LARGE) -> None:
    """Fail if the time per octet of `work(size)` grows with the size."""
    growths = []
    gc.freeze()  # as workers do: what else is in memory is not looked through for each of many fields
    for _ in range(ATTEMPTS):
        growths.append(min(_timed(work, large) for _ in range(2)) / min(_timed(work, small) for _ in range(10)))
        if growths[-1] * small / large < GROWTH:
            return
    raise AssertionError(f"{[round(growth * small / large, 1) for growth in growths]} times the work per octet")


def _timed(work: Callable[[int], object], size: int) -> float:
    began = thread_time()
    work(size)
    return thread_time() - began


@pytest.fixture(autouse=True)
def _extensions_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "_EXTENSIONS_AT_MOST", sys.maxsize)


@pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS)
@pytest.mark.parametrize("step", [LARGE * 2, 1460, 16], ids=["one read", "packets", "bits"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_what_comes_in(shape: tuple[bytes, bytes, bytes], step: int, parse: Parser) -> None:
    if step == LARGE * 2:  # that the shape is valid
        wire = open_wire(parse)
        feed(wire, message(shape, SMALL), step)
        assert wire.error is None
    judge(lambda size: feed(open_wire(parse), message(shape, size), step))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_what_comes_in_as_much_as_a_read_takes(shape: tuple[bytes, bytes, bytes]) -> None:
    judge(lambda size: feed(open_wire(), message(shape, size), 65536), large=HUGE)


def test_a_head_octet_by_octet() -> None:
    shape = SHAPES["many fields"]
    judge(lambda size: feed(open_wire(), message(shape, size), 1), large=65536)


class Driver:
    """Brings the content in steps."""

    def __init__(self, wire: Http1Wire, content: bytes, step: int) -> None:
        self._wire = wire
        self._pieces = (content[at : at + step] for at in range(0, len(content), step))

    def fill(self) -> None:
        self._wire.receive(next(self._pieces))

    def flush(self) -> None:
        self._wire.out.clear()

    def span(self, file: Any) -> None:
        return None


def begin(length: int) -> tuple[Http1Wire, Exchange]:
    wire = open_wire()
    exchange = wire.receive(POST + b"Content-Length: %d\r\n\r\n" % length)
    assert exchange is not None
    return wire, exchange


READS: dict[str, Callable[[wsgi.Input], Iterator[bytes]]] = {
    "lines": lambda source: iter(source),
    "read(4)": lambda source: iter(lambda: source.read(4), b""),
    "read(100)": lambda source: iter(lambda: source.read(100), b""),
    "readline(10)": lambda source: iter(lambda: source.readline(10), b""),
    "read()": lambda source: iter(source.read, b""),
}


@pytest.mark.parametrize("step", [HUGE, 1460], ids=["one read", "packets"])
@pytest.mark.parametrize("content", [b"x", b"xxxxxxx\n"], ids=["one line", "lines"])
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_what_a_wsgi_application_reads(
    read: Callable[[wsgi.Input], Iterator[bytes]], content: bytes, step: int
) -> None:
    def work(size: int) -> None:
        body = content * (size // len(content))
        wire, exchange = begin(len(body))
        assert sum(map(len, read(wsgi.Input(exchange, Driver(wire, body, step))))) == len(body)

    judge(work, large=HUGE)


@pytest.mark.parametrize("pieces_at_once", [1, 1000])
def test_what_an_asgi_application_receives(pieces_at_once: int) -> None:
    """Many small pieces, taken one by one or many together."""

    def work(size: int) -> None:
        wire, exchange = begin(size)
        driver: Any = type("Driver", (), {"taken": lambda self: None})()
        receive = Call(exchange, driver).receive
        for number in range(size // 64):
            wire.receive(b"x" * 64)
            if number % pieces_at_once == 0:
                with pytest.raises(StopIteration):
                    receive().send(None)

    judge(work)


@pytest.mark.parametrize("length", [1, 100, 5000])
def test_a_response_in_pieces(length: int) -> None:
    def work(size: int) -> None:
        wire = open_wire()
        exchange = wire.receive(GET + b"\r\n")
        assert exchange is not None
        exchange.send_head(200, None, [])
        for _ in range(size // length):
            exchange.send_body(b"x" * length, True)
        exchange.send_body(b"", False)

    judge(work, small=32768, large=1048576)


def test_a_response_with_many_fields() -> None:
    def work(size: int) -> None:
        wire = open_wire()
        exchange = wire.receive(GET + b"\r\n")
        assert exchange is not None
        exchange.send_head(200, None, [(b"x-field", b"y" * 20)] * (size // 31))
        exchange.send_body(b"", False)

    judge(work)
