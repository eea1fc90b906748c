"""Measuring: processor time and memory of a process tree from /proc, and what wrk counts."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

# With the Host field that wrk sends itself: nine, as an ordinary browser's request through a proxy has.
FIELDS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Cache-Control": "max-age=0",
    "Cookie": "session=eyJ1c2VyIjo0MiwiY3NyZiI6ImFiY2RlZiJ9; theme=dark",
    "Referer": "http://bench.example/front",
    "Upgrade-Insecure-Requests": "1",
}


@dataclass(frozen=True)
class Load:
    """What wrk counted. requests: answered with 2xx or 3xx; errors: all others and socket errors."""

    requests: int
    seconds: float
    errors: int


@dataclass(frozen=True)
class Sample:
    """One measured window. rate: requests/s; cpu: microseconds of the server (user + system) per request."""

    rate: float
    cpu: float
    errors: int


def tree(pid: int) -> list[int]:
    """`pid` and all its living descendants."""
    found = [pid]
    for process in found:
        for task in Path(f"/proc/{process}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended while we looked
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the process tree so far, with that of children already waited for."""
    ticks = 0
    for process in tree(pid):
        try:
            stat = Path(f"/proc/{process}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # utime, stime, cutime, cstime: fields 14 to 17, and the second, in parentheses, may hold blanks
        ticks += sum(map(int, stat.rpartition(")")[2].split()[11:15]))
    return ticks / _TICKS_PER_SECOND


def memory_kib(pid: int, field: str) -> int:
    """Memory of the process tree in KiB; field: VmRSS for now, VmHWM for the highest so far."""
    total = 0
    for process in tree(pid):
        status = Path(f"/proc/{process}/status").read_text()
        if match := re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE):
            total += int(match[1])
    return total


def descriptors(pid: int) -> int:
    """Open file descriptors of the process tree."""
    return sum(len(list(Path(f"/proc/{process}/fd").iterdir())) for process in tree(pid))


def forget_peak(pid: int) -> None:
    """Let VmHWM of the process tree begin anew (proc(5), clear_refs)."""
    for process in tree(pid):
        Path(f"/proc/{process}/clear_refs").write_text("5")


def parse_wrk(text: str) -> Load:
    """Read what wrk prints at its end; raises `ValueError` for anything else."""
    summary = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)", text)
    if summary is None:
        raise ValueError(f"not wrk's output: {text[-500:]!r}")
    seconds = float(summary[2]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}[summary[3]]
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    errors = int(refused[1]) if refused else 0
    return Load(int(summary[1]) - errors, seconds, errors + (sum(map(int, sockets.groups())) if sockets else 0))


def wrk(port: int, seconds: int, connections: int, core: int) -> Load:
    """Load a server on loopback with wrk, on `core`, one thread."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    for name, value in FIELDS.items():
        command += ["-H", f"{name}: {value}"]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/"],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 30,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    return parse_wrk(done.stdout)


def sample(pid: int, port: int, seconds: int, connections: int, core: int) -> Sample:
    """Load the server for `seconds`: its processor time over that window by the requests completed in it."""
    before = cpu_seconds(pid)
    load = wrk(port, seconds, connections, core)
    spent = cpu_seconds(pid) - before
    if not load.requests:
        raise ValueError("not one request was answered")
    return Sample(load.requests / load.seconds, spent / load.requests * 1e6, load.errors)
