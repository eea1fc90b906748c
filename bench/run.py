"""`python -m bench speed`: requests per second and processor time per request, beside other servers.

Each round starts every server of a scenario once, one after the other (A B C A B C ...), so that a machine
that grows slow for a while slows all of them. The median over the rounds counts.
"""

import argparse
import shutil
import sys
import tempfile

from bench import measure, report
from bench.measure import Sample
from bench.scenarios import SCENARIOS, Scenario
from bench.servers import Server, cores, exchange, running

WARM_UP = 1  # seconds of load before the measured window


def arguments(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench speed", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="of load in each round")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--only", action="append", choices=[scenario.name for scenario in SCENARIOS])
    parser.add_argument("--server", action="append", help="only servers whose name begins so")
    parser.add_argument("--dry", action="store_true", help="print the figures, write no files")
    return parser.parse_args(argv)


def one_round(server: Server, options: argparse.Namespace) -> Sample:
    """Start a server, load it, stop it."""
    server_core, load_core = cores()
    with tempfile.NamedTemporaryFile(prefix="bench-") as output, running(server, output, server_core) as run:
        answer = exchange(run.port, b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(b"Hello, World!"):
            raise RuntimeError(f"{server.name} does not say hello: {answer[:200]!r}")
        measure.wrk(run.port, WARM_UP, options.connections, load_core)
        return measure.sample(run.pid, run.port, options.seconds, options.connections, load_core)


def measured(scenario: Scenario, options: argparse.Namespace) -> dict[str, list[Sample]]:
    """All rounds of a scenario; a server that is not installed is left out."""
    wanted = tuple(options.server or [""])
    taking_part = [server for server in scenario.servers if server.name.startswith(wanted)]
    for server in [server for server in taking_part if server.version() is None]:
        print(f"{server.name} is not installed: left out", file=sys.stderr)
        taking_part.remove(server)
    samples: dict[str, list[Sample]] = {server.name: [] for server in taking_part}
    for number in range(1, options.rounds + 1):
        for server in taking_part:
            sample = one_round(server, options)
            samples[server.name].append(sample)
            said = f"{sample.rate:9,.0f} requests/s {sample.cpu:7.1f} us/request {sample.errors} errors"
            print(f"{scenario.name} {number}/{options.rounds} {server.name:18}{said}", file=sys.stderr)
    return samples


def main(argv: list[str]) -> int:
    """Measure, print, and write the results."""
    options = arguments(argv)
    if shutil.which("wrk") is None:
        print("wrk is needed: apt-get install wrk", file=sys.stderr)
        return 1
    sections, data = [], []
    for scenario in SCENARIOS:
        if options.only and scenario.name not in options.only:
            continue
        if not (found := report.rows(scenario, measured(scenario, options))):
            continue
        sections.append(report.markdown(scenario, found))
        data += report.as_data(found)
        print(sections[-1], flush=True)
    if not options.dry:
        settings = {name: getattr(options, name) for name in ("rounds", "seconds", "connections")}
        report.write(report.stem(), "Speed beside other servers", sections, {"load": settings, "rows": data})
    return 0
