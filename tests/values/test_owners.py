"""Users, groups and masks: by name, by number, and what is none."""

import grp
import os
import pwd

import pytest

from pyserve.values.owners import group, mask, mode, owner, split_owner, user

ROOT = pwd.getpwuid(0).pw_name
ROOTS = grp.getgrgid(0).gr_name


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (user(), ROOT, 0),
        (user(), f" {ROOT} ", 0),
        (user(), "1000", 1000),
        (user(), 12345, 12345),
        (user(), "4294967294", 2**32 - 2),
        (group(), ROOTS, 0),
        (group(), "0", 0),
        (group(), 54321, 54321),
        (mask(), "0", 0),
        (mask(), "0027", 0o27),
        (mask(), "027", 0o27),
        (mask(), "0o27", 0o27),
        (mask(), "0x17", 0o27),
        (mask(), "23", 23),
        (mask(), 0o77, 0o77),
        (mode(), "660", 0o660),
        (mode(), "0660", 0o660),
        (mode(), "0o660", 0o660),
        (mode(), 0o660, 0o660),
        (mode(), "0", 0),
        (mode(), None, None),
        (mode(), "", None),
        (owner(), ROOT, "0"),
        (owner(), f"1000:{ROOTS}", "1000:0"),
        (owner(), f" :{ROOTS} ", ":0"),
        (owner(), "1000:", "1000"),
        (owner(), 1000, "1000"),
        (owner(), "", None),
    ],
)
def test_good(kind, given, expected):
    assert kind.parse(given) == expected


@pytest.mark.parametrize("given", ["", "-1", -1, True, 1.5, None, "4294967295", 2**32 - 1, "no such user", "a\0b"])
@pytest.mark.parametrize("kind", [user(), group()], ids=["user", "group"])
def test_neither_user_nor_group(kind, given):
    with pytest.raises(ValueError):
        kind.parse(given)


@pytest.mark.parametrize("given", [":", "no such user", "0:no such group", "0:0:0", -1, True, 1.5, (0, 0)])
def test_no_owner(given):
    with pytest.raises(ValueError):
        owner().parse(given)


@pytest.mark.parametrize(("text", "parts"), [("", (None, None)), ("1", (1, None)), ("1:2", (1, 2)), (":0", (None, 0))])
def test_split_owner(text, parts):
    assert split_owner(text) == parts


@pytest.mark.parametrize("given", ["", "u=rwx", "-1", -1, "01000", 512, None, 0.5, "08", "099"])
def test_no_mask(given):
    with pytest.raises(ValueError) as info:
        mask().parse(given)
    assert not str(info.value)


def test_a_mistyped_name_is_told():
    entry = pwd.getpwuid(os.getuid())
    with pytest.raises(ValueError, match=f"did you mean '{entry.pw_name}'"):
        user().parse(entry.pw_name + entry.pw_name[-1])
    with pytest.raises(ValueError, match=f"did you mean '{ROOTS}'"):
        group().parse(ROOTS + ROOTS[-1])


@pytest.mark.parametrize("given", ["1000", "8", "-1", "rw", -1, 0o1000, True, 1.5])
def test_no_permissions(given):
    with pytest.raises(ValueError):
        mode().parse(given)
