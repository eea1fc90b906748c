"""As in a container: a read-only root, a user that nobody knows, no home, process 1 or a shell there."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.servers import reserved_port
from tests.integration.server import APPS, COMMAND, HOST, PATIENCE, environment, wait_for

ROOT = Path(__file__).parents[2]
SERVED = [("plain_wsgi",), ("--lifespan", "off", "plain_asgi:app")]  # its shutdown writes a file
NEW_NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]


def can_unshare() -> bool:
    with contextlib.suppress(OSError):
        return (
            subprocess.run([*NEW_NAMESPACES, "true"], capture_output=True, check=False, timeout=PATIENCE).returncode
            == 0
        )
    return False


in_namespaces = pytest.mark.skipif(not can_unshare(), reason="namespaces cannot be made here")


class Container:
    """A command that runs a server, its log, and a port where it listens."""

    def __init__(self, directory: Path, command: list[str], port: int) -> None:
        self.port = port
        self.err = directory / "err"
        environ = {name: value for name, value in environment({}).items() if name not in ("HOME", "TMPDIR")}
        with open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                command,
                cwd=directory,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=err,
                stderr=err,
                start_new_session=True,
            )

    def log(self) -> str:
        return self.err.read_text()

    def ask(self, path: str = "/") -> str:
        """Wait until a request is answered; the body."""

        def answered() -> bytes:
            assert self.process.poll() is None, self.log()
            with (
                contextlib.suppress(OSError),
                socket.create_connection((HOST, self.port), timeout=PATIENCE) as connection,
            ):
                connection.sendall(b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode())
                return b"".join(iter(lambda: connection.recv(65536), b""))
            return b""

        return wait_for(answered, f"an answer; the log:\n{self.log()}").partition(b"\r\n\r\n")[2].decode()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)

    def says(self, pattern: str) -> None:
        wait_for(lambda: re.search(pattern, self.log(), re.MULTILINE), f"{pattern!r} in the log")


@contextlib.contextmanager
def running(directory: Path, before: list[str], *options: str, after: str = "") -> Iterator[Container]:
    """A server started by the command `before`. after: what the shell with which that ends is to run, too."""
    with reserved_port() as port:
        command = [*COMMAND, "--app-dir", str(APPS), "--bind", f"{HOST}:{port}", *options]
        if after:
            command = [f"{' '.join(command)}; {after}"]
        container = Container(directory, [*before, *command], port)
        try:
            yield container
        finally:
            container.kill()


def the_server(container: Container) -> int:
    """The process number, out here, of the only child of `unshare`: process 1 of the namespace."""
    children = Path(f"/proc/{container.process.pid}/task/{container.process.pid}/children")
    return int(wait_for(lambda: children.read_text().split(), "process 1")[0])


@in_namespaces
@pytest.mark.parametrize("app", SERVED, ids=["wsgi", "asgi"])
def test_process_1_on_a_read_only_root(tmp_path: Path, app: tuple[str, ...]) -> None:
    """It also waits for orphans that others left to it, and takes TERM for what it is."""
    script = 'mount --make-rprivate / && mount -o remount,bind,ro / && ! touch /tmp/x 2>/dev/null && exec "$@"'
    with running(tmp_path, [*NEW_NAMESPACES, "sh", "-c", script, "sh"], "--workers", "2", *app) as container:
        assert container.ask("/pid") != "1"
        assert "[1] [INFO] Listening at:" in container.log()
        master = the_server(container)
        subprocess.run(  # a process in the namespace whose parent ends before it
            ["nsenter", "--target", str(master), "--pid", "sh", "-c", "(sleep 0.01 &) ; exit 0"],
            check=True,
            timeout=PATIENCE,
        )
        children = Path(f"/proc/{master}/task/{master}/children")
        wait_for(lambda: len(children.read_text().split()) == 2, "only the workers left")
        os.kill(master, signal.SIGTERM)
        assert container.process.wait(PATIENCE) == 0, container.log()
        assert not re.search("WARNING|ERROR|Traceback", container.log()), container.log()


@in_namespaces
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_shell_that_keeps_signals_to_itself_is_named(tmp_path: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    with running(tmp_path, [*NEW_NAMESPACES, shell, "-c"], "plain_wsgi", after="echo ended") as container:
        container.says(rf"\[WARNING\] Process 1 is {shell}, which keeps SIGTERM to itself: .* Put exec before pyserve")
        container.ask()


@in_namespaces
def test_a_shell_that_makes_way_is_not(tmp_path: Path) -> None:
    with running(tmp_path, [*NEW_NAMESPACES, "sh", "-c", 'exec "$@"', "sh"], "plain_wsgi") as container:
        container.ask()
        assert "Process 1" not in container.log()


def as_nobody(directory: Path) -> list[str]:
    return ["setpriv", "--reuid", "12345", "--regid", "54321", "--clear-groups", "env", "-C", str(directory)]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can become somebody else")
def test_a_user_that_nobody_knows(tmp_path: Path) -> None:
    """Without a name, a home, or a directory to write to."""
    public = Path(tempfile.mkdtemp(prefix="pyserve-test-"))
    try:
        public.chmod(0o555)
        if subprocess.run([*as_nobody(public), sys.executable, "-c", "import asyncio"], check=False).returncode:
            pytest.skip("the interpreter of the tests can be run by root only")
        for app in SERVED:
            with running(tmp_path, as_nobody(public), "--workers", "2", *app) as container:
                container.ask()
                assert not re.search("WARNING|ERROR|Traceback", container.log()), container.log()
        assert os.listdir(public) == []
    finally:
        shutil.rmtree(public)


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
@pytest.mark.parametrize("app", SERVED, ids=["wsgi", "asgi"])
def test_no_file_and_no_socket_is_made_unless_asked_for(tmp_path: Path, app: tuple[str, ...]) -> None:
    """Seen from the kernel: nothing is opened for writing, nothing is made, and one socket is bound."""
    trace = tmp_path / "trace"
    calls = "open,openat,creat,mkdir,mkdirat,mknod,mknodat,link,linkat,symlink,symlinkat,rename,renameat,renameat2,bind"
    before = ["strace", "-f", "-qq", "-e", f"trace={calls}", "-e", "signal=none", "-o", str(trace)]
    with running(tmp_path, [*before, "env", "PYTHONDONTWRITEBYTECODE=1"], "--workers", "2", *app) as container:
        container.ask()
        os.kill(int(re.findall(r"Listening at: .*\((\d+)\)", container.log())[0]), signal.SIGTERM)
        assert container.process.wait(PATIENCE) == 0, container.log()
    lines = [line for line in trace.read_text().splitlines() if re.search(r"\) = \d", line)]
    binds = [line for line in lines if re.search(r"\bbind\(", line)]
    assert [line for line in binds if f"htons({container.port})" not in line] == []
    made = [line for line in lines if line not in binds and not re.search(r"O_RDONLY|\"/dev/null\"|\"/dev/tty\"", line)]
    assert made == []


@in_namespaces
def test_a_stop_while_the_modules_are_loaded(tmp_path: Path) -> None:
    """The kernel drops a signal that process 1 has no handler for: it has one before it loads anything large."""
    slow = tmp_path / "click.py"  # the first of what is loaded, in place of the real one
    slow.write_text(f"import os, time; os.close(os.open({str(tmp_path / 'loading')!r}, os.O_CREAT)); time.sleep(60)")
    command = [*NEW_NAMESPACES, "env", f"PYTHONPATH={tmp_path}:{ROOT}", sys.executable, "-m", "pyserve", "plain_wsgi"]
    container = Container(tmp_path, command, 0)
    try:
        wait_for((tmp_path / "loading").exists, "the beginning of its loading")
        os.kill(the_server(container), signal.SIGTERM)
        assert container.process.wait(PATIENCE) == 0
    finally:
        container.kill()
