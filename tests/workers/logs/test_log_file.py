"""Log files: rotation, files and pipes that cannot be written, lines that stay whole."""

import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyserve.workers.logs import log_file
from pyserve.workers.logs.error_log import ErrorLog
from pyserve.workers.logs.log_file import STDERR, STDOUT, LogFile, _wait_writable, obstacle


class Told(list[str]):
    """What a log file reports."""

    def __call__(self, text: str) -> None:
        self.append(text)


def test_rotation(tmp_path: Path) -> None:
    told = Told()
    path = tmp_path / "log"
    file = LogFile(str(path), STDOUT, told)
    file.write(b"one\n")
    path.rename(tmp_path / "log.1")
    file.write(b"two\n")
    file.reopen()
    file.write(b"three\n")
    assert (tmp_path / "log.1").read_bytes() == b"one\ntwo\n"
    assert path.read_bytes() == b"three\n"
    assert told == []


def test_reopening_keeps_the_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "log"
    file = LogFile(str(path), STDOUT, Told())
    before = file._fd
    path.unlink()
    file.reopen()
    assert file._fd == before
    assert not os.get_inheritable(before)
    assert os.get_blocking(before)


def test_reopening_that_fails_keeps_the_old_file(tmp_path: Path) -> None:
    told = Told()
    folder = tmp_path / "folder"
    folder.mkdir()
    file = LogFile(str(folder / "log"), STDOUT, told)
    folder.rename(tmp_path / "moved")
    file.reopen()
    assert file.write(b"one\n")
    assert (tmp_path / "moved" / "log").read_bytes() == b"one\n"
    assert len(told) == 1
    file.reopen()
    assert len(told) == 2


