"""Which of the command line, the variables that hold one, the configuration file and the environment wins."""

import sys
from pathlib import Path

import pytest

from pyserve.server.configuration import configure
from pyserve.server.sources import Resolved, Source
from pyserve.settings import SettingsError


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "__config__", raising=False)
    return tmp_path


def configured(given: dict[str, object] | None = None, **environ: str) -> Resolved:
    return configure(given or {}, environ, Source.COMMAND_LINE)


def test_each_source_overrules_the_one_before(directory: Path) -> None:
    seen: list[tuple[int, str]] = []

    def look(given: dict[str, object] | None = None, **environ: str) -> None:
        resolved = configured(given, **environ)
        seen.append((resolved.settings.workers, str(resolved.origins["workers"])))

    environ = {"WEB_CONCURRENCY": "2"}
    look(**environ)
    environ["PYSERVE_WORKERS"] = "3"
    look(**environ)
    (directory / "gunicorn.conf.py").write_text("workers = 4")
    look(**environ)
    environ["GUNICORN_CMD_ARGS"] = "-w 5"
    look(**environ)
    environ["PYSERVE_CMD_ARGS"] = "--workers=6"
    look(**environ)
    look({"workers": "7"}, **environ)
    assert seen == [
        (2, "WEB_CONCURRENCY=2"),
        (3, "PYSERVE_WORKERS=3"),
        (4, "gunicorn.conf.py: workers"),
        (5, "GUNICORN_CMD_ARGS: --workers 5"),
        (6, "PYSERVE_CMD_ARGS: --workers 6"),
        (7, "--workers 7"),
    ]


def test_the_file_is_named_by_the_greatest_source(directory: Path) -> None:
    for number in range(1, 5):
        (directory / f"{number}.py").write_text(f"workers = {number}")
    (directory / "gunicorn.conf.py").write_text("1 / 0")
    environ = {"PYSERVE_CONFIG": "1.py"}
    assert configured(**environ).settings.workers == 1
    environ["GUNICORN_CMD_ARGS"] = "-c 2.py"
    assert configured(**environ).settings.workers == 2
    environ["PYSERVE_CMD_ARGS"] = "-c 3.py"
    assert configured(**environ).settings.workers == 3
    assert configured({"config": "file:4.py"}, **environ).settings.workers == 4


def test_none_in_the_file_is_not_given(directory: Path) -> None:
    (directory / "gunicorn.conf.py").write_text("pidfile = None\nbind = None")
    settings = configured(PYSERVE_PID="x", PORT="80").settings
    assert (settings.pidfile, settings.bind) == ("x", ("0.0.0.0:80",))


def test_an_address_in_the_file_overrules_the_platforms_port(directory: Path) -> None:
    (directory / "gunicorn.conf.py").write_text("bind = 'a:1, b:2'")
    assert configured(PORT="80").settings.bind == ("a:1", "b:2")
    assert configured({"port": "81"}).settings.bind == ("127.0.0.1:81",)


def test_the_application_in_the_file(directory: Path) -> None:
    (directory / "gunicorn.conf.py").write_text("wsgi_app = 'a:b'")
    assert configured().settings.app == "a:b"
    assert configured({"app": "c:d"}).settings.app == "c:d"
    assert configured(GUNICORN_CMD_ARGS="e:f").settings.app == "a:b"


# (the file, variables, the message)
WRONG: list[tuple[str, dict[str, str], str]] = [
    ("workers = 'x'", {}, "gunicorn.conf.py: workers: 'x' given, expected a whole number"),
    ("bind = 5", {}, "gunicorn.conf.py: bind: 5 given, expected host:port"),
    ("", {"GUNICORN_CMD_ARGS": "-w x"}, "GUNICORN_CMD_ARGS: --workers: 'x' given"),
    ("", {"GUNICORN_CMD_ARGS": "--nowhere"}, "GUNICORN_CMD_ARGS: No such option"),
    ("", {"PYSERVE_CMD_ARGS": "-b 'a"}, "PYSERVE_CMD_ARGS: No closing quotation"),
    ("", {"PYSERVE_CMD_ARGS": "--help"}, "PYSERVE_CMD_ARGS: --help and --version are for the command line"),
]


@pytest.mark.parametrize(("text", "environ", "message"), WRONG)
def test_what_is_wrong(directory: Path, text: str, environ: dict[str, str], message: str) -> None:
    (directory / "gunicorn.conf.py").write_text(text)
    with pytest.raises(SettingsError) as caught:
        configured(**environ)
    assert str(caught.value).startswith(message)
    assert caught.value.exit_code == 1


def test_warnings_come_from_file_and_environment(directory: Path) -> None:
    (directory / "gunicorn.conf.py").write_text("keepallive = 3")
    assert [line.split(" ")[0] for line in configured(PYSERVE_WORKER="3").warnings] == [
        "gunicorn.conf.py:",
        "PYSERVE_WORKER",
    ]
