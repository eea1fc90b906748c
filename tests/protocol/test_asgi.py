"""ASGI 3 without an event loop: coroutines are driven by hand, and what they wait for is looked at."""

from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

import pytest

from pyserve.protocol.asgi import Call, Lifespan, Message, Phase, ScopeTemplate
from pyserve.protocol.errors import ApplicationError, Disconnected
from pyserve.protocol.exchange import Exchange, FileSpan, Receiving, Sending
from pyserve.protocol.http1 import Http1Wire, WireConfig
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


# scope


def scope_of(octets: bytes, **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "client": ("192.0.2.1", 5000),
        "server": ("127.0.0.1", 8000),
        "scheme": "http",
        "root_path": "",
        "state": None,
        **more,
    }
    return ScopeTemplate(**given).make(Peer(octets).exchange)


def test_scope_is_asgi_2_5s() -> None:
    octets = b"POST /a%20b/%C3%A9?c=%20d HTTP/1.1\r\nHost: A\r\nX-Y:1\r\nx-y: 2\r\nX_Z: 3\r\nContent-Length: 0\r\n\r\n"
    assert scope_of(octets) == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/a b/\u00e9",
        "raw_path": b"/a%20b/%C3%A9",
        "query_string": b"c=%20d",
        "root_path": "",
        "headers": [(b"host", b"A"), (b"x-y", b"1"), (b"x-y", b"2"), (b"x_z", b"3"), (b"content-length", b"0")],
        "client": ("192.0.2.1", 5000),
        "server": ("127.0.0.1", 8000),
        "extensions": {"http.response.pathsend": {}, "http.response.early_hint": {}, "http.response.trailers": {}},
    }


def test_scope_of_another_kind() -> None:
    scope = scope_of(b"GET / HTTP/1.0\r\n\r\n", client=None, server=("/run/a.sock", None), scheme="https")
    assert (scope["client"], scope["server"], scope["scheme"]) == (None, ("/run/a.sock", None), "https")
    assert (scope["http_version"], scope["headers"], scope["query_string"]) == ("1.0", [], b"")
    assert type(scope) is dict
    assert "state" not in scope


def test_scope_keeps_the_case_of_methods() -> None:
    assert scope_of(b"brew / HTTP/1.1\r\nHost: a\r\n\r\n")["method"] == "brew"


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        (b"/%2F%41", "//A", b"/%2F%41", b""),
        (b"/%ff", "/\ufffd", b"/%ff", b""),
        (b"/%zz?", "/%zz", b"/%zz", b""),
        (b"http://a/b?c", "/b", b"/b", b"c"),
        (b"http://a", "/", b"/", b""),
    ],
)
def test_paths(target: bytes, path: str, raw_path: bytes, query: bytes) -> None:
    scope = scope_of(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw_path, query)


