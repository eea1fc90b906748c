"""Large responses through TLS under the async worker, with a transport that takes them as the test says."""

import contextvars
import ssl
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pyserve.settings import Settings
from pyserve.workers.async_worker.tls_link import TlsLink
from pyserve.workers.deadlines import Phase
from pyserve.workers.tls.certificates import Certificates
from tests.tls import HOST, client_context, write_certificate


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(Settings(certfile=(str(write_certificate(tmp_path_factory.mktemp("tls") / "server.pem")),)))


class Transport:
    """Holds what is written until `take`; pauses like asyncio's."""

    def __init__(self) -> None:
        self.protocol: Any = None
        self.held = b""
        self.high = 65536
        self.paused = False
        self.ends: list[str] = []

    def write(self, data: bytes) -> None:
        assert not self.ends, "written behind the end"
        self.held += data
        if len(self.held) > self.high and not self.paused:
            self.paused = True
            self.protocol.pause_writing()

    def take(self) -> bytes:
        taken, self.held = self.held, b""
        if self.paused:
            self.paused = False
            self.protocol.resume_writing()
        return taken

    def get_write_buffer_size(self) -> int:
        return len(self.held)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return bool(self.ends)

    def write_eof(self) -> None:
        self.ends.append("eof")

    def close(self) -> None:
        self.ends.append("close")


class Stream:
    """What a link needs of one. told: "pause" and "resume" as they came."""

    def __init__(self) -> None:
        self.phase = Phase.SERVING
        self.written = 0
        self.partial = 0
        self.remote = ""
        self.wire = SimpleNamespace(exchange=None)
        self.told: list[str] = []
        self.due: list[Callable[[], None]] = []
        self.registry = SimpleNamespace(loop=self, context=contextvars.copy_context())

    def call_soon(self, function: Callable[[], None], context: object) -> None:
        self.due.append(function)

    def connection_made(self, transport: Any) -> None:
        pass

    def connection_lost(self, exc: object) -> None:
        pass

    def secured(self, tls: object) -> None:
        pass

    def data_received(self, data: bytes) -> None:
        pass

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")


class End:
    """A link with its handshake done, and the client behind it."""

    def __init__(self, certificates: Certificates) -> None:
        self.transport, self.stream = Transport(), Stream()
        self.link = self.transport.protocol = TlsLink(certificates, lambda: self.stream, strict=False)  # type: ignore[arg-type, return-value]
        self.link.connection_made(self.transport)  # type: ignore[arg-type]
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = client_context().wrap_bio(self.incoming, self.outgoing, server_hostname=HOST)
        for _ in range(3):
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            if self.outgoing.pending:
                self.link.data_received(self.outgoing.read())
            self.incoming.write(self.transport.take())
        self.read()

    def read(self) -> bytes:
        self.incoming.write(self.transport.take())
        found = bytearray()
        try:
            while piece := self.tls.read(65536):
                found += piece
        except ssl.SSLWantReadError:
            pass
        return bytes(found)

    def turn(self) -> None:
        due, self.stream.due = self.stream.due, []
        for function in due:
            function()


@pytest.fixture
def end(certificates: Certificates) -> End:
    return End(certificates)


@pytest.mark.parametrize("how", ["write", "writelines"])
def test_no_more_is_encrypted_than_the_peer_takes(end: End, how: str) -> None:
    data = bytes(range(256)) * 4096 * 5
    if how == "write":
        end.link.write(data)
    else:
        end.link.writelines([data[:100], data[100:3_000_000], data[3_000_000:]])
    assert len(end.transport.held) < 200_000
    assert end.stream.told == ["pause"]
    assert end.link.get_write_buffer_size() >= len(data)
    end.link.write(b"and what follows")
    end.link.close()
    assert end.link.is_closing()
    found = b""
    while len(found) < len(data) + 16:
        piece = end.read()
        assert piece
        found += piece
    assert found == data + b"and what follows"
    assert end.stream.told == ["pause", "resume"]
    assert end.transport.ends == ["close"]
    assert end.tls.read(1) == b""  # the end was announced
    assert end.link.get_write_buffer_size() == 0


def test_others_have_their_turn_while_a_fast_reader_gets_much(end: End) -> None:
    end.transport.high = 1 << 30
    data = b"x" * 3_000_000
    end.link.write(data)
    assert len(end.transport.held) < 1_200_000
    assert end.stream.told == ["pause"]
    while end.stream.due:
        end.turn()
    assert end.stream.told == ["pause", "resume"]
    assert end.read() == data


def test_small_pieces_leave_at_once_and_what_is_counted_is_on_the_wire(end: End) -> None:
    before, handed = end.stream.written, 0
    for size in (1, 100, 16384, 65536):
        end.link.write(b"y" * size)
        handed += size
    sent = len(end.transport.held)
    assert sent > handed
    assert end.stream.written - before == sent - handed  # a stream adds what it hands over itself
    assert end.read() == b"y" * handed


def test_a_connection_that_is_lost_forgets_what_waits(end: End) -> None:
    end.transport.high = 1 << 30
    end.link.write(b"x" * 3_000_000)
    end.link.connection_lost(None)
    end.turn()
    assert len(end.transport.held) < 2_000_000


def test_a_connection_that_is_lost_leaves_nothing_to_the_collector(end: End) -> None:
    freed: list[None] = []
    weakref.finalize(end.stream, freed.append, None)
    end.link.connection_lost(None)
    del end.stream.registry.loop  # the circle is the test's own
    del end.link, end.stream
    assert freed
