"""A driver without sockets: it answers each exchange with a plan, by the exchange itself or through a gateway."""

import sys
from collections.abc import Awaitable, Coroutine, Generator, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pyserve.protocol.asgi import Call, Message, ScopeTemplate
from pyserve.protocol.config import WireConfig
from pyserve.protocol.errors import ApplicationError, Disconnected, ProtocolError
from pyserve.protocol.exchange import Exchange, FileSpan, Receiving, Sending
from pyserve.protocol.http1 import Awaiting, Http1Wire
from pyserve.protocol.limits import Limits
from pyserve.protocol.parsers import Parser
from pyserve.protocol.wsgi import EnvironKeys, FileWrapper, make_environ, serve
from tests.fuzz.plans import Failure, Plan

ALLOWED = (ApplicationError, Disconnected, ProtocolError, Failure)


@dataclass
class Answered:
    """An exchange and how it was answered. taken: the content that the application has read; ended: to its end.
    error: what it, or the gateway, has raised; begun: whether the response had left by then."""

    exchange: Exchange
    plan: Plan
    taken: bytearray = field(default_factory=bytearray)
    ended: bool = False
    error: BaseException | None = None
    begun: bool = False


@dataclass
class Accident:
    """What befalls the connection after so many pieces have come: "lose", "expire", "eof", or "retire" (the worker)."""

    kind: str
    after: int


class Waiting:
    """Something to await, which the driver's loop sees. arrival: it ends when something comes from the peer."""

    def __init__(self, *, arrival: bool = False) -> None:
        self._arrival = arrival

    def __await__(self) -> Generator[bool, None, None]:
        yield self._arrival


