"""How a setting is declared, and found again."""

from dataclasses import dataclass, fields

import pytest

from pyserve.settings import OPTIONS
from pyserve.values import kinds
from pyserve.values.option import Group, Option, option_of, setting


@pytest.mark.parametrize(
    ("flags", "flag", "variable"),
    [
        ("--workers -w", "--workers", "PYSERVE_WORKERS"),
        ("--keep-alive", "--keep-alive", "PYSERVE_KEEP_ALIVE"),
        ("-b --bind", "-b", "PYSERVE_B"),  # the first one counts
        ("APP", "APP", "PYSERVE_APP"),
        ("", "", ""),
    ],
)
def test_the_first_flag_names_the_setting(flags: str, flag: str, variable: str) -> None:
    option = Option(Group.WORKERS, flags, kinds.whole(), "")
    assert (option.flag, option.variable) == (flag, variable)


def test_a_field_has_its_default_and_its_option() -> None:
    kind = kinds.whole()

    @dataclass
    class Some:
        number: int = setting(Group.LIMITS, "--number", 7, kind, "How many.", only="sync", fallbacks=("NUMBER",))

    assert Some().number == 7
    (field,) = fields(Some)
    assert option_of(field) == Option(Group.LIMITS, "--number", kind, "How many.", only="sync", fallbacks=("NUMBER",))


def test_no_two_settings_have_a_name_in_common() -> None:
    options = OPTIONS.values()
    for names in (
        [flag for option in options for flag in option.flags.split()],
        [o.variable for o in options if o.variable],
    ):
        assert len(names) == len(set(names))


def test_each_group_has_settings() -> None:
    assert {option.group for option in OPTIONS.values()} == set(Group)
