"""WebSockets with the clients of others, websockets and wsproto, to a FastAPI application and to a plain one."""

import contextlib
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wsproto
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Request, TextMessage

from tests.integration.server import PATIENCE, Server, running, wait_for
from tests.tls import client_context, write_certificate

Serve = Callable[..., Server]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("websocket")
    options = ("--access-logfile", "access", "--access-logformat", "%(r)s %(s)s")
    with running(Server(directory, "chat:app", *options, errors=("LookupError: ",))) as server:
        yield server


def opened(server: Server, path: str, *, unix: bool = False, **more: Any) -> ClientConnection:
    scheme = "wss" if "ssl" in more else "ws"
    connection = server.connect(unix=unix)
    return connect(f"{scheme}://localhost{path}", sock=connection, proxy=None, open_timeout=PATIENCE, **more)


@pytest.mark.parametrize("compression", ["deflate", None])
def test_echo(server: Server, unix: bool, compression: Any) -> None:
    with opened(server, "/echo", unix=unix, compression=compression, subprotocols=["b"], max_size=None) as client:
        assert client.subprotocol == "b"
        assert client.response is not None
        assert client.response.headers["x-a"] == "1"
        messages: list[str | bytes] = ["", "caf\xe9 \U0001f600", b"\0\xff" * 100_000, "a" * 3_000_000]
        for message in messages:
            client.send(message)
            assert client.recv(PATIENCE) == message
        client.send(iter(["in ", "frag", "ments \u20ac" * 1000]))
        assert client.recv(PATIENCE) == "in fragments \u20ac" + "ments \u20ac" * 999
        assert client.ping().wait(PATIENCE)
        client.close(4001)
    with server.client() as asker:
        wait_for(lambda: 4001 in asker.get("/").json()["codes"], "the application's end")


def test_wsproto(server: Server, unix: bool) -> None:
    peer = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    with server.connect(unix=unix) as connection:

        def event() -> Any:
            for found in peer.events():
                return found
            peer.receive_data(connection.recv(65536))
            return event()

        connection.sendall(peer.send(Request("localhost", "/echo")))
        assert isinstance(event(), AcceptConnection)
        connection.sendall(peer.send(TextMessage("hi")) + peer.send(BytesMessage(b"\xff")))
        assert event().data == "hi"
        assert event().data == b"\xff"
        connection.sendall(peer.send(CloseConnection(3000)))
        assert event().code == 3000
        assert connection.recv(1) == b""


def test_a_room(server: Server) -> None:
    with opened(server, "/room/ann") as ann, opened(server, "/room/bob") as bob:
        ann.send("hello")
        for client in (ann, bob):
            assert json.loads(client.recv(PATIENCE)) == {"ann": "hello"}


@pytest.mark.parametrize(
    ("path", "fields", "status", "content"),
    [("/member", {}, 403, b""), ("/member", {"token": "Tim"}, 401, b"not Tim"), ("/nowhere", {}, 403, b"")],
)
def test_denial(server: Server, path: str, fields: dict[str, str], status: int, content: bytes) -> None:
    with pytest.raises(InvalidStatus) as caught:
        opened(server, path, additional_headers=fields)
    response = caught.value.response
    assert (response.status_code, response.body or b"") == (status, content)
    assert response.headers.get("www-authenticate") == ("Token" if status == 401 else None)
    wait_for(lambda: f"GET {path} HTTP/1.1 {status}" in (server.directory / "access").read_text(), "the access log")


def test_an_application_that_raises(server: Server) -> None:
    with opened(server, "/broken") as client:
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(PATIENCE)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1011


def test_over_tls_and_behind_a_proxy(serve: Serve, tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path / "server.pem")
    server = serve("sockets:app", "--ssl-certfile", str(certificate), path=None)
    wait_for(lambda: answers(server), "an answer")
    with opened(server, "/a", ssl=client_context(), server_hostname="localhost") as client:
        about = json.loads(client.recv(PATIENCE))
        assert (about["scheme"], about["path"], about["client"][0]) == ("wss", "/a", "127.0.0.1")
        client.send("a" * 300_000)
        assert client.recv(PATIENCE) == "a" * 300_000
    server = serve("sockets:app")
    fields = {"x-forwarded-proto": "https", "x-forwarded-for": "203.0.113.9"}
    with opened(server, "/", additional_headers=fields) as client:
        about = json.loads(client.recv(PATIENCE))
        assert (about["scheme"], about["client"][0]) == ("wss", "203.0.113.9")


def answers(server: Server) -> bool:
    try:
        with client_context().wrap_socket(server.connect(), server_hostname="localhost"):
            return True
    except OSError:
        return False


def closed(client: ClientConnection) -> int:
    """Wait for the close frame that the server sends, and answer it; its code."""
    with pytest.raises(ConnectionClosed) as caught:
        client.recv(PATIENCE)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code


@contextlib.contextmanager
def several(server: Server) -> Iterator[list[ClientConnection]]:
    """Clients of which each has had an answer."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(opened(server, "/")) for _ in range(6)]
        for client in clients:
            assert json.loads(client.recv(PATIENCE))["scheme"] == "ws"
        yield clients


def test_a_reload_and_a_stop_send_clients_elsewhere(serve: Serve) -> None:
    server = serve("sockets:app", "--workers", "2")
    before = server.workers()
    with several(server) as clients:
        server.send(signal.SIGHUP)
        assert [closed(client) for client in clients] == [1012] * 6
    wait_for(lambda: len(server.workers()) == 2 and not set(before) & set(server.workers()), "two new workers")
    with several(server) as clients:
        server.send(signal.SIGTERM)
        assert [closed(client) for client in clients] == [1012] * 6
    server.ends(0)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_wsgi_knows_no_websocket(serve: Serve, kind: str) -> None:
    server = serve("plain_wsgi", "--worker-class", kind)
    with pytest.raises(InvalidStatus) as caught:
        opened(server, "/")
    assert caught.value.response.status_code == 200


def test_hooks_are_called_for_the_handshake(serve: Serve, tmp_path: Path) -> None:
    config = tmp_path / "conf.py"
    config.write_text(
        "def pre_request(worker, req):\n    worker.log.info('before %s', req.path)\n"
        "def post_request(worker, req, environ, resp):\n    worker.log.info('after %s: %s', req.path, resp.status)\n"
    )
    server = serve("sockets:app", "-c", str(config))
    with opened(server, "/echo") as client:
        server.says("after /echo: 101 Switching Protocols")
        assert client.recv(PATIENCE)
    assert len(server.logged("before /echo")) == 1
    assert len(server.logged("after /echo")) == 1
