"""Logs of the real command: nothing is lost when it stops, rotation, unwritable files."""

import contextlib
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.clients import Hammer, ask, receive_until, send
from tests.integration.server import Server, wait_for
from tests.integration.ways import BOTH, WAYS

Serve = Callable[..., Server]
LINE = re.compile(
    r"127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
    r'"GET /status/201\?n=(\d+) HTTP/1\.1" 201 14 "-" "python-httpx/[\d.]+"'
)


@WAYS
def test_no_line_of_the_access_log_is_lost_on_stop(
    serve: Serve, tmp_path: Path, app: str, options: tuple[str, ...]
) -> None:
    """It is stopped right after the last answer, while lines wait to be written."""
    log = tmp_path / "access.log"
    server = serve(app, "--access-logfile", str(log), *options)
    with server.client() as client:
        for number in range(100):
            assert client.get(f"/status/201?n={number}").status_code == 201
    server.stop()
    lines = [line for line in log.read_text().splitlines() if "/status/" in line]
    found = [LINE.fullmatch(line) for line in lines]
    assert [int(match[1]) for match in found if match] == list(range(100)), lines


@BOTH
def test_a_line_comes_soon(serve: Serve, app: str) -> None:
    """Without a stop and without another request; to stdout with '-'."""
    server = serve(app, "--access-logfile", "-", "--keep-alive", "60", path=None)
    server.says("Booting worker")
    with server.client() as client:
        client.get("/status/201")
        wait_for(lambda: b"GET /status/201" in server.out.read_bytes(), "the line")


@BOTH
def test_what_a_client_sends_cannot_forge_a_line(serve: Serve, app: str) -> None:
    server = serve(app, "--access-logfile", "-")
    text = 'GET /"%0a\\x HTTP/1.1\nHost: a\nConnection: close\nUser-Agent: a" 200 1 "\x80\nReferer: \\"\n\n'
    assert ask(server, text)
    server.stop()
    lines = server.out.read_text().splitlines()
    assert len(lines) == 2
    assert lines[1].count('"') - lines[1].count('\\"') == 6
    assert "\\x80" in lines[1]


@BOTH
def test_a_format_of_ones_own(serve: Serve, app: str) -> None:
    form = "%(m)s|%(U)s|%(q)s|%(s)s|%(B)s|%(H)s|%({x-one}i)s|%({content-type}o)s|%(p)s|%(h)s|%(D)s|%(L)s|%(M)s|%(T)s"
    server = serve(app, "--access-logfile", "-", "--access-logformat", form)
    with server.client() as client:
        client.get("/status/404?a=b", headers={"X-One": "1"})
    workers = server.workers()
    server.stop()
    line = server.out.read_text().splitlines()[-1].split("|")
    assert line[:8] == ["GET", "/status/404", "a=b", "404", "14", "HTTP/1.1", "1", "text/plain"]
    assert line[8:10] == [f"<{workers[0]}>", "127.0.0.1"]
    microseconds, seconds, milliseconds, whole = line[10:]
    assert 0 < int(microseconds) < 5_000_000
    assert abs(float(seconds) - int(microseconds) / 1e6) < 1e-5
    assert int(milliseconds) == int(microseconds) // 1000
    assert int(whole) == int(microseconds) // 1_000_000


@BOTH
def test_rotation(serve: Serve, tmp_path: Path, app: str) -> None:
    """Files are moved away and USR1 makes new ones, in the master and in all workers; no line is lost."""
    logs = tmp_path / "logs"
    logs.mkdir()
    access, errors = logs / "access.log", logs / "error.log"
    server = serve(app, "--workers", "2", "--access-logfile", str(access), "--error-logfile", str(errors))
    with Hammer(server, "/pid") as hammer:
        wait_for(lambda: len(hammer.answers) > 50, "answers")
        access.rename(logs / "access.1")
        errors.rename(logs / "error.1")
        server.send(signal.SIGUSR1)
        wait_for(lambda: access.exists() and access.stat().st_size > 1000, "lines in the new file")
        wait_for(lambda: _open_files(server, logs) == {str(access), str(errors)}, "that nobody has the old files open")
    server.stop()
    lines = (logs / "access.1").read_text() + access.read_text()
    assert lines.count('"GET /pid HTTP/1.1" 200') == len(hammer.answers)
    assert not hammer.errors
    assert "Handling signal: usr1" in (logs / "error.1").read_text() + errors.read_text()
    assert "Shutting down" in errors.read_text()


