"""A master with workers that only pretend (fake_master.py), and what its log says."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("fake_master.py")
PATIENCE = 28.0  # seconds: less than the 30 after which defaults would help along

Wanted = Callable[[], Any]


def wait_for(wanted: Wanted, what: str) -> Any:
    """The first true value of `wanted()`, within the deadline."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := wanted():
            return found
        time.sleep(0.01)
    raise AssertionError(f"not within {PATIENCE} s: {what}")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Server:
    """One master process, and what its log says."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log_path = directory / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def mode(self, text: str) -> None:
        draft = self.directory / "MODE.new"
        draft.write_text(text)
        draft.rename(self.directory / "MODE")

    def touch(self, name: str) -> None:
        (self.directory / name).touch()

    def start(self, mode: str = "serve", **settings: Any) -> "Server":
        self.mode(mode)
        settings = {"app": "app:app", "errorlog": str(self.log_path), "loglevel": "debug", **settings}
        path = os.pathsep.join([str(self.directory), *sys.path])
        environ = {**os.environ, "FAKE_DIRECTORY": str(self.directory), "PYTHONPATH": path}
        command = [sys.executable, "-W", "error", str(SCRIPT), json.dumps(settings)]
        with open(self.directory / "stderr", "wb") as stderr:
            self.process = subprocess.Popen(
                command, env=environ, cwd=self.directory, stderr=stderr, start_new_session=True
            )
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def log(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""

    def lines(self, pattern: str) -> list[re.Match[str]]:
        return list(re.finditer(pattern, self.log(), re.MULTILINE))

    def said(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Wait for the log to say it so often; the last time."""

        def enough() -> list[re.Match[str]] | None:
            ended = self.process is not None and self.process.poll() is not None
            matches = self.lines(pattern)
            if len(matches) >= times:
                return matches
            assert not ended, f"it ended\n{self.log()}\n{(self.directory / 'stderr').read_text()}"
            return None

        return wait_for(enough, f"{times} x {pattern!r} in\n{self.log()}")[-1]

    def booted(self, times: int) -> list[int]:
        """Wait for so many workers in all to have been booted, and to have read their mode; their pids in order."""
        self.said(r"worker does", times)
        return [int(match[1]) for match in self.lines(r"Booting worker with pid: (\d+)")]

    def ready(self) -> int:
        """Wait until the master knows that its first worker is ready; the worker's pid."""
        self.said("worker is known to be ready")
        return self.booted(1)[0]

    def port(self) -> int:
        return int(self.said(r"Listening at: http://127.0.0.1:(\d+)")[1])

    def ask(self) -> list[str]:
        """What a worker answers: pid, seat, number of listeners, version of the preloaded application."""
        with socket.create_connection(("127.0.0.1", self.port()), timeout=PATIENCE) as client:
            answer = b""
            while octets := client.recv(100):
                answer += octets
        return answer.decode().split()

    def answering(self, *pids: int) -> None:
        """Wait until exactly these have been seen to answer one after the other."""
        seen: list[int] = []

        def settled() -> bool:
            seen.append(int(self.ask()[0]))
            return set(seen[-20:]) <= set(pids) and len(seen) >= 20

        wait_for(settled, f"only {pids} answer, last {seen[-20:]}")

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def end(self) -> int:
        assert self.process is not None
        code = self.process.wait(PATIENCE)
        assert (self.directory / "stderr").read_text() == ""
        return code

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send(number)
        return self.end()
