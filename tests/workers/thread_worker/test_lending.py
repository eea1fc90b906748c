"""`gunicorn.socket`, as WebSocket libraries for WSGI use it."""

import threading
from typing import Any

import pytest

from pyserve.workers import notes
from tests.workers.clock import Clock
from tests.workers.hands import serving
from tests.workers.serving import eventually, request
from tests.workers.websocket_client import handshake

SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


def application(environ: Any, start_response: Any) -> Any:
    path = environ["PATH_INFO"]
    if path in ("/returns", "/stops", "/fails"):
        sock = environ["gunicorn.socket"]
        sock.sendall(SWITCHED)
        while (data := sock.recv(100)) != b"end":
            sock.sendall(data)
        if path == "/stops":
            raise StopIteration
        if path == "/fails":
            raise ValueError("of the application")
        return []
    start_response("200 OK", [("Content-Length", "2")])
    return [b"no" if "gunicorn.socket" not in environ else b"is"]


MIXED = {"request_timeout": 30.0, "limit_concurrency": 3}


@pytest.mark.parametrize("settings", [{}, MIXED], ids=["plain", "mixed"])
@pytest.mark.parametrize("path", ["/returns", "/stops", "/fails"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_socket_is_the_applications(threads: int, path: str, settings: dict[str, Any], tmp_path: Any) -> None:
    log = tmp_path / "access.log"
    with serving(application, threads, accesslog=str(log), **settings) as served:
        client = served.connect()
        assert client.get("/")[1] == b"no"
        client.send(handshake(path))
        assert client.until(b"\r\n\r\n") == SWITCHED
        for data in (b"one", b"two"):
            client.send(data)
            assert client.until(data) == data
        # The note of the first request may be wiped a moment after its answer.
        eventually(lambda: [noted for _, noted in notes.read(served.slot)] == [f"GET {path}"])
        if threads > 1:
            assert served.connect().get("/")[1] == b"no"
        client.send(b"end")
        assert client.rest() == b""
        eventually(lambda: served.slot.connections == threads - 1)
        eventually(lambda: f'"GET {path} HTTP/1.1" 101' in log.read_text())
        assert ("of the application" in served.log) is (path == "/fails")
        assert "StopIteration" not in served.log
        eventually(lambda: notes.read(served.slot) == [])


@pytest.mark.parametrize("settings", [{}, MIXED], ids=["plain", "mixed"])
def test_one_that_does_not_take_it_answers_as_ever(settings: dict[str, Any]) -> None:
    with serving(application, **settings) as served:
        client = served.connect()
        client.send(request("/") + handshake("/refused"))  # the second one behind the first
        assert client.response()[1] == b"no"
        head, body = client.response()
        assert b"\r\nConnection: close\r\n" in head
        assert body == b"is"
        assert client.rest() == b""


def test_over_tls_there_is_none() -> None:
    with serving(application, kind="tls") as served:
        client = served.connect()
        client.send(handshake("/"))
        assert client.response()[1] == b"no"


def test_a_head_in_two_parts_and_octets_behind_it() -> None:
    with serving(application, 2) as served:
        client = served.connect()
        octets = handshake("/returns")
        client.send(octets[:40])
        threading.Event().wait(0.05)
        client.send(octets[40:])
        assert client.until(b"\r\n\r\n") == SWITCHED
        client.send(b"end")
        assert client.rest() == b""


def test_a_deadline_of_requests_is_for_the_handshake(clock: Clock) -> None:
    with serving(application, request_timeout=30.0) as served:
        client = served.connect()
        client.send(handshake("/returns"))
        assert client.until(b"\r\n\r\n") == SWITCHED
        clock.advance(40)
        client.send(b"late")
        assert client.until(b"late") == b"late"
        client.send(b"end")
        assert client.rest() == b""
        assert "took longer" not in served.log
