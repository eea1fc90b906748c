"""The socket of a TLS connection of the sync worker, with a peer that takes as much as the test says."""

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest

from pyserve.settings import Settings
from pyserve.workers.thread_worker.tls_connection import TlsSocket
from pyserve.workers.tls.certificates import Certificates
from pyserve.workers.tls.channel import State, TlsChannel
from tests.tls import TlsPeer, write_certificate


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(Settings(certfile=(str(write_certificate(tmp_path_factory.mktemp("tls") / "server.pem")),)))


@contextlib.contextmanager
def ends(certificates: Certificates, *, strict: bool = False) -> Iterator[tuple[TlsSocket, TlsPeer]]:
    """Both ends, with the handshake done."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    tls = TlsSocket(ours, TlsChannel(certificates), strict=strict)
    peers: list[TlsPeer] = []
    thread = threading.Thread(target=lambda: peers.append(TlsPeer(theirs)))
    thread.start()
    while tls.tls.state is not State.OPEN:
        with contextlib.suppress(BlockingIOError):
            tls.recv(65536)
    thread.join()
    tls.setblocking(False)
    try:
        yield tls, peers[0]
    finally:
        tls.close()
        theirs.close()


def test_octets_that_the_peer_has_not_taken_are_not_sent(certificates: Certificates) -> None:
    """And when they are is known: so nothing is parked with records that nobody writes."""
    with ends(certificates) as (ours, theirs):
        data = os.urandom(3_000_000)
        sent, before = 0, ours.sent
        with pytest.raises(BlockingIOError):  # noqa: PT012 - sooner or later
            while True:
                sent += ours.send(data[sent:])
        assert 0 < sent < len(data)
        assert ours.waits_to_write
        with pytest.raises(BlockingIOError):
            ours.sendmsg([memoryview(data)[sent:], memoryview(b"more")])
        found = b""
        while len(found) < len(data):
            with contextlib.suppress(BlockingIOError):
                if sent < len(data):
                    sent += ours.sendmsg([memoryview(data)[sent:]])
            found += theirs.recv(65536)
        assert found == data
        assert sent == len(data)
        assert not ours.waits_to_write
        assert ours.sent - before > len(data)


def test_pieces_share_records(certificates: Certificates) -> None:
    with ends(certificates) as (ours, theirs):
        before = ours.sent
        assert ours.sendmsg([memoryview(b"a" * 10)] * 60) == 600
        assert ours.sent - before < 700
        assert theirs.recv(1000) == b"a" * 600
        assert ours.send(b"") == 0
        assert ours.sendmsg([memoryview(b"x" * 60_000), memoryview(b"y" * 60_000)]) == 65536


def test_a_peek_sees_what_has_come_and_leaves_it(certificates: Certificates) -> None:
    with ends(certificates) as (ours, theirs):
        with pytest.raises(BlockingIOError):
            ours.recv(1, socket.MSG_PEEK)
        theirs.sendall(b"hello")
        assert ours.recv(1, socket.MSG_PEEK)
        assert ours.recv(1000) == b"hello"
        ours.unread(b"again")
        assert ours.recv(1000) == b"again"
        record = theirs.seal(b"more")
        theirs.raw.sendall(record[:5])
        with pytest.raises(BlockingIOError):
            ours.recv(1000)
        theirs.raw.sendall(record[5:])
        assert ours.recv(1000) == b"more"


def test_ends(certificates: Certificates) -> None:
    with ends(certificates) as (ours, theirs):
        ours.shutdown(socket.SHUT_WR)
        assert theirs.recv(1) == b""
        theirs.shutdown(socket.SHUT_WR)
        assert ours.recv(1000) == b""
    with ends(certificates) as (ours, theirs):
        ours.shutdown(socket.SHUT_RDWR)  # from any thread: TLS is not touched
        with pytest.raises(ssl.SSLEOFError):
            theirs.recv(1)
    with ends(certificates) as (ours, theirs):
        theirs.raw.shutdown(socket.SHUT_WR)
        assert ours.recv(1000) == b""
    with ends(certificates, strict=True) as (ours, theirs):
        theirs.raw.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionAbortedError):
            ours.recv(1000)


def test_a_broken_record(certificates: Certificates) -> None:
    with ends(certificates) as (ours, theirs):
        theirs.raw.sendall(b"\x17\x03\x03\0\x20" + b"x" * 32)
        with pytest.raises(ConnectionAbortedError):
            ours.recv(1000)
        with pytest.raises(ConnectionAbortedError):
            ours.send(b"x")
        with pytest.raises(ssl.SSLError, match="ALERT"):
            theirs.recv(1)
