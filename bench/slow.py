"""`python -m bench slow`: the four attacks of slowhttptest, and how others are served meanwhile.

For each worker and mode: what one patient client (`patient`) waits before and during the attack; the memory that it
adds at its height; and whether the descriptors return when it is over. Before and during take turns, three times, as
the machine has better and worse moments; the median of the ratios counts. Five minutes for each worker.

The server and the client have one core, the attack the other: there the kernel delivers its thousands of packets. A
part of what the client waits is still the machine's; `--control` tells how much, by attacking another server of the
same kind on the attack's core.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from bench import measure, report
from bench.memory import raise_limit
from bench.patient import SERVER_PRIORITY, Waits, ask, put_ahead
from bench.servers import HOST, Running, Server, cores, pyserve, running

MIB = 1024  # in KiB, as memory is measured

GOAL_RATIO = 1.5
GOAL_ADDED = 100 * MIB
SETTLE = 60.0  # seconds in which descriptors must return
GATHER = 15.0  # seconds in which the attack's connections must come

WORKERS = {
    "sync": "--worker-class sync bench.apps:wsgi_mixed",
    "threads": "--worker-class sync --threads 4 bench.apps:wsgi_mixed",
    "async": "--lifespan off bench.apps:asgi_mixed",
    "async-wsgi": "--worker-class async --threads 4 bench.apps:wsgi_mixed",
}


@dataclass(frozen=True)
class Mode:
    """options: slowhttptest's. waits: a generator has to. held: its connections stay open; else they come and go."""

    options: str
    path: str = "/"
    waits: bool = False
    held: bool = True


MODES = {
    "heads": Mode("-H -i 2 -x 24"),
    "bodies": Mode("-B -i 2 -s 8192 -x 10"),
    "range": Mode("-R -a 5 -b 2000", held=False),
    "readers": Mode("-X -w 1 -y 512 -n 1 -z 5 -k 1", "/stream", waits=True),
}


@dataclass(frozen=True)
class Round:
    """The windows before and during one attack. open: the connections it had at the end of the second one."""

    before: Waits
    during: Waits
    open: int

    @property
    def ratio(self) -> float:
        return self.during.p99 / self.before.p99


@dataclass(frozen=True)
class Finding:
    """What some rounds of one attack did. added: KiB. left: descriptors that did not return."""

    worker: str
    mode: str
    connections: int
    rounds: list[Round]
    added: int
    left: int

    @property
    def ratio(self) -> float:
        """p99 during by p99 before."""
        return statistics.median(one.ratio for one in self.rounds)

    @property
    def met(self) -> bool:
        return self.ratio <= GOAL_RATIO and self.added <= GOAL_ADDED and self.left <= 0

    def cells(self) -> tuple[object, ...]:
        """Of the table; see `HEADER`."""
        ratios = " ".join(f"{one.ratio:.2f}" for one in sorted(self.rounds, key=lambda one: one.ratio))
        before, during = (str(_median([getattr(one, name) for one in self.rounds])) for name in ("before", "during"))
        verdict = "met" if self.met else "MISSED"
        added = f"+{self.added / MIB:.1f} MiB"
        return (
            self.worker, self.mode, self.connections, before, during, f"{self.ratio:.2f}", ratios, added, self.left,
            verdict,
        )  # fmt: skip

    def __str__(self) -> str:
        return "  ".join(map(str, self.cells()))


HEADER = (
    "worker", "attack", "connections", "p50 / p99 / p99.9 before (ms)", "during", "p99 during/before", "of each round",
    "memory", "descriptors left", "",
)  # fmt: skip


def _median(windows: list[Waits]) -> Waits:
    return Waits(*(statistics.median(getattr(one, name) for one in windows) for name in ("p50", "p99", "p999")))


