"""A driver for WSGI applications whose waiting is a list of what comes next."""

import sys
from collections.abc import Callable, Iterable
from typing import Any

from pyserve.protocol.config import WireConfig
from pyserve.protocol.errors import Disconnected
from pyserve.protocol.exchange import Exchange, FileSpan
from pyserve.protocol.http1 import Http1Wire
from pyserve.protocol.parsers import PARSERS
from pyserve.protocol.wsgi import EnvironKeys, FileWrapper, make_environ, serve
from tests.protocol.conversation import LIMITS, Response, read_responses

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"


class Peer:
    """A driver: `fill` hands the wire the next piece, `flush` notes what left together."""

    def __init__(self, octets: bytes = GET, *pieces: bytes | None) -> None:
        """pieces: what comes later, None for the peer's end."""
        self.wire = Http1Wire(WireConfig(LIMITS, PARSERS["httptools"]))
        exchange = self.wire.receive(octets)
        assert exchange is not None
        self.exchange: Exchange = exchange
        self.pieces = list(pieces)
        self.flushed: list[bytes] = []
        self.spans: list[FileSpan] = []
        self.files: list[Any] = []
        self.lost = False

    def flush(self) -> None:
        if self.lost:
            self.wire.lose()
            raise Disconnected("reset")
        octets = b""
        for data in self.wire.out:
            octets += b"f" * data.count if isinstance(data, FileSpan) else data
        self.wire.out.clear()
        self.flushed.append(octets)

    def fill(self) -> None:
        piece = self.pieces.pop(0)  # nothing left to wait for is the test's mistake, or the gateway's
        if piece is None:
            self.wire.receive_eof()
        else:
            self.wire.receive(piece)

    def span(self, file: Any) -> FileSpan | None:
        self.files.append(file)
        return self.spans.pop() if self.spans else None

    def serve(self, application: Callable[..., Iterable[bytes]], **environ: Any) -> Response:
        serve(application, make(self.exchange, **environ), self.exchange, self)
        self.flush()
        return self.response

    @property
    def response(self) -> Response:
        [response] = read_responses(b"".join(self.flushed), [self.exchange.method], self.wire.closing)
        return response


def template(**more: Any) -> dict[str, Any]:
    return {
        "SCRIPT_NAME": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input_terminated": True,
        **more,
    }


def make(exchange: Exchange, header_map: str = "drop", **more: Any) -> dict[str, Any]:
    return make_environ(exchange, template(**more), EnvironKeys(header_map))


def environ_of(octets: bytes, header_map: str = "drop", **more: Any) -> dict[str, Any]:
    return make(Peer(octets).exchange, header_map, **more)


def with_fields(*lines: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


Start = Callable[..., Callable[[bytes], None]]

LENGTH_9 = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
# The content is always ab\ncd\n\nef; it comes whole, in pieces, octet by octet, by length and by chunks.
ARRIVALS = {
    "length, whole": [LENGTH_9 + b"ab\ncd\n\nef"],
    "length, later": [LENGTH_9, b"ab\ncd\n\nef"],
    "length, in pieces": [LENGTH_9 + b"a", b"b\ncd", b"\n\n", b"ef"],
    "length, by octets": [LENGTH_9, *(b"%c" % octet for octet in b"ab\ncd\n\nef")],
    "length, with a request behind": [LENGTH_9 + b"ab\ncd\n\nef" + GET],
    "chunks, whole": [CHUNKED + b"4\r\nab\nc\r\n5;x\r\nd\n\nef\r\n0\r\nT: t\r\n\r\n"],
    "chunks, later": [CHUNKED, b"9\r\nab\ncd\n\nef\r\n0\r\n\r\n"],
    "chunks, the end later": [CHUNKED + b"9\r\nab\ncd\n\nef", b"\r\n", b"0\r\n", b"\r\n"],
    "chunks, by octets": [CHUNKED, *(b"%c" % octet for octet in b"3\r\nab\n\r\n6\r\ncd\n\nef\r\n0\r\n\r\n")],
}
CONTENT = b"ab\ncd\n\nef"
