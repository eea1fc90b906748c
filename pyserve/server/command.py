"""A command line, read with the table of settings: argparse's habits, as gunicorn's users know them, over click.

Long options may be abbreviated where only one begins so (`--conf x.py`, `--error-log -`). Values stay text: `resolve`
reads them, as it reads the environment's.
"""

from __future__ import annotations

import functools
import itertools
import platform
from collections.abc import Iterator, Sequence
from typing import Any, Final

import click

from pyserve import __version__
from pyserve.foreign import FOREIGN, Foreign
from pyserve.settings import DEFAULTS, OPTIONS
from pyserve.values.option import Group, Option, shown_value

_INTRODUCTION = "Serve the WSGI or ASGI application APP."
_EPILOG = "Every option is also read from the environment: --log-level from PYSERVE_LOG_LEVEL, and so on."


def parse(arguments: Sequence[str], place: str = "pyserve") -> dict[str, Any]:
    """By field name what was given. place: for what is printed. Raises click.UsageError, or click.exceptions.Exit after
    `--help` and `--version`."""
    context = _command().make_context(place, list(_in_full(arguments)))
    # click gives an option that may be repeated as a tuple, an empty one when it is not given.
    return {name: value for name, value in context.params.items() if value not in ((), None)}


class _Command(click.Command):
    """Help with the headings of the table."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records = {parameter.name: parameter.get_help_record(ctx) for parameter in self.get_params(ctx)}
        records["app"] = ("APP", OPTIONS["app"].help)
        for group in Group:
            rows = [records.pop(name, None) for name, option in OPTIONS.items() if option.group is group]
            if group is Group.ACTIONS:
                rows += records.values()  # --version, --help
            shown = [row for row in rows if row is not None]
            if shown:
                with formatter.section(group):
                    formatter.write_dl(shown, col_max=28)


@functools.cache
def _command() -> click.Command:
    parameters: list[click.Parameter] = [_parameter(name, option) for name, option in OPTIONS.items() if option.flags]
    parameters += [_foreign(row) for row in FOREIGN.values() if row.flags]
    names = {"help_option_names": ["--help", "-h"]}
    command = _Command("pyserve", params=parameters, help=_INTRODUCTION, epilog=_EPILOG, context_settings=names)
    interpreter = f"{platform.python_implementation()} {platform.python_version()}"
    show = click.version_option(
        __version__, "--version", "-v", prog_name="pyserve", message=f"%(prog)s %(version)s ({interpreter})"
    )
    return show(command)


def _parameter(name: str, option: Option) -> click.Parameter:
    if not option.flag.startswith("-"):
        return click.Argument([name], metavar=option.flag, required=False)
    kind = option.kind
    default = getattr(DEFAULTS, name)
    shown = option.help + (f" [{shown_value(default)}]" if kind.metavar and default not in (None, "") else "")
    if kind.metavar:
        flags = [name, *option.flags.split()]
        bare: dict[str, Any] = {"is_flag": False, "flag_value": kind.bare} if kind.bare else {}
        return click.Option(
            flags, metavar=kind.metavar, multiple=kind.repeats, type=click.UNPROCESSED, help=shown, **bare
        )
    flag, *others = option.flags.split()
    switch = f"{flag}/{_off(flag)}" if kind.negates else flag
    return click.Option([name, switch, *others], is_flag=True, default=None, help=shown)


def _foreign(row: Foreign) -> click.Option:
    """Not in the help: it is of no use."""
    if row.takes:
        flags = [row.name, *row.flags.split()]
        return click.Option(flags, metavar=row.takes, multiple=row.repeats, type=click.UNPROCESSED, hidden=True)
    switch = f"{row.flag}/{row.other_flag}" if row.other_flag else row.flag
    return click.Option([row.name, switch], is_flag=True, default=None, hidden=True)


def _off(flag: str) -> str:
    return f"--no-{flag[2:]}"


def _takes_value() -> dict[str, bool]:
    """By flag."""
    found = {"--help": False, "-h": False, "--version": False, "-v": False}
    for option in OPTIONS.values():
        if option.flag.startswith("-"):
            found |= dict.fromkeys(option.flags.split(), bool(option.kind.metavar and not option.kind.bare))
            if not option.kind.metavar and option.kind.negates:
                found[_off(option.flag)] = False
    for row in FOREIGN.values():
        found |= dict.fromkeys((*row.flags.split(), *row.other_flag.split()), bool(row.takes))
    return found


_TAKES_VALUE: Final = _takes_value()


def _in_full(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments with their options in full. Raises click.UsageError for one that may mean several."""
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            yield argument
            break
        if argument.startswith("--"):
            name, equals, value = argument.partition("=")
            name = full_name(name)
            yield name + equals + value
            needs_value = not equals and _TAKES_VALUE.get(name, False)
        elif argument[2:3] == "=" and _TAKES_VALUE.get(argument[:2], False):  # -w=4, which click takes for "=4"
            yield from (argument[:2], argument[3:])
            needs_value = False
        else:
            yield argument
            needs_value = argument.startswith("-") and _ends_open(argument)
        if needs_value:
            yield from itertools.islice(rest, 1)
    yield from rest


def full_name(name: str) -> str:
    if name in _TAKES_VALUE:
        return name
    found = sorted((flag for flag in _TAKES_VALUE if flag.startswith(name)), key=len)
    if found and not all(flag.startswith(found[0]) for flag in found):  # --timeo is --timeout, not --timeout-keep-alive
        raise click.UsageError(f"{name} may mean {', '.join(sorted(found))}: give more of it")
    return found[0] if found else name


def _ends_open(cluster: str) -> bool:
    """Whether short options (`-w`, `-Rw`) end with one whose value is the next argument; not so `-w4`."""
    for index, letter in enumerate(cluster[1:], start=2):
        if _TAKES_VALUE.get(f"-{letter}", False):
            return index == len(cluster)
    return False
