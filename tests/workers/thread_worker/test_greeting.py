"""The PROXY protocol before HTTP and before TLS, in either kind of worker."""

import contextlib
import json
import re
import socket
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pyserve.workers.thread_worker.greeting import Greeting
from tests.fuzz import greetings
from tests.tls import TlsPeer
from tests.workers import both
from tests.workers.both import BOTH, Worker, timeouts
from tests.workers.serving import PATIENCE, Client, eventually, request

V1 = b"PROXY TCP4 203.0.113.9 198.51.100.1 56324 443\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
INET = bytes((203, 0, 113, 9, 198, 51, 100, 1)) + struct.pack(">HH", 56324, 443)
V2 = SIGNATURE + struct.pack(">BBH", 0x21, 0x11, len(INET) + 3) + INET + b"\x04\0\0"
LOCAL = SIGNATURE + struct.pack(">BBH", 0x20, 0, 0)
UNIX = SIGNATURE + struct.pack(">BBH", 0x21, 0x31, 216) + b"/c".ljust(108, b"\0") + b"/s".ljust(108, b"\0")

KEYS = ("REMOTE_ADDR", "REMOTE_PORT", "PROXY_PROTOCOL", "PROXY_ADDR", "PROXY_PORT", "wsgi.url_scheme")
OURS = {"REMOTE_ADDR": "127.0.0.1", "wsgi.url_scheme": "http"}
TOLD = {"REMOTE_ADDR": "203.0.113.9", "REMOTE_PORT": "56324", "PROXY_PROTOCOL": "TCP4", "PROXY_ADDR": "198.51.100.1",
        "PROXY_PORT": "443", "wsgi.url_scheme": "http"}  # fmt: skip


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    seen = {key: environ[key] for key in KEYS if key in environ}
    if environ["REMOTE_ADDR"] == "127.0.0.1":
        del seen["REMOTE_PORT"]
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("X-Body", str(len(body))), ("X-Method", environ["REQUEST_METHOD"])])
    return [json.dumps(seen).encode()]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """The scope in the words of an environ."""
    seen = {"wsgi.url_scheme": scope["scheme"], "REMOTE_ADDR": scope["client"][0] if scope["client"] else ""}
    if scope["client"] and scope["client"][0] != "127.0.0.1":
        host, port = scope["server"]
        seen |= {"REMOTE_PORT": str(scope["client"][1]), "PROXY_PROTOCOL": "TCP4"}
        seen |= {"PROXY_ADDR": host, "PROXY_PORT": str(port)}
    message = await receive()
    body = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-body", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})


def working(way: str, **settings: Any) -> contextlib.AbstractContextManager[Worker]:
    return both.working(way, (wsgi, asgi), **{"proxy_protocol": "auto", **settings})


def ask(worker: Worker, *pieces: bytes) -> Any:
    """Send the pieces one by one, and read the environ that the application has seen."""
    client = worker.connect()
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for piece in pieces:
        client.send(piece)
    head, body = client.response()
    assert b" 200 " in head
    return json.loads(body)


