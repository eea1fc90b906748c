"""The kinds of value that a setting can have, and how each is read.

A kind reads either the text of a command line or an environment variable, or the Python value of a keyword,
and returns the value in the form in which `Settings` keeps it. What it cannot read raises ValueError, whose
text (often empty) is a hint that is added to `Kind.expected`.
"""

import difflib
import math
import os
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from pyserve.values import processors
from pyserve.values.addresses import parse_address
from pyserve.values.log_addresses import FACILITIES
from pyserve.values.reference import parse_reference

_LARGEST = 2**31 - 1  # what a C int holds: backlogs, descriptors
_LONGEST = 1_000_000_000.0  # seconds; people write 999999999 for "never"
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt]?)(?:i?b)?)", re.ASCII | re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m|h|)", re.ASCII | re.IGNORECASE)
_PREFIXED = re.compile(r"0(x[0-9a-f]{1,15}|o[0-7]{1,20}|b[01]{1,60})", re.ASCII | re.IGNORECASE)
_ANY_HOST = "0.0.0.0"
_ANYWHERE = f"{_ANY_HOST}:8000"
_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}
_TRUE = {"1", "true", "yes", "on", "y"}
_FALSE = {"0", "false", "no", "off", "n"}


@dataclass(frozen=True, slots=True)
class Kind:
    """expected: completes "expected …", and names the unit that a bare number counts. metavar: the value's place in
    the help; empty for a switch. repeats: may be given several times. negates: a switch that has a `--no-` form.
    bare: the value that the flag without one stands for; empty where it must have one. doubt: of a value that was read,
    what is to be said if it makes no sense and other servers take it all the same, as in "info is taken";
    else empty."""

    expected: str
    metavar: str
    parse: Callable[[object], object]
    repeats: bool = False
    negates: bool = False
    bare: str = ""
    doubt: Callable[[object], str] = lambda given: ""


def near(name: str, names: Iterable[str], prefix: str = "") -> str:
    """The name that resembles a mistyped one, as the end of a message: "; did you mean 'x'?", or nothing.

    prefix: what all names begin with; compared it would make all of them alike.
    """
    lowered = {other.removeprefix(prefix).lower(): other for other in names}
    found = difflib.get_close_matches(name.removeprefix(prefix).lower(), lowered, n=1, cutoff=0.6)
    return f"; did you mean {lowered[found[0]]!r}?" if found else ""


def whole(low: int = 0, high: int = _LARGEST, *, zero: int | None = 0, clamps: bool = False) -> Kind:
    """A whole number from `low` to `high`. zero: what 0 stands for. clamps: what is more is `high`."""

    def parse(given: object) -> int | None:
        number = _whole(given)
        if not low <= number or (number > high and not clamps):
            raise ValueError
        return min(number, high) or zero

    def doubt(given: object) -> str:
        return f"{high} is taken" if _whole(given) > high else ""

    limits = f"of {low} or more" if high == _LARGEST else f"from {low} to {high}"
    return Kind(f"a whole number {limits}", "NUMBER", parse, doubt=doubt)


def workers() -> Kind:
    """A number of processes, or `auto` for one per processor that this process may use."""
    numbers = whole(1, 4096)

    def parse(given: object) -> object:
        if isinstance(given, str) and given.strip().lower() == "auto":
            return min(processors.available(), 4096)
        return numbers.parse(given)

    return Kind(f"{numbers.expected}, or auto", "NUMBER|auto", parse)


def size(low: int = 0) -> Kind:
    """Octets: 1048576, 1024k, 1m, 1g (powers of 1024)."""

    def parse(given: object) -> int:
        if isinstance(given, str) and not _PREFIXED.fullmatch(given.strip()):
            match = _SIZE.fullmatch(given.strip())
            if match is None:
                raise ValueError
            number = int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))
        else:
            number = _whole(given)
        if not low <= number < 2**60:
            raise ValueError
        return number

    return Kind(f"a size of {low} or more bytes such as 65536, 64k, 10m or 1g", "SIZE", parse)


def seconds(*, zero: float = 0.0) -> Kind:
    """A duration: 30, 0.5, 500ms, 30s, 2m, 1h. zero: what 0 stands for."""

    def parse(given: object) -> float:
        if isinstance(given, str) and not _PREFIXED.fullmatch(given.strip()):
            match = _DURATION.fullmatch(given.strip())
            if match is None:
                raise ValueError
            number = float(match[1]) * _SECONDS[match[2].lower()]
        else:
            number = given if isinstance(given, float) else float(_whole(given))
        if not math.isfinite(number) or not 0.0 <= number <= _LONGEST:
            raise ValueError
        return number or zero

    return Kind("0 or more seconds such as 30, 0.5, 500ms or 2m", "SECONDS", parse)


