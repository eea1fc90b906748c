"""How a setting is declared: everything about it but its name, its type and its default."""

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from types import FunctionType
from typing import Any, Final, Literal, TypeVar

from pyserve.values.kinds import Kind

T = TypeVar("T")
PREFIX: Final = "PYSERVE_"


class Group(StrEnum):
    """The headings of `--help` and of docs/settings.md, in their order."""

    APPLICATION = "Application"
    SOCKETS = "Sockets"
    TLS = "TLS"
    WORKERS = "Workers"
    PROCESSES = "Processes"
    PROTOCOLS = "Protocols"
    PROXIES = "Proxies"
    TIMEOUTS = "Timeouts"
    LIMITS = "Limits"
    LOGS = "Logs"
    DEVELOPMENT = "Development"
    HOOKS = "Hooks"
    ACTIONS = "Actions"


@dataclass(frozen=True, slots=True)
class Option:
    """How a setting is given.

    flags: separated by blanks, the one to show first; `APP` is the argument; empty for a setting that only a
    configuration file or a keyword gives. only: the one worker class in which the setting has an effect; empty for
    both. fallbacks: environment variables that are read after `variable`. names: other names of the setting as a
    keyword and in a configuration file. common_word: whether people have variables of their own by that name, as in
    `bind = f"{host}:{port}"`; then a Python configuration file gives the setting only where it is called pyserve….
    """

    group: Group
    flags: str
    kind: Kind
    help: str
    only: Literal["sync", "async", ""] = ""
    fallbacks: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    common_word: bool = False

    @property
    def flag(self) -> str:
        """The flag to show: `--workers`, or `APP`; empty without one."""
        return self.flags.partition(" ")[0]

    @property
    def variable(self) -> str:
        """The environment variable: `PYSERVE_WORKERS`; empty without a flag."""
        return PREFIX + self.flag.strip("-").replace("-", "_").upper() if self.flags else ""


def setting(group: Group, flags: str, default: T, kind: Kind, help: str, **more: Any) -> T:
    """A dataclass field with its option; `option_of` finds it again. more: the other attributes of
    an `Option`."""
    return dataclasses.field(default=default, metadata={Option: Option(group, flags, kind, help, **more)})


def option_of(field: "dataclasses.Field[Any]") -> Option:
    """The option with which a field was declared by `setting`."""
    option = field.metadata[Option]
    assert isinstance(option, Option)
    return option


def shown_value(value: object) -> str:
    """A value in the form in which it could be given on the command line."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case type() | FunctionType():
            return f"<{value.__module__}.{value.__qualname__}>"
        case tuple():
            return ",".join(map(str, value))
    return str(value)