def test_root_path_is_part_of_path() -> None:
    scope = scope_of(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", root_path="/app")
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/app", "/app/a", b"/app/a")


def test_state_is_copied_and_no_deeper() -> None:
    deep = {"a": 1}
    state = {"deep": deep}
    template = ScopeTemplate(None, None, "http", "", state)
    one, other = template.make(Peer().exchange), template.make(Peer().exchange)
    one["state"]["mine"] = 1
    assert other["state"] == state == {"deep": deep}
    assert one["state"]["deep"] is deep
    assert ScopeTemplate(None, None, "http", "", {}).make(Peer().exchange)["state"] == {}


def test_what_one_application_does_to_its_scope_stays_there() -> None:
    template = ScopeTemplate(None, None, "http", "", None)
    one = template.make(Peer().exchange)
    one["asgi"]["version"] = "1"
    one["extensions"]["mine"] = {}
    one["path"] = one["type"] = "x"
    other = template.make(Peer().exchange)
    assert other["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert set(other["extensions"]) == {"http.response.pathsend", "http.response.early_hint", "http.response.trailers"}
    assert (other["path"], other["type"]) == ("/", "http")


# receive


def request(content: bytes, more: bool = False) -> Message:
    return {"type": "http.request", "body": content, "more_body": more}


def test_no_content() -> None:
    peer = Peer()
    assert peer.receive() == request(b"")
    running = Running(peer.call.receive())
    assert running.waits_for == "arrival"  # until the peer leaves or the response is complete
    peer.send(start(), body(b"a"))
    running.go_on()
    assert running.result == DISCONNECT
    assert peer.receive() == DISCONNECT


def test_content_that_is_here() -> None:
    peer = Peer(POST + b"abcdef")
    assert peer.receive() == request(b"abcdef")
    assert peer.times_taken == 1


@pytest.mark.parametrize(
    ("head", "pieces", "expected"),
    [
        (POST, [b"ab", b"cd", b"ef"], [request(b"ab", True), request(b"cd", True), request(b"ef")]),
        (CHUNKED, [b"2\r\nab\r\n", b"4\r\ncdef", b"\r\n0\r\n\r\n"],
         [request(b"ab", True), request(b"cdef", True), request(b"")]),
    ],
)  # fmt: skip
def test_content_streams(head: bytes, pieces: list[bytes], expected: list[Message]) -> None:
    peer = Peer(head)
    got = []
    for piece in pieces:
        running = Running(peer.call.receive())
        assert running.waits_for == "arrival"
        running.go_on()
        assert running.waits_for == "arrival"  # woken for nothing
        peer.wire.receive(piece)
        running.go_on()
        got.append(running.result)
    assert got == expected


def test_content_that_came_in_the_meantime_is_one_message() -> None:
    peer = Peer(POST)
    for piece in (b"ab", b"c", b"d"):
        peer.wire.receive(piece)
    assert peer.receive() == request(b"abcd", True)
    peer.wire.receive(b"ef")
    assert peer.receive() == request(b"ef")


def test_continue_is_said_at_the_first_receive() -> None:
    peer = Peer(EXPECT)
    assert peer.sent == b""
    running = Running(peer.call.receive())
    assert running.waits_for == "arrival"
    assert peer.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    peer.wire.receive(b"abc")
    running.go_on()
    assert running.result == request(b"abc", True)
    Running(peer.call.receive())
    assert peer.sent.count(b"100") == 1


def test_continue_is_not_said_behind_the_response() -> None:
    peer = Peer(EXPECT)
    peer.send(start(), body(b"a", True))
    Running(peer.call.receive())
    assert b"100 Continue" not in peer.sent


def test_a_peer_that_has_ended_reads_its_answer() -> None:
    """A FIN is no death: the request is delivered, then http.disconnect, and the response is sent in full."""
    peer = Peer(POST + b"abcdef")
    peer.wire.receive_eof()
    assert peer.receive() == request(b"abcdef")
    assert peer.receive() == DISCONNECT
    peer.send(start(), body(b"a", True), body(b"b"))
    assert peer.response.content == b"ab"


def test_a_peer_that_ends_while_receive_waits() -> None:
    peer = Peer()
    peer.receive()
    running = Running(peer.call.receive())
    peer.wire.receive_eof()
    running.go_on()
    assert running.result == DISCONNECT
    assert not peer.exchange.gone


@pytest.mark.parametrize("lose", ["lose", "receive_eof", "expire"])
def test_a_peer_that_leaves_within_content(lose: str) -> None:
    peer = Peer(POST + b"ab")
    assert peer.receive() == request(b"ab", True)
    running = Running(peer.call.receive())
    getattr(peer.wire, lose)()
    running.go_on()
    assert running.result == DISCONNECT
    for message in (start(), body(b"a")):
        with pytest.raises(Disconnected):
            peer.send(message)


def test_content_of_a_lost_connection_is_not_delivered_as_if_whole() -> None:
    peer = Peer(POST + b"abcdef")
    peer.wire.lose()
    assert peer.receive() == DISCONNECT


def test_malformed_content() -> None:
    peer = Peer(CHUNKED)
    running = Running(peer.call.receive())
    peer.wire.receive(b"x\r\n")
    running.go_on()
    assert running.result == DISCONNECT
    peer.flush()
    assert peer.response.status == 400


# send


def test_a_response() -> None:
    peer = Peer()
    peer.send(start())
    assert peer.sent == b""
    peer.send(body(b"hello"))
    assert peer.response.content == b"hello"
    assert peer.response.fields == ((b"content-type", b"text/plain"), (b"content-length", b"5"))
    assert peer.exchange.sending is Sending.DONE


def test_a_response_in_pieces() -> None:
    peer = Peer()
    peer.send(start(), body(b"one", True))
    assert peer.sent.endswith(b"3\r\none\r\n")  # without delay
    peer.send(body(b"", True), body(b"two", True), body())
    assert peer.response.content == b"onetwo"
    assert peer.response[b"transfer-encoding"] == b"chunked"


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "http.response.start", "status": 200}, {"type": "http.response.body"}],
        [start(headers=[]), body()],
        [start(headers=()), body()],
        [start(headers=iter([])), body()],
        [start(trailers=False), body()],
        [start(reason="ignored"), body()],
    ],
)
def test_what_may_be_left_out(messages: list[Message]) -> None:
    peer = Peer()
    peer.send(*messages)
    assert (peer.response.status, peer.response.content) == (200, b"")


