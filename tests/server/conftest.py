"""A master with workers that only pretend, and a log that keeps what it is told."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.journal import Log
from tests.server.masters import Server


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    if server.process is not None:
        for name in ("go", "retired"):
            server.touch(name)
        if server.process.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.process.wait()
