"""What the processes are and find around them: rights, environment, titles, the background, systemd."""

import ast
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.servers import reserved_port
from tests.integration.server import (
    APPS,
    COMMAND,
    ENDURANCE,
    HOST,
    PATIENCE,
    Server,
    environment,
    is_alive,
    running,
    wait_for,
)

Serve = Callable[..., Server]

UID, GID = 12345, 54321  # of nobody that the system knows
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
# Of an interpreter below a home that is closed to others. Up to 3.11 the application of these tests has all it needs
# before it becomes another user; later ones load modules of their own when an application is looked for.
others_can_run = pytest.mark.skipif(
    sys.version_info >= (3, 12) and not all(place.stat().st_mode & 1 for place in Path(os.__file__).resolve().parents),
    reason="the interpreter of the tests can be run by root only",
)


def facts(server: Server, path: str = "/") -> dict[str, Any]:
    with server.client() as client:
        found = ast.literal_eval(client.get(path).text)
    assert isinstance(found, dict)
    return found


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that all users can enter, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp(prefix="pyserve-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


# Rights


@as_root
@others_can_run
def test_workers_give_up_their_rights(public: Path) -> None:
    """Before the application is loaded; their logs can be opened again after a rotation, and sockets are theirs."""
    (public / "logs").mkdir()  # root's: nobody else can make a file there
    logs = [public / "logs" / name for name in ("access", "error")]
    options = ("--user", str(UID), "-g", str(GID), "--umask", "0027", "--log-file", str(logs[1]))
    server = Server(public, "who:app", *options, "--access-logfile", str(logs[0]), "--pid", str(public / "pid"))
    with running(server):
        found = facts(server)
        assert found["uids"] == (UID,) * 3
        assert found["gids"] == (GID,) * 3
        assert 0 not in found["groups"]
        socket_file = os.stat(server.socket)
        assert (socket_file.st_uid, socket_file.st_gid) == (UID, GID)
        assert stat.S_IMODE(socket_file.st_mode) == 0o750
        for log in logs:
            log.rename(log.with_suffix(".1"))
        server.send(signal.SIGUSR1)
        wait_for(lambda: all(log.exists() for log in logs), "new log files")
        wait_for(lambda: facts(server) and logs[0].read_text(), "a line in the new access log")
        assert {(os.stat(log).st_uid, os.stat(log).st_gid) for log in logs} == {(UID, GID)}
        server.stop()
    assert not (public / "pid").exists()
    assert "cannot be" not in logs[1].read_text() + logs[1].with_suffix(".1").read_text()


@as_root
@others_can_run
def test_the_application_is_loaded_without_them(public: Path) -> None:
    server = Server(public, "who:loaded", "-u", str(UID), "-e", "COLOUR=blue")
    with running(server), server.client() as client:
        assert client.get("/").text == repr((UID, "blue"))


def test_who_does_not_exist(tmp_path: Path) -> None:
    for flag, kind in (("--user", "user"), ("--group", "group")):
        done = subprocess.run(
            [*COMMAND, flag, "no-such-one", "who:app"],
            *(),
            cwd=tmp_path,
            env=environment({}),
            capture_output=True,
            text=True,
            timeout=ENDURANCE,
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr == (
            f"pyserve: {flag}: 'no-such-one' given, expected the name of a {kind} that exists, or a number\n"
        )


@as_root
def test_who_may_not_become_another(public: Path) -> None:
    """A server that root did not start: one line says what was asked for."""
    script = (
        f"import os, sys; os.setgroups([]); os.setgid({GID}); os.setuid({UID}); os.execv(sys.argv[1], sys.argv[1:])"
    )
    if subprocess.run(
        ["/usr/bin/python3", "-c", script, *COMMAND, "--version"], capture_output=True, check=False
    ).returncode:
        pytest.skip("the interpreter of the tests can be run by root only")
    command = [
        "/usr/bin/python3",
        "-c",
        script,
        *COMMAND,
        "--bind",
        f"{HOST}:0",
        "--user",
        "1",
        "--app-dir",
        str(APPS),
        "who:app",
    ]
    done = subprocess.run(command, cwd=public, capture_output=True, text=True, timeout=ENDURANCE, check=False)
    assert done.returncode == 1
    assert f"--user 1: Operation not permitted, started as user {UID} and group {GID}" in done.stderr


# Environment


def test_environment(serve: Serve, tmp_path: Path) -> None:
    pytest.importorskip("dotenv")
    (tmp_path / "env").write_text("A=file\nB=file\nC=file\nWEB_CONCURRENCY=2\nPYSERVE_WORKERS=7\n")
    (tmp_path / "lib").mkdir()
    server = serve(
        "who:app",
        *("--env-file", str(tmp_path / "env"), "--env", "B=flag", "-e", "D=a=b"),
        *("--pythonpath", f"{tmp_path},{tmp_path / 'lib'}"),
        environ={"A": "before"},
    )
    found = facts(server)
    assert found["env"].items() >= {"A": "before", "B": "flag", "C": "file", "D": "a=b"}.items()
    assert found["path"][:3] == [str(tmp_path / "lib"), str(tmp_path), str(APPS)]
    server.says("Booting worker with pid", 2)
    assert len(server.workers()) == 2


def test_an_environment_that_cannot_be_read(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--env-file", "no-such-file", "who:app"],
        cwd=tmp_path,
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=ENDURANCE,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "pyserve: --env-file: 'no-such-file' cannot be read: No such file or directory\n"


def test_titles(serve: Serve) -> None:
    pytest.importorskip("setproctitle")

    def title(pid: int) -> str:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()

    server = serve("who:app", "--name", "shop", environ={"LONG": "x" * 4000})
    assert title(server.pid) == "pyserve: master [shop]"
    assert [title(pid) for pid in server.workers()] == ["pyserve: worker [shop]"]
    server.send(signal.SIGHUP)
    server.says("Booting worker with pid", 2)
    wait_for(lambda: title(server.pid) == "pyserve: master [shop]", "the title in the next life")
    unnamed = serve("who:app")
    assert title(unnamed.pid) == "pyserve: master [who:app]"


# The background


def daemon(directory: Path, *options: str, app: str = "who:app") -> subprocess.CompletedProcess[str]:
    """What the command does that was typed."""
    command = [*COMMAND, "--daemon", "--app-dir", str(APPS), "--pid", str(directory / "pid"), *options, app]
    return subprocess.run(
        command,
        cwd=directory,
        env=environment({}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=ENDURANCE,
        check=False,
    )


def test_in_the_background(tmp_path: Path) -> None:
    """When the command returns one can connect; what it leaves behind has nothing of the terminal."""
    path = tmp_path / "socket"
    done = daemon(tmp_path, "--bind", f"unix:{path}", "--log-file", str(tmp_path / "log"))
    pid = int((tmp_path / "pid").read_text())
    try:
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(path))
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")[2]
        found = ast.literal_eval(answer.decode())
        assert found["fds"] == ["/dev/null"] * 3
        assert found["session"] not in (pid, os.getsid(0))
        assert found["cwd"] == str(tmp_path)
        os.kill(pid, signal.SIGHUP)
        wait_for(lambda: "Reload: " in (tmp_path / "log").read_text(), "a reload")
        assert int((tmp_path / "pid").read_text()) == pid, "it does not detach again in its next life"
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not is_alive(pid), "its end")
    assert not (tmp_path / "pid").exists()
    assert "Shutting down: Master" in (tmp_path / "log").read_text()


def test_what_goes_wrong_before_is_said_at_the_terminal(tmp_path: Path) -> None:
    done = daemon(tmp_path, "--bind", "unix:/dev/null")
    assert done.returncode == 1
    assert "Can't connect to" in done.stderr
    with reserved_port() as port:
        done = daemon(tmp_path, "--bind", f"{HOST}:{port}", "--preload", app="no_such_module")
        assert done.returncode == 4
        assert "no_such_module" in done.stderr
    assert not (tmp_path / "pid").exists()


@pytest.mark.parametrize("app", ["plain_wsgi", "plain_asgi:app"])
def test_without_stdin_and_stdout(serve: Serve, app: str) -> None:
    """Sockets do not get their numbers: libuv would abort the process when it is to close them."""
    server = serve(app, "--access-logfile", "-", before=("sh", "-c", 'exec "$@" <&- >&-', "sh"))
    for pid in (server.pid, *server.workers()):
        assert [os.readlink(f"/proc/{pid}/fd/{stream}") for stream in (0, 1)] == [os.devnull] * 2
    server.send(signal.SIGHUP)
    server.says("Reload: all workers are new")
    with server.client() as client:
        assert client.get("/").status_code == 200
    server.stop()
    assert not server.logged("SIGABRT")


# systemd


class Manager:
    """In systemd's place."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(PATIENCE)

    def hears(self, field: str) -> dict[str, str]:
        """Wait for a message with this field."""
        while True:
            message = dict(line.split("=", 1) for line in self.socket.recv(4096).decode().split("\n"))
            if field in message:
                return message


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["", "preload"])
def test_notifications(serve: Serve, tmp_path: Path, options: tuple[str, ...]) -> None:
    manager = Manager(tmp_path / "notify")
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    server = serve("who:app", *options, path=None, environ=environ)
    message = manager.hears("READY")
    assert message["MAINPID"] == str(server.pid)
    assert server.ready()
    manager.hears("WATCHDOG")
    manager.hears("WATCHDOG")
    before = time.monotonic_ns() // 1000
    server.send(signal.SIGHUP)
    assert before <= int(manager.hears("RELOADING")["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    manager.hears("READY")
    server.stop()
    assert manager.hears("STOPPING")["STATUS"] == "Stopping"
    manager.socket.close()


def test_another_master_is_the_services_main_process(serve: Serve, tmp_path: Path) -> None:
    """USR2, and then the old one is stopped: what stops is not the service."""
    manager = Manager(tmp_path / "notify")
    server = serve("who:app", environ={"NOTIFY_SOCKET": str(tmp_path / "notify")})
    manager.hears("READY")
    server.send(signal.SIGUSR2)
    new = int(manager.hears("READY")["MAINPID"])
    assert new != server.pid
    server.send(signal.SIGTERM)
    assert manager.hears("MAINPID") == {"MAINPID": str(new)}
    server.process.wait(PATIENCE)
    assert facts(server)["uids"]
    os.kill(new, signal.SIGTERM)
    server.ends(0)
    assert manager.hears("STOPPING")
    manager.socket.close()


def test_activation(tmp_path: Path) -> None:
    """Sockets that systemd has opened: served, kept over a reload, and left open at the end."""
    with socket.create_server((HOST, 0)) as listener, open(tmp_path / "err", "wb") as err:
        # LISTEN_PID is known to the process alone that becomes the server, and its first descriptor is 3.
        script = f'exec 3<&{listener.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web exec "$@"'
        command = ["bash", "-c", script, "bash", *COMMAND, "--app-dir", str(APPS), "who:app"]
        process = subprocess.Popen(command, cwd=tmp_path, env=environment({}), stderr=err, pass_fds=[listener.fileno()])

        def answer() -> bytes:
            with socket.create_connection(listener.getsockname(), timeout=PATIENCE) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                return connection.recv(15)

        try:
            assert answer() == b"HTTP/1.1 200 OK"
            process.send_signal(signal.SIGHUP)
            wait_for(lambda: b"all workers are new" in (tmp_path / "err").read_bytes(), "the reload")
            assert answer() == b"HTTP/1.1 200 OK"
        finally:
            process.terminate()
            assert process.wait(PATIENCE) == 0, (tmp_path / "err").read_text()
        with socket.create_connection(listener.getsockname(), timeout=PATIENCE):
            pass  # the socket still listens: it is systemd's
    log = (tmp_path / "err").read_text()
    assert f"Listening at: http://{HOST}:{listener}" not in log
    assert "ERROR" not in log
