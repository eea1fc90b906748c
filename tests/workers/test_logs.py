"""The error log, and what happens to log files: rotated, full, unwritable, closed, shared."""

import os
import re
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyserve.workers import logs
from pyserve.workers.logs import STDERR, STDOUT, ErrorLog, LogFile, _wait_writable, escape

RECORD = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[(\d+)\] \[([A-Z]+)\] (.*)", re.DOTALL)


def records(path: Path) -> list[tuple[str, str]]:
    """(level, text) of each record of a file."""
    found = []
    for record in re.split(r"^(?=\[)", path.read_text(), flags=re.MULTILINE)[1:]:
        match = RECORD.fullmatch(record)
        assert match, record
        assert match[1] == str(os.getpid())
        found.append((match[2], match[3]))
    return found


# The error log


def test_record(tmp_path: Path) -> None:
    ErrorLog(str(tmp_path / "log")).info("Listening at: %s (%s)", "http://127.0.0.1:8000", 7)
    assert records(tmp_path / "log") == [("INFO", "Listening at: http://127.0.0.1:8000 (7)\n")]


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical", "WARNING"])
def test_levels(tmp_path: Path, level: str) -> None:
    log = ErrorLog(str(tmp_path / "log"), level)
    for name in logs.LEVELS:
        getattr(log, name)("text")
    log.exception("text")
    names = [name.upper() for name, number in logs.LEVELS.items() if number >= logs.LEVELS[level.lower()]]
    expected = [*names, "ERROR"] if "ERROR" in names else names
    assert [name for name, _ in records(tmp_path / "log")] == expected


def test_unknown_level() -> None:
    with pytest.raises(ValueError, match="'loud' is none of debug, info"):
        ErrorLog("-", "loud")


def test_exception_has_the_traceback(tmp_path: Path) -> None:
    log = ErrorLog(str(tmp_path / "log"))
    try:
        raise KeyError("secret\nsecond")
    except KeyError:
        log.exception("Error handling request %s", b"/a b")
    ((level, text),) = records(tmp_path / "log")
    assert level == "ERROR"
    assert text.startswith("Error handling request /a b\nTraceback (most recent call last):\n  File ")
    assert text.endswith("\nKeyError: 'secret\\nsecond'\n")


TEXTS = [
    ("percent % alone", (), "percent % alone"),
    ("%s", ("a\nb",), "a\nb"),
    ("%s", ("a\n[2026-01-01 00:00:00 +0000] [1] [INFO] forged",), "a\n [2026-01-01 00:00:00 +0000] [1] [INFO] forged"),
    ("%s", ("\x1b[31mred\r\x00\x9b\x7f\tend",), "\\x1b[31mred\\x0d\\x00\\x9b\\x7f\tend"),
    ("%s %r", (b'/\xc3\xa9"\n', "x"), "/\\xc3\\xa9\\\"\\x0a 'x'"),
    ("caf\u00e9 %s", ("\ud800",), "caf\u00e9 \\ud800"),
    ("%d apples", ("no",), "%d apples (arguments: str)"),
    ("%s", (1, 2), "%s (arguments: int, int)"),
]


@pytest.mark.parametrize(("msg", "args", "expected"), TEXTS)
def test_texts(tmp_path: Path, msg: str, args: tuple[object, ...], expected: str) -> None:
    ErrorLog(str(tmp_path / "log")).error(msg, *args)
    assert records(tmp_path / "log") == [("ERROR", expected + "\n")]


def test_argument_that_cannot_be_printed(tmp_path: Path) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    ErrorLog(str(tmp_path / "log")).error("%s", Broken())
    assert records(tmp_path / "log") == [("ERROR", "%s (arguments: Broken)\n")]


def test_escape() -> None:
    assert escape(b'\x00 "\\\n\xff') == '\\x00 \\"\\\\\\x0a\\xff'
    assert escape("\u20ac\U0001f600") == "\\u20ac\\U0001f600"


def test_setup(tmp_path: Path) -> None:
    class Settings:
        errorlog = str(tmp_path / "log")
        loglevel = "error"

    log = logs.setup(Settings())
    log.warning("no")
    log.error("yes")
    assert records(tmp_path / "log") == [("ERROR", "yes\n")]


def test_default_is_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    ErrorLog().info("text")
    out, err = capfd.readouterr()
    assert out == ""
    assert RECORD.fullmatch(err)


def test_unopenable_error_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = ErrorLog(str(tmp_path / "missing" / "log"))
    log.info("one")
    log.info("two")
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition("] [")[2].partition("] ")[2] for line in lines] == [
        f"[ERROR] Log file '{tmp_path}/missing/log' cannot be opened: No such file or directory",
        "[INFO] one",
        "[INFO] two",
    ]
    assert log.lost == 0


def test_full_disk_sends_errors_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    log = ErrorLog("/dev/full")
    log.info("one")
    log.info("two")
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition("] [")[2].partition("] ")[2] for line in lines] == [
        "[ERROR] Log file '/dev/full' cannot be written: No space left on device",
        "[INFO] one",
        "[INFO] two",
    ]
    assert log.lost == 2


# Log files


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
    monkeypatch.setattr(logs, "_wait_writable", lambda fd: _wait_writable(fd, 1))
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

    monkeypatch.setattr(logs, "_wait_writable", wait)
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


CLOSED_STREAMS = """
import os, socket, sys
from pyserve.workers.logs import ErrorLog, LogFile
server = socket.socketpair()  # takes the numbers of the closed streams
log = ErrorLog()
out = LogFile("-", 1, log.error)
log.error("error")
assert not out.write(b"line\\n")
assert out.lost == 1 and log.lost >= 1, (out.lost, log.lost)
for end in server:
    end.setblocking(False)
    try:
        os._exit(3 if end.recv(100) else 4)
    except BlockingIOError:
        pass
os._exit(0)
"""


def test_streams_closed_at_start_are_not_written_to() -> None:
    command = f"exec {sys.executable} -c '{CLOSED_STREAMS}' <&- >&- 2>&-"
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run(["/bin/sh", "-c", command], env=environ, check=False).returncode == 0


def test_threads_and_rotation(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = ErrorLog(str(path))

    def write(name: int) -> None:
        for number in range(500):
            log.info("%d %d %s", name, number, "x" * 200)

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    rotations = 0
    while any(thread.is_alive() for thread in threads):
        path.rename(tmp_path / f"log.{rotations}")
        log.reopen()
        rotations += 1
    for thread in threads:
        thread.join()
    seen = [text.split()[:2] for file in tmp_path.iterdir() for _, text in records(file)]
    assert sorted(seen) == sorted([str(name), str(number)] for name in range(4) for number in range(500))


FORK = """
import os, sys
from pyserve.workers.logs import ErrorLog
log = ErrorLog(sys.argv[1])
log.info("%d", os.getpid())
if not (pid := os.fork()):
    log.info("%d", os.getpid())
    os._exit(0)
assert not os.waitpid(pid, 0)[1]
"""


def python(script: str, *arguments: str) -> None:
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", script, *arguments], env=environ, check=True, timeout=30)


def test_the_pid_is_looked_up_for_each_line(tmp_path: Path) -> None:
    python(FORK, str(tmp_path / "log"))
    found = re.findall(r"\[(\d+)\] \[INFO\] (\d+)", (tmp_path / "log").read_text())
    assert len(set(found)) == 2
    assert all(shown == own for shown, own in found)
