"""uvicorn's command lines mean the same to pyserve."""

import os
import shlex
from pathlib import Path

import click
import pytest
import uvicorn as uvicorn_package

from pyserve.server.command import parse
from pyserve.server.configuration import configure
from pyserve.server.sources import Resolved, Source
from pyserve.settings import SettingsError
from tests.compat.surroundings import arrange
from tests.compat.uvicorn_lines import LINES, REFUSED, WITH_VARIABLES
from tests.compat.uvicorn_peer import differences, uvicorn


def pyserve(line: str) -> Resolved:
    return configure(parse(shlex.split(line)), os.environ, Source.COMMAND_LINE)


def test_there_are_enough_of_them() -> None:
    assert len(set(LINES)) >= 30


@pytest.mark.parametrize("line", LINES)
def test_a_line(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrange(tmp_path, monkeypatch)
    assert "\n".join(differences(uvicorn(shlex.split(line)), pyserve(line))) == ""


@pytest.mark.parametrize(("environ", "line"), WITH_VARIABLES)
def test_a_line_and_variables(
    environ: dict[str, str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrange(tmp_path, monkeypatch, environ)
    theirs, ours = uvicorn(shlex.split(line)), pyserve(line)
    assert "\n".join(differences(theirs, ours)) == ""
    config = uvicorn_package.Config(theirs.params["app"], workers=theirs.params["workers"], log_config=None)
    assert config.workers == ours.settings.workers  # also by WEB_CONCURRENCY


@pytest.mark.parametrize("line", REFUSED)
def test_a_line_that_both_refuse(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrange(tmp_path, monkeypatch)
    with pytest.raises(click.UsageError):
        uvicorn(shlex.split(line))
    with pytest.raises((click.UsageError, SettingsError)):
        pyserve(line)
