"""The server under test: its command line, starting and stopping it."""

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bench.servers import reserved_port

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
PATIENCE = 20.0  # seconds until it serves, or has ended
_RELAY = Path(__file__).with_name("relay.py")


@dataclass(frozen=True)
class Mode:
    """One way to run pyserve: what the verdicts must not depend on."""

    worker: str  # "sync" or "async"
    parser: str  # "httptools" or "h11"
    door: str  # "tcp" or "unix"

    def __str__(self) -> str:
        return f"{self.worker:5} {self.parser:9} {self.door:4}"

    @property
    def kind(self) -> str:
        """The kind of application that this worker is for."""
        return "wsgi" if self.worker == "sync" else "asgi"


MODES = [
    Mode(worker, parser, door)
    for worker in ("sync", "async")
    for parser in ("httptools", "h11")
    for door in ("tcp", "unix")
]


def template(mode: Mode, directory: Path, options: str = "") -> str:
    """The command line with {host}, {port} and {app} to be filled in; before a unix socket a relay is at {port}."""
    python = shlex.quote(sys.executable)
    own = f"--worker-class {mode.worker} --http {mode.parser} {options} {{app}}"
    if mode.door == "tcp":
        return f"{python} -m pyserve --bind {{host}}:{{port}} {own}"
    path = shlex.quote(str(directory / "{port}"))
    return f"{python} {shlex.quote(str(_RELAY))} {{port}} {path} {python} -m pyserve --bind unix:{path} {own}"


def environment(folder: Path) -> dict[str, str]:
    """What servers and drivers run with: this checkout's package, and no files written beside the folder's."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PORT", "WEB_CONCURRENCY", "SCRIPT_NAME") and not name.startswith("PYSERVE_")
    }
    return inherited | {"PYTHONPATH": f"{ROOT}:{folder / 'apps'}", "PYTHONDONTWRITEBYTECODE": "1"}


class ServerTrouble(Exception):
    """The server did not start, did not end as it should, or logged a traceback; the text has the end of its log."""


@contextlib.contextmanager
def running(command: str, app: str, folder: Path, log: IO[bytes]) -> Iterator[int]:
    """Start the server, give its port, stop it with SIGTERM. Raises `ServerTrouble`."""
    with reserved_port() as port:
        yield from _running(command.format(host=HOST, port=port, app=app), port, folder, log)


def _running(command: str, port: int, folder: Path, log: IO[bytes]) -> Iterator[int]:
    process = subprocess.Popen(
        shlex.split(command),
        cwd=Path(log.name).parent,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while not _accepts(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerTrouble(f"the server does not start:\n{_tail(log)}")
            time.sleep(0.02)
        yield port
        process.terminate()
        if process.wait(PATIENCE):
            raise ServerTrouble(f"the server ended with {process.returncode}:\n{_tail(log)}")
        if "Traceback (most recent call last)" in _tail(log, 1 << 20):
            raise ServerTrouble(f"the server logged a traceback:\n{_tail(log)}")
    except subprocess.TimeoutExpired:
        raise ServerTrouble(f"the server does not end:\n{_tail(log)}") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def _tail(log: IO[bytes], octets: int = 3000) -> str:
    log.flush()
    return Path(log.name).read_text(errors="backslashreplace")[-octets:]
