"""The command that fuzzes for a while: what it finds is said in a way that can be seen again."""

from random import Random

import pytest

from tests.fuzz.__main__ import by_hypothesis, by_seeds
from tests.fuzz.findings import finding
from tests.fuzz.reference import read
from tests.fuzz.streams import SMALL
from tests.protocol.conversation import LIMITS
from tests.protocol.messages import GET


def never(random: Random) -> None:
    assert random.randrange(10) != 7, "seven"


def always(random: Random) -> None:
    random.randrange(10)


def test_a_case_that_fails_is_named_by_its_seed(capsys: pytest.CaptureFixture[str]) -> None:
    assert by_seeds({"never": never}, 0, seconds=5)
    said = capsys.readouterr().out
    [case] = [word for line in said.splitlines() if "--property never" in line for word in line.split()[-1:]]
    with pytest.raises(AssertionError, match="seven"):
        never(Random(int(case)))


def test_hypothesis_finds_it_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert by_hypothesis({"never": never}, 0, seconds=5)
    assert "seven" in capsys.readouterr().out


def test_what_holds_is_tried_until_the_time_is_over() -> None:
    assert not by_seeds({"always": always}, 0, seconds=0.01)
    assert not by_hypothesis({"always": always}, 0, seconds=0.01)


def test_a_finding_is_a_case_for_the_table() -> None:
    octets = GET + b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"
    said = str(finding(octets, SMALL, True, read(octets, LIMITS), ValueError("why")))
    assert said.splitlines()[-1] == f'("found by the fuzz", "", {octets!r}, "200 505 close"),'
    assert "ValueError: why" in said
    assert "with the client's end behind it" in said
    assert "field_size=50" in said
