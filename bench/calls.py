"""`python -m bench calls`: Python-level calls for one hello request, from receiving to sending.

Calls are what a Python server's time goes into, and unlike time they can be counted the same on any machine. The
numbers in calls.json are the budget, by Python version; the test suite fails when one is exceeded, and `--write`
sets them anew. A lower number deserves a lower budget.
"""

import argparse
import json
import socket
import statistics
import sys
import tempfile
from pathlib import Path

from bench import report
from bench.measure import FIELDS
from bench.servers import HOST, Server, pyserve, running

BUDGET = Path(__file__).resolve().parent / "calls.json"
WARM_UP = 200  # requests: caches filled, every thread met
MEASURED = 300

_ASGI = "bench.counted:asgi"
_WSGI = "bench.counted:wsgi"
OURS = (
    pyserve("async", f"--worker-class async {_ASGI}"),
    pyserve("async, access log", f"--worker-class async --access-logfile /dev/null {_ASGI}"),
    pyserve("sync", f"--worker-class sync {_WSGI}"),
    pyserve("sync, access log", f"--worker-class sync --access-logfile /dev/null {_WSGI}"),
    pyserve("sync, 4 threads", f"--worker-class sync --threads 4 {_WSGI}"),
)
_GUNICORN = f"{_WSGI} --bind 127.0.0.1:{{port}} --no-control-socket --worker-class gthread --threads 4"
PEERS = (
    Server("uvicorn", "uvicorn", "uvicorn", f"{_ASGI} --port {{port}} --no-access-log"),
    Server("uvicorn, access log", "uvicorn", "uvicorn", f"{_ASGI} --port {{port}} --access-log"),
    Server("gunicorn gthread", "gunicorn", "gunicorn", _GUNICORN),
)


def one_request(connection: socket.socket, request: bytes) -> int:
    """Ask once; the answer's body is the number of calls since the last time."""
    connection.sendall(request)
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += _some(connection)
    return int(body)


def _some(connection: socket.socket) -> bytes:
    part = connection.recv(65536)
    if not part:
        raise RuntimeError("the server closed a connection that it was to keep")
    return part


def count(server: Server) -> int:
    """Calls per request: the median, since a timer's turn now and then counts too."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in FIELDS.items())
    with tempfile.NamedTemporaryFile(prefix="bench-") as output, running(server, output) as run:
        request = f"GET / HTTP/1.1\r\nHost: {HOST}:{run.port}\r\n{fields}\r\n".encode()
        with socket.create_connection((HOST, run.port), timeout=30) as connection:
            counts = [one_request(connection, request) for _ in range(WARM_UP + MEASURED)]
    return int(statistics.median(counts[WARM_UP:]))


def budget(version: tuple[int, int] = sys.version_info[:2]) -> dict[str, int]:
    """The budget for a Python version, or for the newest one below it that has a budget."""
    known: dict[str, dict[str, int]] = json.loads(BUDGET.read_text()) if BUDGET.exists() else {}
    versions = sorted(tuple(map(int, key.split("."))) for key in known)
    fitting = [key for key in versions if key <= version]
    return known[".".join(map(str, fitting[-1]))] if fitting else {}


def main(argv: list[str]) -> int:
    """Count, print; 1 if over the budget."""
    parser = argparse.ArgumentParser(prog="python -m bench calls")
    parser.add_argument("--peers", action="store_true", help="count other servers as well")
    parser.add_argument("--write", action="store_true", help="make the numbers the budget")
    options = parser.parse_args(argv)
    allowed = budget()
    counted = {server.name: count(server) for server in OURS}
    lines: list[tuple[object, ...]] = [(name, calls, allowed.get(name, "")) for name, calls in counted.items()]
    if options.peers:
        lines += [(server.name, count(server), "") for server in PEERS if server.version()]
    print(report.table(("calls per request", "counted", "budget"), lines))
    if options.write:
        known = json.loads(BUDGET.read_text()) if BUDGET.exists() else {}
        known["{}.{}".format(*sys.version_info[:2])] = counted
        BUDGET.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
        return 0
    return int(any(calls > allowed.get(name, calls) for name, calls in counted.items()))