def test_headers_may_be_any_iterables() -> None:
    peer = Peer()
    peer.send(start(headers=([name, value] for name, value in [(b"A", b"b"), (b"C", b"d")])), body())
    assert peer.response.fields == ((b"a", b"b"), (b"c", b"d"), (b"content-length", b"0"))


@pytest.mark.parametrize("content", [b"abc", bytearray(b"abc"), memoryview(b"abc")])
def test_bodies(content: Any) -> None:
    peer = Peer()
    peer.send(start(), {"type": "http.response.body", "body": content})
    assert peer.response.content == b"abc"


def test_send_waits_while_the_peer_does_not_read() -> None:
    peer = Peer()
    peer.send(start())
    peer.full = True
    running = Running(peer.call.send(body(b"a", True)))
    assert running.waits_for == "writable"
    assert b"a" in peer.sent  # but what was given is on its way
    peer.full = False
    running.go_on()
    assert running.done
    peer.send(body(b"b"))
    assert peer.response.content == b"ab"


def test_send_that_is_cancelled_while_it_waits() -> None:
    peer = Peer()
    peer.send(start())
    peer.full = True
    running = Running(peer.call.send(body(b"a", True)))
    with pytest.raises(KeyboardInterrupt):
        running.throw(KeyboardInterrupt())
    peer.full = False
    peer.send(body(b"b"))
    assert peer.response.content == b"ab"


WITH_TRAILERS = start(trailers=True)
TRAILERS: Message = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}
PATHSEND: Message = {"type": "http.response.pathsend", "path": "/a"}
OUT_OF_ORDER: list[tuple[str, list[Message], Message]] = [
    ("a body first", [], body(b"a")),
    ("start twice", [start()], start()),
    ("start after data", [start(), body(b"a", True)], start()),
    ("start after the end", [start(), body(b"a")], start()),
    ("a body after the end", [start(), body(b"a")], body(b"b")),
    ("an empty body after the end", [start(), body(b"a")], body()),
    ("a file first", [], PATHSEND),
    ("trailers first", [], TRAILERS),
    ("trailers that were not announced", [start()], TRAILERS),
    ("trailers that were not announced, behind data", [start(), body(b"a", True)], TRAILERS),
    ("trailers before data", [WITH_TRAILERS], TRAILERS),
    ("trailers before the last data", [WITH_TRAILERS, body(b"a", True)], TRAILERS),
    ("trailers twice", [WITH_TRAILERS, body(b"a"), TRAILERS], TRAILERS),
    ("a body before trailers, after the last", [WITH_TRAILERS, body(b"a")], body(b"b")),
    ("a file before trailers, after the last", [WITH_TRAILERS, body(b"a")], PATHSEND),
    ("a body after trailers", [WITH_TRAILERS, body(b"a"), TRAILERS], body(b"b")),
    ("early hints after data", [start(), body(b"a", True)], {"type": "http.response.early_hint", "links": []}),
    ("a message of another kind", [start()], {"type": "http.response.debug"}),
    ("a message of a websocket", [], {"type": "websocket.accept"}),
]


