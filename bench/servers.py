"""Starting and stopping a server, ours or another, on one core and on loopback only."""

import contextlib
import importlib.metadata
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
START_TIMEOUT = 20.0  # seconds until it accepts
STOP_TIMEOUT = 10.0  # seconds from SIGTERM until it is killed


@dataclass(frozen=True)
class Server:
    """A server to start: `arguments` follow `python -m <module>`, with {port} filled in."""

    name: str
    distribution: str
    module: str
    arguments: str

    def version(self) -> str | None:
        """The installed version; None where it is not installed."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            if self.module != "pyserve":
                return None
            import pyserve

            return pyserve.__version__

    def command(self, port: int) -> list[str]:
        """The command line, for this interpreter."""
        return [sys.executable, "-m", self.module, *self.arguments.format(port=port).split()]


@dataclass(frozen=True)
class Running:
    """A server that accepts connections."""

    pid: int
    port: int


def pyserve(name: str, arguments: str) -> Server:
    """This server."""
    return Server(name, "pyserve-http", "pyserve", "--bind 127.0.0.1:{port} " + arguments)


@contextlib.contextmanager
def reserved_port(host: str = HOST) -> Iterator[int]:
    """A port for one server, of its own until the block is left.

    It is bound here, by a socket that does not listen: the kernel gives it to nobody who asks for any port, while the
    server that asks for this one, with SO_REUSEADDR as all of them do, gets it.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, 0))
        yield int(holder.getsockname()[1])


def cores() -> tuple[int, int]:
    """The core for the server and the one for the load; the same one where there is only one."""
    mine = sorted(os.sched_getaffinity(0))
    return mine[0], mine[min(1, len(mine) - 1)]


@contextlib.contextmanager
def running(server: Server, output: IO[bytes], core: int | None = None) -> Iterator[Running]:
    """Start `server` in a session of its own, with what it prints in `output`; stop it on leaving.

    Raises `RuntimeError`, with the end of what was printed, if it does not accept within `START_TIMEOUT`.
    """
    with reserved_port() as port:
        process = subprocess.Popen(
            server.command(port),
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
        )
        try:
            if not _accepts(process, port):
                raise RuntimeError(f"{server.name} did not start:\n{_tail(output)}")
            yield Running(process.pid, port)
        finally:
            _stop(process)


def _accepts(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until a request is answered: some servers listen long before they serve."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if exchange(port, b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"):
                return True
        except OSError:
            pass
        time.sleep(0.05)
    return False


def exchange(port: int, request: bytes) -> bytes:
    """Send one request and return all that comes back until the server closes."""
    with socket.create_connection((HOST, port), timeout=START_TIMEOUT) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def _tail(output: IO[bytes]) -> str:
    output.flush()
    return Path(str(output.name)).read_text(errors="replace")[-2000:]


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        pass
    # What is left of its session: workers of a server that was killed or gave up.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
