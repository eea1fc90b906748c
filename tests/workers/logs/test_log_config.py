"""Log configurations: dict, JSON, YAML, ini; gunicorn's defaults; what is wrong in one line."""

import importlib.util
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from pyserve.settings import Settings, SettingsError
from pyserve.workers.logs import log_config, loggers
from pyserve.workers.logs.error_log import ErrorLog
from pyserve.workers.logs.loggers import Loggers

pytestmark = pytest.mark.usefixtures("loggers_restored")

INI = """
[loggers]
keys=root, gunicorn.error, gunicorn.access
[handlers]
keys=file
[formatters]
keys=plain
[logger_root]
handlers=
[logger_gunicorn.error]
level=DEBUG
handlers=file
propagate=0
qualname=gunicorn.error
[logger_gunicorn.access]
level=INFO
handlers=file
propagate=0
qualname=gunicorn.access
[handler_file]
class=FileHandler
formatter=plain
args=('%(here)s/file.log',)
[formatter_plain]
format=plain %(message)s
"""


def config(path: Path, *names: str, **more: Any) -> dict[str, Any]:
    """A dict that sends the loggers of these names to a file."""
    return {
        "version": 1,
        "formatters": {"plain": {"format": "plain %(message)s"}},
        "handlers": {"file": {"class": "logging.FileHandler", "filename": str(path), "formatter": "plain"}},
        "loggers": {name: {"handlers": ["file"], "level": "DEBUG"} for name in names},
        **more,
    }


@pytest.fixture
def log(tmp_path: Path) -> ErrorLog:
    made = ErrorLog(str(tmp_path / "error.log"))
    made.outlet = Loggers(made, logging.INFO)
    return made


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_each_form(log: ErrorLog, tmp_path: Path) -> None:
    path = tmp_path / "file.log"
    given = config(path, "gunicorn.error")
    yaml = pytest.importorskip("yaml")
    forms: list[dict[str, Any]] = [
        {"logconfig_dict": given},
        {"logconfig_json": write(tmp_path / "any.name", json.dumps(given))},
        {"logconfig": write(tmp_path / "a.json", json.dumps(given))},
        {"logconfig": write(tmp_path / "a.yaml", yaml.safe_dump(given))},
        {"logconfig": write(tmp_path / "a.yml", yaml.safe_dump(given))},
        {"logconfig": write(tmp_path / "a.conf", INI)},
    ]
    for number, form in enumerate(forms):
        log_config.apply(Settings(**form))
        log.debug("%d", number)
    assert path.read_text() == "".join(f"plain {number}\n" for number in range(len(forms)))
    assert (tmp_path / "error.log").read_text() == ""


def test_the_first_of_several(log: ErrorLog, tmp_path: Path) -> None:
    given = config(tmp_path / "file.log", "gunicorn.error")
    assert log_config.read(Settings(logconfig_dict=given, logconfig_json="b", logconfig="c"))[0] == "logconfig_dict"
    with pytest.raises(SettingsError, match=r"^logconfig_json b: No such file"):
        log_config.read(Settings(logconfig_json="b", logconfig="c"))
    log_config.apply(Settings())


def test_gunicorns_defaults_complete_it(log: ErrorLog, capsys: pytest.CaptureFixture[str]) -> None:
    log_config.apply(Settings(logconfig_dict={"formatters": {"generic": {"format": "mine %(message)s"}}}))
    log.info("x")
    out, err = capsys.readouterr()
    assert err == "mine x\n"
    assert out == "mine x\n"  # by the root logger, as with gunicorn


def test_other_handlers_than_those_of_the_defaults(log: ErrorLog, tmp_path: Path) -> None:
    """gunicorn refuses this; here the logs go to the root logger, which is all that the user speaks of."""
    given = config(tmp_path / "file.log")
    del given["loggers"]
    log_config.apply(Settings(logconfig_dict={**given, "root": {"level": "INFO", "handlers": ["file"]}}))
    log.info("x")
    loggers.GUNICORN_ACCESS.info("y")
    assert (tmp_path / "file.log").read_text() == "plain x\nplain y\n"


def test_only_handlers(log: ErrorLog, tmp_path: Path) -> None:
    given = config(tmp_path / "file.log")
    del given["loggers"]
    given["handlers"]["file"]["delay"] = True  # no logger has it: nobody would close its file
    log_config.apply(Settings(logconfig_dict=given))
    log.info("x")
    assert "[INFO] x" in (tmp_path / "error.log").read_text()


def test_the_names_of_uvicorn(log: ErrorLog, tmp_path: Path) -> None:
    log_config.apply(Settings(logconfig_dict=config(tmp_path / "file.log", "uvicorn")))
    log.info("x")
    assert (tmp_path / "file.log").read_text() == "plain x\n"


def test_the_configuration_of_uvicorn_itself(log: ErrorLog, capsys: pytest.CaptureFixture[str]) -> None:
    given = pytest.importorskip("uvicorn.config").LOGGING_CONFIG
    log_config.apply(Settings(logconfig_dict=given))
    log.info("x")
    assert capsys.readouterr().err == "INFO:     x\n"
    assert loggers.access_form() is loggers.Form.UVICORN


def test_without_uvicorn_its_formatters_are_ours(
    log: ErrorLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else real(name))
    formatters = {"plain": {"()": "uvicorn.logging.DefaultFormatter", "fmt": "%(levelprefix)s %(message)s"}}
    log_config.apply(Settings(logconfig_dict=config(tmp_path / "file.log", "uvicorn.error", formatters=formatters)))
    log.warning("x")
    assert (tmp_path / "file.log").read_text() == "WARNING:  x\n"
    assert type(logging.getLogger("uvicorn.error").handlers[0].formatter).__module__.startswith("pyserve.")


def test_the_rest_is_not_disabled(log: ErrorLog, tmp_path: Path) -> None:
    given = config(tmp_path / "file.log", "gunicorn.access", disable_existing_loggers=True)
    log_config.apply(Settings(logconfig_dict=given))
    assert not loggers.GUNICORN_ERROR.disabled
    assert loggers.access_form() is loggers.Form.GUNICORN


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("none.ini", None, "No such file or directory"),
        ("a.ini", "x", "File contains no section headers. file: '<???>'"),
        ("b.ini", "[x]\na=1", "there is no section [loggers]; files for dictConfig end with .json or .yaml"),
        ("a.json", "{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("b.json", "[1]", "expected a dict for logging.config.dictConfig"),
        ("c.json", '{"version": 2}', "Unsupported version: 2"),
        (
            "d.json",
            '{"handlers": {"h": {"class": "nowhere.Handler"}}}',
            "Unable to configure handler 'h': Cannot resolve 'nowhere.Handler': No module named 'nowhere'",
        ),
        ("a.yaml", "a: [", "while parsing a flow node expected the node content"),
    ],
)
def test_what_is_wrong(tmp_path: Path, name: str, content: str | None, text: str) -> None:
    if name.endswith("yaml"):
        pytest.importorskip("yaml")
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError) as caught:
        log_config.apply(Settings(logconfig=str(path)))
    assert str(caught.value).startswith(f"logconfig {path}: {text}".replace("<???>", str(path)))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


def test_yaml_without_pyyaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    path = write(tmp_path / "a.yaml", "version: 1")
    with pytest.raises(SettingsError, match=r"YAML needs the package PyYAML; install it, or use JSON$"):
        log_config.read(Settings(logconfig=path))
