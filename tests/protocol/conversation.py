"""Whole conversations with a wire: octets in, what the application saw, what a client reads, and whether it is over.

Clients here are h11: what it cannot parse is not HTTP. Every case of a table goes through `verdict`, which feeds it to
both parsers, whole, byte by byte and cut in two at every position, and asks for one answer to all of it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import h11
import pytest

from pyserve.protocol.config import WireConfig
from pyserve.protocol.exchange import Exchange, FileSpan, Receiving, Sending
from pyserve.protocol.http1 import Http1Wire
from pyserve.protocol.limits import Limits
from pyserve.protocol.parsers import PARSERS, Parser

UNLIMITED = 1 << 62
LIMITS = Limits(request_line=4094, fields=100, field_size=8190, body=UNLIMITED)
SHORT = 300  # octets; what is longer is not cut at every position

both_parsers = pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS)

Respond = Callable[[Exchange, bytes], None]


@dataclass(frozen=True)
class Seen:
    """A request as the application saw it."""

    method: str
    target: bytes
    version: str
    fields: tuple[tuple[bytes, bytes], ...]
    content: bytes


@dataclass(frozen=True)
class Response:
    """A response as a client sees it."""

    status: int
    reason: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    content: bytes
    trailers: tuple[tuple[bytes, bytes], ...]
    informational: tuple[int, ...]
    whole: bool  # False when it has not ended, or the connection was closed within it

    def __getitem__(self, name: bytes) -> bytes | None:
        values = [value for other, value in self.fields if other == name]
        assert len(values) < 2, values
        return values[0] if values else None


@dataclass(frozen=True)
class Verdict:
    """All that a conversation came to."""

    seen: tuple[Seen, ...]
    statuses: tuple[int, ...]
    closed: bool

    def __str__(self) -> str:
        text = " ".join(map(str, self.statuses)) or "nothing"
        return text + (" close" if self.closed else "")


def echo(exchange: Exchange, content: bytes) -> None:
    """Answer with the method, the target and the content."""
    exchange.send_head(200, None, [(b"Content-Type", b"application/octet-stream")])
    exchange.send_body(b"%b %b %b" % (exchange.method.encode(), exchange.target, content), False)


class Conversation:
    """A driver that starts a request when its content is complete, as a thread worker does."""

    def __init__(self, parse: Parser, limits: Limits = LIMITS, respond: Respond = echo) -> None:
        self.wire = Http1Wire(WireConfig(limits, parse, b"Server: pyserve\r\n", b"Date: today\r\n"))
        self.sent = bytearray()
        self.seen: list[Seen] = []
        self._respond = respond
        self._current: Exchange | None = None

    def feed(self, octets: bytes) -> None:
        self._current = self.wire.receive(octets) or self._current
        self._go_on()

    def end(self) -> None:
        """The client half-closes."""
        self.wire.receive_eof()
        self._go_on()

    def _go_on(self) -> None:
        while (exchange := self._current) is not None:
            exchange.send_continue()
            self._flush()
            if exchange.sending is Sending.HEAD and exchange.receiving is Receiving.DONE:
                content = exchange.take()
                self.seen.append(
                    Seen(exchange.method, exchange.target, exchange.version, tuple(exchange.fields), content)
                )
                self._respond(exchange, content)
                self._flush()
            if exchange.sending is not Sending.DONE:
                return
            self._current = self.wire.proceed()
        self._flush()

    def _flush(self) -> None:
        for data in self.wire.out:
            assert not isinstance(data, FileSpan)
            self.sent += data
        self.wire.out.clear()

    @property
    def verdict(self) -> Verdict:
        methods = [seen.method for seen in self.seen]
        statuses = tuple(response.status for response in read_responses(bytes(self.sent), methods, self.wire.closing))
        return Verdict(tuple(self.seen), statuses, self.wire.closing)


def read_responses(octets: bytes, methods: Iterable[str] = (), closed: bool = True) -> list[Response]:
    """Read a client's octets with h11, which must be content with all of them. Missing methods are GET."""
    asked = iter(methods)
    responses = []
    while octets:
        response, octets = _read_response(octets, next(asked, "GET"), closed)
        if response is not None:
            responses.append(response)
    return responses


def _read_response(octets: bytes, method: str, closed: bool) -> tuple[Response | None, bytes]:
    """The first response and what stands behind it; None when there is only a 100."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "example.com")]))
    client.send(h11.EndOfMessage())
    client.receive_data(octets)
    if closed:
        client.receive_data(b"")
    head: h11.Response | None = None
    informational: list[int] = []
    content = b""
    while True:
        try:
            event = client.next_event()
        except h11.RemoteProtocolError:
            # Cut in the middle is for the test to say; anything else that h11 refuses is our mistake.
            assert head is not None
            assert closed
            event = h11.NEED_DATA
        if isinstance(event, h11.InformationalResponse):
            informational.append(event.status_code)
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            content += bytes(event.data)
        else:
            if head is None:
                assert informational, (event, octets)
                return None, b""
            whole = isinstance(event, h11.EndOfMessage)
            trailers = tuple(event.headers) if isinstance(event, h11.EndOfMessage) else ()
            rest = client.trailing_data[0] if whole else b""
            fields = tuple(head.headers)
            response = Response(head.status_code, head.reason, fields, content, trailers, tuple(informational), whole)
            return response, rest


def cuts(octets: bytes) -> Iterator[list[bytes]]:
    """All ways to send some octets: whole, byte by byte, and, where they are few, in two pieces."""
    yield [octets]
    yield [octets[i : i + 1] for i in range(len(octets))]
    if len(octets) <= SHORT:
        yield from ([octets[:i], octets[i:]] for i in range(1, len(octets)))


def converse(
    pieces: Iterable[bytes], parse: Parser, limits: Limits = LIMITS, *, respond: Respond = echo, eof: bool = False
) -> Conversation:
    conversation = Conversation(parse, limits, respond)
    for piece in pieces:
        conversation.feed(piece)
    if eof:
        conversation.end()
    return conversation


def verdict(octets: bytes, limits: Limits = LIMITS, *, respond: Respond = echo, eof: bool = False) -> Verdict:
    """The one verdict on `octets`, with either parser and however they are cut."""
    first: Verdict | None = None
    for name, parse in PARSERS.items():
        for pieces in cuts(octets):
            other = converse(pieces, parse, limits, respond=respond, eof=eof).verdict
            first = first or other
            assert other == first, (name, pieces)
    assert first is not None
    return first


# What has been valid once is remembered: methods, names, hosts. All tests are of a worker that has served before.
for _method in (b"GET", b"HEAD", b"POST", b"PUT", b"OPTIONS", b"TRACE", b"BREW"):
    assert str(verdict(b"%b / HTTP/1.1\r\nHost: a\r\n\r\n" % _method)) == "200"
