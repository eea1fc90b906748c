"""gunicorn's configuration files mean the same to pyserve."""

import os
from pathlib import Path

import pytest

from pyserve.server.configuration import configure
from pyserve.server.sources import Source
from tests.compat.files import FILES, REMARKS
from tests.compat.gunicorn_peer import differences, gunicorn
from tests.compat.surroundings import arrange


def test_there_are_enough_of_them() -> None:
    assert len(FILES) >= 25
    assert set(REMARKS) <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the one that is found in the working directory; the application is named where the file names none."""
    arrange(tmp_path, monkeypatch)
    (tmp_path / "gunicorn.conf.py").write_text(FILES[name])
    app = [] if "wsgi_app" in FILES[name] else ["app:app"]
    theirs = gunicorn(app, {}, monkeypatch)
    ours = configure({"app": app[0]} if app else {}, os.environ, Source.COMMAND_LINE)
    assert "\n".join(differences(theirs, ours)) == ""
    assert len(ours.warnings) == REMARKS.get(name, 0), ours.warnings
