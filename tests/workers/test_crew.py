"""What both kinds of worker share, without either of them."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyserve.protocol.exchange import Exchange
from pyserve.protocol.http1 import Http1Wire
from pyserve.settings import Settings
from pyserve.workers.application import Application
from pyserve.workers.crew import Crew, Phase, limits_of, request_line
from pyserve.workers.logs import access
from pyserve.workers.logs import error_log as logs
from pyserve.workers.scoreboard import Scoreboard, State
from pyserve.workers.worker import WorkerContext
from tests.workers.serving import PATIENCE

Muster = Callable[..., Crew]


class Peer:
    remote = "192.0.2.1"
    place = 0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    yield reader, writer
    os.close(reader)
    os.close(writer)


@pytest.fixture
def muster(tmp_path: Path, pipe: tuple[int, int]) -> Iterator[Muster]:
    """Makes a crew: muster(**settings)."""
    made: list[Crew] = []

    def make(**settings: Any) -> Crew:
        chosen = Settings(errorlog=str(tmp_path / "error.log"), **settings)
        log = logs.setup(chosen)
        board = Scoreboard(2, 1)
        context = WorkerContext(chosen, [], board.slot(0), board, 0, 1, pipe[1], -1, None, log, False)
        crew = Crew(context, Application(lambda: None, "wsgi", "test"), access.setup(chosen, log))
        made.append(crew)
        return crew

    yield make
    for crew in made:
        crew.log.close()
        if crew.access is not None:
            crew.access.close()


def exchange_of(crew: Crew, octets: bytes = b"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n") -> Exchange:
    exchange = Http1Wire(crew.config).receive(octets)
    assert exchange is not None
    exchange.arrived = time.monotonic()
    exchange.finished = exchange.arrived + 0.25
    return exchange


def log_of(tmp_path: Path) -> str:
    return (tmp_path / "error.log").read_text()


# Phases


def test_phases_never_go_back(muster: Muster) -> None:
    crew = muster()
    woken: list[Phase] = []
    crew._wake = lambda: woken.append(crew.phase)
    crew.drain()
    assert (crew.phase, crew.config.retiring) == (Phase.DRAINING, True)
    assert crew.context.slot.state is State.DRAINING
    since = crew.drained_since
    crew.drain()
    assert crew.drained_since == since
    crew.quit()
    crew.drain()
    crew.master_died()
    assert crew.phase is Phase.QUITTING
    assert woken[0] is Phase.DRAINING


@pytest.mark.parametrize(
    ("numbers", "phase"),
    [
        ([signal.SIGTERM], Phase.DRAINING),
        ([signal.SIGTERM, signal.SIGTERM], Phase.DRAINING),
        ([signal.SIGINT], Phase.QUITTING),
        ([signal.SIGTERM, signal.SIGQUIT], Phase.QUITTING),
        ([signal.SIGCHLD, signal.SIGALRM, 0], Phase.RUNNING),
    ],
)
def test_signals(muster: Muster, numbers: list[int], phase: Phase) -> None:
    crew = muster()
    for number in numbers:
        crew.signalled(number)
    assert crew.phase is phase


def test_logs_are_opened_anew(muster: Muster, tmp_path: Path) -> None:
    crew = muster(accesslog=str(tmp_path / "access.log"))
    for name in ("error.log", "access.log"):
        (tmp_path / name).rename(tmp_path / f"{name}.1")
    crew.signalled(signal.SIGUSR1)
    assert (tmp_path / "error.log").exists()
    assert (tmp_path / "access.log").exists()


def test_what_the_master_is_told(muster: Muster, pipe: tuple[int, int]) -> None:
    crew = muster(max_requests=2)
    crew.ready()
    assert crew.context.slot.state is State.READY
    assert crew.context.slot.booted_at == crew.context.slot.heartbeat > 0
    for _ in range(3):
        crew.log_exchange(exchange_of(crew), Peer(), crew.counters)
    assert crew.phase is Phase.RUNNING
    assert os.read(pipe[0], 100) == b"RW"
    assert crew.fail("a reason") == 3
    assert os.read(pipe[0], 100) == b"F\x03a reason"


def test_a_worker_that_has_asked_to_be_replaced_says_when_it_goes(
    muster: Muster, pipe: tuple[int, int], tmp_path: Path
) -> None:
    crew = muster()
    crew.retire()
    crew.retire()
    assert os.read(pipe[0], 100) == b"W"
    assert "Autorestarting" not in log_of(tmp_path)
    crew.signalled(signal.SIGTERM)
    crew.signalled(signal.SIGTERM)
    assert log_of(tmp_path).count("Autorestarting worker after current request.") == 1


def test_a_signal_while_it_begins_to_go_is_the_same_going(
    muster: Muster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every signal is handled between two steps of the main thread, which may be writing to the log just then."""
    crew = muster()
    crew.retire()
    write = logs.ErrorLog.info

    def interrupted(log: logs.ErrorLog, message: str) -> None:
        crew.signalled(signal.SIGTERM)
        write(log, message)

    monkeypatch.setattr(logs.ErrorLog, "info", interrupted)
    crew.signalled(signal.SIGTERM)
    assert log_of(tmp_path).count("Autorestarting worker after current request.") == 1


