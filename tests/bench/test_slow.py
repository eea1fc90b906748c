import shutil

import pytest

from bench import slow


@pytest.mark.skipif(shutil.which("slowhttptest") is None, reason="slowhttptest is not installed")
def test_a_small_attack(capsys: pytest.CaptureFixture[str]) -> None:
    """That it runs and says what it has found; whether goals are met is for a quiet machine."""
    slow.main(["--connections", "20", "--seconds", "2", "--only", "sync", "--modes", "heads"])
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
    finding = slow.Finding("sync", "heads", 4000, 0.001, during, added, left)
    assert finding.met is met
    assert ("MISSED" in str(finding)) is not met
