import errno
import gzip
import io
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyserve.protocol.exchange import FileSpan
from pyserve.workers.thread_worker import sendfile
from pyserve.workers.thread_worker.sendfile import open_rest, send_span

DATA = b"0123456789" * 100


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(DATA)
    return path


class Proxy:
    """As django.core.files.File: what it has are the methods of the file inside."""

    def __init__(self, file: Any) -> None:
        self.file = file

    @property
    def read(self) -> Any:
        return self.file.read


class Subclass(io.FileIO):
    def read(self, size: int | None = -1, /) -> Any:
        return b"other"


def named(path: Path) -> Any:
    file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed by the test
    file.write(DATA)
    file.seek(0)
    return file


FITTING: dict[str, Callable[[Path], Any]] = {
    "buffered": lambda path: path.open("rb"),
    "unbuffered": lambda path: path.open("rb", buffering=0),
    "random": lambda path: path.open("rb+"),
    "temporary": named,
    "proxy": lambda path: Proxy(path.open("rb")),
}
UNFIT: dict[str, Callable[[Path], Any]] = {
    "text": lambda path: path.open(),
    "gzip": lambda path: gzip.GzipFile(path),
    "buffered gzip": lambda path: io.BufferedReader(gzip.GzipFile(path)),  # type: ignore[arg-type]
    "memory": lambda path: io.BytesIO(DATA),
    "subclass": lambda path: Subclass(path),
    "pipe": lambda path: os.fdopen(os.open("/dev/null", os.O_RDONLY), "rb"),
    "nothing": lambda path: io.StringIO(),
}


@pytest.mark.parametrize("kind", FITTING)
def test_plain_files(path: Path, kind: str) -> None:
    file = FITTING[kind](path)
    assert file.read(7) == DATA[:7]
    span = open_rest(file)
    getattr(file, "file", file).close()
    assert span is not None
    assert (span.offset, span.count) == (7, len(DATA) - 7)
    assert os.pread(span.fd, 5, span.offset) == DATA[7:12]
    span.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(span.fd)
    span.close()  # its number may be another's by now


@pytest.mark.parametrize("kind", UNFIT)
def test_others_are_read(path: Path, kind: str) -> None:
    file = UNFIT[kind](path)
    assert open_rest(file) is None
    file.close()


def test_a_closed_file(path: Path) -> None:
    file = path.open("rb")
    file.close()
    assert open_rest(file) is None


def test_past_the_end(path: Path) -> None:
    with path.open("rb") as file:
        file.seek(5000)
        span = open_rest(file)
        assert span is not None
        assert span.count == 0
        span.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    yield ours, peer
    ours.close()
    peer.close()


def span_of(path: Path) -> FileSpan:
    with path.open("rb") as file:
        span = open_rest(file)
    assert span is not None
    return span


def test_sending_piece_by_piece(path: Path, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, peer = pair
    span = span_of(path)
    assert send_span(ours, span, 600) == 600
    assert (span.offset, span.count) == (600, 400)
    assert send_span(ours, span, 600) == 400
    assert peer.recv(2000) == DATA
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(span.fd)


def test_a_file_that_sendfile_does_not_serve(
    path: Path, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EINVAL, "not this one")

    monkeypatch.setattr(sendfile.os, "sendfile", refuse)
    assert send_span(pair[0], span_of(path), 10) == len(DATA)
    assert pair[1].recv(2000) == DATA


def test_a_file_that_has_shrunk(path: Path, pair: tuple[socket.socket, socket.socket]) -> None:
    span = span_of(path)
    os.truncate(path, 0)
    with pytest.raises(OSError, match="shorter"):
        send_span(pair[0], span, 600)
    span.close()


def test_a_peer_that_has_gone(path: Path, pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].close()
    span = span_of(path)
    with pytest.raises(BrokenPipeError):
        send_span(pair[0], span, 600)
    span.close()


@pytest.mark.parametrize("name", ["/proc/self/status", "/sys/class/net/lo/mtu"])
def test_a_file_that_does_not_know_its_size_is_read(name: str) -> None:
    if not os.path.exists(name):
        pytest.skip(f"there is no {name}")
    with open(name, "rb") as file:
        assert os.fstat(file.fileno()).st_size in (0, 4096)
        assert open_rest(file) is None