def test_jitter(muster: Muster) -> None:
    counts = set()
    for _ in range(50):
        crew = muster(max_requests=3, max_requests_jitter=2)
        exchange = exchange_of(crew)
        while not crew.worn:
            crew.log_exchange(exchange, Peer(), crew.counters)
        counts.add(crew.context.slot.requests())
        crew.context.slot.clear()
    assert counts == {3, 4, 5}


@pytest.mark.parametrize(
    ("settings", "idle"),
    [({}, 5.0), ({"drain_idle": 1.0}, 1.0), ({"drain_idle": 0.0}, 0.0), ({"keepalive": 0.0}, 5.0)],
)
def test_how_long_idle_connections_are_kept(muster: Muster, settings: dict[str, float], idle: float) -> None:
    assert muster(**settings).drain_idle == idle


@pytest.mark.parametrize(("limit", "over"), [(30.0, False), (0.001, True), (0.0, False)])
def test_grace(muster: Muster, limit: float, over: bool) -> None:
    crew = muster(graceful_timeout=limit)
    assert not crew.grace_over
    crew.drain()
    crew.drained_since -= 0.01
    assert crew.grace_over is over


# Time and limits


def test_the_date_field(muster: Muster) -> None:
    crew = muster()
    crew.tick(784111777.9)
    assert crew.config.date == b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    crew.tick(784111778.0)
    assert crew.config.date == b"Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n"


def test_no_date_field(muster: Muster) -> None:
    crew = muster(date_header=False)
    crew.tick(784111777.9)
    assert crew.config.date == b""


@pytest.mark.parametrize(
    ("settings", "server", "extra"),
    [
        ({}, b"Server: pyserve\r\n", b""),
        ({"server_header": False}, b"", b""),
        (
            {"headers": ("X-A: b", "X-C: \xe9")},
            b"Server: pyserve\r\nX-A: b\r\nX-C: \xe9\r\n",
            b"X-A: b\r\nX-C: \xe9\r\n",
        ),
        ({"headers": ("X-A: b",), "server_header": False}, b"X-A: b\r\n", b"X-A: b\r\n"),
        ({"headers": ("server: us",)}, b"server: us\r\n", b"server: us\r\n"),
    ],
)
def test_the_fields_of_every_response(muster: Muster, settings: dict[str, Any], server: bytes, extra: bytes) -> None:
    config = muster(**settings).config
    assert (config.server, config.extra) == (server, extra)


def test_limits() -> None:
    limits = limits_of(Settings(limit_request_line=1, limit_request_fields=2, limit_request_field_size=3))
    assert (limits.request_line, limits.fields, limits.field_size) == (1, 2, 3)
    assert limits.body > 1 << 60
    unlimited = limits_of(Settings(limit_request_line=0, limit_request_fields=0, limit_request_field_size=0))
    assert min(unlimited.request_line, unlimited.fields, unlimited.field_size) > 1 << 60


def test_how_many_connections(muster: Muster) -> None:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert muster(worker_connections=7).connections == 7
    most = muster().connections
    assert 0 < most < soft
    assert muster(worker_connections=soft * 2).connections <= most


@pytest.mark.parametrize(("wanted", "said"), [(None, 1), (1_000_000_000, 1), (7, 0)])
def test_that_descriptors_allow_for_no_more_connections_is_said_once(
    muster: Muster, tmp_path: Path, wanted: int | None, said: int
) -> None:
    crew = muster(worker_connections=wanted)
    crew.say_full()
    crew.say_full()
    log = (tmp_path / "error.log").read_text()
    assert log.count(f"File descriptors allow for no more than {crew.connections} connections") == said


