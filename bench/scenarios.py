"""What is compared with what, and how far ours shall be.

Every server gets one process on one core and as little configuration as makes the comparison fair: peers with
their fast options, logs off unless the scenario is about logs, and everything that is logged into a file.
"""

from dataclasses import dataclass, field

from bench.servers import Server, pyserve


def _uvicorn(arguments: str) -> Server:
    fixed = "bench.apps:asgi --port {port} --http httptools --loop uvloop "
    return Server("uvicorn", "uvicorn", "uvicorn", fixed + arguments)


def _gunicorn(name: str, arguments: str) -> Server:
    fixed = "bench.apps:wsgi --bind 127.0.0.1:{port} --log-level warning --no-control-socket "
    return Server(name, "gunicorn", "gunicorn", fixed + arguments)


def _granian(arguments: str) -> Server:
    fixed = "--host 127.0.0.1 --port {port} --workers 1 "
    return Server("granian", "granian", "granian", fixed + arguments)


@dataclass(frozen=True)
class Scenario:
    """Servers that do the same work, ours first. goals: the highest CPU ratio wanted, by the peer's name."""

    name: str
    title: str
    servers: tuple[Server, ...]
    goals: dict[str, float] = field(default_factory=dict)


SCENARIOS = (
    Scenario(
        "async",
        "async worker, ASGI hello",
        (
            pyserve("pyserve", "--worker-class async bench.apps:asgi"),
            _uvicorn("--no-access-log --log-level warning"),
            _granian("--interface asgi bench.apps:asgi"),
        ),
        {"uvicorn": 0.60, "granian": 0.62},
    ),
    Scenario(
        "sync",
        "sync worker, 1 thread, WSGI hello",
        (
            pyserve("pyserve", "--worker-class sync bench.apps:wsgi"),
            _gunicorn("gunicorn sync", "--worker-class sync"),
            _granian("--interface wsgi --blocking-threads 1 bench.apps:wsgi"),
        ),
        {"gunicorn sync": 0.12, "granian": 1.00},
    ),
    Scenario(
        "threads",
        "sync worker, 4 threads, WSGI hello",
        (
            pyserve("pyserve", "--worker-class sync --threads 4 bench.apps:wsgi"),
            _gunicorn("gunicorn gthread", "--worker-class gthread --threads 4"),
        ),
        {"gunicorn gthread": 0.16},
    ),
    Scenario(
        "log",
        "async worker, ASGI hello, access log into a file",
        (
            pyserve("pyserve", "--worker-class async --access-logfile - bench.apps:asgi"),
            _uvicorn("--access-log --log-level info"),
            _granian("--interface asgi --access-log bench.apps:asgi"),
        ),
        {"uvicorn": 0.35},
    ),
)
