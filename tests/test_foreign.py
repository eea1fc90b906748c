"""The table of settings without effect."""

import pytest

from pyserve.foreign import FOREIGN
from pyserve.settings import OPTIONS

# (setting, given, whether that says nothing)
GIVEN: list[tuple[str, object, bool]] = [
    ("dirty_workers", 0, True),
    ("dirty_workers", "0", True),
    ("dirty_workers", 2, False),
    ("spew", False, True),
    ("spew", "False", True),
    ("spew", True, False),
    ("http_protocols", "h1", True),
    ("http_protocols", ["h1"], True),
    ("http_protocols", ["h2", "h1"], False),
    ("http_protocols", "", True),
    ("dirty_apps", [], True),
    ("dirty_apps", ["a:B"], False),
    ("protocol", "HTTP", True),
    ("protocol", "uwsgi", False),
    ("sendfile", True, True),
    ("sendfile", False, False),
]


@pytest.mark.parametrize(("name", "given", "nothing"), GIVEN)
def test_what_says_nothing(name: str, given: object, nothing: bool) -> None:
    assert FOREIGN[name].says_nothing(given) == nothing


def test_no_name_and_no_flag_is_in_both_tables() -> None:
    assert not set(FOREIGN) & set(OPTIONS)
    ours = {flag for option in OPTIONS.values() for flag in option.flags.split()}
    theirs = [flag for row in FOREIGN.values() for flag in (*row.flags.split(), *row.other_flag.split())]
    assert not ours & set(theirs)
    assert len(set(theirs)) == len(theirs)


def test_each_line_is_one_and_reads_on() -> None:
    for row in FOREIGN.values():
        assert "\n" not in row.why
        assert not row.why.endswith(".")
