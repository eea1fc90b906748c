"""curl: what it does that a Python client does not, over every worker class, parser and kind of socket."""

import hashlib
import shutil
from collections.abc import Iterator

import pytest

from tests.integration.clients import curl, write_random
from tests.integration.points import ASGI, WSGI, Point
from tests.integration.server import Server, running

SIZE = 3_000_000

# `make test` is to work where there is only Python and make; `.ci/run` sees to it that curl is there.
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture(scope="module", params=[*WSGI, *ASGI])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    point: Point = request.param
    directory = tmp_path_factory.mktemp("curl")
    write_random(directory / "payload", SIZE)
    with running(Server(directory, point.plain, *point.options)) as server:
        yield server


def test_get(server: Server, unix: bool) -> None:
    answer = curl(server, "/", "--fail", unix=unix)
    assert (answer.code, answer.content, answer.facts) == (0, b"hello\n", "200 1 0")


def test_head(server: Server, unix: bool) -> None:
    answer = curl(server, "/", "--head", unix=unix)
    assert answer.code == 0
    assert answer.heads.startswith("HTTP/1.1 200 OK\r\n")
    assert "\r\nContent-Length: 6\r\n" in answer.heads.title()


def test_http_1_0(server: Server, unix: bool) -> None:
    answer = curl(server, "/stream?blocks=5&size=20000", "--http1.0", unix=unix)
    assert (answer.code, answer.content) == (0, b"x" * 100_000)
    assert "chunked" not in answer.heads.lower()


def test_http_1_0_keeps_alive_when_asked(server: Server, unix: bool) -> None:
    answer = curl(server, "/", "--http1.0", "--header", "Connection: keep-alive", unix=unix, then=("/",))
    assert (answer.code, answer.facts) == (0, "200 1 0" + "200 0 0")


def test_a_connection_is_used_again(server: Server, unix: bool) -> None:
    paths = ("/stream", "/status/404", "/status/204", "/block?size=100000", "/")
    answer = curl(server, "/", unix=unix, then=paths)
    assert answer.code == 0
    assert answer.facts == "200 1 0" + "".join(f"{status} 0 0" for status in (200, 404, 204, 200, 200))


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_upload_with_expect(server: Server, unix: bool, chunked: bool) -> None:
    """curl asks before it sends, and gets its 100 before its patience of a second is over."""
    coding = ("--header", "Transfer-Encoding: chunked") if chunked else ()
    expect = ("--header", "Expect: 100-continue", "--expect100-timeout", "20")
    payload = server.directory / "payload"
    answer = curl(server, "/digest", "--upload-file", str(payload), *expect, *coding, unix=unix)
    assert answer.code == 0
    assert "\nHTTP/1.1 100 Continue" in "\n" + answer.heads
    assert hashlib.sha256(payload.read_bytes()).hexdigest().encode() in answer.content


def test_upload_from_a_pipe(server: Server, unix: bool) -> None:
    answer = curl(server, "/digest", "--upload-file", ".", "--header", "Expect:", unix=unix)
    assert answer.code == 0
    assert hashlib.sha256(b"").hexdigest().encode() in answer.content


def test_upload_of_a_file_and_back(server: Server, unix: bool) -> None:
    payload = server.directory / "payload"
    answer = curl(server, "/echo", "--data-binary", f"@{payload}", unix=unix)
    assert answer.code == 0
    assert answer.content == payload.read_bytes()


def test_a_file(server: Server, unix: bool) -> None:
    answer = curl(server, "/file", unix=unix)
    assert (answer.code, answer.content) == (0, (server.directory / "payload").read_bytes())
    assert f"\r\ncontent-length: {SIZE}\r\n" in answer.heads.lower()


def test_a_body_that_is_refused_is_not_asked_for(server: Server, unix: bool) -> None:
    fields = ("--header", "Expect: 100-continue", "--header", "X-Long: " + "x" * 10000)
    answer = curl(server, "/echo", "--upload-file", str(server.directory / "payload"), *fields, unix=unix)
    assert answer.facts == "431 1 0"
    assert "100 Continue" not in answer.heads


def test_curl_may_leave_when_it_sees_the_length(server: Server, unix: bool) -> None:
    answer = curl(server, "/block?size=10000000", "--max-filesize", "1000", unix=unix)
    assert answer.code == 63
    assert curl(server, "/", unix=unix).content == b"hello\n"


def test_a_path_as_is(server: Server, unix: bool) -> None:
    answer = curl(server, "/describe/%7Eme/../x//y?a=b?c", "--path-as-is", unix=unix)
    assert answer.code == 0
    assert b'"path": "/describe/~me/../x//y"' in answer.content
    assert b'"query": "a=b?c"' in answer.content


def test_the_whole_address_as_target(server: Server, unix: bool) -> None:
    host = ("--header", "Host: test.example")
    answer = curl(server, "/", "--request-target", "http://test.example/describe?a=b", *host, unix=unix)
    assert answer.code == 0
    assert b'"path": "/describe"' in answer.content