def octets_of(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@BOTH
def test_the_client_is_whom_the_header_names(way: str) -> None:
    with working(way) as worker:
        for header in (V1, V2):
            assert ask(worker, header + request()) == TOLD
            assert ask(worker, header, request()) == TOLD
            assert ask(worker, *octets_of(header + request())) == TOLD
            client = worker.connect()
            client.send(header + request(method="POST", body=b"x" * 100_000) + request())
            assert b"X-Body: 100000" in client.response()[0].replace(b"x-body", b"X-Body")
            assert json.loads(client.response()[1]) == TOLD
            assert json.loads(client.get()[1]) == TOLD  # and on the connection's later requests


@BOTH
def test_without_a_header_a_connection_is_what_it_is(way: str) -> None:
    with working(way) as worker:
        assert ask(worker, request()) == OURS
        assert ask(worker, b"P", request(method="POST")[1:]) == OURS
        assert ask(worker, b"\r\n", request()) == OURS
        assert ask(worker, *octets_of(request(method="PROXYING"))) == OURS
        assert ask(worker, LOCAL + request()).items() >= OURS.items()
        assert ask(worker, b"PROXY UNKNOWN\r\n" + request()).items() >= OURS.items()


@pytest.mark.parametrize("way", ["sync", "threads"])
def test_octets_that_might_have_begun_a_header_are_not_lost(way: str) -> None:
    with working(way) as worker:
        client = worker.connect()
        client.send(b"P")
        connections = worker.deck.table.open  # type: ignore[attr-defined]
        eventually(lambda: any(isinstance(one, Greeting) and one._reader._held == b"P" for one in tuple(connections)))
        client.send(request(method="POST")[1:])
        assert b"X-Method: POST" in client.response()[0]


@BOTH
def test_a_unix_sockets_client_has_no_address(way: str) -> None:
    with working(way) as worker:
        assert ask(worker, UNIX + request())["REMOTE_ADDR"] == ""


@BOTH
def test_a_malformed_header_closes_the_connection(way: str) -> None:
    with working(way) as worker:
        for octets in (V1.replace(b"203", b"256") + request(), b"PROXY " + b"x" * 200, SIGNATURE + b"\x31\x11\0\0"):
            client = worker.connect()
            client.send(octets)
            with contextlib.suppress(ConnectionResetError):
                assert client.rest() == b""
        assert ask(worker, V1 + request()) == TOLD
        eventually(lambda: worker.log.count("in a PROXY header (PROXY protocol, section 2") == 3)
        assert worker.log.count("Invalid request from 127.0.0.1") == 3


@BOTH
def test_only_those_who_may_are_listened_to(way: str) -> None:
    with working(way, proxy_allow_ips=("10.0.0.0/8",)) as worker:
        client = worker.connect()
        client.send(V1 + request())
        assert b" 400 " in client.response()[0]
        assert ask(worker, request()) == OURS
    with working(way, proxy_protocol="v2") as worker:
        client = worker.connect()
        client.send(V1 + request())
        assert b" 400 " in client.response()[0]
        assert ask(worker, V2 + request()) == TOLD


@BOTH
@pytest.mark.parametrize("begun", [b"", V1[:-2], SIGNATURE, V2[:-1]])
def test_an_incomplete_header_has_the_deadline_of_a_head(way: str, begun: bytes) -> None:
    with working(way, header_timeout=0.1) as worker:
        client = worker.connect()
        client.send(begun)
        with contextlib.suppress(ConnectionResetError):
            assert client.rest() == b""
        eventually(lambda: timeouts(worker)[0] == 1)


@BOTH
def test_a_client_that_leaves_within_the_header(way: str) -> None:
    with working(way) as worker:
        for begun in (b"", V1[:9], V2[:-1]):
            client = worker.connect()
            client.send(begun)
            client.fin()
            with contextlib.suppress(ConnectionResetError):
                assert client.rest() == b""
        eventually(lambda: worker.slot.connections == 0)


@BOTH
def test_the_client_that_is_named_is_the_peer_whose_fields_are_believed_or_not(way: str) -> None:
    field = "X-Forwarded-Proto: https"
    with working(way) as worker:
        assert ask(worker, V1 + request("/", field)) == TOLD
        assert ask(worker, LOCAL + request("/", field))["wsgi.url_scheme"] == "https"
        for nobody in (b"PROXY UNKNOWN\r\n", UNIX):
            assert ask(worker, nobody + request("/", field))["wsgi.url_scheme"] == "http"
    with working(way, forwarded_allow_ips=("203.0.113.9",)) as worker:
        assert ask(worker, V1 + request("/", field)) == {**TOLD, "wsgi.url_scheme": "https"}
        assert ask(worker, request("/", field)) == OURS


@BOTH
def test_the_access_log_names_the_client(way: str, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with working(way, accesslog=str(log), access_log_format="%(h)s") as worker:
        ask(worker, V1 + request())
    assert log.read_text() == "203.0.113.9\n"


@BOTH
def test_a_worker_that_ends_waits_for_no_header(way: str) -> None:
    with working(way, drain_idle=0.1) as worker:
        client = worker.connect()
        client.send(V1[:9])
        eventually(lambda: worker.slot.connections == 1)
        worker.crew.drain()  # type: ignore[attr-defined]
        with contextlib.suppress(ConnectionResetError):
            assert client.rest() == b""


@BOTH
def test_tls_begins_behind_the_header(way: str) -> None:
    with working(way, kind="tls") as worker, contextlib.ExitStack() as stack:

        def plain(*pieces: bytes) -> socket.socket:
            connection = socket.create_connection(worker.listener.getsockname(), PATIENCE)  # type: ignore[attr-defined]
            stack.callback(connection.close)
            for piece in pieces:
                connection.sendall(piece)
            return connection

        for pieces in ([V1], octets_of(V1), [V2], octets_of(V2)):
            peer = Client(TlsPeer(plain(*pieces)))  # type: ignore[arg-type]
            assert json.loads(peer.get()[1]) == {**TOLD, "wsgi.url_scheme": "https"}
        peer = Client(TlsPeer(plain()))  # type: ignore[arg-type]
        assert json.loads(peer.get()[1]) == {**OURS, "wsgi.url_scheme": "https"}
        post = request(method="POST")
        for pieces in ([V1, post], [post[:1], post[1:]]):  # plain HTTP at this port: told so
            assert b" 400 " in Client(plain(*pieces)).response()[0]


@BOTH
@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_whatever_begins_a_connection(way: str, kind: str) -> None:
    """Each is answered or closed, with one line in the log at most, and nothing is left of it."""
    count = 150
    with both.working(way, kind=kind, proxy_protocol="auto") as worker:
        for seed in range(count):
            connection = socket.create_connection(worker.listener.getsockname(), PATIENCE)  # type: ignore[attr-defined]
            with connection, contextlib.suppress(ConnectionError):
                connection.sendall(greetings.draw(Random(seed)))
                with contextlib.suppress(OSError):  # it may be closed already
                    connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
        eventually(lambda: worker.slot.connections == 0)
        assert worker.connect().get()[1] == b"hello"
        assert "Traceback" not in worker.log
        assert 10 < len(re.findall("Invalid request|TLS with", worker.log)) <= count
