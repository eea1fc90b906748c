"""The command that measures balance runs, and knows its goal."""

from collections import Counter

import pytest

from bench import balance


def test_a_small_crowd(capsys: pytest.CaptureFixture[str]) -> None:
    """That it runs and says what it has found; whether the goal is met is for a quiet machine."""
    balance.main(["--connections", "8", "--seconds", "0.2", "--only", "sync", "--arrivals", "at once"])
    assert capsys.readouterr().out.startswith("sync, at once: requests ")


@pytest.mark.parametrize(
    ("requests", "worst", "met"),
    [((10, 10, 10, 10), 1.0, True), ((15, 9, 8, 8), 1.5, True), ((16, 8, 8, 8), 1.6, False), ((40,), 4.0, False)],
)
def test_the_goal(requests: tuple[int, ...], worst: float, met: bool) -> None:
    finding = balance.Finding(Counter(dict(enumerate(requests))), Counter())
    assert finding.worst == worst
    assert finding.met is met
    assert ("MISSED" in str(finding)) is not met
