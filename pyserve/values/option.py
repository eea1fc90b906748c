"""How a setting is declared: everything about it but its name, its type and its default."""

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal, TypeVar

from pyserve.values.kinds import Kind

T = TypeVar("T")
PREFIX: Final = "PYSERVE_"


class Group(StrEnum):
    """The headings of `--help` and of docs/settings.md, in their order."""

    APPLICATION = "Application"
    SOCKETS = "Sockets"
    WORKERS = "Workers"
    PROTOCOLS = "Protocols"
    TIMEOUTS = "Timeouts"
    LIMITS = "Limits"
    LOGS = "Logs"
    ACTIONS = "Actions"


@dataclass(frozen=True, slots=True)
class Option:
    """How a setting is given.

    flags: separated by blanks, the one to show first; `APP` is the argument. only: the one worker class in
    which the setting has an effect; empty for both. fallbacks: environment variables that are read after
    `variable`.
    """

    group: Group
    flags: str
    kind: Kind
    help: str
    only: Literal["sync", "async", ""] = ""
    fallbacks: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """The flag to show: `--workers`, or `APP`."""
        return self.flags.split()[0]

    @property
    def variable(self) -> str:
        """The environment variable: `PYSERVE_WORKERS`."""
        return PREFIX + self.flag.strip("-").replace("-", "_").upper()


def setting(group: Group, flags: str, default: T, kind: Kind, help: str, **more: Any) -> T:
    """A dataclass field with its option; `option_of` finds it again. more: `only` and `fallbacks`."""
    return dataclasses.field(default=default, metadata={Option: Option(group, flags, kind, help, **more)})


def option_of(field: "dataclasses.Field[Any]") -> Option:
    """The option with which a field was declared by `setting`."""
    option = field.metadata[Option]
    assert isinstance(option, Option)
    return option
