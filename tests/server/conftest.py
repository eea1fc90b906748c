"""A master with workers that only pretend."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.masters import Server


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
