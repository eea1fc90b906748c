"""`python -m bench balance`: how evenly requests and connections are spread over workers.

Four workers, 64 connections that are kept, an application that computes for a few milliseconds. The goal: no worker
serves more than 1.5 times the mean. Connections are made at once, one after another, or by and by under load; by each
answer they tell which worker serves them.
"""

import argparse
import selectors
import socket
import tempfile
import time
from collections import Counter
from dataclasses import dataclass

from bench.servers import HOST, START_TIMEOUT, Server, pyserve, running

WORKERS = 4
GOAL = 1.5  # times the mean

SERVERS = {
    "sync": "--worker-class sync bench.apps:wsgi_worker",
    "sync, 4 threads": "--worker-class sync --threads 4 bench.apps:wsgi_worker",
    "async": "--worker-class async --lifespan off bench.apps:asgi_worker",
    "async, WSGI": "--worker-class async --threads 4 bench.apps:wsgi_worker",
}
ARRIVALS = {"at once": 0.0, "one by one": 0.002, "under load": 0.02}  # seconds between two connections
_REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
_LAST_REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Finding:
    """By worker: how many requests it has answered, and how many connections it has."""

    requests: Counter[int]
    connections: Counter[int]

    @property
    def worst(self) -> float:
        """What the busiest worker has answered, in means."""
        return _in_means(self.requests)

    @property
    def met(self) -> bool:
        return self.worst <= GOAL

    def __str__(self) -> str:
        requests = "/".join(str(number) for _, number in sorted(self.requests.items()))
        connections = "/".join(str(self.connections[pid]) for pid in sorted(self.requests))
        verdict = "" if self.met else "  MISSED"
        return (
            f"requests {requests} ({self.worst:.2f} of the mean at most), "
            f"connections {connections} ({_in_means(self.connections):.2f}){verdict}"
        )


def _in_means(counted: Counter[int]) -> float:
    return max(counted.values(), default=0) * WORKERS / max(1, sum(counted.values()))


class Crowd:
    """Clients that ask again as soon as they are answered."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._selector = selectors.DefaultSelector()
        self.requests: Counter[int] = Counter()
        self.served_by: dict[socket.socket, int] = {}

    def join(self) -> None:
        """One more client."""
        connection = socket.create_connection((HOST, self._port), timeout=20)
        self.served_by[connection] = 0
        self._selector.register(connection, selectors.EVENT_READ)
        connection.sendall(_REQUEST)

    def ask(self, seconds: float) -> None:
        """Have all of them ask for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                pid = int(connection.recv(65536).rpartition(b"\r\n")[2])
                self.requests[pid] += 1
                self.served_by[connection] = pid
                connection.sendall(_REQUEST)

    def close(self) -> None:
        for connection in self.served_by:
            connection.close()
        self._selector.close()


def measured(server: Server, connections: int, seconds: float, pause: float) -> Finding:
    """Serve `connections` for so long once all are there. pause: seconds of load between two of them."""
    with tempfile.NamedTemporaryFile(prefix="bench-") as output, running(server, output) as run:
        _all_serve(run.port)
        crowd = Crowd(run.port)
        try:
            for _ in range(connections):
                crowd.join()
                if pause:
                    crowd.ask(pause)
            crowd.ask(1.0)
            crowd.requests.clear()
            crowd.ask(seconds)
            return Finding(crowd.requests, Counter(filter(None, crowd.served_by.values())))
        finally:
            crowd.close()


def _all_serve(port: int) -> None:
    """Wait until every worker has answered somebody: connections are not moved to one that starts later."""
    seen: set[bytes] = set()
    end = time.monotonic() + START_TIMEOUT
    while len(seen) < WORKERS:
        if time.monotonic() > end:
            raise RuntimeError(f"only {len(seen)} of {WORKERS} workers serve")
        together = [socket.create_connection((HOST, port), timeout=START_TIMEOUT) for _ in range(WORKERS)]
        for connection in together:
            connection.sendall(_LAST_REQUEST)
        for connection in together:
            with connection:
                seen.add(b"".join(iter(lambda one=connection: one.recv(65536), b"")).rpartition(b"\r\n")[2])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench balance", description=__doc__)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--only", help="one of the servers, such as 'async'")
    parser.add_argument("--arrivals", default=",".join(ARRIVALS))
    options = parser.parse_args(arguments)
    missed = 0
    for name, command in SERVERS.items():
        if options.only not in (None, name):
            continue
        for arrival in options.arrivals.split(","):
            server = pyserve(name, f"--workers {WORKERS} {command}")
            finding = measured(server, options.connections, options.seconds, ARRIVALS[arrival])
            missed += not finding.met
            print(f"{name}, {arrival}: {finding}", flush=True)
    return int(bool(missed))