class Driver:
    """Plays worker and peer: feeds the pieces one by one, whenever something waits for more, and keeps what is sent."""

    def __init__(self, parse: Parser, limits: Limits, pieces: list[bytes], plans: Iterator[Plan]) -> None:
        self.wire = Http1Wire(WireConfig(limits, parse, b"Server: pyserve\r\n", b"Date: today\r\n"))
        self.sent = bytearray()
        self.exchanges: list[Exchange] = []
        self.answered: list[Answered] = []
        self.lost = False
        self.opened = self.closed = 0  # files
        self.accident: Accident | None = None
        self.random: Random
        self._pieces = pieces
        self._plans = plans
        self._fed = 0
        self._eof = False

    def run(self) -> None:
        """Serve the connection to its end, or until nothing more comes."""
        exchange: Exchange | None = None
        while True:
            if exchange is not None:
                self._serve(exchange)
                if self.lost or self.wire.closing:
                    return
                exchange = self.wire.proceed()
                self._write()
            elif self._is_over():
                return
            else:
                exchange = self._feed()

    def _is_over(self) -> bool:
        return self.lost or self.wire.closing or (not self._pieces and self.accident is None)

    def _feed(self) -> Exchange | None:
        """Let the next piece come, or what befalls the connection."""
        accident = self.accident
        exchange = None
        if accident is not None and (accident.after <= self._fed or not self._pieces):
            self.accident = None
            self._befall(accident.kind)
            exchange = self.wire.proceed() if accident.kind == "eof" else None
        elif self._eof or not self._pieces:
            # Nothing is left that could come: a deadline passes, and where there is none the peer leaves.
            self._befall("lose" if self.wire.awaiting is Awaiting.NOTHING else "expire")
        else:
            self._fed += 1
            exchange = self.wire.receive(self._pieces.pop(0))
        self._write()
        return exchange

    def _befall(self, kind: str) -> None:
        if kind == "lose":
            self.lost = True
            self.wire.lose()
        elif kind == "expire":
            self.wire.expire()
        elif kind == "retire":
            self.wire.config.retiring = True
        else:
            self._eof = True
            self._pieces.clear()
            self.wire.receive_eof()

    def _write(self) -> None:
        assert self.wire.awaiting is Awaiting.NOTHING or not self.wire.closing
        for data in self.wire.out:
            if isinstance(data, FileSpan):
                self.sent += b"a" * data.count
                data.close()
            else:
                self.sent += data
        self.wire.out.clear()

    def _serve(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        plan = next(self._plans)
        if plan.waits:
            exchange.send_continue()
            self._write()
            while exchange.receiving is Receiving.BODY and exchange.error is None and not self.lost:
                self._feed()
        if exchange.error is not None or exchange.gone:
            return
        answered = Answered(exchange, plan)
        self.answered.append(answered)
        try:
            self.answer(answered)
        except ALLOWED as error:
            answered.error = error
            answered.begun = exchange.sending is not Sending.HEAD
        if isinstance(answered.error, ProtocolError):
            exchange.fail(answered.error.status, answered.error.text)
        elif not self.lost:
            exchange.fail(500, "the application failed")
        self._write()

    def answer(self, answered: Answered) -> None:
        """Run the plan."""
        raise NotImplementedError

    def open(self, size: int) -> FileSpan:
        """A file of so many octets, each of them an a."""
        self.opened += 1
        return FileSpan(3, 0, size, self._close)

    def _close(self) -> None:
        self.closed += 1

    # What gateways ask

    def flush(self) -> None:
        if self.lost:
            raise Disconnected("reset")
        self._write()

    def fill(self) -> None:
        self._feed()
        if self.lost:
            raise Disconnected("reset")


class _Steps:
    """Counts what the application has sent, and fails where the plan says so."""

    def __init__(self, plan: Plan) -> None:
        self._left = plan.fails

    def step(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise Failure


class ExchangeDriver(Driver):
    """The plan by the exchange itself; a piece may be a file."""

    def answer(self, answered: Answered) -> None:
        exchange, plan = answered.exchange, answered.plan
        steps = _Steps(plan)
        while plan.reads < 0 or len(answered.taken) < plan.reads:
            exchange.send_continue()
            answered.taken += exchange.take(plan.reads - len(answered.taken) if plan.reads >= 0 else -1)
            if exchange.error is not None:
                raise Disconnected(exchange.error.text)
            if exchange.receiving is Receiving.DONE and not exchange.buffered:
                answered.ended = True
                break
            if not exchange.buffered:
                self.fill()
        for hints in plan.hints:
            steps.step()
            exchange.send_early_hints(hints)
        steps.step()
        exchange.send_head(plan.status, None, plan.fields)
        pieces = plan.pieces or (b"",)
        for left, piece in zip(range(len(pieces) - 1, -1, -1), pieces, strict=True):
            steps.step()
            more = bool(left or plan.trailers is not None or plan.style == 1)
            is_file = plan.style == 2 and set(piece) == {ord("a")}
            exchange.send_body(self.open(len(piece)) if is_file else piece, more)
            if plan.style == 3 or is_file:
                self.flush()
        if plan.trailers is not None:
            steps.step()
            exchange.send_trailers(plan.trailers)
        elif plan.style == 1:
            exchange.send_body(b"", False)


class WsgiDriver(Driver):
    """The plan as a WSGI application."""

    def answer(self, answered: Answered) -> None:
        template = {"SCRIPT_NAME": "", "wsgi.errors": sys.stderr}
        exchange = answered.exchange
        environ = make_environ(exchange, template, EnvironKeys("drop"))
        assert environ["REQUEST_URI"].encode() == exchange.target
        application = _WsgiApplication(answered)
        try:
            serve(application, environ, exchange, self)
        finally:
            assert application.closed == application.returned

    def span(self, file: Any) -> FileSpan | None:
        size = len(file.content)
        return self.open(size) if set(file.content) == {ord("a")} else None


class _WsgiApplication:
    """style: 0 a list, 1 a generator, 2 a file wrapper, 3 write()."""

    def __init__(self, answered: Answered) -> None:
        self._answered = answered
        self.returned = self.closed = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        answered, plan = self._answered, self._answered.plan
        answered.taken += environ["wsgi.input"].read(plan.reads)
        answered.ended = plan.reads < 0 or len(answered.taken) < plan.reads
        steps = _Steps(plan)
        steps.step()
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in plan.fields]
        write = start_response(f"{plan.status:03} Fine", headers)
        if plan.style == 3:
            for piece in plan.pieces:
                steps.step()
                write(piece)
            return []
        if plan.style == 0:
            return list(plan.pieces)
        self.returned += 1
        if plan.style == 1:
            return _Generated(self, plan, steps)
        return FileWrapper(_File(self, plan.content), 1000)


class _Generated:
    """Blocks that come one by one, with a `close`."""

    def __init__(self, application: _WsgiApplication, plan: Plan, steps: _Steps) -> None:
        self._application = application
        self._pieces = iter(plan.pieces)
        self._steps = steps

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self._steps.step()
        return next(self._pieces)

    def close(self) -> None:
        self._application.closed += 1


class _File:
    def __init__(self, application: _WsgiApplication, content: bytes) -> None:
        self._application = application
        self._position = 0
        self.content = content

    def read(self, size: int) -> bytes:
        self._position += size
        return self.content[self._position - size : self._position]

    def close(self) -> None:
        self._application.closed += 1


class AsgiDriver(Driver):
    """The plan as an ASGI application, on an event loop of one coroutine."""

    def answer(self, answered: Answered) -> None:
        exchange = answered.exchange
        scope = ScopeTemplate(("127.0.0.1", 1), ("127.0.0.1", 2), "http", "", None).make(exchange)
        assert scope["method"] == exchange.method
        coroutine = self._application(answered, Call(exchange, self))
        while True:
            try:
                arrival = coroutine.send(None)
            except StopIteration:
                return
            if arrival or self._pieces:
                self._feed()
            if self.lost and exchange.sending is Sending.DONE:
                coroutine.close()
                return

    async def _application(self, answered: Answered, call: Call) -> None:
        plan = answered.plan
        steps = _Steps(plan)
        while plan.reads < 0 or len(answered.taken) < plan.reads:
            message = await call.receive()
            if message["type"] == "http.disconnect":
                break
            answered.taken += message["body"]
            if not message["more_body"]:
                answered.ended = True
                break
        for hints in plan.hints:
            steps.step()
            await call.send({"type": "http.response.early_hint", "links": [value for _, value in hints]})
        for message in _messages(plan):
            steps.step()
            await call.send(message)

    def writable(self) -> Awaitable[None] | None:
        return Waiting() if len(self.sent) % 3 == 0 and self._pieces else None

    def arrival(self) -> Awaitable[None]:
        return Waiting(arrival=True)

    def taken(self) -> None:
        pass

    def open_span(self, path: str) -> Coroutine[Any, Any, FileSpan]:
        async def opening() -> FileSpan:
            await Waiting()
            return self.open(int(path))

        return opening()


def _messages(plan: Plan) -> Iterator[Message]:
    """style: 0 the last piece ends it, 1 an empty one does, 2 a file where it can be, 3 types that are nearly bytes."""
    yield {
        "type": "http.response.start",
        "status": plan.status,
        "headers": plan.fields if plan.style else iter(plan.fields),
        "trailers": plan.trailers is not None,
    }
    pieces = plan.pieces or (b"",)
    if plan.style == 2 and len(pieces) == 1 and set(pieces[0]) == {ord("a")}:
        yield {"type": "http.response.pathsend", "path": str(len(pieces[0]))}
    else:
        for left, piece in zip(range(len(pieces) - 1, -1, -1), pieces, strict=True):
            body = bytearray(piece) if plan.style == 3 else piece
            yield {"type": "http.response.body", "body": body, "more_body": bool(left or plan.style == 1)}
        if plan.style == 1:
            yield {"type": "http.response.body"}
    if plan.trailers is not None:
        yield {"type": "http.response.trailers", "headers": plan.trailers}
