"""One plain application for each interface, over every worker class, parser and kind of socket."""

import hashlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from tests.integration.clients import ask, receive_all, receive_until, send, send_until_answered, write_random
from tests.integration.points import ASGI, WSGI, Point
from tests.integration.server import Server, running, wait_for

ERRORS = ("ZeroDivisionError: ", "SystemExit: ", "ApplicationError: ", "CancelledError: ")
UPLOAD = bytes(range(256)) * 8192  # 2 MiB


@pytest.fixture(scope="module", params=[*WSGI, *ASGI])
def point(request: pytest.FixtureRequest) -> Point:
    found: Point = request.param
    return found


@pytest.fixture(scope="module")
def server(point: Point, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("plain")
    write_random(directory / "payload", 300_000)
    with running(Server(directory, point.plain, *point.options, errors=ERRORS)) as server:
        yield server


@dataclass(frozen=True)
class Case:
    """A request and its answer. content: None where it is not compared. fields: at least these."""

    name: str
    method: str
    target: str
    status: int
    answer: bytes | None
    fields: dict[str, str] = field(default_factory=dict)
    send: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None


PLAIN = {"content-type": "text/plain"}
CASES = [
    Case("a page", "GET", "/", 200, b"hello\n", {**PLAIN, "content-length": "6"}),
    Case("HEAD", "HEAD", "/", 200, b"", {"content-length": "6"}),
    Case("HEAD of a stream", "HEAD", "/stream", 200, b""),
    Case("one block gets a length", "GET", "/block?size=70000", 200, b"x" * 70000, {"content-length": "70000"}),
    Case("a stream is chunked", "GET", "/stream?blocks=3&size=5", 200, b"x" * 15, {"transfer-encoding": "chunked"}),
    Case("a long stream", "GET", "/stream?blocks=200&size=9000", 200, b"x" * 1_800_000),
    Case("nothing there", "GET", "/nowhere", 404, b"not found", PLAIN),
    Case("no content", "GET", "/status/204", 204, b""),
    Case("not modified", "GET", "/status/304", 304, b""),
    Case("a status without a name", "GET", "/status/599", 599, b"content of 599"),
    Case(
        "POST", "POST", "/echo", 200, b"some content", {"content-type": "a/b"}, {"content-type": "a/b"}, b"some content"
    ),
    Case("PUT of 2 MiB", "PUT", "/echo", 200, UPLOAD, content=UPLOAD),
    Case("POST of nothing", "POST", "/echo", 200, b"", content=b""),
    Case("POST that nobody reads", "POST", "/", 200, b"hello\n", content=b"x" * 10000),
    Case("a method of its own", "BREW", "/", 200, b"hello\n"),
    Case("lines", "POST", "/lines", 200, b"3", content=b"one\ntwo\nthree\n"),
    Case(
        "fields as they are",
        "GET",
        "/repeated",
        200,
        b"",
        {"x-own": "caf\xe9", "server": "mine", "content-length": "0"},
    ),
    Case("an application that fails", "GET", "/boom", 500, None, {"connection": "close"}),
    Case("an application that splits", "GET", "/split", 500, None, {"connection": "close"}),
    Case("an application that is silent", "GET", "/silent", 500, None, {"connection": "close"}),
    Case("an application that leaves", "GET", "/leave", 500, None, {"connection": "close"}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_request(client: httpx.Client, case: Case) -> None:
    response = client.request(case.method, case.target, headers=case.send, content=case.content)
    assert response.status_code == case.status
    if case.answer is not None:
        assert response.content == case.answer
    for name, value in case.fields.items():
        assert response.headers[name] == value, name
    assert "date" in response.headers
    assert "x-injected" not in response.headers


def test_a_connection_is_kept_for_all_that_it_can(client: httpx.Client, server: Server) -> None:
    """Whatever ordinary request was answered, the next one comes over the same connection."""
    streams = []
    for case in CASES:
        if case.fields.get("connection") != "close":
            response = client.request(case.method, case.target, headers=case.send, content=case.content)
            streams.append(response.extensions["network_stream"])
    assert all(stream is streams[0] for stream in streams)


def test_what_the_application_is_told(client: httpx.Client, server: Server, point: Point, unix: bool) -> None:
    fields = [("X-One", "1"), ("X-Two", "a"), ("X-Two", "b"), ("X-Latin", b"\xe9".decode("latin-1"))]
    url = "/describe/caf%C3%A9%20bar?q=%20+&empty="
    found = client.get(url, headers=[(name.encode(), value.encode("latin-1")) for name, value in fields]).json()
    assert found["method"] == "GET"
    assert found["path"] == "/describe/caf\xe9 bar"
    assert found["query"] == "q=%20+&empty="
    assert found["version"] == "1.1"
    assert found["fields"] == {"x-one": "1", "x-two": found["fields"]["x-two"], "x-latin": "\xe9"}
    assert found["fields"]["x-two"].replace(" ", "") == "a,b"
    assert found["client"] == ("" if unix else "127.0.0.1")
    if not unix:
        assert found["server"] == ["127.0.0.1", server.port if point.interface == "asgi" else str(server.port)]


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_upload(client: httpx.Client, chunked: bool) -> None:
    pieces = [UPLOAD[at : at + 100_003] for at in range(0, len(UPLOAD), 100_003)]
    found = client.post("/digest", content=iter(pieces) if chunked else UPLOAD).json()
    assert found == {"length": len(UPLOAD), "sha256": hashlib.sha256(UPLOAD).hexdigest()}


def test_a_file(client: httpx.Client, server: Server) -> None:
    response = client.get("/file")
    payload = (server.directory / "payload").read_bytes()
    assert response.content == payload
    assert response.headers["content-length"] == str(len(payload))
    assert client.get("/").content == b"hello\n"


def test_files_one_after_the_other(client: httpx.Client, server: Server) -> None:
    """The next request may come while the server still puts the last file away."""
    payload = (server.directory / "payload").read_bytes()
    for _ in range(20):
        assert client.get("/file").content == payload


def test_a_block_leaves_without_delay(client: httpx.Client, server: Server, unix: bool) -> None:
    """The application sends the second block only after the first one was received."""
    name = f"step-{unix}"
    with client.stream("GET", f"/steps?{name}") as response:
        received = b""
        for data in response.iter_raw():
            received += data
            if received == b"first":
                (server.directory / name).touch()
    assert received == b"firstsecond"


def test_pipelined_requests_are_answered_in_order(server: Server, unix: bool) -> None:
    heads = "".join(f"GET /status/{status} HTTP/1.1\nHost: a\n\n" for status in (201, 202, 404, 206))
    answers = ask(server, heads + "GET /nowhere HTTP/1.1\nHost: a\nConnection: close\n\n", unix=unix)
    contents = [b"content of 201", b"content of 202", b"content of 404", b"content of 206", b"not found"]
    places = [answers.index(content) for content in contents]
    assert places == sorted(places)
    assert answers.count(b"HTTP/1.1 ") == 5


def test_http_1_0_closes(server: Server, unix: bool) -> None:
    answer = ask(server, "GET /stream?blocks=2&size=4 HTTP/1.0\n\n", unix=unix)
    head, _, content = answer.partition(b"\r\n\r\n")
    assert content == b"xxxxxxxx"
    assert b"chunked" not in head


def test_http_1_0_with_keep_alive_stays(server: Server, unix: bool) -> None:
    with server.connect(unix=unix) as connection:
        send(connection, "GET / HTTP/1.0\nConnection: keep-alive\n\n")
        assert b"Connection: keep-alive\r\n" in receive_until(connection, b"hello\n")
        send(connection, "GET / HTTP/1.0\n\n")
        assert receive_all(connection).endswith(b"hello\n")


def test_a_client_that_has_nothing_more_to_say_is_answered(server: Server, unix: bool) -> None:
    with server.connect(unix=unix) as connection:
        send(connection, "GET /stream?blocks=100&size=10000 HTTP/1.1\nHost: a\n\n")
        connection.shutdown(socket.SHUT_WR)
        answer = receive_all(connection)
    assert answer.endswith(b"\r\n0\r\n\r\n")
    assert len(answer) > 1_000_000


def test_100_continue(server: Server, unix: bool) -> None:
    with server.connect(unix=unix) as connection:
        send(connection, "POST /digest HTTP/1.1\nHost: a\nContent-Length: 5\nExpect: 100-continue\n\n")
        assert receive_until(connection, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        send(connection, "12345")
        answer = receive_until(connection, b"}")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"length": 5,' in answer


def test_an_answer_before_the_upload_ends_is_not_lost(server: Server, unix: bool) -> None:
    """The connection cannot be used again, but closing it must not reset what the client has not read. A sync worker
    calls the application once more than it buffers has come."""
    with server.connect(unix=unix) as connection:
        send(connection, "POST /nowhere HTTP/1.1\nHost: a\nContent-Length: 100000000\n\n")
        send_until_answered(connection, b"x" * 65536)
        answer = receive_until(connection, b"not found")
    assert answer.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("GET / HTTP/1.1\n\n", 400),
        ("GET / HTTP/1.1\nHost: a\nBad Name: x\n\n", 400),
        ("GET / HTTP/2.5\nHost: a\n\n", 505),
        ("GET /" + "x" * 9000 + " HTTP/1.1\nHost: a\n\n", 414),
        ("GET / HTTP/1.1\nHost: a\nX-Long: " + "x" * 9000 + "\n\n", 431),
        ("GET / HTTP/1.1\nHost: a\n" + "X-Many: 1\n" * 101 + "\n", 431),
        ("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: br, chunked\n\n", 501),
        ("POST /echo HTTP/1.1\nHost: a\nContent-Length: 5, 6\n\n", 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
)
def test_what_is_refused(server: Server, unix: bool, request_text: str, status: int) -> None:
    answer = ask(server, request_text, unix=unix)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nConnection: close\r\n" in answer


def test_a_response_that_breaks_off_does_not_look_whole(client: httpx.Client) -> None:
    for path in ("/late", "/late-with-length", "/short"):
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(path)


def test_a_response_that_is_too_long_is_cut(client: httpx.Client) -> None:
    assert client.get("/long").content == b"longe"
    assert client.get("/").content == b"hello\n"


def test_the_worker_survives_all_that(server: Server) -> None:
    workers = server.workers()
    with server.client() as client:
        for path in ("/boom", "/leave", "/silent", "/split"):
            assert client.get(path).status_code == 500
        assert client.get("/pid").text == str(workers[0])
    assert server.workers() == workers


def test_an_application_whose_client_leaves_is_told(server: Server, unix: bool) -> None:
    closed = server.directory / "closed"
    closed.unlink(missing_ok=True)
    with server.connect(unix=unix) as connection:
        send(connection, "GET /endless HTTP/1.1\nHost: a\n\n")
        receive_until(connection, b"xxxx")
    wait_for(lambda: closed.exists() and closed.read_text() == "closed\n", "the end of an endless response, once")


def test_a_second_client_is_served_meanwhile(server: Server, client: httpx.Client, point: Point, unix: bool) -> None:
    if not point.concurrent:
        return
    name = f"gate-{unix}"
    with server.connect(unix=unix) as connection:
        send(connection, f"GET /gate?{name} HTTP/1.1\nHost: a\n\n")
        wait_for((server.directory / f"{name}.reached").exists, "the first request")
        assert client.get("/").content == b"hello\n"
        (server.directory / name).touch()
        assert receive_until(connection, b"through").startswith(b"HTTP/1.1 200 ")