@pytest.mark.parametrize(("before", "message"), [pytest.param(*o[1:], id=o[0]) for o in OUT_OF_ORDER])
def test_messages_out_of_order(before: list[Message], message: Message) -> None:
    peer = Peer(TAKES_TRAILERS)
    peer.send(*before)
    sent = peer.sent
    with pytest.raises(ApplicationError):
        peer.send(message)
    peer.flush()
    assert peer.sent == sent
    assert peer.opened == []


WRONG: list[tuple[str, list[Message], Message]] = [
    ("status", [], start(status="200")),
    ("status None", [], start(status=None)),
    ("status 101", [], start(status=101)),
    ("status 600", [], start(status=600)),
    ("header of str", [], start(headers=[("a", "b")])),
    ("value of str", [], start(headers=[(b"a", "b")])),
    ("splitting", [], start(headers=[(b"a", b"b\r\nc: d")])),
    ("bad name", [], start(headers=[(b"a b", b"c")])),
    ("length", [], start(headers=[(b"content-length", b"x")])),
    ("body of str", [start()], {"type": "http.response.body", "body": "a"}),
    ("body None", [start()], {"type": "http.response.body", "body": None}),
    ("body of numbers", [start()], {"type": "http.response.body", "body": [1]}),
    ("splitting in hints", [], {"type": "http.response.early_hint", "links": [b"a\r\nb: c"]}),
    ("hints of str", [], {"type": "http.response.early_hint", "links": ["a"]}),
    ("splitting in trailers", [WITH_TRAILERS, body()], {**TRAILERS, "headers": [(b"a", b"b\r\n\r\nc")]}),
    ("framing in trailers", [WITH_TRAILERS, body()], {**TRAILERS, "headers": [(b"Content-Length", b"1")]}),
]


@pytest.mark.parametrize(("before", "message"), [pytest.param(*w[1:], id=w[0]) for w in WRONG])
def test_messages_with_something_wrong(before: list[Message], message: Message) -> None:
    peer = Peer(TAKES_TRAILERS)
    peer.send(*before)
    sent = peer.sent
    with pytest.raises(ApplicationError):
        peer.send(message)
    peer.flush()
    assert peer.sent == sent


@pytest.mark.parametrize("message", [{}, {"type": "http.response.start"}])
def test_messages_with_something_missing(message: Message) -> None:
    with pytest.raises(KeyError):
        Peer().send(message)


def test_a_start_that_was_refused_may_be_made_good() -> None:
    peer = Peer()
    with pytest.raises(ApplicationError):
        peer.send(start(status=1000))
    peer.send(start(status=404), body(b"a"))
    assert peer.response.status == 404


@pytest.mark.parametrize(
    ("before", "message"),
    [
        ([], start()),
        ([start()], body(b"a")),
        ([start(), body(b"a", True)], body(b"b")),
        ([WITH_TRAILERS, body(b"a")], TRAILERS),
        ([], {"type": "http.response.early_hint", "links": []}),
    ],
)
def test_send_after_the_peer_has_gone_raises_an_oserror(before: list[Message], message: Message) -> None:
    peer = Peer(TAKES_TRAILERS)
    peer.send(*before)
    peer.wire.lose()
    for _ in range(2):
        with pytest.raises(OSError):
            peer.send(message)


