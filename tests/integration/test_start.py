"""How the command starts, and how it says that it does not: exit codes, settings from everywhere, files."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from bench.servers import reserved_port
from tests.integration.server import APPS, COMMAND, ENDURANCE, HOST, PATIENCE, Server, environment, is_alive

pytestmark = pytest.mark.timeout(2 * ENDURANCE)
Serve = Callable[..., Server]


def run(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [*COMMAND, "--app-dir", str(APPS), *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment(environ), capture_output=True, text=True, timeout=ENDURANCE, check=False
    )


@pytest.fixture
def bind() -> Iterator[tuple[str, str]]:
    """`--bind` with a port of the test's own."""
    with reserved_port() as port:
        yield "--bind", f"{HOST}:{port}"


FAILURES = [
    (["dies"], 3, "giving up"),
    (["--threads", "none", "plain_wsgi"], 2, r"--threads.*'none'"),
    (["--no-such-option", "plain_wsgi"], 2, "--no-such-option"),
    (["--bind", "nowhere:at:all", "plain_wsgi"], 2, "nowhere:at:all"),
    ([], 2, "APP is missing"),
    (["no_such_module"], 4, "no_such_module"),
    (["plain_wsgi:aplication"], 4, "application"),
    (["plain_wsgi:BLOCK"], 4, "BLOCK"),
    (["broken_import"], 4, "no_such_module_anywhere"),
    (["broken_import", "--preload"], 4, "no_such_module_anywhere"),
    (["broken_lifespan"], 3, "the database is away"),
    (["broken_lifespan:raising", "--lifespan", "on"], 3, "no such database"),
    (["broken_lifespan", "--workers", "3"], 3, "the database is away"),
    (["plain_asgi:app", "--worker-class", "sync"], 2, "--worker-class async"),
    (["plain_asgi:app", "--worker-class", "sync", "--preload"], 2, "--worker-class async"),
    (["plain_asgi:app", "--worker-class", "sync", "--check-config"], 2, "--worker-class async"),
    (["plain_wsgi", "--pid", "/no/such/directory/pid"], 1, "/no/such/directory/pid"),
]


def name_of(arguments: list[str]) -> str:
    return " ".join(arguments) or "nothing"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess[str]]:
    """What becomes of each of them, six at a time: some wait before they give up."""

    def outcome(arguments: list[str]) -> subprocess.CompletedProcess[str]:
        with reserved_port() as port:
            bind = () if "--bind" in arguments else ("--bind", f"{HOST}:{port}")
            return run(*bind, *arguments, cwd=tmp_path_factory.getbasetemp())

    with ThreadPoolExecutor(6) as pool, socket.create_server((HOST, 0)) as taken:
        in_use = pool.submit(outcome, ["--bind", f"{HOST}:{taken.getsockname()[1]}", "plain_wsgi"])
        found = {name_of(arguments): pool.submit(outcome, arguments) for arguments, _, _ in FAILURES}
        return {name: future.result() for name, future in {**found, "in use": in_use}.items()}


@pytest.mark.parametrize(("arguments", "code", "said"), FAILURES, ids=[name_of(row[0]) for row in FAILURES])
def test_what_does_not_start(
    outcomes: dict[str, subprocess.CompletedProcess[str]], arguments: list[str], code: int, said: str
) -> None:
    done = outcomes[name_of(arguments)]
    assert done.returncode == code, done.stderr
    assert re.search(said, done.stderr), done.stderr
    assert "pyserve/server" not in done.stderr  # no traceback of ours
    if code != 3:
        assert done.stderr.count("Booting worker") <= 1, "a fork storm"


def test_an_address_that_is_in_use(outcomes: dict[str, subprocess.CompletedProcess[str]]) -> None:
    done = outcomes["in use"]
    assert done.returncode == 1
    assert f"{HOST}:" in done.stderr
    assert "in use" in done.stderr
    assert "Booting" not in done.stderr


def test_a_bad_value_in_the_environment(tmp_path: Path) -> None:
    done = run("plain_wsgi", cwd=tmp_path, PYSERVE_THREADS="many")
    assert done.returncode == 1
    assert "PYSERVE_THREADS" in done.stderr


