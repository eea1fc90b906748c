"""gunicorn's command lines mean the same to pyserve."""

import os
import shlex
from pathlib import Path

import click
import pytest

from pyserve.server.command import parse
from pyserve.server.configuration import configure
from pyserve.server.sources import Resolved, Source
from pyserve.settings import SettingsError
from tests.compat.gunicorn_lines import LINES, REFUSED, WITH_VARIABLES
from tests.compat.gunicorn_peer import differences, gunicorn
from tests.compat.surroundings import arrange


def pyserve(line: str) -> Resolved:
    return configure(parse(shlex.split(line)), os.environ, Source.COMMAND_LINE)


def test_there_are_enough_of_them() -> None:
    assert len(set(LINES)) >= 120


@pytest.mark.parametrize("line", LINES)
def test_a_line(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrange(tmp_path, monkeypatch)
    theirs = gunicorn(shlex.split(line), {}, monkeypatch)
    assert "\n".join(differences(theirs, pyserve(line))) == ""


@pytest.mark.parametrize(("environ", "line"), WITH_VARIABLES)
def test_a_line_and_variables(
    environ: dict[str, str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrange(tmp_path, monkeypatch, environ)
    theirs = gunicorn(shlex.split(line), environ, monkeypatch)
    assert "\n".join(differences(theirs, pyserve(line))) == ""


@pytest.mark.parametrize("line", REFUSED)
def test_a_line_that_both_refuse(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arrange(tmp_path, monkeypatch)
    with pytest.raises((SystemExit, ImportError, RuntimeError)):
        gunicorn(shlex.split(line), {}, monkeypatch).cfg.address  # noqa: B018 - looks at the addresses
    with pytest.raises((click.UsageError, SettingsError)):
        pyserve(line)
