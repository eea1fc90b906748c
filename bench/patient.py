"""One client that asks at an even pace, whatever else goes on, and what it waits.

What it is to measure is the server, on a machine with few cores. So it and the server are put ahead of all else that
runs, in every window alike; without the right to that the figures hold on a quiet machine only. The time of a request
counts from when it was due and not from when it was sent: a server that is busy for 50 ms has let all wait who were due
in them, though this client has only sent the first.
"""

import contextlib
import gc
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench.servers import HOST, START_TIMEOUT

PACE = 0.0025  # seconds from one request to the next
REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"

SERVER_PRIORITY = 5  # SCHED_FIFO
CLIENT_PRIORITY = 10


@dataclass(frozen=True)
class Waits:
    """What of a hundred, and of a thousand, requests the shortest 50, 99 and 999 have taken at most. Seconds."""

    p50: float
    p99: float
    p999: float

    @classmethod
    def of(cls, taken: list[float]) -> "Waits":
        ordered = sorted(taken)
        return cls(*(ordered[min(len(ordered) - 1, int(len(ordered) * part))] for part in (0.5, 0.99, 0.999)))

    def __str__(self) -> str:
        return " / ".join(f"{seconds * 1000:.2f}" for seconds in (self.p50, self.p99, self.p999))


def put_ahead(task: int, priority: int) -> None:
    """Put a thread, 0 for this one, and those that it starts from now on ahead of all ordinary ones if that may be."""
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.sched_setscheduler(task, os.SCHED_FIFO, os.sched_param(priority))


@contextlib.contextmanager
def hurried(core: int) -> Iterator[None]:
    """Run the block on one core, without collections, and ahead of others."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    gc.disable()
    put_ahead(0, CLIENT_PRIORITY)
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        gc.enable()
        os.sched_setaffinity(0, cores)


def ask(port: int, seconds: float, core: int) -> Waits:
    """Ask for so long, each time on a new connection."""
    taken = []
    with hurried(core):
        due = time.perf_counter()
        end = due + seconds
        while due < end:
            time.sleep(max(0.0, due - time.perf_counter()))
            _exchange(port)
            taken.append(time.perf_counter() - due)
            due += PACE
    return Waits.of(taken)


def _exchange(port: int) -> None:
    with socket.create_connection((HOST, port), timeout=START_TIMEOUT) as connection:
        connection.sendall(REQUEST)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    if not received.endswith(b"Hello, World!"):
        raise RuntimeError(f"no answer: {received[:200]!r}")
