"""What the master measures."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyserve.server.gauges import Gauges
from pyserve.server.sockets import Listeners
from pyserve.workers.logs.error_log import ErrorLog


class Log(ErrorLog):
    """Keeps metrics."""

    __slots__ = ("told",)

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, Any, str]] = []

    def debug(self, msg: object, *args: object, **options: Any) -> None:
        extra = options["extra"]
        self.told.append((extra["metric"], extra["value"], extra["mtype"]))


def test_the_number_of_workers_when_it_has_changed() -> None:
    gauges = Gauges(log := Log(), None)
    for number in (0, 2, 2, 2, 1):
        gauges.look(number, 0.0)
    assert log.told == [("gunicorn.workers", number, "gauge") for number in (0, 2, 1)]


class Sockets(Listeners):
    """One TCP and one unix socket."""

    def __init__(self, directory: Path) -> None:
        super().__init__([], 128)
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(str(directory / "socket"))
        self.unix.listen()

    def all(self) -> list[socket.socket]:
        return [self.tcp, self.unix]


@pytest.fixture
def listeners(tmp_path: Path) -> Iterator[Sockets]:
    made = Sockets(tmp_path)
    yield made
    for listener in made.all():
        listener.close()


def test_what_waits_to_be_accepted_once_a_second(listeners: Sockets) -> None:
    gauges = Gauges(log := Log(), listeners)
    gauges.look(1, 10.0)
    with contextlib.ExitStack() as stack:
        address = listeners.tcp.getsockname()
        for _ in range(3):
            stack.enter_context(socket.create_connection(address))
        gauges.look(1, 10.5)
        gauges.look(1, 11.0)
    assert log.told == [
        ("gunicorn.workers", 1, "gauge"),
        ("gunicorn.backlog", 0, "histogram"),
        ("gunicorn.backlog", 3, "histogram"),
    ]
