"""A driver for ASGI applications without an event loop: coroutines are driven by hand."""

from collections.abc import Awaitable, Coroutine, Generator
from typing import Any

from pyserve.protocol.asgi import Call, Message
from pyserve.protocol.config import WireConfig
from pyserve.protocol.exchange import Exchange, FileSpan
from pyserve.protocol.http1 import Http1Wire
from pyserve.protocol.parsers import PARSERS
from tests.protocol.conversation import LIMITS, Response, read_responses

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
EXPECT = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n"
TAKES_TRAILERS = b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n"

START: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
DISCONNECT = {"type": "http.disconnect"}


def start(**more: Any) -> Message:
    return {**START, **more}


def body(content: bytes = b"", more: bool = False) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


class Waiting:
    """Something to await, which says what for."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __await__(self) -> Generator[str, None, None]:
        yield self.name


class Running:
    """A coroutine that runs until it waits, ends or raises."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self.result: Any = None
        self.done = False
        self.waits_for: str | None = None
        self.go_on()

    def go_on(self) -> None:
        try:
            self.waits_for = self._coroutine.send(None)
        except StopIteration as stop:
            self.waits_for = None
            self.done = True
            self.result = stop.value

    def throw(self, error: BaseException) -> None:
        self._coroutine.throw(error)


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that need not wait."""
    running = Running(coroutine)
    assert running.done, f"waits for {running.waits_for}"
    return running.result


class Peer:
    """A driver of one exchange."""

    def __init__(self, octets: bytes = GET) -> None:
        self.wire = Http1Wire(WireConfig(LIMITS, PARSERS["httptools"]))
        exchange = self.wire.receive(octets)
        assert exchange is not None
        self.exchange: Exchange = exchange
        self.call = Call(exchange, self)
        self.sent = b""
        self.full = False
        self.times_taken = 0
        self.opened: list[str] = []
        self.closed = 0
        self.file_error: OSError | None = None

    def flush(self) -> None:
        for data in self.wire.out:
            self.sent += b"f" * data.count if isinstance(data, FileSpan) else data
        self.wire.out.clear()

    def writable(self) -> Awaitable[None] | None:
        return Waiting("writable") if self.full else None

    def arrival(self) -> Awaitable[None]:
        return Waiting("arrival")

    def taken(self) -> None:
        self.times_taken += 1

    def open_span(self, path: str) -> Awaitable[FileSpan]:
        async def opening() -> FileSpan:
            await Waiting("file")
            if self.file_error is not None:
                raise self.file_error
            self.opened.append(path)
            return FileSpan(3, 0, 10, self._close)

        return opening()

    def _close(self) -> None:
        self.closed += 1

    # What the application does

    def receive(self) -> Message:
        message: Message = run(self.call.receive())
        return message

    def send(self, *messages: Message) -> None:
        for message in messages:
            run(self.call.send(message))

    @property
    def response(self) -> Response:
        [response] = read_responses(self.sent, [self.exchange.method], self.wire.closing)
        return response
