"""Logs through Python's logging, syslog, statsd and rotation, with the real command.

The files in `recipes` are configuration files as they are written for gunicorn.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.server import PATIENCE, Server, wait_for
from tests.integration.ways import BOTH

Serve = Callable[..., Server]

RECIPES = Path(__file__).with_name("recipes")
ON_RECIPES = {"PYTHONPATH": os.pathsep.join([str(RECIPES), os.environ.get("PYTHONPATH", "")])}


def get(server: Server, *paths: str) -> list[int]:
    """The statuses of requests."""
    with server.client() as client:
        return [client.get(path, headers={"User-Agent": "a"}).status_code for path in paths]


def of_json(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@BOTH
def test_json_by_a_dict(serve: Serve, app: str) -> None:
    server = serve(app, "-c", str(RECIPES / "json_logs.py"))
    assert get(server, "/status/201?a=1", "/status/204", "/boom") == [201, 204, 500]
    server.stop()
    access = [line for line in of_json(server.out.read_text()) if line["path"] != "/"]
    assert [(line["logger"], line["path"], line["status"], line["agent"]) for line in access] == [
        ("gunicorn.access", "/status/201", 201, "a"),
        ("gunicorn.access", "/boom", 500, "a"),
    ]
    assert re.fullmatch(
        r'127\.0\.0\.1 - - \[.*\] "GET /status/201\?a=1 HTTP/1\.1" 201 14 "-" "a"', access[0]["message"]
    )
    assert access[0]["micros"] > 0
    errors = of_json(server.log())
    assert {line["logger"] for line in errors} == {"gunicorn.error"}
    assert [line["message"] for line in errors if line.get("error") == "ZeroDivisionError"] == [
        "Error handling request GET /boom HTTP/1.1"
    ]
    texts = [line["message"] for line in errors]
    assert texts[0].startswith("Starting pyserve")
    assert texts[-1] == "Shutting down: Master"


@pytest.mark.parametrize(
    ("app", "name"), [("plain_wsgi", "Gunicorns"), ("plain_asgi:app", "Gunicorns"), ("plain_wsgi", "Pyserves")]
)
def test_a_logger_class(serve: Serve, app: str, name: str) -> None:
    options = ("--logger-class", f"users_logger.{name}", "--access-logfile", "-")
    server = serve(app, *options, environ=ON_RECIPES)
    assert get(server, "/status/201", "/status/204", "/status/404") == [201, 204, 404]
    server.stop()
    assert [(line["path"], line["mine"]) for line in of_json(server.out.read_text())][1:] == [
        ("/status/201", "201 GET"),
        ("/status/404", "404 GET"),
    ]
    lines = server.log().splitlines()
    assert all(line.startswith("mine [INFO] ") for line in lines), lines
    assert lines[-1] == "mine [INFO] Shutting down: Master"


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(PATIENCE)
        yield sock


def metrics(receiver: socket.socket) -> list[str]:
    """All lines that have come."""
    receiver.setblocking(False)
    lines: list[str] = []
    try:
        while True:
            lines += receiver.recv(65536).decode().split("\n")
    except BlockingIOError:
        return lines


@pytest.mark.parametrize(("app", "logged"), [("plain_wsgi", True), ("plain_asgi:app", False)])
def test_statsd(serve: Serve, receiver: socket.socket, app: str, logged: bool) -> None:
    options = ["--statsd-host", f"127.0.0.1:{receiver.getsockname()[1]}", "--statsd-prefix", "my"]
    options += ["--dogstatsd-tags", "env:test", "--enable-backlog-metric"]
    options += ["--access-logfile", "-"] if logged else []
    server = serve(app, *options, "--workers", "2", errors=("ZeroDivisionError: boom",))
    assert get(server, "/status/201", "/status/404", "/boom") == [201, 404, 500]
    server.stop()
    lines = metrics(receiver)
    assert all(line.endswith("|#env:test") for line in lines)
    texts = [line.removesuffix("|#env:test") for line in lines]
    for status in (201, 404, 500):
        assert texts.count(f"my.gunicorn.request.status.{status}:1|c|@1.0") == 1
    requests = texts.count("my.gunicorn.requests:1|c|@1.0")
    durations = [text for text in texts if re.fullmatch(r"my\.gunicorn\.request\.duration:\d+\.\d+\|ms", text)]
    assert requests == len(durations) == 4  # and one by which it was found to be ready
    workers = [text for text in texts if text.startswith("my.gunicorn.workers:")]
    assert "my.gunicorn.workers:2|g" in workers
    assert workers[-1] == "my.gunicorn.workers:0|g"
    assert any(re.fullmatch(r"my\.gunicorn\.backlog:[01]\|h", text) for text in texts)
    assert texts.count("my.gunicorn.log.exception:1|c|@1.0") == 1
    assert server.out.read_text().count("HTTP/1.1") == (requests if logged else 0)


@BOTH
def test_syslog(serve: Serve, tmp_path: Path, app: str) -> None:
    path = tmp_path / "dev-log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(PATIENCE)
        server = serve(app, "--log-syslog", "--log-syslog-to", f"unix://{path}#dgram", "--log-syslog-prefix", "app")
        get(server, "/status/201")
        got: list[str] = []
        while "/status/201" not in (got or [""])[-1]:
            got.append(sock.recv(65536).decode().rstrip("\0"))
    # its syslog is gone now, and that changes nothing
    assert get(server, "/status/404") == [404]
    server.stop()
    assert re.fullmatch(r"<14>gunicorn\.app\.error: \[\d+\] Starting pyserve .*", got[0])
    (worker,) = [int(found[1]) for text in got if (found := re.search(r"Booting worker with pid: (\d+)", text))]
    assert re.fullmatch(
        rf'<14>gunicorn\.app\.access: \[{worker}\] 127\.0\.0\.1 .* "GET /status/201 HTTP/1\.1" 201 .*', got[-1]
    )
    assert "Booting worker with pid" in server.log()
    assert server.out.read_text() == ""


def test_a_syslog_that_is_not_there(serve: Serve) -> None:
    server = serve("plain_wsgi", "--log-syslog", "--log-syslog-to", "tcp://127.0.0.1:9", "--access-logfile", "-")
    assert get(server, "/status/201") == [201]
    server.stop()
    assert '"GET /status/201 HTTP/1.1" 201' in server.out.read_text()


INI = """
[loggers]
keys=root, error, access
[handlers]
keys=error, access
[formatters]
keys=plain
[logger_root]
level=INFO
handlers=
[logger_error]
level=INFO
handlers=error
propagate=0
qualname=gunicorn.error
[logger_access]
level=INFO
handlers=access
propagate=0
qualname=gunicorn.access
[handler_error]
class=FileHandler
formatter=plain
args=('%(here)s/error.log',)
[handler_access]
class=FileHandler
formatter=plain
args=('%(here)s/access.log',)
[formatter_plain]
format=%(name)s %(message)s
"""


@BOTH
def test_rotation_of_what_a_configuration_opens(serve: Serve, tmp_path: Path, app: str) -> None:
    """Renamed, or by logrotate itself where that is installed."""
    access, error, config = tmp_path / "access.log", tmp_path / "error.log", tmp_path / "log.ini"
    config.write_text(INI)
    server = serve(app, "--log-config", str(config), "--workers", "2")
    get(server, "/status/201")
    wait_for(lambda: "/status/201" in access.read_text(), "the line")
    rotate(tmp_path, access, error, server.pid)
    files = {str(access), str(error)}
    wait_for(lambda: all(open_files(pid, tmp_path) == files for pid in (server.pid, *server.workers())), "new files")
    get(server, "/status/404")
    wait_for(lambda: "/status/404" in access.read_text(), "the line in the new file")
    server.stop()
    assert "/status/201" in (tmp_path / "access.log.1").read_text()
    assert "/status/404" not in (tmp_path / "access.log.1").read_text()
    assert "gunicorn.error Shutting down: Master" in error.read_text()
    assert server.log() == ""


def rotate(directory: Path, access: Path, error: Path, pid: int) -> None:
    logrotate = shutil.which("logrotate") or shutil.which("logrotate", path="/usr/sbin")
    if logrotate is None:
        for file in (access, error):
            file.rename(f"{file}.1")
        os.kill(pid, signal.SIGUSR1)
        return
    config = directory / "logrotate.conf"
    config.write_text(
        f"{access} {error} {{\n  rotate 2\n  nocreate\n  sharedscripts\n"
        f"  postrotate\n    kill -USR1 {pid}\n  endscript\n}}\n"
    )
    config.chmod(0o600)
    directory.chmod(0o700)
    state = directory / "state"
    subprocess.run([logrotate, "--force", "--state", str(state), str(config)], check=True, timeout=PATIENCE)


def open_files(pid: int, directory: Path) -> set[str]:
    names = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            name = os.readlink(entry)
        except FileNotFoundError:
            continue
        if name.startswith(f"{directory}/") and ".log" in name:
            names.add(name)
    return names


UVICORN = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "default": {
            "()": "uvicorn.logging.DefaultFormatter",
            "fmt": "%(levelprefix)s %(message)s",
            "use_colors": False,
        },
        "access": {
            "()": "uvicorn.logging.AccessFormatter",
            "fmt": '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s',
            "use_colors": False,
        },
    },
    "handlers": {
        "default": {"formatter": "default", "class": "logging.StreamHandler", "stream": "ext://sys.stderr"},
        "access": {"formatter": "access", "class": "logging.StreamHandler", "stream": "ext://sys.stdout"},
    },
    "loggers": {
        "uvicorn": {"handlers": ["default"], "level": "INFO", "propagate": False},
        "uvicorn.error": {"level": "INFO"},
        "uvicorn.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
    },
}


@BOTH
def test_a_configuration_for_uvicorn(serve: Serve, tmp_path: Path, app: str) -> None:
    (tmp_path / "log.json").write_text(json.dumps(UVICORN))
    server = serve(app, "--log-config", str(tmp_path / "log.json"))
    with server.client() as client:
        client.get("/status/201?a=b%20c")
    server.stop()
    line = server.out.read_text().splitlines()[-1]
    assert re.fullmatch(r'INFO: {5}127\.0\.0\.1:\d+ - "GET /status/201\?a=b%20c HTTP/1\.1" 201 Created', line)
    lines = server.log().splitlines()
    assert lines[-1] == "INFO:     Shutting down: Master"
    assert all(line.startswith("INFO:     ") for line in lines)


def test_what_an_application_does_with_uvicorns_loggers(serve: Serve) -> None:
    server = serve("app_filters:app", "--access-logfile", "-", environ=ON_RECIPES)
    assert get(server, "/healthz", "/x") == [200, 200]
    server.stop()
    assert re.findall(r'"GET (\S+) HTTP', server.out.read_text()) == ["/", "/x"]
    assert re.search(
        r'^127\.0\.0\.1 - - \[.*\] "GET /x HTTP/1\.1" 200 2 "-" "a"$', server.out.read_text(), re.MULTILINE
    )
    assert server.logged(r"^\[.*\] \[\d+\] \[INFO\] hello from the module$")
    assert server.logged(r"^\[.*\] \[\d+\] \[WARNING\] hello from /x$")


def test_a_filter_of_on_starting_lasts_over_a_reload(serve: Serve, tmp_path: Path) -> None:
    """The example of docs/logging.md."""
    text = (Path(__file__).parents[2] / "docs" / "logging.md").read_text()
    (tmp_path / "filter.py").write_text(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0])
    server = serve("plain_wsgi", "-c", str(tmp_path / "filter.py"))
    get(server, "/healthz", "/before")
    server.send(signal.SIGHUP)
    server.says("Reload: all workers are new")
    server.says("Worker exiting")
    get(server, "/healthz", "/after")
    server.stop()
    paths = set(re.findall(r'"GET (\S+) HTTP', server.out.read_text()))
    assert paths - {"/"} == {"/before", "/after"}


def test_the_applications_output_and_its_logger(serve: Serve, tmp_path: Path) -> None:
    """The recipe of Flask's users, and --capture-output: all is in the error log, after a rotation as well."""
    file = tmp_path / "error.log"
    server = serve("app_filters:wsgi", "--error-logfile", str(file), "--capture-output", environ=ON_RECIPES)
    wait_for(lambda: re.search(r"^printed$", file.read_text(), re.MULTILINE), "what is printed")
    file.rename(tmp_path / "error.log.1")
    server.send(signal.SIGUSR1)
    wait_for(lambda: file.exists() and all(str(file) in open_files(pid, tmp_path) for pid in server.workers()), "it")
    get(server, "/again")
    wait_for(lambda: file.read_text().count("printed\n"), "what is printed, in the new file")
    server.stop()
    old = (tmp_path / "error.log.1").read_text()
    assert re.search(r"^\[.*\] \[\d+\] \[INFO\] hello from /$", old, re.MULTILINE)
    assert re.search(r"^\[.*\] \[\d+\] \[INFO\] hello from /again$", file.read_text(), re.MULTILINE)
    assert server.out.read_text() + server.log() == ""