# Exchanges


def test_an_exchange_is_counted_and_logged(muster: Muster, tmp_path: Path) -> None:
    crew = muster(accesslog=str(tmp_path / "access.log"), access_log_format='%(h)s "%(r)s" %(s)s %(B)s %(L)s')
    exchange = exchange_of(crew, b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    exchange.send_head(200, None, [])
    exchange.send_body(b"12345", False)
    crew.log_exchange(exchange, Peer(), crew.counters)
    slot = crew.context.slot
    assert (slot.requests(), slot.thread(0).bytes_in, slot.thread(0).bytes_out) == (1, 3, 5)
    assert crew.access is not None
    crew.access.flush()
    assert (tmp_path / "access.log").read_text() == '192.0.2.1 "POST /a HTTP/1.1" 200 5 0.250000\n'


def test_an_exchange_that_was_never_answered(muster: Muster, tmp_path: Path) -> None:
    crew = muster(accesslog=str(tmp_path / "access.log"), access_log_format="%(r)s %(s)s %(B)s")
    crew.log_exchange(exchange_of(crew), Peer(), crew.counters)
    assert crew.access is not None
    crew.access.flush()
    assert (tmp_path / "access.log").read_text() == "GET /a?b HTTP/1.1 - 0\n"


def test_a_complaint(muster: Muster, tmp_path: Path) -> None:
    crew = muster()
    exchange = exchange_of(crew, b"GET /%1b\"' HTTP/1.1\r\nHost: a\r\n\r\n")
    exchange.send_head(200, None, [(b"content-length", b"3")])
    exchange.send_body(b"12345", False)
    crew.log_exchange(exchange, Peer(), crew.counters)
    assert "[WARNING] GET /%1b\\\"' HTTP/1.1: more data than Content-Length (3)" in log_of(tmp_path)


def test_a_failure(muster: Muster, tmp_path: Path) -> None:
    crew = muster()
    exchange = exchange_of(crew)
    try:
        raise ValueError("the reason")
    except ValueError as error:
        crew.log_failure(exchange, error, crew.counters)
    log = log_of(tmp_path)
    assert "Error handling request GET /a?b HTTP/1.1\nTraceback" in log
    assert log.endswith("ValueError: the reason\n")
    assert crew.context.slot.thread(0).errors == 1


def test_a_refusal(muster: Muster, tmp_path: Path) -> None:
    muster().log_refusal(Peer(), "malformed")
    assert "[INFO] Invalid request from 192.0.2.1: malformed\n" in log_of(tmp_path)


def test_a_request_line(muster: Muster) -> None:
    assert request_line(exchange_of(muster())) == b"GET /a?b HTTP/1.1"


# In a process of its own

_STUCK = """
import os, signal, sys, time
sys.path.insert(0, {root!r})
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_crew import make_alone
crew = make_alone(Path({directory!r}))
crew.handle_signals(lambda: None)
def stuck_here():
    print("ready", flush=True)
    {what}
stuck_here()
"""


def make_alone(directory: Path) -> Crew:
    chosen = Settings(errorlog=str(directory / "error.log"), accesslog=str(directory / "access.log"))
    log = logs.setup(chosen)
    board = Scoreboard(2, 1)
    context = WorkerContext(chosen, [], board.slot(0), board, 0, 1, -1, -1, None, log, False)
    crew = Crew(context, Application(lambda: None, "wsgi", "test"), access.setup(chosen, log))
    crew.log_exchange(exchange_of(crew), Peer(), crew.counters)
    return crew


@pytest.mark.parametrize("what", ["time.sleep(60)", "while True: pass"])
def test_a_stuck_worker_tells_where(tmp_path: Path, what: str) -> None:
    root = str(Path(__file__).parents[2])
    code = _STUCK.format(root=root, tests=str(Path(__file__).parent), directory=str(tmp_path), what=what)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGABRT)
        assert process.wait(PATIENCE) == 1
    assert "in stuck_here" in log_of(tmp_path)
    assert "GET /a?b" in (tmp_path / "access.log").read_text()  # what was gathered is not lost
