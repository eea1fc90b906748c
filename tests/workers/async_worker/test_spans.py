"""Files sent by the async worker: http.response.pathsend over real sockets, and the queue by itself."""

import asyncio
import contextlib
import errno
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyserve.protocol.exchange import FileSpan
from pyserve.workers.async_worker import spans
from tests.workers.serving import eventually, request, serving

SIZE = 20_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(SIZE))
    return path


def open_now(directory: Path) -> list[str]:
    """The descriptors of sockets and of files in `directory`."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return sorted(link for link in found if link.startswith(("socket:", str(directory))))


@pytest.fixture
def descriptors(tmp_path: Path) -> Iterator[None]:
    """No descriptor stays open."""
    before = open_now(tmp_path)
    yield
    eventually(lambda: set(open_now(tmp_path)) <= set(before), "all descriptors closed")


def sender(path: object, length: int | None = SIZE, then: Any = None) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        headers = [] if length is None else [(b"content-length", str(length).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.pathsend", "path": str(path)})
        if then is not None:
            then()

    return application


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_file(loop: str, kind: str, file: Path, descriptors: None) -> None:
    with serving(sender(file), loop=loop, kind=kind, lifespan="off") as served:
        client = served.connect()
        expected = file.read_bytes()
        for _ in range(3):
            assert client.get()[1] == expected


def test_a_file_without_a_length_is_chunked(loop: str, tmp_path: Path, descriptors: None) -> None:
    (tmp_path / "small").write_bytes(b"0123456789")
    with serving(sender(tmp_path / "small", None), loop=loop, lifespan="off") as served:
        client = served.connect()
        for _ in range(2):
            client.send(request())
            head = client.until(b"\r\n\r\n")
            if b"chunked" in head:
                assert client.until(b"0\r\n\r\n") == b"a\r\n0123456789\r\n0\r\n\r\n"
            else:
                assert client.take(10) == b"0123456789"


def test_an_empty_file(loop: str, tmp_path: Path, descriptors: None) -> None:
    (tmp_path / "empty").touch()
    with serving(sender(tmp_path / "empty", 0), loop=loop, lifespan="off") as served:
        client = served.connect()
        for _ in range(2):
            assert client.get()[1] == b""


def test_head_has_no_body(loop: str, file: Path, descriptors: None) -> None:
    with serving(sender(file), loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request(method="HEAD"))
        assert b"content-length: 20000000" in client.until(b"\r\n\r\n")
        client.socket.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)


MADE = [path for path in map(Path, ("/proc/version", "/sys/class/net/lo/mtu")) if path.exists()]


@pytest.mark.parametrize("path", MADE, ids=str)
def test_a_file_that_the_kernel_makes_as_it_is_read(loop: str, path: Path, descriptors: None) -> None:
    """It says that it has 0 or 4096 octets, and has another number."""
    expected = path.read_bytes()
    assert path.stat().st_size != len(expected)
    with serving(sender(path, None), loop=loop, lifespan="off") as served:
        client = served.connect()
        for _ in range(2):
            assert client.get()[1] == expected


def test_a_file_without_size_or_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, descriptors: None) -> None:
    (tmp_path / "file").write_bytes(bytes(70_000))
    monkeypatch.setattr(spans, "is_stored", lambda status: False)
    assert spans.open_whole(str(tmp_path / "file")) == bytes(70_000)
    monkeypatch.setattr(spans, "_MOST", 69_999)
    with pytest.raises(OSError, match="more than 69999 bytes"):
        spans.open_whole(str(tmp_path / "file"))


def test_a_large_file_of_nothing_but_a_hole(tmp_path: Path, descriptors: None) -> None:
    with open(tmp_path / "file", "wb") as file:
        file.truncate(1_000_000)
    span = spans.open_whole(str(tmp_path / "file"))
    assert isinstance(span, FileSpan)
    assert span.count == 1_000_000
    span.close()


@pytest.mark.parametrize("name", ["missing", "fifo", "directory"])
def test_no_such_file(loop: str, tmp_path: Path, name: str, descriptors: None) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    with serving(sender(tmp_path / name), loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request())
        assert client.rest().startswith(b"HTTP/1.1 500 ")
        assert "Traceback" in served.log


def test_pipelined_requests_for_files_come_in_order(loop: str, file: Path, descriptors: None) -> None:
    with serving(sender(file), loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request() * 3)
        expected = file.read_bytes()
        for _ in range(3):
            assert client.response()[1] == expected


def test_the_next_request_waits_until_the_file_has_gone(loop: str, file: Path, descriptors: None) -> None:
    begun = threading.Semaphore(0)
    size = 60_000_000  # more than the kernel's buffers take
    os.truncate(file, size)
    with serving(sender(file, size, begun.release), loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request() * 2)
        client.until(b"\r\n\r\n")
        assert begun.acquire(timeout=10)
        assert not begun.acquire(timeout=0.1)
        client.take(size)
        assert begun.acquire(timeout=10)
        client.until(b"\r\n\r\n")
        client.take(size)


def test_a_client_that_leaves(loop: str, file: Path, descriptors: None) -> None:
    with serving(sender(file), loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request() * 2)
        client.take(100_000)
        client.reset()
        eventually(lambda: served.slot.connections == 0)
        assert served.stop() == 0
        assert "Traceback" not in served.log


def test_connection_close_waits_for_the_file(loop: str, file: Path, descriptors: None) -> None:
    with serving(sender(file), loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request("/", "Connection: close"))
        client.until(b"\r\n\r\n")
        assert client.rest() == file.read_bytes()


def test_a_file_that_shrinks_meanwhile_resets_the_connection(loop: str, file: Path, descriptors: None) -> None:
    with serving(sender(file), loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request())
        client.until(b"\r\n\r\n")
        os.truncate(file, 100)
        with pytest.raises(ConnectionResetError):
            client.take(SIZE)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS])
def test_a_thread_reads_where_sendfile_does_not_work(
    loop: str, file: Path, descriptors: None, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, "deliberate")

    monkeypatch.setattr(spans.os, "sendfile", refuse)
    with serving(sender(file), loop=loop, lifespan="off") as served:
        client = served.connect()
        for _ in range(2):
            assert client.get()[1] == file.read_bytes()
        client.send(request())
        client.take(100_000)
        client.reset()
        eventually(lambda: served.slot.connections == 0)
        served.stop()


def test_a_file_is_closed_by_the_thread_that_reads_it_when_the_worker_has_ended(
    loop: str, file: Path, descriptors: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, ended = threading.Event(), threading.Event()
    read = os.pread

    def slowly(*arguments: int) -> bytes:
        reading.set()
        assert ended.wait(10)
        return read(*arguments)

    monkeypatch.setattr(spans.os, "sendfile", lambda *_: os.close(-1))
    monkeypatch.setattr(spans.os, "pread", slowly)
    with serving(sender(file), loop=loop, lifespan="off") as served:
        client = served.connect()
        client.send(request())
        assert reading.wait(10)
        client.reset()
        assert served.stop("quit") == 0
        assert any(link.startswith(str(file)) for link in open_now(file.parent))
        ended.set()


class Outlet:
    """What a queue needs of a stream, with a plain socket behind it."""

    def __init__(self, peer: socket.socket) -> None:
        self.peer = peer
        self.transport: Any = self
        self.ended = ""

    def get_extra_info(self, name: str) -> socket.socket:
        return self.peer

    def write(self, data: bytes) -> None:
        self.peer.sendall(data)

    def count(self, octets: int) -> None: ...

    def limit(self, octets: int) -> bool:
        return False

    def sent(self) -> None:
        self.ended += "sent"

    def reset(self) -> None:
        self.ended += "reset"


class Span(FileSpan):
    """Counts how often it is closed."""

    def __init__(self, path: Path) -> None:
        self.closed = 0
        super().__init__(os.open(path, os.O_RDONLY), 0, path.stat().st_size, self._count)

    def _count(self) -> None:
        if not self.closed:
            os.close(self.fd)
        self.closed += 1


@pytest.mark.parametrize("when", ["at once", "under way", "at the end"])
def test_each_span_is_closed_once_whenever_the_queue_is_stopped(file: Path, when: str) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        outlet = Outlet(ours)
        files = [Span(file), Span(file)]
        queue = spans.SpanQueue(asyncio.get_running_loop(), outlet)
        queue.extend(files)
        theirs.setblocking(False)
        if when != "at once":
            received = 0
            while received < (2 * SIZE if when == "at the end" else 1000):
                await asyncio.sleep(0)
                try:
                    received += len(theirs.recv(1 << 20))
                except BlockingIOError:
                    continue
        queue.stop()
        while any(span.closed == 0 for span in files):
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [span.closed for span in files] == [1, 1]
        assert outlet.ended in ("", "sent")
        ours.close()
        theirs.close()

    asyncio.run(main())


def test_opening_is_given_up_without_leaking(file: Path, descriptors: None) -> None:
    async def main() -> None:
        opening = asyncio.ensure_future(spans.open_span(asyncio.get_running_loop(), str(file)))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening

    asyncio.run(main())
