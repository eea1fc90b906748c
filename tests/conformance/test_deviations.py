"""What counts as a deviation, and the list of those that are meant."""

from pathlib import Path

import pytest

from tests.conformance.deviations import Deviation, missing, read, unexpected
from tests.conformance.drivers import Finding

LISTED = {"a/soft": Deviation("a/soft", "SOFT", "x"), "a/fail": Deviation("a/fail", "FAIL", "x")}


def test_the_list_can_be_read() -> None:
    deviations = read()
    assert all("/" in case for case in deviations)
    sources = ("RFC 9110 ", "RFC 9112 ")
    assert all(any(source in deviation.rule for source in sources) for deviation in deviations.values())


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (Finding("a/other", "PASS", ""), True),
        (Finding("a/other", "SOFT", ""), False),
        (Finding("a/other", "FAIL", ""), False),
        (Finding("a/soft", "SOFT", ""), True),
        (Finding("a/soft", "FAIL", ""), False),
        (Finding("a/soft", "PASS", ""), False),
        (Finding("a/fail", "FAIL", ""), True),
        (Finding("a/fail", "SOFT", ""), False),
        (Finding("a/fail", "PASS", ""), False),
    ],
)
def test_whatever_is_not_as_listed_is_said(finding: Finding, expected: bool) -> None:
    assert (not unexpected([finding], LISTED)) is expected


def test_a_listed_case_that_does_not_exist_is_said() -> None:
    assert not missing([Finding("a/soft", "SOFT", ""), Finding("a/fail", "FAIL", "")], LISTED)
    assert missing([Finding("a/soft", "SOFT", "")], LISTED) == ["listed, but there is no such case: a/fail"]


@pytest.mark.parametrize(
    "text",
    [
        '[[rule]]\ntext = "a"\nsource = "b"\ncases = { "a/b" = "PASS" }',
        '[[rule]]\ntext = "a"\nsource = "b"\ncases = {}',
        '[[rule]]\ntext = ""\nsource = "b"\ncases = { "a/b" = "SOFT" }',
        '[[rule]]\ntext = "a"\nsource = "b"\ncases = { "a/b" = "SOFT" }\n' * 2,
    ],
)
def test_an_entry_says_what_and_why_and_only_once(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.toml"
    path.write_text(text)
    with pytest.raises(ValueError):
        read(path)
