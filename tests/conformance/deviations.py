"""Where pyserve deliberately answers otherwise than a case expects (`deviations.toml`)."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.drivers import Finding

LIST = Path(__file__).with_name("deviations.toml")


@dataclass(frozen=True)
class Deviation:
    """A case, the verdict that is meant, and the rule with its source that says why."""

    case: str
    verdict: str
    rule: str


def read(path: Path = LIST) -> dict[str, Deviation]:
    """Read the list. Raises `ValueError` for a case that stands in it twice or an entry that says too little."""
    deviations: dict[str, Deviation] = {}
    for entry in tomllib.loads(path.read_text())["rule"]:
        if not (entry["text"] and entry["source"] and entry["cases"]):
            raise ValueError(f"an entry without text, source or cases: {entry}")
        for case, verdict in entry["cases"].items():
            if case in deviations or verdict not in ("SOFT", "FAIL"):
                raise ValueError(f"twice, or with an unknown verdict: {case} = {verdict}")
            deviations[case] = Deviation(case, verdict, f"{entry['text']} ({entry['source']})")
    return deviations


def unexpected(findings: Iterable[Finding], deviations: dict[str, Deviation]) -> list[str]:
    """Say what is not as it should be: a case that deviates unlisted or otherwise, or a listed one that does not."""
    wrong = []
    for finding in findings:
        listed = deviations.get(finding.case)
        if finding.verdict != (listed.verdict if listed else "PASS"):
            wanted = f"listed as {listed.verdict}" if listed else "not listed"
            wrong.append(f"{finding.verdict} {finding.case}: {finding.text} [{wanted}]")
    return wrong


def missing(findings: Iterable[Finding], deviations: dict[str, Deviation]) -> list[str]:
    """Listed cases that were not met in any run."""
    met = {finding.case for finding in findings}
    return [f"listed, but there is no such case: {case}" for case in deviations if case not in met]
