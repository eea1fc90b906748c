"""The hooks around requests: what they are given, and what becomes of what they do. No socket, no application."""

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pyserve.protocol.config import WireConfig
from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.exchange import Exchange
from pyserve.protocol.http1 import Http1Wire
from pyserve.protocol.parsers import PARSERS
from pyserve.protocol.wsgi import EnvironKeys
from pyserve.settings import Settings
from pyserve.workers.crew import limits_of
from pyserve.workers.request_hooks import RequestHooks, of_four

REQUEST = (
    b"POST /a%20b/x?q=1 HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nx-one: 2\r\nCookie: a=b\r\nContent-Length: 4\r\n\r\nbody"
)
TEMPLATE = {"REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "55", "SCRIPT_NAME": "", "wsgi.url_scheme": "http"}
UNIX = {**TEMPLATE, "REMOTE_ADDR": "", "REMOTE_PORT": ""}
KEYS = EnvironKeys("drop")


class Log:
    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda msg, *args: self.said.append((level, msg % args))


def exchange(octets: bytes = REQUEST) -> Exchange:
    found = Http1Wire(WireConfig(limits_of(Settings()), PARSERS["httptools"], b"Server: pyserve\r\n")).receive(octets)
    assert found is not None
    return found


def hooks(**settings: Any) -> RequestHooks:
    return RequestHooks(Settings(**settings), cast(Any, SimpleNamespace(log=Log())))


def said(of: RequestHooks) -> list[tuple[str, str]]:
    return cast(Any, of)._worker.log.said  # type: ignore[no-any-return]


def answered(of: Exchange) -> Exchange:
    of.send_head(200, None, [(b"Content-Type", b"text/plain"), (b"x-a", b"1"), (b"x-a", b"2")])
    of.send_body(b"hello", False)
    return of


# What hooks are given


def test_req() -> None:
    seen: list[Any] = []
    it = hooks(pre_request=lambda worker, req: seen.append((worker, req)))
    it.make_environ(exchange(), TEMPLATE, KEYS)
    [(worker, req)] = seen
    assert worker is cast(Any, it)._worker
    assert (req.method, req.uri, req.path, req.query) == ("POST", "/a%20b/x?q=1", "/a%20b/x", "q=1")
    assert (req.fragment, req.version, req.scheme, req.trailers) == ("", (1, 1), "http", [])
    assert req.headers == [
        ("HOST", "h"), ("X-ONE", "1"), ("X-ONE", "2"), ("COOKIE", "a=b"), ("CONTENT-LENGTH", "4"),
    ]  # fmt: skip
    assert req.remote_addr == req.peer_addr == ("192.0.2.1", 55)
    assert req.proxy_protocol_info is None
    assert not req.should_close()


def test_req_of_http_1_0_over_a_unix_socket() -> None:
    seen: list[Any] = []
    it = hooks(pre_request=lambda worker, req: seen.append(req))
    it.make_environ(exchange(b"GET / HTTP/1.0\r\n\r\n"), UNIX, KEYS)
    assert (seen[0].version, seen[0].remote_addr) == ((1, 0), "")
    assert seen[0].should_close()


def test_a_body_that_a_hook_has_read_is_there_for_the_application() -> None:
    seen: list[bytes] = []
    it = hooks(pre_request=lambda worker, req: seen.extend([req.body.read(1), req.body.read()]))
    asked = exchange()
    it.make_environ(asked, TEMPLATE, KEYS)
    assert seen == [b"b", b"ody"]
    assert asked.take() == b"body"


def test_resp() -> None:
    seen: list[Any] = []
    it = hooks(post_request=lambda *arguments: seen.append(arguments))
    asked = exchange()
    environ = it.make_environ(asked, TEMPLATE, KEYS)
    it.over(answered(asked))
    [(_, req, given, resp)] = seen
    assert given is environ
    assert given["PATH_INFO"] == "/a b/x"
    assert resp.req is req
    assert (resp.status, resp.status_code, resp.sent, resp.response_length) == ("200 OK", 200, 5, 5)
    assert resp.headers == [("Content-Type", "text/plain"), ("x-a", "1"), ("x-a", "2")]
    assert resp.headers_sent
    assert not resp.chunked
    assert not resp.should_close()


def test_resp_with_a_reason_of_its_own() -> None:
    seen: list[str] = []
    it = hooks(post_request=lambda worker, req, environ, resp: seen.append(resp.status))
    asked = exchange()
    it.make_environ(asked, TEMPLATE, KEYS)
    asked.send_head(299, b"Fine", [])
    asked.send_body(b"", False)
    it.over(asked)
    assert seen == ["299 Fine"]


def test_resp_of_a_request_that_was_never_answered() -> None:
    seen: list[Any] = []
    it = hooks(post_request=lambda worker, req, environ, resp: seen.append((resp.status, resp.status_code, resp.sent)))
    asked = exchange()
    it.make_environ(asked, TEMPLATE, KEYS)
    it.over(asked)
    assert seen == [(None, None, 0)]


def test_what_the_first_hook_notes_the_second_finds() -> None:
    seen: list[int] = []

    def before(worker: Any, req: Any) -> None:
        req.started = 5

    it = hooks(pre_request=before, post_request=lambda worker, req: seen.append(req.started))
    for each in (exchange(), exchange()):
        it.make_environ(each, TEMPLATE, KEYS)
        it.over(answered(each))
    assert seen == [5, 5]


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (lambda worker, req: [worker, req], [1, 2]),
        (lambda worker, req, environ: [worker, req, environ], [1, 2, 3]),
        (lambda worker, req, environ, resp: [worker, req, environ, resp], [1, 2, 3, 4]),
        (lambda worker, req, environ=None, resp=None: [worker, req, environ, resp], [1, 2, 3, 4]),
        (lambda *arguments: list(arguments), [1, 2, 3, 4]),
    ],
)
def test_post_request_may_take_less(function: Callable[..., object], given: list[int]) -> None:
    assert cast(Any, of_four(function))(1, 2, 3, 4) == given