def test_content_after_the_response_is_not_the_applications() -> None:
    peer = Peer(POST)
    peer.send(start(), body(b"early"))
    assert peer.receive() == DISCONNECT
    peer.wire.receive(b"abcdef")
    assert peer.exchange.receiving is Receiving.DONE
    assert peer.exchange.buffered == 0
    assert peer.receive() == DISCONNECT
    assert not peer.wire.closing


# Extensions


def test_trailers() -> None:
    peer = Peer(TAKES_TRAILERS)
    peer.send(WITH_TRAILERS, body(b"a", True), body(b"b"))
    assert peer.exchange.sending is Sending.BODY
    peer.send({**TRAILERS, "more_trailers": True}, {**TRAILERS, "headers": [(b"b", b"2")]})
    assert peer.response.content == b"ab"
    assert peer.response.trailers == ((b"x-sum", b"1"), (b"b", b"2"))


def test_trailers_for_a_peer_that_does_not_take_them() -> None:
    peer = Peer()
    peer.send(WITH_TRAILERS, body(b"a"), TRAILERS)
    assert peer.response.whole
    assert peer.response.trailers == ()


def test_early_hints() -> None:
    peer = Peer()
    peer.send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>"]})
    assert peer.sent == b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nlink: </b.js>\r\n\r\n"
    peer.send(start(), body(b"a"))
    assert peer.response.informational == (103,)


def send_file(peer: Peer) -> None:
    running = Running(peer.call.send(PATHSEND))
    assert running.waits_for == "file"
    running.go_on()
    assert running.done


def test_pathsend() -> None:
    peer = Peer()
    peer.send(start())
    send_file(peer)
    assert peer.opened == ["/a"]
    assert peer.response.content == b"f" * 10
    assert peer.response[b"content-length"] == b"10"
    assert peer.exchange.sending is Sending.DONE


def test_pathsend_before_trailers() -> None:
    peer = Peer(TAKES_TRAILERS)
    peer.send(WITH_TRAILERS)
    send_file(peer)
    peer.send(TRAILERS)
    assert peer.response.content == b"f" * 10
    assert peer.response.trailers == ((b"x-sum", b"1"),)


def test_pathsend_of_head() -> None:
    peer = Peer(GET.replace(b"GET", b"HEAD"))
    peer.send(start())
    send_file(peer)
    assert peer.response.content == b""
    assert peer.response[b"content-length"] == b"10"
    assert peer.closed == 1


def test_pathsend_of_a_file_that_is_not_there() -> None:
    peer = Peer()
    peer.send(start())
    peer.file_error = FileNotFoundError("/a")
    running = Running(peer.call.send(PATHSEND))
    with pytest.raises(FileNotFoundError):
        running.go_on()
    assert peer.sent == b""
    peer.send(body(b"instead"))
    assert peer.response.content == b"instead"


def test_pathsend_for_a_peer_that_leaves_meanwhile() -> None:
    peer = Peer()
    peer.send(start())
    running = Running(peer.call.send(PATHSEND))
    peer.wire.lose()
    with pytest.raises(Disconnected):
        running.go_on()
    assert peer.closed == 1


# lifespan


class Worker:
    """A driver of a lifespan."""

    def __init__(self, application: Callable[..., Any]) -> None:
        self.phases: list[Phase] = []
        self.state: dict[str, Any] = {}
        self.lifespan = Lifespan(application, self.state, self)
        self.running = Running(self.lifespan.run())

    def shutdown(self) -> Awaitable[None]:
        return Waiting("shutdown")

    def progressed(self) -> None:
        self.phases.append(self.lifespan.phase)

    @property
    def outcome(self) -> tuple[list[Phase], str]:
        return self.phases, self.lifespan.reason


