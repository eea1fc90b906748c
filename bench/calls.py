"""`python -m bench calls`: Python-level calls for one hello request, from receiving to sending.

Calls are what a Python server's time goes into, and unlike time they can be counted the same on any machine. The
numbers in calls.json are the budget, by Python version; the test suite fails when one is exceeded, and `--write`
sets them anew. A lower number deserves a lower budget.
"""

import argparse
import json
import socket
import sys
import tempfile
from pathlib import Path

from bench import report
from bench.measure import FIELDS
from bench.servers import HOST, ROOT, Server, pyserve, running

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


class Client:
    """One connection that asks as wrk does in the speed tests."""

    def __init__(self, connection: socket.socket, port: int) -> None:
        self._connection = connection
        self._fields = "".join(f"{name}: {value}\r\n" for name, value in {"Host": f"{HOST}:{port}", **FIELDS}.items())

    def get(self, path: str) -> bytes:
        """Ask once; the body of the answer."""
        self._connection.sendall(f"GET {path} HTTP/1.1\r\n{self._fields}\r\n".encode())
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive()
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += self._receive()
        return body

    def _receive(self) -> bytes:
        part = self._connection.recv(65536)
        if not part:
            raise RuntimeError("the server closed a connection that it was to keep")
        return part


def count(server: Server) -> tuple[int, list[str]]:
    """Calls per request, and where they go, in their order.

    The number is the least: timers count too, and so does the wake-up of the thread that writes the access log,
    on a busy machine with most requests. The names are those of one request.
    """
    with (
        tempfile.NamedTemporaryFile(prefix="bench-") as output,
        running(server, output) as run,
        socket.create_connection((HOST, run.port), timeout=30) as connection,
    ):
        client = Client(connection, run.port)
        counts = [int(client.get("/")) for _ in range(WARM_UP + MEASURED)]
        names = client.get("/names").decode().replace(f"{ROOT}/", "")
    return min(counts[WARM_UP:]), names.splitlines()


def budget(version: tuple[int, int] = sys.version_info[:2]) -> dict[str, int]:
    """The budget for a Python version, or for the newest one below it that has a budget."""
    known: dict[str, dict[str, int]] = json.loads(BUDGET.read_text()) if BUDGET.exists() else {}
    versions = sorted(tuple(map(int, key.split("."))) for key in known)
    fitting = [key for key in versions if key <= version]
    return known[".".join(map(str, fitting[-1]))] if fitting else {}


def write(counted: dict[str, int]) -> None:
    """Make these numbers the budget for this Python version."""
    known = json.loads(BUDGET.read_text()) if BUDGET.exists() else {}
    known["{}.{}".format(*sys.version_info[:2])] = counted
    BUDGET.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")


def main(argv: list[str]) -> int:
    """Count, print; 1 if over the budget."""
    parser = argparse.ArgumentParser(prog="python -m bench calls")
    parser.add_argument("--peers", action="store_true", help="count other servers as well")
    parser.add_argument("--names", metavar="SERVER", help="only name the calls of this one, such as 'sync'")
    parser.add_argument("--write", action="store_true", help="make the numbers the budget")
    options = parser.parse_args(argv)
    if options.names:
        wanted = [server for server in OURS + PEERS if server.name == options.names]
        for server in wanted:
            print("\n".join(count(server)[1]))
        return int(not wanted)
    allowed = budget()
    counted = {server.name: count(server)[0] for server in OURS}
    lines: list[tuple[object, ...]] = [(name, calls, allowed.get(name, "")) for name, calls in counted.items()]
    if options.peers:
        lines += [(server.name, count(server)[0], "") for server in PEERS if server.version()]
    print(report.table(("calls per request", "counted", "budget"), lines))
    if options.write:
        write(counted)
        return 0
    return int(any(calls > allowed.get(name, calls) for name, calls in counted.items()))
