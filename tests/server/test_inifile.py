"""What the ini file of --paste says about the server, from where it counts less than a configuration file."""

from pathlib import Path

import pytest

from pyserve.server import inifile
from pyserve.server.configuration import configure
from pyserve.server.sources import Source
from pyserve.settings import SettingsError

APP = "[app:main]\nuse = call:deployed:make\n"
LOGGERS = "[loggers]\nkeys = root\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_its_name_and_how_it_logs(place: Path) -> None:
    file = place / "a.ini"
    file.write_text(APP)
    assert inifile.layer("a.ini#main").values == {"default_proc_name": str(file)}
    file.write_text(APP + LOGGERS)
    assert inifile.layer("a.ini").values == {"default_proc_name": str(file), "logconfig": str(file)}


def test_a_file_that_is_none(place: Path) -> None:
    (place / "a.ini").write_text("no section\n")
    with pytest.raises(SettingsError, match="File contains no section headers"):
        inifile.layer("a.ini")


def test_a_path_that_is_none(place: Path) -> None:
    with pytest.raises(SettingsError, match=r"^paste: .*: embedded null byte$"):
        inifile.layer("a\0b.ini")


@pytest.mark.parametrize("given", [{"paste": "a.ini"}, {}])
def test_a_configuration_file_counts_more(place: Path, given: dict[str, str]) -> None:
    (place / "a.ini").write_text(APP + LOGGERS)
    (place / "log.ini").write_text(LOGGERS)
    environ = {} if given else {"PYSERVE_PASTE": "a.ini"}
    settings = configure(given, environ, Source.COMMAND_LINE).settings
    assert settings.reference == settings.default_proc_name == settings.logconfig == str(place / "a.ini")
    (place / "gunicorn.conf.py").write_text("logconfig = 'log.ini'\n")
    assert configure(given, environ, Source.COMMAND_LINE).settings.logconfig == "log.ini"


def test_the_configuration_file_may_name_it(place: Path) -> None:
    (place / "a.ini").write_text(APP)
    (place / "gunicorn.conf.py").write_text("paste = 'a.ini#main'\nraw_paste_global_conf = ['a=b']\n")
    settings = configure({}, {}, Source.COMMAND_LINE).settings
    assert (settings.paste, settings.raw_paste_global_conf) == (f"{place}/a.ini#main", ("a=b",))
