"""Fixtures that start servers and talk to them."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.server import Server, running


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers for one test: `serve(app, *options, path="/", environ={}, errors=())`. One is ready when it has
    answered a request for `path`, or at once with None."""
    with contextlib.ExitStack() as stack:
        count = 0

        def start(app: str, *options: str, path: str | None = "/", **more: object) -> Server:
            nonlocal count
            count += 1
            directory = tmp_path / f"server-{count}"
            directory.mkdir()
            server = Server(directory, app, *options, **more)  # type: ignore[arg-type]
            return stack.enter_context(running(server, path))

        yield start


@pytest.fixture(params=[False, True], ids=["tcp", "unix"])
def unix(request: pytest.FixtureRequest) -> bool:
    """Whether to connect to the unix socket."""
    return bool(request.param)


@pytest.fixture
def client(server: Server, unix: bool) -> Iterator[httpx.Client]:
    """A client of the test module's own fixture `server`."""
    with server.client(unix=unix) as client:
        yield client
