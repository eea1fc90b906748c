"""Programs that are their own server: gunicorn's documented recipe, with only the import line changed."""

import os
import signal
import subprocess
import sys
import textwrap
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from pyserve.embedding import BaseApplication, Config, WSGIApplication, serve_paste
from pyserve.server import cli
from pyserve.server.sources import Resolved
from pyserve.settings import Settings
from pyserve.workers.application import load

ROOT = Path(__file__).resolve().parent.parent


def handler(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Works fine\n"]


class StandaloneApplication(BaseApplication):
    """As gunicorn's documentation has it."""

    def __init__(self, app: Any, options: dict[str, Any] | None = None) -> None:
        self.options = options or {}
        self.application = app
        super().__init__()

    def load_config(self) -> None:
        config = {key: value for key, value in self.options.items() if key in self.cfg.settings and value is not None}
        for key, value in config.items():
            self.cfg.set(key.lower(), value)

    def load(self) -> Any:
        return self.application


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    found: list[Settings] = []

    def act(resolved: Resolved) -> int:
        found.append(resolved.settings)
        return 0

    monkeypatch.setattr(cli, "_act", act)
    return found


def run(application: BaseApplication) -> object:
    with pytest.raises(SystemExit) as caught:
        application.run()
    return caught.value.code


def test_the_documented_recipe(served: list[Settings]) -> None:
    options = {"bind": "127.0.0.1:8080", "workers": 4, "nothing_known": 1, "pidfile": None, "worker_class": "gthread"}
    assert run(StandaloneApplication(handler, options)) == 0
    (settings,) = served
    assert (settings.bind, settings.workers, settings.worker_class) == (("127.0.0.1:8080",), 4, "sync")
    application = load(settings)
    assert (application.callable, application.interface, application.name) == (handler, "wsgi", "StandaloneApplication")


def test_only_the_platforms_variables_and_no_file(
    served: list[Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gunicorn.conf.py").write_text("1 / 0")
    monkeypatch.setenv("PORT", "9000")
    monkeypatch.setenv("PYSERVE_WORKERS", "7")
    monkeypatch.setenv("UVICORN_WORKERS", "7")
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "-w 7")
    run(StandaloneApplication(handler))
    assert (served[0].bind, served[0].workers) == (("0.0.0.0:9000",), 1)


def test_the_application_is_loaded_late_and_once(served: list[Settings]) -> None:
    calls: list[int] = []

    class Late(StandaloneApplication):
        def load(self) -> Any:
            calls.append(1)
            return handler

    run(Late(None))
    assert calls == []
    assert load(served[0]).callable is load(served[0]).callable is handler
    assert calls == [1]


def test_settings_of_a_config() -> None:
    cfg = Config()
    assert (cfg.workers, cfg.settings["workers"].get(), cfg.given()) == (1, 1, {})
    cfg.set("workers", 3)
    cfg.set("spew", True)
    cfg.set("accesslog", None)
    assert (cfg.workers, cfg.settings["workers"].default, cfg.given()) == (3, 1, {"workers": 3, "spew": True})
    for name in ("nothing_known", "app", "config"):
        assert name not in cfg.settings
        with pytest.raises(AttributeError, match=f"No configuration setting for: {name}"):
            cfg.set(name, 1)
        with pytest.raises(AttributeError):
            getattr(cfg, name)


def test_a_wrong_value_ends_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        StandaloneApplication(handler, {"workers": "x"})
    assert caught.value.code == 1
    assert capsys.readouterr().err.startswith("pyserve: workers: 'x' given, expected a whole number from 1")


def test_without_load_config() -> None:
    with pytest.raises(SystemExit):
        BaseApplication()


def test_an_application_by_its_name(served: list[Settings]) -> None:
    class Named(WSGIApplication):
        def __init__(self, app_uri: str | None) -> None:
            self.app_uri = app_uri
            super().__init__()

    run(Named("main:app"))
    assert (served[0].app, served[0].factory) == ("main:app", False)
    run(Named(None))
    assert served[1].app is None


PROGRAM = """
import pathlib
from pyserve.embedding import BaseApplication

text = pathlib.Path("text").read_bytes()

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text]

class StandaloneApplication(BaseApplication):
    def load_config(self):
        self.cfg.set("bind", "127.0.0.1:0")
        self.cfg.set("preload_app", True)

    def load(self):
        return app

if __name__ == "__main__":
    StandaloneApplication().run()
"""


def test_as_a_program(tmp_path: Path) -> None:
    """It serves, a reload runs the program anew, and a signal ends it."""
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    (tmp_path / "text").write_text("one")
    process = subprocess.Popen(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines: list[str] = []

    def wait_for(words: str) -> str:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if words in line:
                return line
        raise AssertionError("".join(lines))

    try:
        url = wait_for("Listening at: ").split("Listening at: ")[1].split()[0]
        assert urllib.request.urlopen(url).read() == b"one"
        (tmp_path / "text").write_text("two")
        process.send_signal(signal.SIGHUP)
        wait_for("Listening at: ")
        wait_for("Worker exiting")
        assert urllib.request.urlopen(url).read() == b"two"
    finally:
        process.terminate()
        process.stderr.read()
        assert process.wait(20) == 0
        process.stderr.close()


def test_a_server_of_an_ini_file(served: list[Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As PasteDeploy calls it for `use = egg:pyserve-http#main`."""
    monkeypatch.chdir(tmp_path)
    ini = tmp_path / "a.ini"
    ini.write_text("[loggers]\nkeys = root\n")
    (tmp_path / "conf.py").write_text("workers = 3\ntimeout = 5\nlogconfig = None\n")
    local = {"host": "127.0.0.1", "port": "5000", "workers": "2", "config": "conf.py"}
    with pytest.raises(SystemExit) as caught:
        serve_paste(handler, {"__file__": str(ini)}, **local)
    assert caught.value.code == 0
    (settings,) = served
    assert (settings.app, settings.bind, settings.workers, settings.timeout) == (handler, ("127.0.0.1:5000",), 2, 5.0)
    assert settings.default_proc_name == settings.logconfig == str(ini)
