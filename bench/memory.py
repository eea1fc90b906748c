"""`python -m bench memory`: what idle connections cost, and whether big bodies pass without being kept.

Memory is the resident size of the server's processes, ours only: peers are measured elsewhere for speed.
"""

import argparse
import contextlib
import resource
import socket
import sys
import tempfile
from dataclasses import asdict, dataclass

from bench import measure, report
from bench.servers import HOST, Running, Server, pyserve, running

MIB = 1024 * 1024
BLOCK = bytes(256 * 1024)
WARM_CONNECTIONS = 200
SPARE_DESCRIPTORS = 256

# KiB for each idle keep-alive connection
IDLE_GOALS = {"async": 12.0, "sync": 8.0}
# KiB that a body of 1 GiB may add: the body buffer (1 MiB), socket buffers, and the allocator's slack
FLAT_KIB = 16 * 1024

REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"


@dataclass(frozen=True)
class Finding:
    """One check. value and goal in `unit`; the goal is met when value <= goal."""

    check: str
    worker: str
    value: float
    goal: float
    unit: str
    note: str = ""


def server(worker: str, app: str) -> Server:
    """Our server with one worker, patient enough for a thousand slow steps."""
    interface = {"async": "asgi", "sync": "wsgi"}[worker]
    application = f"bench.apps:{interface}{app}"
    return pyserve("pyserve", f"--worker-class {worker} --threads 1 --keep-alive 600 {application}")


def raise_limit() -> int:
    """Raise the soft descriptor limit to the hard one; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def read_response(connection: socket.socket) -> None:
    """Read hello's response whole, so that the connection is idle."""
    received = b""
    while not received.endswith(b"Hello, World!"):
        part = connection.recv(4096)
        if not part:
            raise RuntimeError(f"closed in the middle of {received!r}")
        received += part


def open_idle(run: Running, count: int, keep: contextlib.ExitStack) -> None:
    """Open connections that have had one request answered and say nothing more."""
    for _ in range(count):
        connection = keep.enter_context(socket.create_connection((HOST, run.port), timeout=30))
        connection.sendall(REQUEST)
        read_response(connection)


def idle(worker: str, count: int) -> Finding:
    """What each of `count` idle keep-alive connections adds to the resident size."""
    limit = raise_limit()
    possible = min(count, limit - SPARE_DESCRIPTORS)
    with tempfile.NamedTemporaryFile(prefix="bench-") as output, running(server(worker, ""), output) as run:
        with contextlib.ExitStack() as warm:
            open_idle(run, WARM_CONNECTIONS, warm)
        with contextlib.ExitStack() as keep:
            before = measure.memory_kib(run.pid, "VmRSS")
            open_idle(run, possible, keep)
            added = measure.memory_kib(run.pid, "VmRSS") - before
            if measure.descriptors(run.pid) < possible:
                raise RuntimeError("the server has closed idle connections that it was to keep")
    note = f"{possible} connections" + ("" if possible == count else f" (descriptor limit {limit})")
    return Finding("idle connection", worker, round(added / possible, 2), IDLE_GOALS[worker], "KiB", note)


def upload(run: Running, size: int) -> None:
    """Send a body of `size` bytes; the application says how many arrived."""
    head = f"POST / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"
    with socket.create_connection((HOST, run.port), timeout=60) as connection:
        connection.sendall(head.encode())
        for _ in range(size // len(BLOCK)):
            connection.sendall(BLOCK)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    if not answer.endswith(b"\r\n\r\n" + str(size).encode()):
        raise RuntimeError(f"upload: {answer[:300]!r}")


def download(run: Running, size: int) -> None:
    """Receive a body of `size` bytes and count them."""
    request = f"GET /{size // 65536} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
    with socket.create_connection((HOST, run.port), timeout=60) as connection:
        connection.sendall(request.encode())
        received = connection.recv(4096)
        while b"\r\n\r\n" not in received:
            received += connection.recv(4096)
        count = len(received.partition(b"\r\n\r\n")[2])
        space = bytearray(MIB)
        while part := connection.recv_into(space):
            count += part
    if count != size:
        raise RuntimeError(f"download: {count} of {size} bytes")


def bulk(worker: str, size: int) -> list[Finding]:
    """How far the peak of the resident size rises while a large body passes, in either direction."""
    found = []
    with (
        tempfile.NamedTemporaryFile(prefix="bench-") as output,
        running(server(worker, "_bulk"), output) as run,
    ):
        for transfer in (upload, download):
            transfer(run, 8 * MIB)
            measure.forget_peak(run.pid)
            before = measure.memory_kib(run.pid, "VmRSS")
            transfer(run, size)
            rise = measure.memory_kib(run.pid, "VmHWM") - before
            note = f"{size // MIB} MiB"
            found.append(Finding(f"{transfer.__name__}, peak", worker, rise, FLAT_KIB, "KiB", note))
    return found


def arguments(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench memory")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--mebibytes", type=int, default=1024, help="of the bodies")
    parser.add_argument("--worker", action="append", choices=["async", "sync"])
    parser.add_argument("--dry", action="store_true", help="print the figures, write no files")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Measure, print, write the results; 1 if a goal is missed."""
    options = arguments(argv)
    found: list[Finding] = []
    for worker in options.worker or ["async", "sync"]:
        print(f"{worker} worker ...", file=sys.stderr)
        found.append(idle(worker, options.connections))
        found += bulk(worker, options.mebibytes * MIB)
    lines = [
        (f"{f.check} ({f.note})", f.worker, f"{f.value:,g} {f.unit}", f"{f.goal:,g} {f.unit}", verdict(f))
        for f in found
    ]
    text = report.table(("check", "worker", "added", "goal", ""), lines)
    print(text)
    if not options.dry:
        data = {"findings": [asdict(finding) for finding in found]}
        report.write(report.stem("memory"), "Memory", [text + "\n"], data)
    return int(any(finding.value > finding.goal for finding in found))


def verdict(finding: Finding) -> str:
    """Whether the goal is met, in a word."""
    return "met" if finding.value <= finding.goal else "missed"
