"""TLS over sockets, for either kind of worker: what clients of every temper do to it, and what they get."""

import contextlib
import hashlib
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyserve.workers import deadlines
from pyserve.workers.thread_worker import channel
from tests.tls import HOST, TlsPeer, client_context, issued, write_authority, write_certificate, write_crl
from tests.workers import hands, serving
from tests.workers.both import BOTH, WAYS, has_read, timeouts, working
from tests.workers.clock import Clock
from tests.workers.serving import PATIENCE, Client, eventually, request

EITHER = pytest.mark.parametrize("way", ["threads", "async"])
OFF = dict.fromkeys(("header_timeout", "body_timeout", "keepalive", "write_timeout"), 1000.0)


@contextlib.contextmanager
def tls(way: str, **settings: Any) -> Iterator[Any]:
    """A worker that serves the application of `both` over TLS."""
    with working(way, kind="tls", **settings) as worker:
        yield worker


def raw(worker: Any, *, small: bool = False) -> socket.socket:
    """A socket without TLS. small: one that takes as little as the kernel grants before it is read from."""
    connection = socket.socket()
    if small:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.settimeout(PATIENCE)
    connection.connect(worker.listener.getsockname())
    worker._clients.append(Client(connection))
    return connection


def client(worker: Any, context: ssl.SSLContext | None = None) -> Client:
    found = Client(TlsPeer(raw(worker), context))  # type: ignore[arg-type]
    worker._clients.append(found)
    return found


def hello() -> bytes:
    """A ClientHello."""
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        client_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=HOST).do_handshake()
    return outgoing.read()