def messages(*types: str, receive_first: bool = True) -> Callable[..., Any]:
    """An application that answers each message it receives with the next of these, in order."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        for kind in types:
            await receive()
            await send({"type": f"lifespan.{kind}", "message": "why"})

    return application


def test_a_lifespan() -> None:
    seen: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope))
        scope["state"]["db"] = "open"
        seen.append(await receive())
        await send({"type": "lifespan.startup.complete"})
        seen.append(await receive())
        scope["state"]["db"] = "closed"
        await send({"type": "lifespan.shutdown.complete"})

    worker = Worker(application)
    assert worker.running.waits_for == "shutdown"
    assert worker.phases == [Phase.STARTED]
    assert worker.state == {"db": "open"}
    worker.running.go_on()
    assert worker.running.done
    assert worker.outcome == ([Phase.STARTED, Phase.STOPPED], "")
    assert worker.state == {"db": "closed"}
    assert seen == [
        {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": worker.state},
        {"type": "lifespan.startup"},
        {"type": "lifespan.shutdown"},
    ]


def test_startup_fails() -> None:
    worker = Worker(messages("startup.failed"))
    assert worker.outcome == ([Phase.FAILED], "why")
    assert worker.lifespan.error is None


def test_startup_fails_and_the_application_raises_too() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await messages("startup.failed")(scope, receive, send)
        raise ValueError

    assert Worker(application).outcome == ([Phase.FAILED], "why")


def test_shutdown_fails() -> None:
    worker = Worker(messages("startup.complete", "shutdown.failed"))
    worker.running.go_on()
    assert worker.outcome == ([Phase.STARTED, Phase.FAILED], "why")


def test_an_application_without_lifespan_raises() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"

    worker = Worker(application)
    assert worker.phases == [Phase.UNSUPPORTED]
    assert isinstance(worker.lifespan.error, AssertionError)


def test_an_application_without_lifespan_raises_at_receive() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        raise ValueError(message["type"])

    worker = Worker(application)
    assert worker.outcome == ([Phase.UNSUPPORTED], "ValueError('lifespan.startup')")


def test_an_application_without_lifespan_returns() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        return

    worker = Worker(application)
    assert worker.phases == [Phase.UNSUPPORTED]
    assert worker.lifespan.error is None
    assert worker.lifespan.reason


def test_an_application_that_takes_everything_for_a_request_has_no_lifespan() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send(start())

    worker = Worker(application)
    assert isinstance(worker.lifespan.error, ApplicationError)
    assert worker.phases == [Phase.UNSUPPORTED]


def test_an_application_that_breaks_after_startup() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await messages("startup.complete")(scope, receive, send)
        raise ValueError("mine")

    worker = Worker(application)
    assert worker.outcome == ([Phase.STARTED, Phase.FAILED], "ValueError('mine')")


def test_an_application_that_returns_after_startup_is_done() -> None:
    assert Worker(messages("startup.complete")).phases == [Phase.STARTED, Phase.STOPPED]


def test_an_application_that_raises_after_shutdown_has_stopped_all_the_same() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await messages("startup.complete", "shutdown.complete")(scope, receive, send)
        raise ValueError

    worker = Worker(application)
    worker.running.go_on()
    assert worker.outcome == ([Phase.STARTED, Phase.STOPPED], "")


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_what_is_no_exception_passes_through(error: BaseException) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise error

    with pytest.raises(type(error)):
        Worker(application)


@pytest.mark.parametrize(
    "types",
    [
        ["shutdown.complete"],
        ["startup.complete", "startup.complete"],
        ["other"],
    ],
)
def test_lifespan_messages_out_of_order(types: list[str]) -> None:
    worker = Worker(messages(*types))
    if not worker.running.done:
        worker.running.go_on()
    assert isinstance(worker.lifespan.error, ApplicationError)
    assert worker.phases[-1] in (Phase.FAILED, Phase.UNSUPPORTED)
