"""Runs the folder's drivers against one mode of the server and reads what they say."""

import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.conformance.serving import Mode, environment, running, template

_PEER = Path(__file__).with_name("peer.py")
_PATIENCE = 120.0  # seconds until a driver must have ended

# Slow clients have their deadlines here, not after the half minute of the defaults; the slowest move every two
# seconds. At its end the log says at debug level which deadlines were missed, and how often.
_SHORT_DEADLINES = "--header-timeout 2 --body-timeout 1 --write-timeout 1 --log-level debug"
_MISSED = re.compile(r"timeouts: header (?P<headers>\d+), body (?P<body>\d+), .* write (?P<read>\d+)")
_SLOW_SECONDS = 6
_SLOW_CONNECTIONS = 60


@dataclass(frozen=True)
class Finding:
    """One case and what became of it; `verdict` is PASS, SOFT or FAIL."""

    case: str
    verdict: str
    text: str

    @property
    def signature(self) -> tuple[str, ...]:
        """What must not depend on the mode: the verdict and the statuses."""
        return (self.verdict, *re.findall(r"\b[1-5]\d\d\b", self.text))


@dataclass(frozen=True)
class Job:
    """One driver against one mode. `alike`: every mode must lead to the same findings."""

    driver: str
    mode: Mode
    run: Callable[[Mode, Path], list[Finding]]
    alike: bool = False


@dataclass
class Outcome:
    """What came of a job; `trouble` when it did not come to its end."""

    job: Job
    findings: list[Finding] = field(default_factory=list)
    trouble: str = ""

    @property
    def counts(self) -> dict[str, str]:
        """Suite -> "passed/soft/failed", as the folder's README writes it."""
        counts: dict[str, Counter[str]] = {}
        for finding in self.findings:
            counts.setdefault(finding.case.partition("/")[0], Counter())[finding.verdict] += 1
        return {suite: "/".join(str(each[v]) for v in ("PASS", "SOFT", "FAIL")) for suite, each in counts.items()}


class DriverTrouble(Exception):
    """A driver did not do its work; the text has what it printed."""


def _drive(folder: Path, directory: Path, *command: str) -> str:
    """Run a driver; return what it printed. Its exit status says no more than that."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=directory,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
    )
    if "Traceback (most recent call last)" in done.stderr:
        raise DriverTrouble(done.stderr[-2000:])
    return done.stdout


@contextmanager
def _served(mode: Mode, app: str, folder: Path) -> Iterator[tuple[int, Path]]:
    """A server of its own for one driver; gives its port and a directory for whatever is written."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as name:
        directory = Path(name)
        with open(directory / "log", "wb") as log, running(template(mode, directory), app, folder, log) as port:
            yield port, directory


def raw(mode: Mode, folder: Path, *arguments: str) -> list[Finding]:
    """`rawreplay.py` over all its sets."""
    suites = sorted(path.parent for path in folder.glob("data/*/manifest.jsonl"))
    with _served(mode, f"inspect_{mode.kind}:app", folder) as (port, directory):
        found = directory / "found.json"
        options = ["--port", str(port), "--json", str(found), "--quiet", *arguments]
        printed = _drive(folder, directory, str(folder / "rawreplay.py"), *options, *map(str, suites))
        if not found.exists():
            raise DriverTrouble(printed[-2000:])
        results = json.loads(found.read_text())
    findings = []
    for suite, result in results.items():
        if "canary" in result:
            findings.append(Finding(f"{suite}/canary", "FAIL", "the request after the last one was not answered"))
        findings += _numbered([Finding(f"{suite}/{case}", *end) for case, _, *end in result["rows"]])
    return findings


def raw_split(mode: Mode, folder: Path) -> list[Finding]:
    """The same, octet by octet: for the longest that takes longer than the driver would wait."""
    return raw(mode, folder, "--split", "1", "--timeout", "8", "--conns", "24")