def rest(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


# What ordinary clients do


class Slowly:
    """Sends octet by octet."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def sendall(self, data: bytes) -> None:
        for at in range(len(data)):
            self._connection.sendall(data[at : at + 1])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@EITHER
def test_octet_by_octet(way: str) -> None:
    with tls(way) as worker:
        connection = raw(worker)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Client(TlsPeer(Slowly(connection)))  # type: ignore[arg-type]
        assert peer.get()[1] == b"hello"
        peer.send(request("/read", method="POST", body=b"x" * 100))
        assert peer.response()[1] == b"100"


@BOTH
def test_requests_that_come_together(way: str) -> None:
    """In one record, and in several that are read at once: none waits in a buffer that no poller sees."""
    with tls(way) as worker:
        peer = client(worker)
        peer.send(request() * 5)
        peer.socket.raw.sendall(b"".join(peer.socket.seal(request()) for _ in range(5)))  # type: ignore[attr-defined]
        for _ in range(10):
            assert peer.response()[1] == b"hello"


@BOTH
def test_uploads(way: str) -> None:
    """Larger than what is held for them; with and without a length, whole and in pieces."""
    with tls(way, body_buffer_size=100_000) as worker:
        peer = client(worker)
        for size in (1, 16384, 16385, 3_000_000):
            peer.send(request("/read", method="POST", body=b"x" * size))
            assert peer.response()[1] == b"%d" % size
        chunk = b"%x\r\n%b\r\n" % (50_000, b"y" * 50_000)
        peer.send(request("/read", "Transfer-Encoding: chunked", method="POST") + chunk * 20 + b"0\r\n\r\n")
        assert peer.response()[1] == b"1000000"


@BOTH
def test_the_end_is_announced_on_either_side(way: str) -> None:
    with tls(way) as worker:
        closing = client(worker)
        closing.send(request("/", "Connection: close"))
        assert closing.rest().endswith(b"hello")  # `recv` raises where it was not announced
        leaving = client(worker)
        leaving.send(request("/read", "Content-Length: 3", method="POST") + b"abc")
        leaving.fin()
        assert leaving.rest().endswith(b"3")
        cut = client(worker)
        cut.send(request("/read", "Content-Length: 10", method="POST") + b"abc")
        cut.fin()
        assert cut.rest().startswith(b"HTTP/1.1 400 ")
        closing.socket.close()
        eventually(lambda: worker.slot.connections == 0)


@EITHER
@pytest.mark.parametrize("mixed", [{}, {"request_timeout": 60.0, "limit_concurrency": 9}], ids=["plain", "mixed"])
def test_an_end_that_comes_in_one_piece_with_a_request(way: str, mixed: dict[str, Any]) -> None:
    upload = request("/read", "Content-Length: 3000", method="POST")
    with tls(way, **OFF, **mixed, body_buffer_size=1000) as worker:
        for first, last, status in [
            (b"", request(), b" 200 "),
            (request(), request(), b" 200 "),
            (b"", request() + b"GET / HT", b" 200 "),
            (b"", request("/read", "Content-Length: 10", method="POST") + b"abc", b" 400 "),
            (upload + b"x" * 2000, b"x" * 1000, b" 200 "),  # read by the application as it comes
        ]:
            peer = client(worker)
            peer.socket.raw.sendall(peer.socket.seal(first))  # type: ignore[attr-defined]
            if first == request():
                peer.response()
            records = peer.socket.seal(last)  # type: ignore[attr-defined]
            with pytest.raises(ssl.SSLWantReadError):
                peer.socket.tls.unwrap()  # type: ignore[attr-defined]
            peer.socket.raw.sendall(records + peer.socket.seal(b""))  # type: ignore[attr-defined]
            assert status in peer.rest().partition(b"\r\n")[0]
            peer.socket.close()
        eventually(lambda: worker.slot.connections == 0)


@EITHER
@pytest.mark.parametrize("strict", [False, True])
def test_an_end_that_was_not_announced(way: str, strict: bool) -> None:
    with tls(way, suppress_ragged_eofs=not strict) as worker:
        peer = client(worker)
        peer.get()
        peer.send(request()[:-2])
        peer.socket.raw.shutdown(socket.SHUT_WR)  # type: ignore[attr-defined]
        if strict:
            with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
                peer.rest()
        else:
            assert peer.rest().startswith(b"HTTP/1.1 400 ")
        peer.socket.close()
        eventually(lambda: worker.slot.connections == 0)


@EITHER
def test_an_idle_connection_is_told_that_it_is_closed(way: str) -> None:
    with tls(way, **{**OFF, "keepalive": 0.2}) as worker:
        peer = client(worker)
        peer.get()
        assert peer.rest() == b""
        assert timeouts(worker) == (0, 0, 1, 0)


# What is said of it


def facts(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [])
    return ["".join(f"{key}={value}\n" for key, value in environ.items() if isinstance(value, str)).encode("latin-1")]


@contextlib.contextmanager
def facts_of_clients(way: str, directory: Path, **settings: Any) -> Iterator[Any]:
    settings = {
        **WAYS[way], "kind": "tls", "ca_certs": str(write_authority(directory / "ca")), "cert_reqs": 1, **settings,
    }  # fmt: skip
    if way == "async-wsgi":
        with serving.serving(facts, "wsgi", **settings) as served:
            yield served
    else:
        with hands.serving(facts, **settings) as manned:
            yield manned


@pytest.mark.parametrize("way", ["sync", "async-wsgi"])
def test_variables_of_an_environ(way: str, tmp_path: Path) -> None:
    certificate = issued("klient@example.org", "k.example")
    with facts_of_clients(way, tmp_path) as worker:
        known, unknown = (
            dict(line.split("=", 1) for line in peer.get()[1].decode().split("\n") if "=" in line)
            for peer in (client(worker, client_context(certificate)), client(worker))
        )
    for said in (known, unknown):
        assert (said["HTTPS"], said["wsgi.url_scheme"], said["SSL_PROTOCOL"]) == ("on", "https", "TLSv1.3")
        assert said["SSL_CIPHER"].startswith("TLS_")
    assert unknown["SSL_CLIENT_VERIFY"] == "NONE"
    assert not [name for name in unknown if name.startswith("SSL_CLIENT_S")]
    assert known["SSL_CLIENT_VERIFY"] == "SUCCESS"
    assert known["SSL_CLIENT_S_DN"].endswith(f"O={known['SSL_CLIENT_S_DN_O']}")
    assert "Testing CA" in known["SSL_CLIENT_I_DN_OU"]
    assert known["SSL_CLIENT_SAN_Email_0"] == "klient@example.org"
    assert known["SSL_CLIENT_SAN_DNS_0"] == "k.example"
    assert int(known["SSL_CLIENT_M_SERIAL"], 16) > 0
    assert int(known["SSL_CLIENT_V_REMAIN"]) > 0
    assert known["SSL_CLIENT_CERT"] == "-----BEGIN CERTIFICATE-----"  # and lines that have no "="


@pytest.mark.parametrize("loop", serving.LOOPS)
def test_the_extension_of_a_scope(loop: str, tmp_path: Path) -> None:
    scopes: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    certificate = issued("klient@example.org")
    settings = {"ca_certs": str(write_authority(tmp_path / "ca")), "cert_reqs": 1}
    with serving.serving(application, kind="tls", loop=loop, lifespan="off", **settings) as served:
        old = client_context()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        client(served, client_context(certificate)).get()
        client(served, old).get()
    known, unknown = (scope["extensions"]["tls"] for scope in scopes)
    assert [scope["scheme"] for scope in scopes] == ["https", "https"]
    own = certificate.cert_chain_pems[0].bytes().decode()
    assert known["client_cert_chain"][0].split() == own.split()
    assert known["client_cert_name"].startswith("OU=Testing cert")
    assert (known["tls_version"], unknown["tls_version"]) == (0x0304, 0x0303)
    assert known["cipher_suite"] in (0x1301, 0x1302, 0x1303)
    assert (unknown["cipher_suite"] or 0) >> 8 in (0xC0, 0xCC)
    assert known["server_cert"].startswith("-----BEGIN CERTIFICATE-----")
    assert (tuple(unknown["client_cert_chain"]), unknown["client_cert_name"]) == ((), None)
    assert (known["client_cert_error"], unknown["client_cert_error"]) == (None, None)


# What goes out


@pytest.mark.parametrize("way", ["threads", "async-wsgi", "async"])
def test_files(way: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 12_000
    (tmp_path / "file").write_bytes(content)
    path = str(tmp_path / "file")
    length = str(len(content))

    def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", length)])
        return environ["wsgi.file_wrapper"](open(path, "rb"))  # type: ignore[no-any-return]

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", length.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.pathsend", "path": path})

    with contextlib.ExitStack() as stack:
        if way in ("sync", "threads"):
            worker: Any = stack.enter_context(hands.serving(wsgi, kind="tls", **WAYS[way]))
        elif way == "async":
            worker = stack.enter_context(serving.serving(asgi, kind="tls", lifespan="off"))
        else:
            worker = stack.enter_context(serving.serving(wsgi, "wsgi", kind="tls", **WAYS[way]))
        slow = Client(TlsPeer(raw(worker, small=True)))  # type: ignore[arg-type]
        slow.send(request())
        slow.take(1000)
        fast = client(worker)
        for _ in range(2):
            assert hashlib.sha256(fast.get()[1]).digest() == hashlib.sha256(content).digest()
        assert len(slow.take(1_000_000)) == 1_000_000  # more than the buffers hold


@EITHER
def test_responses_that_nobody_reads_hold_no_thread(way: str) -> None:
    with tls(way, **OFF) as worker:
        readers = [Client(TlsPeer(raw(worker, small=True))) for _ in range(4)]  # type: ignore[arg-type]
        for number, reader in enumerate(readers):
            reader.send(request("/huge" if number % 2 else "/endless"))
        for reader in readers:
            reader.take(1000)
        assert client(worker).get()[1] == b"hello"
        for reader in readers:
            assert len(reader.take(100_000)) == 100_000
            reader.reset()


@EITHER
def test_octets_on_the_wire_are_progress(way: str, clock: Clock) -> None:
    """Also where they are less than what is encrypted at once."""
    with tls(way, **{**OFF, "write_timeout": 30.0, "write_min_rate": 0}) as worker:
        worker.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        reader = Client(TlsPeer(raw(worker, small=True)))  # type: ignore[arg-type]
        reader.send(request("/huge"))
        for _ in range(20):
            assert reader.socket.raw.recv(1000)  # type: ignore[attr-defined]
            clock.advance(3)
        assert timeouts(worker) == (0, 0, 0, 0)
        reader.reset()


# What does harm, or is meant to


HALVES: list[tuple[str, Callable[[], bytes]]] = [
    ("nothing", lambda: b""),
    ("an octet", lambda: hello()[:1]),
    ("half a hello", lambda: hello()[:100]),
    ("a hello and no more", hello),
    ("a record that is long in coming", lambda: b"\x16\x03\x01\x40\x00" + b"\x01\0\x3f\xfc" + b"\3" * 5000),
]


@BOTH
def test_half_open_handshakes_meet_the_deadline_of_a_head(way: str, clock: Clock) -> None:
    with tls(way, **{**OFF, "header_timeout": 30.0}) as worker:
        halves = [raw(worker) for _ in HALVES]
        for half, (_, begins) in zip(halves, HALVES, strict=True):
            half.sendall(begins())
        assert client(worker).get()[1] == b"hello"  # also with one thread
        eventually(lambda: worker.slot.connections == len(HALVES) + 1 and has_read(worker))
        clock.advance(40)
        for half in halves:
            rest(half)
            half.close()
        assert timeouts(worker) == (len(HALVES), 0, 0, 0)
        eventually(lambda: worker.slot.connections <= 1)
        assert worker.log.count("[ERROR]") == 0


@EITHER
def test_a_handshake_that_trickles_meets_it_too(way: str) -> None:
    with tls(way, **{**OFF, "header_timeout": 0.3}) as worker:
        trickle = raw(worker)
        trickle.settimeout(0.02)
        octets = iter(hello())
        with pytest.raises((ConnectionError, StopIteration)):  # noqa: PT012 - whenever it comes
            for octet in octets:
                trickle.sendall(bytes([octet]))
                try:
                    if not trickle.recv(100):
                        raise ConnectionResetError
                except TimeoutError:
                    pass
            raise AssertionError("the whole hello was waited for")
        assert timeouts(worker) == (1, 0, 0, 0)


@BOTH
def test_a_record_that_trickles_meets_the_deadline_of_a_body(way: str) -> None:
    """It is read as it comes: what is not complete is no excuse."""
    settings = {**OFF, "body_timeout": 0.4, "body_buffer_size": 1000}
    with tls(way, **settings) as worker:
        peer = client(worker)
        peer.send(request("/read", "Content-Length: 50000", method="POST") + b"x" * 20_000)
        record = peer.socket.seal(b"y" * 16000)  # type: ignore[attr-defined]
        peer.socket.settimeout(0.02)
        for at in range(500):
            peer.socket.raw.sendall(record[at : at + 1])  # type: ignore[attr-defined]
            with contextlib.suppress(TimeoutError):
                assert peer.socket.recv(100).startswith(b"HTTP/1.1 408 ")
                break
        else:
            raise AssertionError("it is waited for without end")
        assert timeouts(worker) == (0, 1, 0, 0)


@BOTH
def test_a_record_that_comes_slowly_is_no_pause(way: str, clock: Clock) -> None:
    settings = {**OFF, "body_timeout": 30.0, "body_min_rate": 100}
    with tls(way, **settings) as worker:
        peer = client(worker)
        peer.send(request("/read", "Content-Length: 16000", method="POST"))
        record = peer.socket.seal(b"y" * 16000)  # type: ignore[attr-defined]
        for at in range(0, len(record), 1000):
            peer.socket.raw.sendall(record[at : at + 1000])  # type: ignore[attr-defined]
            eventually(lambda: has_read(worker))
            clock.advance(5)
        assert peer.response()[1] == b"16000"
        assert timeouts(worker) == (0, 0, 0, 0)


@EITHER
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_plain_http_is_told_where_it_is(way: str, method: str) -> None:
    with tls(way) as worker:
        lost = raw(worker)
        lost.sendall(request(method=method) + b"x" * 10_000)
        head, _, content = rest(lost).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert b"\r\nConnection: close" in head
        assert content == (b"" if method == "HEAD" else b"plain HTTP request was sent to HTTPS port\n")
        lost.close()
        eventually(lambda: worker.slot.connections == 0)
        assert worker.log.count("plain HTTP request was sent to HTTPS port") == 1


@EITHER
def test_who_fails_the_handshake_and_leaves_is_not_waited_for(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (channel, deadlines):
        monkeypatch.setattr(module, "LINGER", 1000.0)
    with tls(way, **OFF) as worker:
        with raw(worker) as connection:
            connection.sendall(b"\x16\x03\x01\0\5hello")
            connection.shutdown(socket.SHUT_WR)
            rest(connection)
        eventually(lambda: worker.slot.connections == 0 and "TLS with" in worker.log)


@EITHER
def test_garbage_is_a_line_in_the_log(way: str) -> None:
    garbage = (b"\x80\x2e\x01\0\2", b"\0" * 100, b"\x16\x03\x01\0\5hello", b"\x16\x03\x01\xff\xff" + b"x" * 70_000)
    with tls(way) as worker:
        for octets in garbage:
            connection = raw(worker)
            with contextlib.suppress(ConnectionError):
                connection.sendall(octets)
                rest(connection)
            connection.close()
        eventually(lambda: worker.slot.connections == 0)
        lines = [line for line in worker.log.splitlines() if "TLS with" in line]
        assert len(lines) == len(garbage)
        assert all("[INFO] TLS with 127.0.0.1 failed: " in line for line in lines)
        assert "Traceback" not in worker.log
        assert timeouts(worker) == (0, 0, 0, 0)


@EITHER
def test_a_record_that_was_changed_on_its_way(way: str) -> None:
    with tls(way) as worker:
        peer = client(worker)
        peer.get()
        record = bytearray(peer.socket.seal(request()))  # type: ignore[attr-defined]
        record[-1] ^= 1
        peer.socket.raw.sendall(record)  # type: ignore[attr-defined]
        with pytest.raises((ConnectionError, ssl.SSLError)):
            peer.rest()
        peer.socket.close()
        eventually(lambda: worker.slot.connections == 0)
        assert worker.log.count("TLS with 127.0.0.1 failed: ") == 1
        assert worker.slot.requests() == 1


@EITHER
@pytest.mark.parametrize("begun", [b"GET / HTT", b"BAD\r\n\r\n"])
def test_a_broken_record_behind_the_beginning_of_a_request_is_one_line(way: str, begun: bytes) -> None:
    with tls(way) as worker:
        peer = client(worker)
        peer.get()
        record = bytearray(peer.socket.seal(begun))  # type: ignore[attr-defined]
        broken = bytearray(peer.socket.seal(request()))  # type: ignore[attr-defined]
        broken[-1] ^= 1
        peer.socket.raw.sendall(record + broken)  # type: ignore[attr-defined]
        with contextlib.suppress(OSError):
            peer.socket.raw.shutdown(socket.SHUT_WR)  # type: ignore[attr-defined]
            peer.rest()
        peer.socket.close()
        eventually(lambda: worker.slot.connections == 0)
        assert len([line for line in worker.log.splitlines() if "[INFO]" in line and "127.0.0.1" in line]) == 1


@EITHER
def test_clients_that_leave_in_the_handshake_are_no_news(way: str) -> None:
    with tls(way) as worker:
        for octets in (b"", hello()[:50], hello()):
            leaving = raw(worker)
            leaving.sendall(octets)
            leaving.close()
            abrupt = raw(worker)
            abrupt.sendall(octets)
            Client(abrupt).reset()
        eventually(lambda: worker.slot.connections == 0)
        assert client(worker).get()[1] == b"hello"
        assert "failed" not in worker.log
        assert "Traceback" not in worker.log


@EITHER
def test_a_client_without_the_certificate_is_told_so(way: str, tmp_path: Path) -> None:
    revoked = issued("revoked@example.org")
    settings = {
        "ca_certs": str(write_authority(tmp_path / "ca")),
        "crl_file": str(write_crl(tmp_path / "crl", revoked)),
        "cert_reqs": 2,
    }
    with tls(way, **settings) as worker:
        for certificate, alert in ((None, "CERTIFICATE_REQUIRED"), (revoked, "CERTIFICATE_REVOKED")):
            refused = client(worker, client_context(certificate))  # TLS 1.3 clients hear of it later
            with pytest.raises(ssl.SSLError, match=alert):
                refused.get()
            refused.socket.close()
        assert client(worker, client_context(issued("known@example.org"))).get()[1] == b"hello"
        eventually(lambda: worker.log.count("[INFO] TLS with 127.0.0.1 failed: ") == 2)


@EITHER
def test_a_part_of_the_handshake_that_the_peer_does_not_take(way: str, tmp_path: Path, clock: Clock) -> None:
    """The server's part of it is larger than the buffers in between. Who takes it is served, who does not meets the
    deadline."""
    path = write_certificate(tmp_path / "long.pem")
    authority = write_authority(tmp_path / "ca").read_bytes()
    path.write_bytes(path.read_bytes() + authority * (90_000 // len(authority)))
    with tls(way, certfile=(str(path),), **{**OFF, "header_timeout": 30.0}) as worker:
        worker.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # its connections inherit it
        deaf = raw(worker, small=True)
        deaf.sendall(hello())
        context = client_context()
        late = raw(worker, small=True)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        shaking = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
        with pytest.raises(ssl.SSLWantReadError):
            shaking.do_handshake()
        late.sendall(outgoing.read())
        assert client(worker).get()[1] == b"hello"
        taken = 0
        while True:
            data = late.recv(65536)
            assert data
            taken += len(data)
            incoming.write(data)
            try:
                shaking.do_handshake()
                break
            except ssl.SSLWantReadError:
                continue
        assert taken > 60_000
        shaking.write(request("/", "Connection: close"))
        late.sendall(outgoing.read())
        incoming.write(rest(late))
        assert shaking.read(65536).startswith(b"HTTP/1.1 200 ")
        clock.advance(40)
        eventually(lambda: timeouts(worker) == (1, 0, 0, 0))
        with contextlib.suppress(ConnectionError):
            rest(deaf)  # it ends


@EITHER
def test_many_half_open_handshakes_cost_nothing(way: str) -> None:
    with tls(way, **OFF) as worker:
        half = hello()
        connections = [raw(worker) for _ in range(100)]
        for number, connection in enumerate(connections):
            connection.sendall(half[: number * 3])
        assert client(worker).get()[1] == b"hello"
        for connection in connections:
            connection.close()
        eventually(lambda: worker.slot.connections <= 1)
