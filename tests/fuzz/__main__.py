"""Fuzz for a while: `python -m tests.fuzz [--seconds 60] [--seed N]`, or one case again: `--property P --case N`.

A third of the time each: hypothesis, which shrinks what it finds; seeds counted up from the first; and atheris, which
is led by the code that it reaches. Where atheris is not installed the second has its time as well.
"""

import argparse
import importlib.util
import random
import secrets
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import hypothesis
from hypothesis import strategies as st

from tests.fuzz import corpus, guided, properties
from tests.fuzz.properties import PROPERTIES, Property

_EXAMPLES = 500  # of hypothesis, with one seed


def main() -> int:
    """Fuzz as asked; 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None, help="the first seed; any by default, and it is printed")
    parser.add_argument("--property", choices=PROPERTIES, help="only this one")
    parser.add_argument("--case", type=int, help="only the case of this seed")
    given = parser.parse_args()
    chosen = {name: holds for name, holds in PROPERTIES.items() if given.property in (None, name)}
    print(f"a corpus of {properties.use_everything()} streams")
    if given.case is not None:
        return int(sum(_fails(name, holds, given.case) for name, holds in chosen.items()) > 0)
    seed = secrets.randbelow(1 << 32) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    has_atheris = importlib.util.find_spec("atheris") is not None
    third = given.seconds / 3
    found = by_hypothesis(chosen, seed, third)
    found = by_seeds(chosen, seed, third if has_atheris else 2 * third) or found
    if has_atheris:
        found = by_atheris(seed, third) or found
    return int(found)


def by_hypothesis(chosen: dict[str, Property], seed: int, seconds: float) -> bool:
    """Let hypothesis make the choices; True when it has found something."""
    end = time.monotonic() + seconds
    failed: set[str] = set()
    rounds = 0
    while time.monotonic() < end and len(failed) < len(chosen):
        for name in chosen.keys() - failed:
            if not _holds_for_hypothesis(name, chosen[name], seed + rounds):
                failed.add(name)
        rounds += 1
    print(f"hypothesis: {rounds} rounds of {_EXAMPLES} examples for {', '.join(chosen)}", flush=True)
    return bool(failed)


def _holds_for_hypothesis(name: str, holds: Property, seed: int) -> bool:
    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=_EXAMPLES, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(st.randoms(use_true_random=False))
    def tried(source: random.Random) -> None:
        holds(source)

    try:
        tried()
    except Exception:
        print(f"FOUND by hypothesis: {name}, seed {seed}\n{traceback.format_exc()}", flush=True)
        return False
    return True


def by_seeds(chosen: dict[str, Property], seed: int, seconds: float) -> bool:
    """Try case after case; True when something was found."""
    end = time.monotonic() + seconds
    failed: set[str] = set()
    case = seed
    while time.monotonic() < end and len(failed) < len(chosen):
        for name in chosen.keys() - failed:
            if _fails(name, chosen[name], case):
                failed.add(name)
        case += 1
    print(f"seeds: {case - seed} cases for each of {', '.join(chosen)}", flush=True)
    return bool(failed)


def _fails(name: str, holds: Property, case: int) -> bool:
    try:
        holds(random.Random(case))
    except Exception:
        again = f"python -m tests.fuzz --property {name} --case {case}"
        print(f"FOUND, to be seen again with: {again}\n{traceback.format_exc()}", flush=True)
        return True
    return False


def by_atheris(seed: int, seconds: float) -> bool:
    """Let atheris change the corpus, led by the lines of ours that are reached; True when it has found something."""
    with tempfile.TemporaryDirectory() as folder:
        for number, octets in enumerate(corpus.everything()):
            Path(folder, f"{number}").write_bytes(guided.encode(octets))
        options = [f"-max_total_time={max(1, round(seconds))}", f"-seed={seed % (1 << 31) or 1}", "-max_len=600"]
        command = [sys.executable, "-m", "tests.fuzz.guided", folder, *options, "-timeout=10", "-print_final_stats=1"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    lines = (done.stdout + done.stderr).splitlines()
    if done.returncode:
        print(f"FOUND by atheris: seed {seed}\n" + "\n".join(lines[-60:]), flush=True)
        return True
    print("\n".join(line for line in lines if "number_of_executed_units" in line or "new_units_added" in line))
    return False


if __name__ == "__main__":
    sys.exit(main())
