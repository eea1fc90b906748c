"""The values of the settings for applications that an ini file describes (PasteDeploy)."""

import os
import re

from pyserve.values.kinds import Kind, one_line

_EQUALS = re.compile(r"(?<!\\)=")


def file() -> Kind:
    """`FILE`, or `FILE#NAME` for another section than `main`; kept absolute, as it is read after `chdir`."""

    def parse(given: object) -> str | None:
        path, mark, name = one_line(given).strip().partition("#")
        if not path:
            return None
        path = os.path.expanduser(path)
        if not os.path.isfile(path):
            raise ValueError(": there is no such file")
        return os.path.abspath(path) + mark + name

    return Kind("the path of an ini file, perhaps with #NAME behind it", "FILE[#NAME]", parse)


def variables() -> Kind:
    """What the ini file's `[DEFAULT]` gets, each `NAME=value`; `\\=` is no sign of equality."""

    def parse(given: object) -> tuple[str, ...]:
        parts = given if isinstance(given, list | tuple) else [given] if given else []
        found = tuple(one_line(part) for part in parts)
        if not all(_EQUALS.search(one) for one in found):
            raise ValueError
        return found

    return Kind("NAME=value", "NAME=VALUE", parse, repeats=True)


def split(text: str) -> tuple[str, str]:
    """Name and value of one of `variables`."""
    name, value = _EQUALS.split(text, maxsplit=1)
    return name.replace("\\=", "="), value.replace("\\=", "=")
