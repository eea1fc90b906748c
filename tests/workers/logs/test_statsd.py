"""Metrics: gunicorn's names in statsd's form, and a receiver that is not there."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyserve.workers.logs.statsd import Statsd


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10)
        yield sock


Make = Callable[..., Statsd]

BOTH_KINDS = ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"))


@pytest.fixture
def statsd(receiver: socket.socket) -> Iterator[Make]:
    """Makes a sender: statsd(prefix, tags), by default to `receiver`, or statsd(to=address, report=function)."""
    made: list[Statsd] = []

    def make(prefix: str = "", tags: str = "", to: str = "", report: Callable[[str], object] = pytest.fail) -> Statsd:
        made.append(Statsd(to or f"127.0.0.1:{receiver.getsockname()[1]}", prefix, tags, report))
        return made[-1]

    yield make
    for one in made:
        one.close()
        one.gauge("after", 1)


@pytest.mark.parametrize(
    ("method", "args", "line"),
    [
        ("gauge", ("a", 3), "a:3|g"),
        ("increment", ("a", 1), "a:1|c|@1.0"),
        ("decrement", ("a", 2, 0.5), "a:-2|c|@0.5"),
        ("timer", ("a", 1.5), "a:1.5|ms"),
        ("histogram", ("a", 9), "a:9|h"),
        ("measure", ({"metric": "a", "value": 0, "mtype": "gauge"},), "a:0|g"),
        ("measure", ({"metric": "a", "value": 1, "mtype": "counter"},), "a:1|c|@1.0"),
        ("measure", ({"metric": "a", "value": 1, "mtype": "timer"},), "a:1|ms"),
        ("measure", ({"metric": "a", "value": 1, "mtype": "histogram"},), "a:1|h"),
    ],
)
def test_lines(receiver: socket.socket, statsd: Make, method: str, args: tuple[Any, ...], line: str) -> None:
    getattr(statsd(), method)(*args)
    assert receiver.recv(1000).decode() == line


@pytest.mark.parametrize(("prefix", "begins"), [("app", "app."), ("app.", "app."), ("a.b", "a.b."), ("", "")])
def test_prefix_and_tags(receiver: socket.socket, statsd: Make, prefix: str, begins: str) -> None:
    statsd(prefix, "env:x,b").gauge("n", 1)
    assert receiver.recv(1000).decode() == f"{begins}n:1|g|#env:x,b"


def test_a_name_with_addresses_of_both_kinds(
    receiver: socket.socket, statsd: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = receiver.getsockname()[1]
    found = [(family, socket.SOCK_DGRAM, 17, "", (host, port)) for family, host in BOTH_KINDS]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: found)
    statsd().gauge("n", 1)
    assert receiver.recv(1000) == b"n:1|g"


def test_a_request(receiver: socket.socket, statsd: Make) -> None:
    statsd("p", "t:1").request(404, 1.25)
    assert receiver.recv(1000).decode().split("\n") == [
        "p.gunicorn.request.duration:1.250|ms|#t:1",
        "p.gunicorn.requests:1|c|@1.0|#t:1",
        "p.gunicorn.request.status.404:1|c|@1.0|#t:1",
    ]


@pytest.mark.parametrize("extra", [{}, {"metric": "a"}, {"metric": "a", "value": 1}, {"value": 1, "mtype": "gauge"}])
def test_what_is_no_metric(receiver: socket.socket, statsd: Make, extra: dict[str, Any]) -> None:
    sender = statsd()
    sender.measure({**extra, "mtype": "strange"} if "metric" in extra else extra)
    sender.gauge("last", 1)
    assert receiver.recv(1000) == b"last:1|g"


def test_a_unix_socket_that_comes_late_and_goes(tmp_path: Path, statsd: Make) -> None:
    told: list[str] = []
    path = tmp_path / "statsd"
    sender = statsd(to=f"unix://{path}", report=told.append)
    for _ in range(3):
        sender.gauge("lost", 1)
    assert len(told) == 1
    assert told[0].startswith(f"statsd_host unix://{path}: No such file")
    for _ in range(2):  # a receiver, and its successor
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(str(path))
            sock.settimeout(10)
            sender.gauge("got", 1)
            assert sock.recv(100) == b"got:1|g"
        path.unlink()


def test_a_receiver_that_does_not_read_makes_nobody_wait(tmp_path: Path, statsd: Make) -> None:
    path = tmp_path / "statsd"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sender = statsd(to=f"unix://{path}")
        for _ in range(10_000):
            sender.gauge("n", 1)


def test_a_name_that_is_not_found(monkeypatch: pytest.MonkeyPatch, statsd: Make) -> None:
    told: list[str] = []
    known = False

    def find(*args: Any, **more: Any) -> Any:
        if not known:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", 9))]

    monkeypatch.setattr(socket, "getaddrinfo", find)
    sender = statsd(to="metrics.invalid:8125", report=told.append)
    sender.gauge("n", 1)
    assert told == ["statsd_host metrics.invalid:8125: Name or service not known; metrics are lost until it is there"]
    known = True
    sender.connect()
    sender.gauge("n", 1)
    assert len(told) == 1
