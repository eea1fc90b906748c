"""The logger class for subclasses that were written for gunicorn's."""

import logging
import re
import socket
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import pyserve.glogging
from pyserve.settings import Settings, SettingsError
from pyserve.workers.cfg import Config
from pyserve.workers.logs.atoms import Request, Response, environ_of
from pyserve.workers.logs.glogging import Logger
from tests.workers.answers import Connection, Exchange

pytestmark = pytest.mark.usefixtures("loggers_restored")


def config(**settings: Any) -> Config:
    return Config(Settings(app="mod:app", access_log_format="%(m)s %(U)s %(s)s", **settings))


def access(log: Logger, exchange: Exchange | None = None) -> None:
    exchange = exchange or Exchange()
    log.access(Response(exchange), Request(exchange), environ_of(exchange, Connection()), timedelta(seconds=1))


def test_it_is_offered() -> None:
    assert pyserve.glogging.Logger is Logger


def test_it_has_what_gunicorns_has() -> None:
    glogging = pytest.importorskip("gunicorn.glogging")
    theirs = {name for name in dir(glogging.Logger) if not name.startswith("_compute")}
    assert theirs - set(dir(Logger)) == set()
    ours, its = Logger(config()), glogging.Logger(config())
    assert {name for name in vars(its) if name not in ("lock", "_access_log_enabled")} <= set(vars(ours))


def test_files(tmp_path: Path) -> None:
    log = Logger(config(errorlog=str(tmp_path / "error.log"), accesslog=str(tmp_path / "access.log")))
    access(log)
    for name in ("critical", "error", "warning", "info", "debug"):
        getattr(log, name)("%s", name)
    log.log("ERROR", "by name")
    log.log(30, "by number")
    try:
        raise ValueError("boom")
    except ValueError:
        log.exception("caught")
    text = (tmp_path / "error.log").read_text()
    found = re.findall(r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[\d+\] \[(\w+)\] (.*)$", text, re.MULTILINE)
    assert found == [
        *((name.upper(), name) for name in ("critical", "error", "warning", "info")),
        ("ERROR", "by name"),
        ("WARNING", "by number"),
        ("ERROR", "caught"),
    ]
    assert "ValueError: boom" in text
    assert (tmp_path / "access.log").read_text() == "GET /a b 200\n"
    (tmp_path / "access.log").rename(tmp_path / "old")
    log.reopen_files()
    access(log)
    assert (tmp_path / "access.log").read_text() == "GET /a b 200\n"


def test_standard_streams(capsys: pytest.CaptureFixture[str]) -> None:
    log = Logger(config(accesslog="-", loglevel="error"))
    log.info("no")
    log.error("yes")
    access(log)
    out, err = capsys.readouterr()
    assert out == "GET /a b 200\n"
    assert re.fullmatch(r"\[.*\] \[\d+\] \[ERROR\] yes\n", err)


def test_no_access_log() -> None:
    log = Logger(config())
    assert not log.access_log_enabled
    access(log)
    assert Logger(config(syslog=True)).access_log_enabled
    assert not Logger(config(syslog=True, disable_redirect_access_to_syslog=True)).access_log_enabled


def test_to_set_it_up_again_doubles_nothing() -> None:
    log = Logger(config(accesslog="-"))
    log.setup(config(accesslog="-"))
    assert len(log.error_log.handlers) == len(log.access_log.handlers) == 1
    handler = log._get_gunicorn_handler(log.error_log)
    assert handler is log.error_log.handlers[0]
    log._set_handler(log.error_log, None, logging.Formatter())
    assert log.error_log.handlers == []


def test_subclasses(capsys: pytest.CaptureFixture[str]) -> None:
    class Atoms(dict[str, Any]):
        def __missing__(self, name: str) -> str:
            return "?"

    class Mine(Logger):
        error_fmt = "mine %(message)s"
        atoms_wrapper_class = Atoms

        def setup(self, cfg: Any) -> None:
            super().setup(cfg)
            self._set_handler(self.access_log, "-", logging.Formatter("a %(message)s"))

        def atoms(self, resp: Any, req: Any, environ: Any, request_time: Any) -> dict[str, Any]:
            return {**super().atoms(resp, req, environ, request_time), "U": "/mine"}

        def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
            if environ["PATH_INFO"] != "/healthz":
                super().access(resp, req, environ, request_time)

    log = Mine(config(accesslog="-"))
    log.info("x")
    access(log)
    access(log, Exchange(path=b"/healthz"))
    assert capsys.readouterr().err == "mine x\na GET /mine 200\n"


def test_syslog() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10)
        log = Logger(config(syslog=True, syslog_addr=f"udp://127.0.0.1:{sock.getsockname()[1]}"))
        log.info("x")
        assert re.fullmatch(rb"<14>gunicorn\.mod\.app\.error: \[\d+\] x\0", sock.recv(1000))
        access(log)
        assert re.fullmatch(rb"<14>gunicorn\.mod\.app\.access: \[\d+\] GET /a b 200\0", sock.recv(1000))
        for handler in log.error_log.handlers + log.access_log.handlers:
            handler.close()


def test_a_log_configuration(tmp_path: Path) -> None:
    handlers = {"file": {"class": "logging.FileHandler", "filename": str(tmp_path / "log")}}
    loggers = {"gunicorn.error": {"handlers": ["file"], "level": "INFO"}}
    log = Logger(config(logconfig_dict={"handlers": handlers, "loggers": loggers}))
    log.info("x")
    assert (tmp_path / "log").read_text() == "x\n"
    assert log.access_log_enabled


def test_a_file_that_cannot_be_opened() -> None:
    with pytest.raises(SettingsError, match=r"^log file /nowhere/log: No such file or directory$"):
        Logger(config(errorlog="/nowhere/log"))


def test_small_things() -> None:
    log = Logger(config())
    assert re.fullmatch(r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]", log.now())
    log.close_on_exec()
    assert log._get_user({"HTTP_AUTHORIZATION": "Basic am86cHc="}) == "jo"
    assert log._get_user({}) is None
    assert log.loglevel == logging.INFO
    assert SimpleNamespace(**vars(log)).logfile is None