def choice(*names: str, instead: str = "", others: Collection[str] = (), **also: str) -> Kind:
    """One of a few words, in any case. also: what other servers call some of them. instead: which of them is taken for
    the `others` that only those servers have, and for a class of one's own, `module:Class`."""
    words = dict(zip(names, names, strict=True)) | also

    def parse(given: object) -> str:
        if doubt(given):
            return instead
        if not isinstance(given, str):
            raise ValueError
        word = given.strip().lower()
        if word not in words:
            raise ValueError(near(word, names))
        return words[word]

    def doubt(given: object) -> str:
        is_theirs = instead and isinstance(given, str) and (given.strip().lower() in others or ":" in given.strip(":"))
        return f"{instead} is taken" if is_theirs else ""

    return Kind(f"one of {', '.join(names)}", "|".join(names), parse, doubt=doubt)


def level(*names: str, **also: str) -> Kind:
    """A word for how important a message is, or `logging`'s number: it is rounded up to that of a word. With another
    word gunicorn goes on with `info`."""
    words = choice(*names, **also)

    def parse(given: object) -> object:
        if isinstance(given, int) and not isinstance(given, bool) and 0 < given <= 10 * len(names):
            return names[(given - 1) // 10]
        return "info" if doubt(given) else words.parse(given)

    def doubt(given: object) -> str:
        known = not isinstance(given, str) or given.strip().lower() in (*names, *also)
        return "" if known else f"info is taken{near(str(given), names)}"

    return Kind(words.expected, words.metavar, parse, doubt=doubt)


def switch(*, negates: bool = True) -> Kind:
    """On or off. As a flag it takes no value; negates: there is a `--no-` form to overrule the
    environment."""

    def parse(given: object) -> bool:
        word = str(given).strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
        raise ValueError

    return Kind("true or false", "", parse, negates=negates)


def boolean() -> Kind:
    """On or off, as a flag with a value of its own."""
    return Kind("true or false", "BOOLEAN", switch().parse)


def address_of(what: str, forms: str, parse_address: Callable[[str], object]) -> Kind:
    """Where some service is. parse_address: raises ValueError for what is no address of it."""

    def parse(given: object) -> str | None:
        address = one_line(given).strip()
        if address:
            parse_address(address)
        return address or None

    return Kind(f"where {what} is: {forms}", "ADDRESS", parse)


def facility() -> Kind:
    """A facility of syslog's by its name."""
    names = choice(*FACILITIES)
    return Kind(f"a syslog facility: {', '.join(FACILITIES)}", "NAME", names.parse)


def mapping() -> Kind:
    """A dict, from a configuration file or a keyword."""

    def parse(given: object) -> dict[object, object] | None:
        if not isinstance(given, dict):
            raise ValueError
        return given or None

    return Kind("a dict", "DICT", parse)


def dotted() -> Kind:
    """A class: itself, or `module.Class`, also `module:Class`."""

    def parse(given: object) -> object:
        if isinstance(given, type):
            return given
        name = one_line(given).strip().replace(":", ".")
        if not name or not all(part.isidentifier() for part in name.split(".")):
            raise ValueError
        return name

    return Kind("a class, or its dotted name such as package.module.Class", "CLASS", parse)


def text() -> Kind:
    """Any text in one line."""

    def parse(given: object) -> str:
        return one_line(given)

    return Kind("a text in one line", "TEXT", parse)


def file(*, required: bool = False) -> Kind:
    """The path of a file; empty for none unless required."""

    def parse(given: object) -> str | None:
        path = one_line(given)
        if path or not required:
            return path or None
        raise ValueError

    return Kind("the path of a file", "FILE", parse)


def directory() -> Kind:
    """A directory, empty for the working one; whether it exists is checked when all settings are known (one may be
    relative to another)."""

    def parse(given: object) -> str | None:
        return os.path.expanduser(one_line(given)) or None

    return Kind("a directory that exists", "DIRECTORY", parse)


def url_path(*, mount: bool = True) -> Kind:
    """The path of a URL. mount: the one under which the application is mounted, without its last slash, so that "/" is
    the same as none."""

    def parse(given: object) -> str:
        path = one_line(given).strip()
        if mount:
            path = path.rstrip("/")
        if any(mark in path for mark in "?# ") or "://" in path:
            raise ValueError
        return f"/{path}" if path and not path.startswith("/") else path

    def doubt(given: object) -> str:
        path = parse(given)
        return "" if str(given).strip().startswith(path) else f"{path} is taken"

    return Kind("a path such as /api", "PATH", parse, doubt=doubt)


def host() -> Kind:
    """A host name or address without port, IPv6 with or without brackets; an empty one is what uvicorn makes of it."""

    def parse(given: object) -> str:
        name = one_line(given).strip()
        if not name:
            return _ANY_HOST
        bare = name.strip("[]")
        if not bare:
            raise ValueError
        parse_address(f"[{bare}]:1" if ":" in bare else f"{bare}:1")
        return bare

    def doubt(given: object) -> str:
        return "" if str(given).strip() else f"{_ANY_HOST} is taken"

    return Kind("a host name or an address, without port", "HOST", parse, doubt=doubt)


def addresses() -> Kind:
    """Where to listen, once or several times, also separated by commas; kept in one normal form each. An empty one is
    what gunicorn makes of it."""

    def parse(given: object) -> tuple[str, ...]:
        parts = [given] if isinstance(given, str) else given
        if not isinstance(parts, list | tuple):
            raise ValueError
        found = [str(parse_address(one)) for part in parts for one in (one_line(part).strip() or _ANYWHERE).split(",")]
        if not found:
            raise ValueError
        return tuple(found)

    def doubt(given: object) -> str:
        parts = given if isinstance(given, list | tuple) else [given]
        return "" if all(str(part).strip() for part in parts) else f"{_ANYWHERE} is taken"

    expected = "host:port, :port, [::1]:port, unix:path, unix:@name or fd://number"
    return Kind(expected, "ADDRESS", parse, repeats=True, doubt=doubt)


def assignments() -> Kind:
    """Variables of the environment, each `NAME=value`."""

    def parse(given: object) -> tuple[str, ...]:
        found = _texts(given)
        if any(not one.partition("=")[0].strip() or "=" not in one for one in found):
            raise ValueError
        return found

    return Kind("NAME=value", "NAME=VALUE", parse, repeats=True)


def texts(expected: str, metavar: str, *, separator: str = "") -> Kind:
    """Several texts; separator: what may stand between them in one, which may then be empty."""

    def parse(given: object) -> tuple[str, ...]:
        if separator and isinstance(given, str | list | tuple) and not "".join(map(str, given)).strip():
            return ()
        found = _texts(given)
        if separator:
            found = tuple(part.strip() for one in found for part in one.split(separator) if part.strip())
        return found

    return Kind(expected, metavar, parse, repeats=True)


def paths() -> Kind:
    """Files, directories or patterns, kept absolute: the application may change the working directory."""

    def parse(given: object) -> tuple[str, ...]:
        try:
            return tuple(os.path.abspath(os.path.expanduser(one)) for one in _texts(given))
        except OSError:  # the working directory is gone
            raise ValueError from None

    return Kind("the path of a file or directory", "PATH", parse, repeats=True)


def application() -> Kind:
    """`module:attribute` as text, or the application itself (only from a keyword)."""

    def parse(given: object) -> object:
        if isinstance(given, str):
            return str(parse_reference(given.strip()))
        if not callable(given):
            raise ValueError
        return given

    return Kind("module, module:attribute or module:factory()", "APP", parse)


def _whole(given: object) -> int:
    """A number as Python writes it; as with gunicorn also False and True are some."""
    if isinstance(given, str) and _PREFIXED.fullmatch(given.strip()):
        return int(given, 0)
    if isinstance(given, str) and re.fullmatch(r"[+-]?\d{1,18}", given.strip(), re.ASCII):
        return int(given)
    if isinstance(given, int):
        return int(given)
    raise ValueError


def one_line(given: object) -> str:
    """A text, or a path as text; ValueError for what would break a line."""
    given = os.fspath(given) if isinstance(given, os.PathLike) else given
    if not isinstance(given, str) or any(mark in given for mark in "\0\r\n"):
        raise ValueError
    return given


def _texts(given: object) -> tuple[str, ...]:
    """Whatever is nothing in a file, as `""` or `{}`, is no text; of a flag it would be a tuple of an empty one."""
    if not given:
        return ()
    parts = given if isinstance(given, list | tuple | set | frozenset) else [given]
    found = tuple(one_line(part) for part in parts)
    if not all(one.strip() for one in found):
        raise ValueError
    return found
