"""`make conformance`: other projects' cases against both workers, both parsers, TCP and a unix socket.

Prints a table of passed/soft/failed, and fails for whatever is not a pass and not listed in deviations.toml, for what
is listed and passes, and for a case that ends differently in one mode than in another. Writes nothing into the
checkout.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conformance import deviations, drivers
from tests.conformance.drivers import Finding, Job, Outcome
from tests.conformance.serving import MODES, ROOT, Mode

# Driver -> what runs it, and how many at once: raw requests mostly wait, attacks look at the time.
DRIVERS: dict[str, tuple[Callable[[Mode, Path], list[Finding]], int]] = {
    "whole": (drivers.raw, 4),
    "split": (drivers.raw_split, 8),
    "validate": (drivers.validation, 4),
    "attacks": (drivers.attacks, 2),
    "slow": (drivers.slow, 4),
}


def arguments(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__.partition("\n")[0])
    default = os.environ.get("CONFORMANCE") or str(ROOT.parent / "shared" / "conformance")
    parser.add_argument("--folder", type=Path, default=default, help="of the cases (default: %(default)s)")
    parser.add_argument("--only", action="append", choices=DRIVERS, help="only this driver; may be repeated")
    parser.add_argument("--without", action="append", choices=DRIVERS, default=[], help="all but this driver")
    parser.add_argument("--mode", default="", help="only modes that have these words, such as 'sync unix'")
    return parser.parse_args(argv)


def run(names: Iterable[str], modes: list[Mode], folder: Path) -> list[Outcome]:
    """Run the drivers one after the other, each over all modes."""
    outcomes = []
    for name in names:
        runner, at_once = DRIVERS[name]
        jobs = [Job(name, mode, runner, alike=name in ("whole", "split")) for mode in modes]
        with ThreadPoolExecutor(at_once) as pool:
            for outcome in pool.map(lambda job: drivers.attempt(job, folder), jobs):
                counts = "  ".join(f"{suite} {count}" for suite, count in outcome.counts.items())
                print(f"{outcome.job.mode}  {name:8}  {counts or outcome.trouble}", flush=True)
                outcomes.append(outcome)
    return outcomes


def differences(outcomes: Iterable[Outcome]) -> list[str]:
    """Cases that end differently in one mode, or cut in pieces, than in another."""
    ends: dict[str, dict[tuple[str, ...], str]] = {}
    for outcome in outcomes:
        for finding in outcome.findings if outcome.job.alike else ():
            where = f"{outcome.job.mode} {outcome.job.driver}"
            ends.setdefault(finding.case, {}).setdefault(finding.signature, where)
    return [
        f"{case} differs: " + ", ".join(f"{' '.join(end)} ({where})" for end, where in each.items())
        for case, each in ends.items()
        if len(each) > 1
    ]


def problems(outcomes: list[Outcome], *, complete: bool) -> list[str]:
    """All that is not as it should be, each once."""
    listed = deviations.read()
    where: dict[str, list[str]] = {}
    for outcome in outcomes:
        texts = [outcome.trouble] if outcome.trouble else []
        for text in texts + deviations.unexpected(outcome.findings, listed):
            where.setdefault(text, []).append(f"{outcome.job.mode} {outcome.job.driver}")
    found = [f"{text}  (in {len(runs)} runs, first {runs[0]})" for text, runs in where.items()]
    found += differences(outcomes)
    if complete:
        found += deviations.missing((finding for outcome in outcomes for finding in outcome.findings), listed)
    return found


def main(argv: list[str]) -> int:
    """Run, compare, say."""
    options = arguments(argv)
    folder = options.folder.resolve()
    if not (folder / "rawreplay.py").exists():
        print(f"no cases in {folder}: say where they are, make conformance CONFORMANCE=folder", file=sys.stderr)
        return 2
    names = [name for name in options.only or DRIVERS if name not in options.without]
    if "slow" in names and shutil.which("slowhttptest") is None:
        print("slowhttptest is needed: apt-get install slowhttptest, or leave it out, --without slow", file=sys.stderr)
        return 2
    modes = [mode for mode in MODES if set(options.mode.split()) <= set(str(mode).split())]
    found = problems(run(names, modes, folder), complete=len(names) == len(DRIVERS) and modes == MODES)
    print("\n".join(found) if found else "all as it should be")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
