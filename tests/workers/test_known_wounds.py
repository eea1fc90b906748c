"""Wounds of other servers, each by its CVE, that take a worker to try: see tests/protocol/test_known_wounds.py."""

import socket
import struct
import threading
from pathlib import Path

import pytest

from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.wsgi import EnvironKeys, make_environ
from tests.protocol.http1_peer import begin
from tests.workers.both import BOTH, working
from tests.workers.serving import eventually, exertion, request

CHUNKED = request("/read", "Transfer-Encoding: chunked", method="POST")
RESET = struct.pack("ii", 1, 0)


@BOTH
def test_cve_2025_69229_a_body_of_very_many_chunks(way: str) -> None:
    """(aiohttp.) It takes its time, and others have theirs in between."""
    count = 30_000
    with working(way) as worker:
        client, other = worker.connect(), worker.connect()
        sender = threading.Thread(target=client.send, args=(CHUNKED + b"1\r\nx\r\n" * count + b"0\r\n\r\n",))
        sender.start()
        for _ in range(10):
            assert other.get()[1] == b"hello"
        assert client.response()[1] == b"%d" % count
        sender.join()


@BOTH
def test_cve_2022_31015_cve_2024_49769_connections_that_are_reset(way: str) -> None:
    """(waitress.) Neither do they end the worker nor keep it busy."""
    beginnings = (b"", b"GET / HT", request(), CHUNKED + b"5\r\nab", request("/endless"))
    with working(way) as worker:
        for number in range(200):
            client = worker.connect()
            client.send(beginnings[number % len(beginnings)])
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.socket.close()
        eventually(lambda: worker.slot.connections == 0)
        eventually(lambda: exertion(0.5) < 0.4, "its rest")
        assert worker.connect().get()[1] == b"hello"
        assert "Traceback" not in worker.log


@BOTH
def test_cve_2019_16770_cve_2021_29509_idle_connections_starve_nobody(way: str) -> None:
    """(puma.) They hold no thread, and at the limit they give way."""
    with working(way, worker_connections=20, keepalive=60) as worker:
        idle = [worker.connect() for _ in range(20)]
        for client in idle:
            client.get()
        for _ in range(5):
            assert worker.connect().get()[1] == b"hello"


@BOTH
def test_cve_2020_7694_the_access_log_has_a_line_for_a_request(way: str, tmp_path: Path) -> None:
    """(uvicorn.) Neither escapes nor line ends of a target, decoded or not, get into it."""
    log = tmp_path / "access.log"
    with working(way, accesslog=str(log), access_log_format='"%(r)s" %(U)s %(q)s "%({user-agent}i)s" %(h)s') as worker:
        client = worker.connect()
        client.get("/%1b[31m%0d%0aINJECTED?a=%0aINJECTED", 'User-Agent: \x9b31m"\\')
        eventually(lambda: log.read_bytes().count(b"\n") == 1)
        line = log.read_bytes().rstrip(b"\n")
        assert b"%0d%0aINJECTED" in line
        assert not any(octet < 32 or octet > 126 for octet in line)
        assert b'\\"' in line or b"\\x22" in line


@BOTH
def test_cve_2026_42544_octets_past_ascii_in_a_handshake_end_no_worker(way: str) -> None:
    """(granian.) Whatever the answer is, others are served."""
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    with working(way) as worker:
        client = worker.connect()
        client.send(request("/", "Upgrade: websocket\r\nConnection: Upgrade", key, "Sec-WebSocket-Protocol: \x80\xff"))
        client.until(b"\r\n\r\n")
        assert worker.connect().get()[1] == b"hello"


@BOTH
def test_cve_2018_1000164_cve_2020_7695_nothing_of_a_split_response_leaves(way: str) -> None:
    """(gunicorn, uvicorn.) The application's mistake is answered with 500: see tests/integration for its own fields."""
    with working(way) as worker:
        head, _ = worker.connect().get("/%0d%0aInjected:%20yes")
        assert b"Injected" not in head


@pytest.mark.parametrize("names", [("x-forwarded-for", "x_forwarded_for"), ("x_forwarded_for", "x-forwarded-for")])
def test_cve_2024_45614_a_twin_with_an_underscore_replaces_nothing(names: tuple[str, str]) -> None:
    """(puma.) The proxy's field stays, the client's is dropped, or the request refused."""
    values = {"x-forwarded-for": "proxy", "x_forwarded_for": "client"}
    head = "".join(f"{name}: {values[name]}\r\n" for name in names)
    _, exchange = begin(f"GET / HTTP/1.1\r\nHost: a\r\n{head}\r\n".encode())
    template = {"SCRIPT_NAME": ""}
    assert make_environ(exchange, template, EnvironKeys("drop"))["HTTP_X_FORWARDED_FOR"] == "proxy"
    with pytest.raises(ProtocolError):
        make_environ(exchange, template, EnvironKeys("refuse"))