def _open_files(server: Server, directory: Path) -> set[str]:
    """The names of the files of a directory that the server's processes have open."""
    names = set()
    for pid in (server.pid, *server.workers()):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # connections come and go
                names.add(os.readlink(fd))
    return {name for name in names if name.startswith(str(directory))}


@BOTH
def test_a_log_that_cannot_be_written_does_not_stop_it(serve: Serve, tmp_path: Path, app: str) -> None:
    """It is said once, and the server serves. One that is to start does not: tests/compat/test_exit_codes.py."""
    (tmp_path / "logs").mkdir()
    server = serve(app, "--access-logfile", str(tmp_path / "logs" / "access"))
    (tmp_path / "logs").rename(tmp_path / "elsewhere")
    os.kill(server.pid, signal.SIGUSR1)
    server.says(r"Log file '.*/logs/access' cannot be opened")
    with server.client() as client:
        for _ in range(3):
            assert client.get("/").text == "hello\n"
    # Once for each time that the file is opened: the signal is heeded by its handler, and by the lookout.
    assert len(server.logged(r"Log file '.*/logs/access' cannot be opened")) <= 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@BOTH
def test_a_full_disk_does_not_stop_it(serve: Serve, app: str) -> None:
    server = serve(app, "--access-logfile", "/dev/full", path=None)
    server.says("Booting worker")
    with server.client() as client:
        for _ in range(3):
            assert client.get("/").text == "hello\n"
        server.says(r"Log file '/dev/full' cannot be written")
        for _ in range(3):
            assert client.get("/").text == "hello\n"
    server.stop()
    assert len(server.logged(r"/dev/full")) == 1


@WAYS
def test_a_failing_application_is_logged_once(serve: Serve, app: str, options: tuple[str, ...]) -> None:
    """With its traceback and the request line, which cannot forge a line either."""
    server = serve(app, *options, errors=("ZeroDivisionError: boom",))
    with server.connect() as connection:
        send(connection, "GET /boom?a=%0a HTTP/1.1\nHost: a\n\n")
        assert receive_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 500 ")
    server.stop()
    assert len(server.logged(r"Error handling request GET /boom\?a=%0a HTTP/1\.1$")) == 1
    assert len(server.logged(r"^ZeroDivisionError: boom$")) == 1


@BOTH
@pytest.mark.parametrize("options", [(), ("--preload",), ("--worker-class", "async")], ids=" ".join)
def test_the_class_of_the_workers_is_said_once(serve: Serve, app: str, options: tuple[str, ...]) -> None:
    """In the very words of gunicorn, which people search for."""
    server = serve(app, "--workers", "2", *options)
    server.says("Using worker")
    server.stop()
    kind = "async" if "asgi" in app or "async" in options else "sync"
    assert [found[1] for found in server.logged(r"Using worker: (.*)$")] == [kind]


def test_the_levels(serve: Serve) -> None:
    server = serve("plain_wsgi", "--log-level", "error")
    server.stop()
    assert server.log() == ""


@BOTH
def test_the_error_log_as_gunicorn_words_it(serve: Serve, app: str) -> None:
    server = serve(app)
    kind = "async" if "asgi" in app else "sync"
    (worker,) = server.workers()
    server.stop()
    stamp = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\]"
    expected = [
        rf"{stamp} \[{server.pid}\] \[INFO\] Starting pyserve \S+",
        rf"{stamp} \[{server.pid}\] \[INFO\] Listening at: http://127\.0\.0\.1:{server.port},unix:\S+ \({server.pid}\)",
        rf"{stamp} \[{worker}\] \[INFO\] Booting worker with pid: {worker}",
        rf"{stamp} \[{worker}\] \[INFO\] Using worker: {kind}",
        rf"{stamp} \[{server.pid}\] \[INFO\] Handling signal: term",
        rf"{stamp} \[{worker}\] \[INFO\] Worker exiting \(pid: {worker}\)",
        rf"{stamp} \[{server.pid}\] \[INFO\] Shutting down: Master",
    ]
    lines = server.log().splitlines()
    assert len(lines) == len(expected), lines
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line), line
