"""Kinds of value that say whose a process is and what its files may be: users, groups, masks of permissions."""

import grp
import pwd
import re

from pyserve.values.kinds import Kind, near

_MOST = 2**32 - 2  # the number after it, (uid_t)-1, means "leave it" to setresuid(2) and chown(2)
_LEADING_ZERO = re.compile(r"0[0-9]+", re.ASCII)


def user() -> Kind:
    """A user by name or number, kept as the number, which the system need not know: containers often do not."""

    def parse(given: object) -> int:
        if not isinstance(given, str) or given.strip().isdecimal():
            return _number(given)
        try:
            return pwd.getpwnam(given.strip()).pw_uid
        except (KeyError, ValueError):
            raise ValueError(near(given.strip(), (entry.pw_name for entry in pwd.getpwall()))) from None

    return Kind("the name of a user that exists, or a number", "USER", parse)


def group() -> Kind:
    """A group by name or number, kept as the number."""

    def parse(given: object) -> int:
        if not isinstance(given, str) or given.strip().isdecimal():
            return _number(given)
        try:
            return grp.getgrnam(given.strip()).gr_gid
        except (KeyError, ValueError):
            raise ValueError(near(given.strip(), (entry.gr_name for entry in grp.getgrall()))) from None

    return Kind("the name of a group that exists, or a number", "GROUP", parse)


def owner() -> Kind:
    """Whose a file is to be: `USER`, `USER:GROUP` or `:GROUP`, kept as text with numbers; see `split_owner`."""

    def parse(given: object) -> str | None:
        if given is None or given == "":
            return None
        if isinstance(given, int):
            return str(_number(given))
        if not isinstance(given, str) or given.strip() == ":":
            raise ValueError
        uid, _, gid = given.strip().partition(":")
        return (str(user().parse(uid)) if uid else "") + (f":{group().parse(gid)}" if gid else "")

    return Kind("a user, a user and a group as in www-data:www-data, or a group as in :www-data", "OWNER", parse)


def split_owner(text: str) -> tuple[int | None, int | None]:
    """What `owner` has made: the numbers of user and group, None for one that is not given."""
    uid, _, gid = text.partition(":")
    return int(uid) if uid else None, int(gid) if gid else None


def mask(metavar: str = "MASK") -> Kind:
    """The permissions that new files do not get, or those that one gets. Text is read as gunicorn reads it: `0027` and
    `0o27` are octal, `23` is decimal."""

    def parse(given: object) -> int:
        try:
            number = _mask(given.strip()) if isinstance(given, str) else given
        except ValueError:
            raise ValueError from None  # the text of `int` says less than ours
        if not isinstance(number, int) or not 0 <= number <= 0o777:
            raise ValueError
        return int(number)

    return Kind("permissions from 0 to 0o777, in octal with a leading 0 as in 0027", metavar, parse)


def mode() -> Kind:
    """The permissions of a file, in octal: `660`, `0660`, `0o660`; None for what the mask leaves. A number is what it
    is in Python."""

    def parse(given: object) -> int | None:
        if given is None or given == "":
            return None
        try:
            number = int(given.strip(), 8) if isinstance(given, str) else given
        except ValueError:
            raise ValueError from None
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= 0o777:
            raise ValueError
        return number

    return Kind("permissions in octal, from 0 to 777", "MODE", parse)


def _mask(text: str) -> int:
    return int(text, 8 if _LEADING_ZERO.fullmatch(text) else 0)


def _number(given: object) -> int:
    number = int(given) if isinstance(given, str) else given
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= _MOST:
        raise ValueError
    return number