def test_reopening_recovers(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told = Told()
    path = tmp_path / "folder" / "log"
    file = LogFile(str(path), STDOUT, told)
    file.write(b"one\n")
    path.parent.mkdir()
    file.reopen()
    file.write(b"two\n")
    assert capfd.readouterr() == ("", "one\n")
    assert path.read_bytes() == b"two\n"
    assert len(told) == 1


def test_appends_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "log"
    first, second = (LogFile(str(path), STDOUT, Told()) for _ in range(2))
    first.write(b"one\n")
    second.write(b"two\n")
    first.write(b"three\n")
    assert path.read_bytes() == b"one\ntwo\nthree\n"


def test_close(tmp_path: Path) -> None:
    file = LogFile(str(tmp_path / "log"), STDOUT, Told())
    fd = file._fd
    file.close()
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    assert not file.write(b"lost\n")


def test_closing_leaves_the_standard_streams_open() -> None:
    ErrorLog("/dev/stderr").close()
    LogFile("-", STDOUT, Told()).close()
    os.fstat(STDOUT)
    os.fstat(STDERR)


@pytest.mark.parametrize(
    ("destination", "standard", "expected"),
    [
        ("-", STDOUT, ("x\n", "")),
        ("-", STDERR, ("", "x\n")),
        ("/dev/stdout", STDERR, ("x\n", "")),
        ("/dev/stderr", STDOUT, ("", "x\n")),
    ],
)
def test_standard_streams(
    capfd: pytest.CaptureFixture[str], destination: str, standard: int, expected: tuple[str, str]
) -> None:
    file = LogFile(destination, standard, Told())
    file.reopen()
    assert file.write(b"x\n")
    assert capfd.readouterr() == expected


UNOPENABLE = [("folder", "Is a directory"), ("fifo", "No such device or address"), ("a\0b", "embedded null")]


@pytest.mark.parametrize(("name", "reason"), UNOPENABLE)
def test_unopenable(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")  # nobody reads it: opening must not wait
    told = Told()
    file = LogFile(f"{tmp_path}/{name}", STDOUT, told)
    assert file.write(b"x\n")
    assert capfd.readouterr().err == "x\n"
    assert len(told) == 1
    assert "cannot be opened: " in told[0]
    assert reason in told[0]


def test_losses_are_counted_and_reported_once_until_reopened() -> None:
    told = Told()
    file = LogFile("/dev/full", STDOUT, told)
    assert not file.write(b"one\ntwo\n")
    assert not file.write(b"three\n")
    assert file.lost == 3
    assert told == ["Log file '/dev/full' cannot be written: No space left on device"]
    file.reopen()
    assert not file.write(b"four\n")
    assert len(told) == 2


class Pipe:
    """A log file whose standard stream is a pipe."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.told = Told()
        self.file = LogFile("-", STDOUT, self.told)
        self.file._fd = self.writer
        self.file._measure()

    def close(self) -> None:
        for fd in (self.reader, self.writer):
            try:
                os.close(fd)
            except OSError:
                pass


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def test_reader_that_left(pipe: Pipe) -> None:
    os.close(pipe.reader)
    assert not pipe.file.write(b"one\n")
    assert pipe.told == ["Log file 'stdout' cannot be written: Broken pipe"]
    assert pipe.file.lost == 1


def test_writes_to_pipes_are_whole_lines_that_stay_together(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[bytes] = []
    real = os.write

    def write(fd: int, data: bytes) -> int:
        sizes.append(data)
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    data = b"".join(b"%d " % n + b"x" * n + b"\n" for n in range(200))
    assert pipe.file.write(data)
    assert os.read(pipe.reader, 65536) == data
    assert all(len(part) <= select.PIPE_BUF and part.endswith(b"\n") for part in sizes)
    assert len(sizes) < len(data) / select.PIPE_BUF * 1.2 + 1


def test_line_longer_than_a_pipe_keeps_together(pipe: Pipe) -> None:
    data = b"a\n" + b"x" * 10000 + b"\nb\n"
    assert pipe.file.write(data)
    assert os.read(pipe.reader, 65536) == data


def test_full_pipe_that_does_not_block(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "_wait_writable", lambda fd: _wait_writable(fd, 1))
    os.set_blocking(pipe.writer, False)
    line = b"x" * 99 + b"\n"
    written = 0
    while pipe.file.write(line):
        written += 1
    assert pipe.told == ["Log file 'stdout' cannot be written: Resource temporarily unavailable"]
    assert not pipe.file.write(line)
    assert pipe.file.lost == 2
    assert os.read(pipe.reader, 1 << 20) == line * written
    assert pipe.file.write(line)


def test_full_pipe_is_waited_for(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    os.set_blocking(pipe.writer, False)
    try:
        while True:
            os.write(pipe.writer, b"x" * 4096)
    except BlockingIOError:
        pass
    waited: list[bool] = []

    def wait(fd: int) -> bool:
        waited.append(_wait_writable(fd, 1))  # in vain
        os.read(pipe.reader, 1 << 20)
        return _wait_writable(fd, 1000)

    monkeypatch.setattr(log_file, "_wait_writable", wait)
    assert pipe.file.write(b"line\n")
    assert waited == [False]
    assert os.read(pipe.reader, 100) == b"line\n"


def test_a_torn_line_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    file = LogFile(str(path), STDOUT, Told())
    real = os.write
    room = [9, 0, 0]

    def write(fd: int, data: bytes) -> int:
        if not room:
            return real(fd, data)
        if size := room.pop(0):
            return real(fd, data[:size])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    assert not file.write(b"first\nsecond\nthird\n")
    assert file.lost == 2
    assert not file.write(b"fourth\n")
    assert file.lost == 3
    assert file.write(b"fifth\n")
    assert path.read_bytes() == b"first\nsec\nfifth\n"


def test_what_stands_in_the_way_of_a_log(tmp_path: Path) -> None:
    """A FIFO's reader may come later; for a standard stream there is nothing to be opened."""
    os.mkfifo(tmp_path / "fifo")
    for path in ("-", "/dev/stdout", str(tmp_path / "fifo"), str(tmp_path / "new")):
        assert obstacle(path) is None
    assert (tmp_path / "new").exists()
    error = obstacle(str(tmp_path / "nowhere" / "log"))
    assert isinstance(error, FileNotFoundError)