def _numbered(findings: list[Finding]) -> list[Finding]:
    """Tell cases of one name apart. The driver gives them as they ended, so their numbers follow their verdicts."""
    occurrences: Counter[str] = Counter()
    numbered = []
    for finding in sorted(findings, key=lambda each: (each.case, each.verdict == "PASS", each.signature)):
        occurrences[finding.case] += 1
        number = f"#{occurrences[finding.case]}" if occurrences[finding.case] > 1 else ""
        numbered.append(replace(finding, case=finding.case + number))
    return numbered


def attacks(mode: Mode, folder: Path) -> list[Finding]:
    """`attack_cases.py`, which starts the server by itself to read its log and its memory."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as name:
        command = template(mode, Path(name), "--access-logfile -")
        arguments = [str(_PEER), str(folder), mode.kind, command, "attack_cases.py"]
        printed = _drive(folder, Path(name), *arguments)
    found = re.findall(r"(?m)^(PASS|SOFT|FAIL) (.*?)  \[(.*)\]$", printed)
    _must_have_ended("attacks", printed, len(found))
    return [Finding(f"attacks/{case}", verdict, text) for verdict, case, text in found]


def validation(mode: Mode, folder: Path) -> list[Finding]:
    """`wsgi_validate.py`; the async worker serves the application from its pool of threads."""
    with _served(mode, "validate_wsgi:app", folder) as (port, directory):
        printed = _drive(folder, directory, str(folder / "wsgi_validate.py"), "--port", str(port))
    failed = re.findall(r"(?m)^(?:FAIL|no report) (.*)$", printed)
    passed = _must_have_ended("wsgiref.validate", printed)
    return [
        *(Finding(f"validate/{number}", "PASS", "") for number in range(passed)),
        *(Finding(f"validate/{text}", "FAIL", text) for text in failed),
    ]


def slow(mode: Mode, folder: Path) -> list[Finding]:
    """`slow.py`: the server stays available, and has closed each slow connection by its deadline."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as name:
        log = Path(name) / "log"
        command = template(mode, Path(name), f"{_SHORT_DEADLINES} --error-logfile {shlex.quote(str(log))}")
        arguments = [str(_PEER), str(folder), mode.kind, command, "slow.py"]
        limits = ["--secs", str(_SLOW_SECONDS), "--conns", str(_SLOW_CONNECTIONS)]
        printed = _drive(folder, Path(name), *arguments, *limits)
        missed = _MISSED.search(log.read_text())
    found = re.findall(r"(?m)^(PASS|FAIL) slow (\w+) +(.*)$", printed)
    _must_have_ended("slowhttptest", printed, len(found))
    if missed is None:
        raise DriverTrouble("the log does not tell of missed deadlines")
    return [slow_finding(case, verdict, text, int(missed[case])) for verdict, case, text in found]


def slow_finding(case: str, verdict: str, text: str, missed: int) -> Finding:
    """A server that stayed available has still failed when it let slow connections be."""
    said = f"{text}; {missed} missed their deadline"
    return Finding(f"slow/{case}", verdict if missed >= _SLOW_CONNECTIONS else "FAIL", said)


def _must_have_ended(name: str, printed: str, cases: int | None = None) -> int:
    """Find the driver's last line, and hold its count against what was read; return how many passed."""
    last = re.search(rf"(?m)^{name} .*: (\d+) passed, (?:(\d+) soft, )?(\d+) failed", printed)
    if last is None or (cases is not None and cases != sum(int(count or 0) for count in last.groups())):
        raise DriverTrouble(f"not understood:\n{printed[-2000:]}")
    return int(last[1])


def attempt(job: Job, folder: Path) -> Outcome:
    """Run one job."""
    try:
        return Outcome(job, job.run(job.mode, folder))
    except (Exception, subprocess.TimeoutExpired) as error:
        return Outcome(job, trouble=f"{type(error).__name__}: {error}")