@pytest.mark.parametrize("options", [(), ("--preload",), ("--check-config",)])
def test_a_worker_class_of_the_environment_that_does_not_suit(
    tmp_path: Path, bind: tuple[str, str], options: tuple[str, ...]
) -> None:
    """The command line is right."""
    done = run(*bind, "plain_asgi:app", *options, cwd=tmp_path, PYSERVE_WORKER_CLASS="sync")
    assert done.returncode == 1
    assert "--worker-class async" in done.stderr


def test_what_the_application_says_when_it_cannot_be_imported(tmp_path: Path, bind: tuple[str, str]) -> None:
    """Its own traceback, and of it nothing of ours."""
    done = run(*bind, "broken_import", cwd=tmp_path)
    assert 'broken_import.py", line 3' in done.stderr
    assert "importlib" not in done.stderr


def test_information(tmp_path: Path) -> None:
    for arguments, said in [
        (["--version"], "pyserve 0."),
        (["--help"], "--worker-class"),
        (["--check-config", "plain_wsgi"], "WSGI, worker class sync"),
        (["--check-config", "plain_asgi:app"], "ASGI, worker class async"),
        (["--print-config", "plain_wsgi"], "workers"),
    ]:
        done = run(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert said in done.stdout


def test_check_config_fails_for_an_application_that_cannot_be_loaded(tmp_path: Path) -> None:
    assert run("--check-config", "broken_import", cwd=tmp_path).returncode == 1


def test_a_setting_without_effect_is_a_warning(serve: Serve) -> None:
    server = serve("plain_asgi:app", "--threads", "3")
    assert len(server.logged(r"--threads has no effect")) == 1


@pytest.mark.parametrize("app", ["plain_wsgi", "plain_asgi:app"])
def test_web_concurrency(serve: Serve, app: str) -> None:
    server = serve(app, environ={"WEB_CONCURRENCY": "3"})
    server.says("Booting worker with pid", 3)
    assert len(server.workers()) == 3


def test_blank_variables_are_unset_ones(serve: Serve) -> None:
    server = serve("plain_wsgi", environ={"WEB_CONCURRENCY": "", "PORT": "", "PYSERVE_THREADS": ""})
    assert len(server.workers()) == 1


def test_port(tmp_path: Path) -> None:
    """PORT is for containers, and means all interfaces; a host of one's own keeps it to that one."""
    port = "8765"
    assert f"0.0.0.0:{port}" in run("--print-config", "plain_wsgi", cwd=tmp_path, PORT=port).stdout
    assert f"127.0.0.1:{port}" in run("--print-config", "--host", HOST, "plain_wsgi", cwd=tmp_path, PORT=port).stdout


def test_settings_from_the_environment(serve: Serve) -> None:
    server = serve("plain_wsgi", environ={"PYSERVE_WORKERS": "2", "PYSERVE_ROOT_PATH": "/mounted"})
    server.says("Booting worker with pid", 2)
    with server.client() as client:
        found = client.get("/mounted/describe").json()
    assert (found["mount"], found["path"]) == ("/mounted", "/describe")
    assert found["wsgi"] == [False, True, False]


def test_script_name(serve: Serve) -> None:
    server = serve("plain_wsgi", environ={"SCRIPT_NAME": "/mounted"})
    with server.client() as client:
        assert client.get("/mounted/describe").json()["mount"] == "/mounted"


@pytest.mark.parametrize("app", ["versioned:wsgi", "versioned:asgi"])
@pytest.mark.parametrize("preload", [True, False])
def test_preload(serve: Serve, tmp_path: Path, app: str, preload: bool) -> None:
    """The master loads the application, or each worker does."""
    (tmp_path / "version").write_text("1")
    server = serve(app, "--chdir", str(tmp_path), "--workers", "2", *(("--preload",) if preload else ()))
    with server.client() as client:
        version, loaded_by = client.get("/").text.split()
    assert version == "1"
    assert (int(loaded_by) == server.pid) is preload
    if not preload:
        assert int(loaded_by) in server.workers()


def test_the_pid_file(serve: Serve, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    server = serve("plain_wsgi", "--pid", str(pid))
    assert pid.read_text().strip() == str(server.pid)
    server.stop()
    assert not pid.exists()


def test_a_pid_file_that_was_left_behind(serve: Serve, tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert not is_alive(ended.pid)
    pid = tmp_path / "pid"
    pid.write_text(f"{ended.pid}\n")
    server = serve("plain_wsgi", "--pid", str(pid))
    assert pid.read_text().strip() == str(server.pid)


@pytest.mark.parametrize("app", ["plain_wsgi", "plain_asgi:app"])
def test_it_writes_no_files(serve: Serve, tmp_path: Path, app: str) -> None:
    """Not in the working directory, which is read-only, nor at home, nor where temporary files go."""
    home, cwd = tmp_path / "home", tmp_path / "cwd"
    home.mkdir(0o555)
    cwd.mkdir(0o555)
    environ = {"HOME": str(home), "TMPDIR": str(home), "XDG_RUNTIME_DIR": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    server = serve(app, "--workers", "2", "--chdir", str(cwd), "--lifespan", "off", environ=environ)
    with server.client() as client:
        assert client.post("/digest", content=b"x" * 3_000_000).status_code == 200
    before = {file.name for file in server.directory.iterdir()}
    server.stop()
    assert before == {"out", "err", "socket"}
    assert list(home.iterdir()) == []
    assert list(cwd.iterdir()) == []


def test_its_unix_socket_goes_with_it(serve: Serve) -> None:
    server = serve("plain_wsgi")
    assert server.socket.is_socket()
    server.stop()
    assert not server.socket.exists()


@pytest.mark.parametrize("options", [("--workers", "2"), ("--workers", "2", "--reuse-port")], ids=["shared", "own"])
@pytest.mark.parametrize("app", ["plain_wsgi", "plain_asgi:app"])
def test_several_workers_serve(serve: Serve, app: str, options: tuple[str, ...]) -> None:
    """Each new connection may come to another one; with enough at a time both have some."""
    server = serve(app, *options)
    server.says("Booting worker with pid", 2)
    seen = set()
    while len(seen) < 2:
        clients = [server.client() for _ in range(16)]
        try:
            seen |= {int(client.get("/pid").text) for client in clients}
        finally:
            for client in clients:
                client.close()
    assert seen == set(server.workers())


def test_an_inherited_descriptor(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as listener, open(tmp_path / "err", "wb") as err:
        fd = listener.fileno()
        command = [*COMMAND, "--app-dir", str(APPS), "--bind", f"fd://{fd}", "plain_wsgi"]
        process = subprocess.Popen(command, cwd=tmp_path, env=environment({}), stderr=err, pass_fds=[fd])
        try:
            with socket.create_connection(listener.getsockname(), timeout=PATIENCE) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        finally:
            process.terminate()
            assert process.wait(PATIENCE) == 0


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="no IPv6 here")
def test_ipv6(serve: Serve) -> None:
    with reserved_port("::1") as port:
        serve("plain_wsgi", "--bind", f"[::1]:{port}")
        with socket.create_connection(("::1", port), timeout=PATIENCE) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


def test_the_addresses_are_told_in_a_file(serve: Serve) -> None:
    server = serve("plain_wsgi", "--bind", "127.0.0.1:0", "--bind-file", "binds", "--unix-socket-mode", "600")
    file = server.directory / "binds"
    first, second, third = file.read_text().splitlines()
    assert (first, second) == (f"127.0.0.1:{server.port}", f"unix:{server.socket}")
    assert server.socket.stat().st_mode & 0o777 == 0o600
    host, _, port = third.partition(":")
    with httpx.Client(trust_env=False) as client:
        assert client.get(f"http://{host}:{port}/").status_code == 200
        server.send(signal.SIGHUP)
        server.says("Reload: all workers are new")
        assert file.read_text().splitlines() == [first, second, third]
        assert client.get(f"http://{host}:{port}/").status_code == 200
    server.stop()
    assert not file.exists()
    assert not server.socket.exists()
