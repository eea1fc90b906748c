"""Every name of gunicorn's and uvicorn's is known here: as a setting, by another name, or as one without effect."""

import inspect

import click
import pytest
import uvicorn
from gunicorn.config import KNOWN_SETTINGS

from pyserve.foreign import FOREIGN
from pyserve.server import command
from pyserve.server.sources import FIELDS
from pyserve.settings import OPTIONS
from tests.compat.uvicorn_peer import COMMAND

FLAGS = {
    flag: name
    for name, row in (*OPTIONS.items(), *FOREIGN.items())
    for flag in (*row.flags.split(), *(getattr(row, "other_flag", "").split()))
}
GUNICORN_FLAGS = {flag: setting.name for setting in KNOWN_SETTINGS for flag in setting.cli or ()}
PARAMETERS = [parameter for parameter in COMMAND.params if parameter.name != "version"]


@pytest.mark.parametrize("name", [setting.name for setting in KNOWN_SETTINGS])
def test_gunicorns_names(name: str) -> None:
    assert name in FIELDS


@pytest.mark.parametrize("flag", GUNICORN_FLAGS)
def test_gunicorns_flags(flag: str) -> None:
    assert FLAGS[flag] == FIELDS[GUNICORN_FLAGS[flag]]


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: str(parameter.name))
def test_uvicorns_options(parameter: click.Parameter) -> None:
    """As a flag, as a keyword of `uvicorn.run`, as a variable."""
    field = FIELDS[str(parameter.name)]
    row = OPTIONS[field] if field in OPTIONS else FOREIGN[field]
    variable = f"UVICORN_{str(parameter.name).upper()}"
    assert variable in (getattr(row, "fallbacks", ()) or (getattr(row, "variable", ""),))
    for flag in parameter.opts:
        assert flag == "app" or FLAGS[flag] == field
    for flag in parameter.secondary_opts:
        command.parse([flag])


def test_the_keywords_of_uvicorns_run() -> None:
    assert [name for name in inspect.signature(uvicorn.run).parameters if name not in FIELDS] == []


def unique_prefixes() -> list[tuple[str, str]]:
    """(abbreviation, flag) for each that argparse takes for one of gunicorn's."""
    found = []
    flags = [flag for flag in (*GUNICORN_FLAGS, "--version", "--help") if flag.startswith("--")]
    for flag in flags:
        for length in range(3, len(flag)):
            if [other for other in flags if other.startswith(flag[:length])] == [flag]:
                found.append((flag[:length], flag))
    return found


def test_abbreviations() -> None:
    """All that leave out one letter, but for --use (--use-colors), and the shorter ones that are seen in public files.
    Some others are ambiguous here: there are more options."""
    seen = {"--conf": "--config", "--thread": "--threads", "--error-log": "--error-logfile"}
    short = {short: flag for short, flag in unique_prefixes() if len(short) >= len(flag) - 1}
    assert {name: _in_full(name) for name in short | seen} == short | seen | {"--use": "ambiguous"}


def _in_full(short: str) -> str:
    try:
        return command.full_name(short)
    except click.UsageError:
        return "ambiguous"
