"""Applications that do anything in any order, catch what they get for it, and go on."""

import sys
from collections.abc import Callable
from typing import Any

from pyserve.protocol.asgi import Call, Message
from pyserve.protocol.errors import ApplicationError, Disconnected, ProtocolError
from pyserve.protocol.wsgi import EnvironKeys, make_environ, serve
from tests.fuzz import plans
from tests.fuzz.drivers import ALLOWED, Answered, AsgiDriver, ExchangeDriver, WsgiDriver
from tests.fuzz.plans import Failure, Plan

_KINDS = (ApplicationError, Disconnected, ProtocolError)
_MOST = 8  # things that one application does


class DisorderlyExchange(ExchangeDriver):
    """Every call that an exchange has."""

    def answer(self, answered: Answered) -> None:
        exchange, plan, random = answered.exchange, answered.plan, self.random
        calls: list[Callable[[], object]] = [
            lambda: exchange.send_head(plan.status, None, plan.fields),
            lambda: exchange.send_head(plan.status, b"Fine", plans.draw(random).fields),
            lambda: exchange.send_head(200, random.choice([b"", b"a\tb", b"\xe9", b"a\r\nX: y", b"\0"]), []),
            lambda: exchange.send_body(random.choice(plan.pieces or (b"",)), True),
            lambda: exchange.send_body(random.choice(plan.pieces or (b"",)), False),
            lambda: exchange.send_body(self.open(random.choice([0, 1, 5, 70000])), bool(random.randrange(2))),
            lambda: exchange.send_trailers(plan.trailers or []),
            lambda: exchange.send_early_hints(plan.hints[0] if plan.hints else []),
            exchange.send_continue,
            lambda: answered.taken.extend(exchange.take(random.choice([-1, 0, 1, 5]))),
            lambda: exchange.fail(random.choice([400, 500, 503]), "given up"),
            self.flush,
            self.fill_if_any,
        ]
        for _ in range(random.randrange(_MOST)):
            try:
                random.choice(calls)()
            except _KINDS:
                pass

    def fill_if_any(self) -> None:
        if self._pieces:
            self.fill()


class DisorderlyAsgi(AsgiDriver):
    """Every message, known or not."""

    async def _application(self, answered: Answered, call: Call) -> None:
        for _ in range(self.random.randrange(_MOST)):
            try:
                if self._pieces and not self.random.randrange(3):
                    message = await call.receive()
                    if message["type"] == "http.request":
                        assert not answered.ended
                        answered.taken += message["body"]
                        answered.ended = not message["more_body"]
                else:
                    await call.send(self._message(answered.plan))
            except _KINDS:
                pass

    def _message(self, plan: Plan) -> Message:
        random = self.random
        kind = random.choice(["start", "start", "body", "body", "body", "trailers", "early_hint", "pathsend", "push"])
        return {
            "type": "http.response." + kind,
            "status": random.choice([plan.status, plan.status, "200", None]),
            "headers": plan.fields if random.randrange(8) else [("X", "y")],
            "trailers": plan.trailers is not None,
            "body": random.choice([*plan.pieces, b"", bytearray(b"a"), memoryview(b"a"), "text", None]),
            "more_body": bool(random.randrange(2)),
            "more_trailers": not random.randrange(4),
            "links": [value for hints in plan.hints for _, value in hints],
            "path": random.choice(["0", "5", "70000"]),
        }


class DisorderlyWsgi(WsgiDriver):
    """start_response and write when they should not be called, and results of any kind."""

    def answer(self, answered: Answered) -> None:
        exchange = answered.exchange
        environ = make_environ(exchange, {"SCRIPT_NAME": "", "wsgi.errors": sys.stderr}, EnvironKeys("dangerous"))
        serve(
            lambda environ, start_response: self._application(answered, environ, start_response),
            environ,
            exchange,
            self,
        )

    def _application(self, answered: Answered, environ: dict[str, Any], start_response: Any) -> Any:
        plan, random = answered.plan, self.random
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in plan.fields]
        write: Any = None
        for _ in range(random.randrange(_MOST)):
            try:
                way = random.randrange(5)
                if way == 0:
                    write = start_response(f"{plan.status:03} Fine", headers)
                elif way == 1:
                    status = random.choice(
                        ["200", "", "20 OK", "+20 OK", "200 \u20ac", "200 a\r\nb", "\u0662\u0660\u0660 OK"]
                    )
                    write = start_response(status, [])
                elif way == 2:
                    error = Failure()
                    write = start_response("500 Oops", headers, (Failure, error, None))
                elif way == 3 and write is not None:
                    write(random.choice([*plan.pieces, b"a", b""]))
                else:
                    reader = environ["wsgi.input"]
                    answered.taken += random.choice([reader.read, reader.readline])(random.choice([0, 1, 5]))
            except ALLOWED:
                pass
        return random.choice([list(plan.pieces), iter(plan.pieces), [], ["text"], (b"a", b"b"), b"ab", iter(["text"])])
