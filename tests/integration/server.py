"""Starts the installed command, waits until it serves, looks into its processes and logs, and stops it.

A server has a directory of its own: it is its working directory, and `out` and `err` there hold what it prints. When it
is stopped, its exit code must be the expected one, no process of its session may be left, and its log may hold no
traceback but the expected ones, and no warning of Python about a file of pyserve.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import httpx

from bench.servers import reserved_port

HOST = "127.0.0.1"
APPS = Path(__file__).with_name("apps")
PATIENCE = 28.0  # seconds until something expected is given up: less than the 30 after which defaults would help along
ENDURANCE = 100.0  # seconds for a command to run to its end, from the loading of Python, while others do the same
_SCRIPT = Path(sys.executable).with_name("pyserve")
COMMAND = [str(_SCRIPT)] if _SCRIPT.exists() else [sys.executable, "-m", "pyserve"]

Seen = TypeVar("Seen")

_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\n(?:^[ +|].*\n|^\n)*^(?P<error>\S.*)$", re.MULTILINE)
_WARNING = re.compile(r"^.*/pyserve/.*Warning:.*$|^sys:\d+: ResourceWarning:.*$", re.MULTILINE)


def wait_for(wanted: Callable[[], Seen], what: str, patience: float = PATIENCE) -> Seen:
    """Return the first true value of `wanted()`; fail after `patience` seconds, saying `what` did not happen."""
    end = time.monotonic() + patience
    while True:
        if found := wanted():
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {patience:g} s: {what}")
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether there is such a process; one that has ended and is not waited for yet is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def rss(pid: int) -> int:
    """Resident octets of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def peak(pid: int) -> int:
    """The most resident octets that a process has ever had."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without what the server would read, and with `extra`."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PORT", "WEB_CONCURRENCY", "SCRIPT_NAME", "FORWARDED_ALLOW_IPS")
        and not name.startswith(("PYSERVE_", "GUNICORN_", "UVICORN_"))
    }
    return {**inherited, "PYTHONWARNINGS": "default", **extra}


class Server:
    """A running server, at a TCP port and at a unix socket.

    app: what is served, from the folder `apps`. errors: patterns of the last lines of tracebacks that may be logged.
    before: a command that runs what follows it. peer: the command of another server, with the same options; it finds
    the folder in its PYTHONPATH.
    """

    def __init__(
        self,
        directory: Path,
        app: str,
        *options: str,
        environ: Mapping[str, str] | None = None,
        errors: tuple[str, ...] = (),
        before: tuple[str, ...] = (),
        peer: tuple[str, ...] = (),
    ) -> None:
        self.directory = directory
        self.out = directory / "out"
        self.err = directory / "err"
        self.socket = directory / "socket"
        self._until_killed = contextlib.ExitStack()
        self.port = self._until_killed.enter_context(reserved_port())
        self.code: int | None = None
        self._errors = errors
        binds = ["--bind", f"{HOST}:{self.port}", "--bind", f"unix:{self.socket}"]
        command = [*before, *(peer or (*COMMAND, "--app-dir", str(APPS))), *binds, *options, app]
        with open(self.out, "ab") as out, open(self.err, "ab") as err:
            self.process = subprocess.Popen(
                command,
                cwd=directory,
                env=environment(environ or {}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The master's process id."""
        return self.process.pid

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    # Talking to it

    def client(self, *, unix: bool = False, timeout: float = PATIENCE) -> httpx.Client:
        """An httpx client that retries nothing."""
        # Without verify=False each client would load the certificates of the world, for 20 ms.
        transport = httpx.HTTPTransport(uds=str(self.socket) if unix else None, verify=False)
        return httpx.Client(transport=transport, base_url=self.url, timeout=timeout, trust_env=False)

    def connect(self, *, unix: bool = False) -> socket.socket:
        """A connected socket."""
        if not unix:
            return socket.create_connection((HOST, self.port), timeout=PATIENCE)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(str(self.socket))
        return connection

    def ready(self, path: str = "/") -> "Server":
        """Wait until a request for `path` is answered."""

        def answered() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the server has ended with {self.process.returncode}:\n{self.log()}")
            try:
                with self.connect() as connection:
                    connection.sendall(b"GET %b HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n" % path.encode())
                    return bool(b"".join(iter(lambda: connection.recv(65536), b"")))
            except OSError:
                return False

        try:
            wait_for(answered, f"an answer to GET {path}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from None
        return self

    # Looking into it

    def workers(self) -> list[int]:
        """The process ids of the master's children, the oldest first."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        try:
            return sorted(pid for pid in map(int, children.read_text().split()) if is_alive(pid))
        except FileNotFoundError:
            return []

    def log(self) -> str:
        """What it has printed on stderr, the error log by default."""
        return self.err.read_text(errors="backslashreplace")

    def logged(self, pattern: str) -> list[re.Match[str]]:
        """Where in the log a pattern is found; `^` and `$` are ends of lines."""
        return list(re.finditer(pattern, self.log(), re.MULTILINE))

    def says(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Wait until the log has the pattern so often; the last time."""
        try:
            return wait_for(lambda: self.logged(pattern)[times - 1 :], f"{pattern!r} in the log")[-1]
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from None

    # Its end

    def send(self, number: signal.Signals) -> None:
        """Send the master a signal."""
        os.kill(self.pid, number)

    def stop(self, code: int = 0, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop it with a signal, and judge how it has ended."""
        self.send(number)
        self.ends(code)

    def ends(self, code: int) -> None:
        """Wait for its end, which has been asked for or must come by itself, and judge it."""
        try:
            self.code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end; its workers: {self.workers()}\n{self.log()}") from None
        assert self.code == code, f"exit code {self.code}, not {code}:\n{self.log()}"
        wait_for(self._is_alone, "the end of all processes of its session")
        self.judge()

    def _is_alone(self) -> bool:
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def judge(self) -> None:
        """Fail for a traceback in the log that is not expected, and for a warning about pyserve itself."""
        log = self.log()
        for found in _TRACEBACK.finditer(log):
            known = any(re.search(pattern, found["error"]) for pattern in self._errors)
            assert known, f"unexpected traceback:\n{found[0]}"
        assert not _WARNING.search(log), f"a warning:\n{log}"

    def kill(self) -> None:
        """End whatever is left of it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        self._until_killed.close()


@contextlib.contextmanager
def running(server: Server, path: str | None = "/") -> Iterator[Server]:
    """The server, ready (unless `path` is None); on leaving it is stopped if it still runs, and judged."""
    try:
        if path is not None:
            server.ready(path)
        yield server
        if server.code is None:
            server.stop()
    finally:
        server.kill()
