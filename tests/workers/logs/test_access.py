"""Lines are gathered, written in batches, and neither lost nor doubled."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pyserve.workers.logs import access
from pyserve.workers.logs.access import AccessLog
from pyserve.workers.logs.error_log import ErrorLog


class Exchange:
    method = "GET"
    target = path = b"/"
    query = b""
    version = "1.1"
    fields: tuple[tuple[bytes, bytes], ...] = ()
    index: dict[bytes, bytes] = {}  # noqa: RUF012 - a fake that nobody changes
    status = 200
    response_fields: tuple[tuple[bytes, bytes], ...] = ()
    body_sent = 13
    client = ""


class Connection:
    remote = "192.0.2.7"


def write(log: AccessLog, seconds: float = 0.0) -> None:
    log.write(Exchange(), Connection(), seconds, 0.0)


def open_log(path: object, log_format: str = "%(D)s") -> AccessLog:
    return AccessLog(str(path), log_format, ErrorLog())


def test_lines_wait_for_the_tick(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    write(log, 0.000001)
    write(log, 0.000002)
    assert (tmp_path / "log").read_text() == ""
    log.tick()
    log.tick()
    assert (tmp_path / "log").read_text() == "1\n2\n"


def test_flush(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    log.flush()
    write(log)
    log.flush()
    log.flush()
    assert (tmp_path / "log").read_text() == "0\n"


def test_a_batch_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(tmp_path / "log")
    for _ in range(1000):
        write(log)
    written: list[bytes] = []

    def record(fd: int, data: bytes) -> int:
        written.append(data)
        return len(data)

    monkeypatch.setattr(os, "write", record)
    log.tick()
    assert written == [b"0\n" * 1000]


def test_much_is_written_at_once(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log", "x" * 1023)
    for _ in range(64):
        write(log)
    assert (tmp_path / "log").stat().st_size == 0
    write(log)
    assert (tmp_path / "log").stat().st_size == 65 * 1024


def test_rotation(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    write(log, 0.000001)
    (tmp_path / "log").rename(tmp_path / "log.1")
    log.reopen()
    write(log, 0.000002)
    log.flush()
    assert (tmp_path / "log.1").read_text() == "1\n"
    assert (tmp_path / "log").read_text() == "2\n"


def test_close_writes_what_was_gathered(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    write(log)
    log.close()
    assert (tmp_path / "log").read_text() == "0\n"


def test_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    log = open_log("-")
    write(log)
    log.flush()
    assert capfd.readouterr() == ("0\n", "")


def test_losses_go_to_the_error_log_once(capfd: pytest.CaptureFixture[str]) -> None:
    log = open_log("/dev/full")
    for _ in range(3):
        write(log)
        write(log)
        log.tick()
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.endswith("[ERROR] Log file '/dev/full' cannot be written: No space left on device\n")
    assert log.lost == 6


def test_unopenable_path_falls_back_to_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = open_log(tmp_path)
    write(log)
    log.flush()
    report, line = capfd.readouterr().err.splitlines()
    assert report.endswith("cannot be opened: Is a directory")
    assert line == "0"


def test_what_cannot_be_described_is_an_error_and_no_exception(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = open_log(tmp_path / "log", "%({x}e)s")

    class Environ(Connection):
        @property
        def environ(self) -> dict[str, object]:
            raise RuntimeError("broken")

    log.write(Exchange(), Environ(), 0.0, 0.0)
    log.flush()
    assert (tmp_path / "log").read_text() == ""
    assert capfd.readouterr().err.endswith("RuntimeError: broken\n")


def test_setup(tmp_path: Path) -> None:
    class Settings:
        accesslog: str | None = str(tmp_path / "log")
        access_log_format = "%(s)s"

    log = access.setup(Settings(), ErrorLog())
    assert log
    write(log)
    log.flush()
    assert (tmp_path / "log").read_text() == "200\n"


@pytest.mark.parametrize("path", [None, ""])
def test_setup_without_a_log(path: str | None) -> None:
    class Settings:
        accesslog = path
        access_log_format = "%"

    assert access.setup(Settings(), ErrorLog()) is None


def test_threads_lose_nothing(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log", "%(D)s" + "x" * 100)
    running = threading.Event()
    running.set()

    def work(name: int) -> None:
        for number in range(3000):
            write(log, (name * 3000 + number) / 1000000)

    def tick() -> None:
        while running.is_set():
            log.tick()

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    ticker = threading.Thread(target=tick)
    for thread in (*threads, ticker):
        thread.start()
    for thread in threads:
        thread.join()
    running.clear()
    ticker.join()
    log.flush()
    lines = (tmp_path / "log").read_text().split()
    assert sorted(int(line.rstrip("x")) for line in lines) == list(range(12000))


def test_reopening_in_a_signal_handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(tmp_path / "log")
    real = os.write

    def interrupted(fd: int, data: bytes) -> int:
        signal.raise_signal(signal.SIGUSR1)
        return real(fd, data)

    def handle(signum: int, frame: object) -> None:
        log.reopen()

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        write(log)
        monkeypatch.setattr(os, "write", interrupted)
        log.flush()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert (tmp_path / "log").read_text() == "0\n"


FORK = """
import os, sys, threading
from pyserve.workers.logs.access import AccessLog
from pyserve.workers.logs.error_log import ErrorLog
sys.path.insert(0, sys.argv[2])
from test_access import write
log = AccessLog(sys.argv[1], "%(p)s", ErrorLog())
write(log)
log._lock.acquire()  # as another thread may hold it while this one forks
if not (pid := os.fork()):
    write(log)
    log.flush()
    os._exit(0)
assert not os.waitpid(pid, 0)[1]
log._lock.release()
log.flush()
"""


def test_a_child_writes_its_own_lines_only(tmp_path: Path) -> None:
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", FORK, str(tmp_path / "log"), str(Path(__file__).parent)]
    subprocess.run(command, env=environ, check=True, timeout=30)
    lines = (tmp_path / "log").read_text().split()
    assert len(lines) == len(set(lines)) == 2


PROCESSES = """
import os, sys
from pyserve.workers.logs.access import AccessLog
from pyserve.workers.logs.error_log import ErrorLog
sys.path.insert(0, sys.argv[1])
from test_access import write
for name in range(4):
    if not os.fork():
        log = AccessLog("-", str(name) * 150, ErrorLog())
        for number in range(2000):
            write(log)
            if number % 100 == 99:
                log.tick()
        log.flush()
        os._exit(0)
for _ in range(4):
    assert not os.wait()[1]
"""


def test_processes_share_a_pipe() -> None:
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", PROCESSES, str(Path(__file__).parent)]
    out = subprocess.run(command, env=environ, check=True, timeout=30, stdout=subprocess.PIPE, text=True).stdout
    lines = out.split()
    assert len(lines) == 8000
    assert {*lines} == {str(name) * 150 for name in range(4)}
