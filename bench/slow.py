"""`python -m bench slow`: the four attacks of slowhttptest, and how others are served meanwhile.

For each worker and mode: the 99th percentile of what one patient client waits, before and during the attack; the memory
that it adds at its height; and whether the descriptors return when it is over. A minute for each worker.

The client asks 200 times a second, half of the time on a connection of its own. The attack has a lower priority than
client and server, or the client would measure how it waits for a processor.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import IO

from bench import measure
from bench.memory import raise_limit
from bench.servers import HOST, Running, Server, cores, exchange, pyserve, running

MIB = 1024  # in KiB, as memory is measured

GOAL_RATIO = 1.5
GOAL_ADDED = 100 * MIB
PACE = 0.005  # seconds from one request of the client to the next
SETTLE = 60.0  # seconds in which descriptors must return

WORKERS = {
    "sync": "--worker-class sync bench.apps:wsgi_mixed",
    "threads": "--worker-class sync --threads 4 bench.apps:wsgi_mixed",
    "async": "bench.apps:asgi_mixed",
    "async-wsgi": "--worker-class async --threads 4 bench.apps:wsgi_mixed",
}
# mode -> (options of slowhttptest, path, whether a generator has to wait)
MODES = {
    "heads": ("-H -i 2 -x 24", "/", False),
    "bodies": ("-B -i 2 -s 8192 -x 10", "/", False),
    "range": ("-R -a 5 -b 2000", "/", False),
    "readers": ("-X -w 1 -y 512 -n 1 -z 5 -k 1", "/stream", True),
}


@dataclass(frozen=True)
class Finding:
    """What one attack did. before, during: seconds (p99). added: KiB. left: descriptors that did not return."""

    worker: str
    mode: str
    connections: int
    before: float
    during: float
    added: int
    left: int

    @property
    def met(self) -> bool:
        return self.during <= GOAL_RATIO * self.before and self.added <= GOAL_ADDED and self.left <= 0

    def __str__(self) -> str:
        return (
            f"{self.worker:10} {self.mode:8} {self.connections:5}  p99 {self.before * 1000:6.2f} ms -> "
            f"{self.during * 1000:6.2f} ms ({self.during / self.before:4.2f})  +{self.added / MIB:5.1f} MiB  "
            f"{self.left} descriptors  {'' if self.met else 'MISSED'}"
        )


class Client:
    """One that asks at an even pace, on a kept connection and on a new one by turns."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._request = b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"

    def p99(self, seconds: float) -> float:
        """Ask for so long."""
        taken = []
        end = time.perf_counter() + seconds
        while (began := time.perf_counter()) < end:
            if not exchange(self._port, self._request).endswith(b"Hello, World!"):
                raise RuntimeError("no answer")
            taken.append(time.perf_counter() - began)
            time.sleep(max(0.0, PACE - taken[-1]))
        return statistics.quantiles(taken, n=100)[98]


def attack(run: Running, mode: str, connections: int, seconds: int, output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start slowhttptest: all its connections within a few seconds."""
    options, path, _ = MODES[mode]
    command = ["nice", "-n", "19", "slowhttptest", *options.split(), "-p", "5", "-l", str(seconds)]
    command += ["-c", str(connections), "-r", str(max(100, connections // 4)), "-u", f"http://{HOST}:{run.port}{path}"]
    return subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)


def measured(name: str, server: Server, mode: str, connections: int, seconds: int) -> Finding:
    """Run one attack on a server of its own."""
    core, _ = cores()
    with (
        tempfile.NamedTemporaryFile(prefix="bench-") as output,
        tempfile.NamedTemporaryFile(prefix="slowhttptest-") as told,
        running(server, output, core) as run,
    ):
        client = Client(run.port)
        client.p99(1)
        before = client.p99(seconds / 2)
        idle, open_before = measure.memory_kib(run.pid, "VmRSS"), measure.descriptors(run.pid)
        slow = attack(run, mode, connections, seconds + 6, told.file)
        try:
            _reached(run, open_before + connections, slow)
            during = client.p99(seconds / 2)
            height = measure.memory_kib(run.pid, "VmHWM")
        finally:
            slow.terminate()
            slow.wait()
        end = time.monotonic() + SETTLE
        while (left := measure.descriptors(run.pid) - open_before) > 0 and time.monotonic() < end:
            time.sleep(0.1)
    return Finding(name, mode, connections, before, during, height - idle, left)


def _reached(run: Running, descriptors: int, slow: subprocess.Popen[bytes]) -> None:
    """Wait until all connections of the attack are there; as many as come, of one that does not hold them."""
    end = time.monotonic() + 8
    while measure.descriptors(run.pid) < descriptors and time.monotonic() < end and slow.poll() is None:
        time.sleep(0.05)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench slow", description=__doc__)
    parser.add_argument("--connections", type=int, default=4000)
    parser.add_argument("--readers", type=int, default=1000, help="connections where a generator waits")
    parser.add_argument("--seconds", type=int, default=16)
    parser.add_argument("--only", default=",".join(WORKERS), help="workers, comma-separated")
    parser.add_argument("--modes", default=",".join(MODES))
    options = parser.parse_args(arguments)
    if shutil.which("slowhttptest") is None:
        print("slowhttptest is needed (Debian package slowhttptest)", file=sys.stderr)
        return 1
    raise_limit()
    missed = 0
    for name in options.only.split(","):
        for mode in options.modes.split(","):
            count = options.readers if MODES[mode][2] else options.connections
            server = pyserve(name, f"--lifespan off {WORKERS[name]}" if name == "async" else WORKERS[name])
            finding = measured(name, server, mode, count, options.seconds)
            missed += not finding.met
            print(finding, flush=True)
    return int(bool(missed))
