"""The error log, and what happens to log files: rotated, full, unwritable, closed, shared."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pyserve.workers.logs import error_log as logs
from pyserve.workers.logs.error_log import ErrorLog, escape

RECORD = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[(\d+)\] \[([A-Za-z0-9 ]+)\] (.*)", re.DOTALL)


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


def test_what_the_methods_of_logging_take(tmp_path: Path) -> None:
    log = ErrorLog(str(tmp_path / "log"), "debug")
    log.info("%(a)s", {"a": 1})
    log.info(ValueError("no text"))
    log.info("", extra={"metric": "m", "value": 1, "mtype": "gauge"})
    log.debug("x", stacklevel=2, extra={"a": 1})
    log.log("warning", "by name")
    log.log("strange", "by a name that there is not")
    log.log(25, "by number")
    log.warning("stack", stack_info=True)
    try:
        raise ValueError("boom")
    except ValueError as error:
        log.info("true", exc_info=True)
        log.info("tuple", exc_info=sys.exc_info())
        kept = error
    log.error("object", exc_info=kept)
    log.exception("nothing is handled")
    found = records(tmp_path / "log")
    assert [(level, text.splitlines()[0]) for level, text in found] == [
        ("INFO", "1"), ("INFO", "no text"), ("DEBUG", "x"), ("WARNING", "by name"),
        ("INFO", "by a name that there is not"), ("Level 25", "by number"), ("WARNING", "stack"), ("INFO", "true"),
        ("INFO", "tuple"), ("ERROR", "object"), ("ERROR", "nothing is handled"),
    ]  # fmt: skip
    assert "in test_what_the_methods_of_logging_take" in found[6][1]
    assert [text.count("ValueError: boom") for _, text in found[7:]] == [1, 1, 1, 0]


def test_what_is_not_there() -> None:
    log = ErrorLog()
    assert log.error_log is None
    assert log.access_log is None
    with pytest.raises(AttributeError, match="the log has no attribute 'increment'"):
        log.increment("a", 1)


def test_reopening_by_gunicorns_name(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = ErrorLog(str(path))
    path.unlink()
    log.reopen_files()
    assert path.exists()


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


CLOSED_STREAMS = """
import os, socket, sys
from pyserve.workers.logs.log_file import LogFile
from pyserve.workers.logs.error_log import ErrorLog
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
from pyserve.workers.logs.error_log import ErrorLog
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
