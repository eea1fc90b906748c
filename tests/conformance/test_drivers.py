"""Reading what the drivers say."""

from pathlib import Path

import pytest

from tests.conformance.__main__ import differences
from tests.conformance.drivers import Finding, Job, Outcome, _numbered, attempt, slow_finding
from tests.conformance.serving import MODES, Mode


def outcome(mode: Mode, *findings: Finding, alike: bool = True) -> Outcome:
    return Outcome(Job("whole", mode, lambda mode, folder: [], alike), list(findings))


def test_cases_of_one_name_are_numbered_in_an_order_that_does_not_depend_on_theirs() -> None:
    findings = [Finding("a", "SOFT", "400"), Finding("a", "PASS", "400"), Finding("b", "PASS", "200")]
    expected = [("a", "SOFT"), ("a#2", "PASS"), ("b", "PASS")]
    for each in (findings, findings[::-1]):
        assert [(finding.case, finding.verdict) for finding in _numbered(each)] == expected


def test_modes_that_answer_alike_differ_in_nothing() -> None:
    good = Finding("a", "PASS", "200,400+closed")
    assert not differences([outcome(MODES[0], good), outcome(MODES[1], Finding("a", "PASS", "200,400+open"))])
    assert differences([outcome(MODES[0], good), outcome(MODES[1], Finding("a", "PASS", "400+closed"))])
    assert differences([outcome(MODES[0], good), outcome(MODES[1], Finding("a", "SOFT", "200,400+closed"))])
    assert not differences([outcome(MODES[0], good), outcome(MODES[1], Finding("a", "SOFT", ""), alike=False)])


def test_the_counts_are_those_of_each_suite() -> None:
    found = outcome(MODES[0], Finding("a/1", "PASS", ""), Finding("a/2", "FAIL", ""), Finding("b/1", "SOFT", ""))
    assert found.counts == {"a": "1/0/1", "b": "0/1/0"}


@pytest.mark.parametrize(
    ("said", "missed", "verdict"), [("PASS", 60, "PASS"), ("PASS", 59, "FAIL"), ("FAIL", 99, "FAIL")]
)
def test_slow_connections_that_are_let_be_are_a_failure(said: str, missed: int, verdict: str) -> None:
    assert slow_finding("body", said, "available", missed).verdict == verdict


def test_what_stops_a_job_is_said(tmp_path: Path) -> None:
    def breaks(mode: Mode, folder: Path) -> list[Finding]:
        raise ValueError("no")

    assert attempt(Job("whole", MODES[0], breaks), tmp_path).trouble == "ValueError: no"