# When they are called


def test_the_second_is_called_once_and_only_after_the_first() -> None:
    seen: list[Any] = []
    it = hooks(post_request=lambda worker, req: seen.append(req))
    refused, asked = exchange(), exchange()
    it.over(refused)
    assert seen == []
    it.make_environ(asked, TEMPLATE, KEYS)
    it.over(asked)
    it.over(asked)
    assert len(seen) == 1


def test_nothing_is_kept_of_a_request_that_is_over() -> None:
    it = hooks(pre_request=lambda worker, req: None)
    asked = exchange()
    it.make_environ(asked, TEMPLATE, KEYS)
    it.over(asked)
    assert cast(Any, it)._open == {}


# ASGI


def test_asgi_requests_have_an_environ_too() -> None:
    seen: list[Any] = []
    it = hooks(
        pre_request=lambda worker, req: seen.append(req.remote_addr),
        post_request=lambda worker, req, environ: seen.append(environ),
    )
    asked = exchange()
    it.begin(asked, ("192.0.2.1", 55), "https")
    it.over(answered(asked))
    address, environ = seen
    assert address == ("192.0.2.1", 55)
    assert environ["PATH_INFO"] == "/a b/x"
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"], environ["wsgi.url_scheme"]) == ("192.0.2.1", "55", "https")
    assert environ["HTTP_X_ONE"] == "1, 2"


def test_an_asgi_request_that_has_no_environ() -> None:
    seen: list[Any] = []
    it = hooks(header_map="refuse", post_request=lambda worker, req, environ: seen.append(environ["REMOTE_ADDR"]))
    asked = exchange(b"GET / HTTP/1.1\r\nHost: h\r\nx_y: 1\r\n\r\n")
    it.begin(asked, None, "http")
    it.over(asked)
    assert seen == [""]


# What hooks change


def test_the_application_sees_what_a_hook_has_changed() -> None:
    def before(worker: Any, req: Any) -> None:
        req.method = "PUT"
        req.path = "/other"
        req.query = ""
        req.headers.append(("X-REQUEST-ID", "7"))
        req.headers.append(("Cookie", "c=d"))
        req.headers.remove(("X-ONE", "2"))

    asked = exchange()
    environ = hooks(pre_request=before).make_environ(asked, TEMPLATE, KEYS)
    assert (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("PUT", "/other", "")
    assert (environ["HTTP_X_REQUEST_ID"], environ["HTTP_X_ONE"]) == ("7", "1")
    assert environ["HTTP_COOKIE"] == "a=b; c=d"
    assert asked.fields[-2:] == [(b"x-request-id", b"7"), (b"cookie", b"c=d")]


# What hooks do wrong


def fails(*arguments: object) -> None:
    raise ValueError("no licence")


def test_a_failing_pre_request_is_a_500_and_post_request_is_called_all_the_same() -> None:
    seen: list[Any] = []
    it = hooks(pre_request=fails, post_request=lambda worker, req, environ, resp: seen.append((environ, resp)))
    asked = exchange()
    with pytest.raises(ProtocolError) as caught:
        it.make_environ(asked, TEMPLATE, KEYS)
    assert caught.value.status == 500
    it.over(asked)
    assert seen == [({}, None)]
    [(level, text)] = said(it)
    assert level == "error"
    assert text.startswith("Exception in pre_request hook: ")
    assert text.endswith("ValueError: no licence")


def test_sys_exit_after_a_request_has_the_worker_replaced() -> None:
    it = hooks(post_request=lambda worker, req: sys.exit(1))
    asked = exchange()
    it.make_environ(asked, TEMPLATE, KEYS)
    it.over(answered(asked))
    assert cast(Any, it)._worker.alive is False
    assert said(it) == []


@pytest.mark.parametrize("fails", [fails, sys.exit])
def test_a_failing_pre_request_of_asgi(fails: Callable[..., object]) -> None:
    it = hooks(pre_request=lambda worker, req: fails())
    with pytest.raises(ProtocolError) as caught:
        it.begin(exchange(), None, "http")
    assert caught.value.status == 500


def test_a_failing_post_request_is_logged() -> None:
    it = hooks(post_request=fails)
    asked = exchange()
    it.make_environ(asked, TEMPLATE, KEYS)
    it.over(answered(asked))
    assert said(it) == [("exception", "Exception in post_request hook")]