@BOTH
def test_handlers_that_raise(serve: Serve, app: str) -> None:
    server = serve(app, "-c", str(RECIPES / "broken_handler.py"), errors=("LookupError: the handler is broken",))
    assert get(server, *["/status/201"] * 20) == [201] * 20
    server.stop()
    assert server.logged(r"\[INFO\] Booting worker with pid")
    assert server.logged(r"The access log could not describe a request")
    assert len(server.logged(r"^LookupError: the handler is broken$")) <= 4


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--log-config", "/nowhere/x.ini"), "logconfig /nowhere/x.ini: No such file or directory"),
        (("--logger-class", "nowhere.Logger"), "logger_class nowhere.Logger: ModuleNotFoundError"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_what_cannot_be_had(serve: Serve, options: tuple[str, ...], text: str, check: bool) -> None:
    server = serve("plain_wsgi", *options, *(["--check-config"] if check else []), path=None)
    server.ends(1)
    assert server.log().startswith(f"pyserve: {text}")
    assert len(server.log().splitlines()) == 1


def test_the_lines_that_people_alert_on(serve: Serve) -> None:
    """In gunicorn's words, each found by what makes it happen."""
    server = serve(
        "plain_wsgi",
        *("--timeout", "3", "--max-requests", "3", "--workers", "1", "--graceful-timeout", "5"),
        path=None,
    )
    server.says(r"Listening at: http://127\.0\.0\.1:\d+")
    server.says(r"Using worker: sync")
    booted = server.says(r"Booting worker with pid: (\d+)")
    server.ready()
    os.kill(int(booted[1]), signal.SIGKILL)
    server.says(rf"Worker \(pid:{booted[1]}\) was sent SIGKILL! Perhaps out of memory\?")
    booted = server.says(r"Booting worker with pid: (\d+)", 2)
    server.ready()
    os.kill(int(booted[1]), signal.SIGSTOP)
    server.says(rf"\[CRITICAL\] WORKER TIMEOUT \(pid:{booted[1]}\)")
    server.says(r"Booting worker with pid: (\d+)", 3)
    get(server.ready(), "/", "/", "/")
    server.says(r"Autorestarting worker after current request\.")
    server.says(r"Booting worker with pid: (\d+)", 4)
    server.says(r"Worker exiting \(pid: (\d+)\)")
    server.ready()
    server.stop()
    server.says(r"Handling signal: term")
    server.says(r"Shutting down: Master")