@contextlib.contextmanager
def _attacked(run: Running, mode: Mode, connections: int, seconds: float) -> Iterator[None]:
    """slowhttptest, once all the connections that it holds are there, or as many as come."""
    command = ["nice", "-n", "19", "slowhttptest", *mode.options.split(), "-p", "5", "-l", str(int(seconds))]
    command += ["-c", str(connections), "-r", str(max(100, connections // 4))]
    command += ["-u", f"http://{HOST}:{run.port}{mode.path}"]
    core = cores()[1]
    before = measure.descriptors(run.pid)
    with tempfile.NamedTemporaryFile(prefix="slowhttptest-") as told:
        slow = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=told,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        try:
            end = time.monotonic() + (GATHER if mode.held else 0.0)
            while measure.descriptors(run.pid) < before + connections and time.monotonic() < end:
                if slow.poll() is not None:
                    break
                time.sleep(0.05)
            yield
        finally:
            slow.terminate()
            slow.wait()


def _left(pid: int, before: int) -> int:
    """Wait until the descriptors are as many as before; how many there are more."""
    end = time.monotonic() + SETTLE
    while (left := measure.descriptors(pid) - before) > 0 and time.monotonic() < end:
        time.sleep(0.1)
    return left


@contextlib.contextmanager
def _served(server: Server, core: int) -> Iterator[Running]:
    with tempfile.NamedTemporaryFile(prefix="bench-") as output, running(server, output, core) as run:
        yield run


def measured(name: str, mode_name: str, options: argparse.Namespace) -> Finding:
    """Attack a server of its own again and again; or with `--control` another one."""
    mode = MODES[mode_name]
    connections = options.readers if mode.waits else options.connections
    seconds, rounds = options.seconds, []
    ours, other = cores()
    server = pyserve(name, WORKERS[name])
    with contextlib.ExitStack() as stack:
        victim = run = stack.enter_context(_served(server, ours))
        _put_ahead(run)
        if options.control:
            victim = stack.enter_context(_served(server, other))
        ask(run.port, 1, ours)
        idle, open_before = measure.memory_kib(victim.pid, "VmRSS"), measure.descriptors(victim.pid)
        left = 0
        for _ in range(options.rounds):
            before = ask(run.port, seconds, ours)
            with _attacked(victim, mode, connections, GATHER + seconds + 5):
                during = ask(run.port, seconds, ours)
                rounds.append(Round(before, during, measure.descriptors(victim.pid) - open_before))
            left = max(left, _left(victim.pid, open_before))
        height = measure.memory_kib(victim.pid, "VmHWM")
    return Finding(name, mode_name, connections, rounds, height - idle, left)


def _put_ahead(run: Running) -> None:
    """The server's threads, and those that they start: see `patient`."""
    for pid in measure.tree(run.pid):
        for task in os.listdir(f"/proc/{pid}/task"):
            put_ahead(int(task), SERVER_PRIORITY)


def _write(found: list[Finding], options: argparse.Namespace) -> None:
    """The results; of a worker that was not measured now, those of the same day stay."""
    name = report.stem("slow")
    rows = {(one.worker, one.mode): (one.cells(), asdict(one)) for one in found}
    path = report.RESULTS / f"{name}.json"
    before = json.loads(path.read_text())["rows"] if path.exists() else []
    kept = {(row["data"]["worker"], row["data"]["mode"]): (row["cells"], row["data"]) for row in before}
    together = kept | rows
    order = [(worker, mode) for worker in WORKERS for mode in MODES if (worker, mode) in together]
    table = report.table(HEADER, [together[key][0] for key in order])
    load = {key: getattr(options, key) for key in ("connections", "readers", "seconds", "rounds")}
    data = [{"cells": together[key][0], "data": together[key][1]} for key in order]
    report.write(name, "Others during slow attacks", [table + "\n"], {"load": load, "rows": data})


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench slow", description=__doc__)
    parser.add_argument("--connections", type=int, default=4000)
    parser.add_argument("--readers", type=int, default=1000, help="connections where a generator waits")
    parser.add_argument("--seconds", type=float, default=6, help="of each window")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(WORKERS), help="workers, comma-separated")
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--control", action="store_true", help="attack another server than the one that is asked")
    parser.add_argument("--dry", action="store_true", help="print the figures, write no files")
    options = parser.parse_args(arguments)
    if shutil.which("slowhttptest") is None:
        print("slowhttptest is needed (Debian package slowhttptest)", file=sys.stderr)
        return 1
    raise_limit()
    found = []
    for name in options.only.split(","):
        for mode in options.modes.split(","):
            found.append(measured(name, mode, options))
            print(found[-1], flush=True)
            if not (options.dry or options.control):
                _write(found, options)
    return int(not all(finding.met for finding in found))
