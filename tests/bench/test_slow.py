import argparse
import shutil

import pytest

from bench import report, slow
from bench.patient import Waits

CALM = Waits(0.0005, 0.001, 0.002)


def finding(during: float = 0.001, added: int = 0, left: int = 0) -> slow.Finding:
    rounds = [slow.Round(CALM, Waits(0.0005, p99, 0.002), 4000) for p99 in (0.0001, during, 0.1)]
    return slow.Finding("sync", "heads", 4000, rounds, added, left)


@pytest.mark.skipif(shutil.which("slowhttptest") is None, reason="slowhttptest is not installed")
def test_a_small_attack(capsys: pytest.CaptureFixture[str]) -> None:
    """That it runs and says what it has found; whether goals are met is for a quiet machine."""
    options = [
        "--connections",
        "20",
        "--seconds",
        "0.3",
        "--rounds",
        "1",
        "--only",
        "sync",
        "--modes",
        "heads",
        "--dry",
    ]
    slow.main(options)
    name, mode, count, *_ = capsys.readouterr().out.split()
    assert (name, mode, count) == ("sync", "heads", "20")


def test_without_slowhttptest_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert slow.main([]) == 1
    assert "slowhttptest is needed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("during", "added", "left", "met"),
    [(0.0015, 1024, 0, True), (0.0016, 0, 0, False), (0.001, 103000, 0, False), (0.001, 0, 1, False)],
)
def test_the_goals(during: float, added: int, left: int, met: bool) -> None:
    """The median of the rounds counts."""
    found = finding(during, added, left)
    assert found.met is met
    assert ("MISSED" in str(found)) is not met


def test_what_of_a_hundred_and_of_a_thousand() -> None:
    assert Waits.of([float(number) for number in range(1000, 0, -1)]) == Waits(501, 991, 1000)


def test_results_of_other_workers_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: report.Path) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    options = argparse.Namespace(connections=1, readers=1, seconds=1.0, rounds=3)
    other = slow.Finding("async", "heads", 4000, finding().rounds, 0, 0)
    slow._write([finding(left=3), other], options)
    slow._write([finding()], options)
    (table,) = tmp_path.glob("*-slow.md")
    lines = [line for line in table.read_text().splitlines() if "heads" in line]
    assert [line.split("|")[1].strip() for line in lines] == ["sync", "async"]
    assert all("met" in line and "MISSED" not in line for line in lines)
