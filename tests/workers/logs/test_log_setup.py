"""The log that the settings ask for."""

import logging
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import pyserve.glogging
from pyserve.settings import Settings, SettingsError
from pyserve.workers.cfg import Config
from pyserve.workers.logs import log_setup, loggers
from pyserve.workers.logs.error_log import ErrorLog
from pyserve.workers.logs.log_setup import open_log

pytestmark = pytest.mark.usefixtures("loggers_restored")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of the user's with logger classes."""
    made = ModuleType("users_logs")
    monkeypatch.setitem(sys.modules, "users_logs", made)
    return made


def test_the_short_way(tmp_path: Path) -> None:
    log = open_log(Settings(errorlog=str(tmp_path / "log"), loglevel="warning"))
    assert log.outlet is not None
    assert not log.outlet.takes()
    assert log.metrics is None
    assert log.error_log.level == logging.WARNING
    assert log.access_log.level == logging.INFO
    log.close()


@pytest.mark.parametrize(
    "logger_class",
    ["gunicorn.glogging.Logger", "simple", "pyserve.glogging.Logger", pyserve.glogging.Logger,
     "gunicorn.instrument.statsd.Statsd"],
)  # fmt: skip
def test_the_servers_own_class(logger_class: Any) -> None:
    log = open_log(Settings(logger_class=logger_class))
    assert log.outlet is not None
    assert not log.outlet.takes()


def test_a_class_of_gunicorns(tmp_path: Path, module: ModuleType) -> None:
    glogging = pytest.importorskip("gunicorn.glogging")
    module.Mine = type("Mine", (glogging.Logger,), {"error_fmt": "mine %(message)s"})  # type: ignore[attr-defined]
    log = open_log(Settings(logger_class="users_logs.Mine", errorlog=str(tmp_path / "log")))
    log.info("x %s", b"\n")
    assert (tmp_path / "log").read_text() == "mine x \\x0a\n"
    log.close()


def test_a_class_of_gunicorns_that_counts(module: ModuleType) -> None:
    statsd = pytest.importorskip("gunicorn.instrument.statsd")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10)
        to = f"127.0.0.1:{sock.getsockname()[1]}"
        module.Mine = type("Mine", (statsd.Statsd,), {})  # type: ignore[attr-defined]
        log = open_log(
            Settings(logger_class="users_logs.Mine", statsd_host=to, statsd_prefix="app", dogstatsd_tags="t")
        )
        assert log.metrics is None
        log.warning("x")
        assert sock.recv(100) == b"app.gunicorn.log.warning:1|c|@1.0|#t"
        log.sock.close()


def test_metrics_of_the_log(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10)
        to = f"127.0.0.1:{sock.getsockname()[1]}"
        log = open_log(Settings(errorlog=str(tmp_path / "log"), statsd_host=to))
        log.info("nothing to count")
        for name in ("warning", "error", "critical", "exception"):
            getattr(log, name)("x")
            assert sock.recv(100) == f"gunicorn.log.{name}:1|c|@1.0".encode()
        log.info("", extra={"metric": "mine", "value": 5, "mtype": "gauge"})
        assert sock.recv(100) == b"mine:5|g"
        log.debug("not at this level", extra={"metric": "other", "value": 6, "mtype": "gauge"})
        assert sock.recv(100) == b"other:6|g"
        log.increment("direct", 1)
        assert sock.recv(100) == b"direct:1|c|@1.0"
        text = (tmp_path / "log").read_text()
        assert [line.split("] ")[-1] for line in text.splitlines()] == ["nothing to count", "x", "x", "x", "x"]
        log.close()


@pytest.mark.parametrize("access", [True, False])
def test_syslog(tmp_path: Path, access: bool) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "dev-log"))
        sock.settimeout(10)
        settings = Settings(
            app="mod:app",
            errorlog=str(tmp_path / "log"),
            syslog=True,
            syslog_addr=f"unix://{tmp_path}/dev-log#dgram",
            disable_redirect_access_to_syslog=not access,
        )
        log = open_log(settings)
        log.info("x")
        assert re.fullmatch(rb"<14>gunicorn\.mod\.app\.error: \[\d+\] x\0", sock.recv(1000))
        assert "[INFO] x" in (tmp_path / "log").read_text()
        assert (loggers.access_form() is loggers.Form.GUNICORN) is access
        for handler in log.error_log.handlers + log.access_log.handlers:
            handler.close()
        log.close()


@pytest.mark.parametrize(
    ("logger_class", "text"),
    [
        ("nowhere.Logger", "logger_class nowhere.Logger: ModuleNotFoundError: No module named 'nowhere'"),
        ("users_logs.Missing", "logger_class users_logs.Missing: users_logs has no class Missing"),
        ("users_logs.thing", "logger_class users_logs.thing: users_logs has no class thing"),
        ("users_logs.Broken", "logger_class users_logs.Broken: LookupError: broken"),
    ],
)
def test_a_class_that_cannot_be_had(module: ModuleType, logger_class: str, text: str) -> None:
    def fail(self: Any, cfg: Any) -> None:
        raise LookupError("broken")

    module.thing = 7  # type: ignore[attr-defined]
    module.Broken = type("Broken", (), {"__init__": fail})  # type: ignore[attr-defined]
    with pytest.raises(SettingsError) as caught:
        open_log(Settings(logger_class=logger_class))
    assert str(caught.value) == text


def test_a_class_that_wants_gunicorn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wants_gunicorn.py").write_text("from gunicorn import glogging\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "gunicorn", None)
    with pytest.raises(SettingsError, match="`from pyserve import glogging` has the same class"):
        log_setup.check(Settings(logger_class="wants_gunicorn.Logger"))


def test_check_changes_nothing(tmp_path: Path) -> None:
    log_setup.check(Settings())
    with pytest.raises(SettingsError, match="No such file"):
        log_setup.check(Settings(logconfig=str(tmp_path / "none")))


def test_install_is_called(module: ModuleType) -> None:
    called = []

    class Mine:
        def __init__(self, cfg: Any) -> None:
            called.append(cfg.loglevel)

        @classmethod
        def install(cls) -> None:
            called.append("install")

    open_log(Settings(logger_class=Mine))
    assert called == ["install", "info"]


def test_the_settings_as_a_logger_class_sees_them() -> None:
    cfg = Config(Settings(app="mod:app", statsd_host="[::1]:8125"))
    assert (cfg.user, cfg.group) == (os.geteuid(), os.getegid())
    assert cfg.proc_name == "mod:app"
    assert cfg.statsd_host == ("::1", 8125)
    assert Config(Settings(statsd_host="unix:///x")).statsd_host == "/x"
    assert Config(Settings()).statsd_host is None
    assert Config(Settings()).logconfig_dict == {}
    assert cfg.accesslog is None


@pytest.fixture
def streams() -> Iterator[Callable[[], None]]:
    """stdout and stderr, put back afterwards."""
    kept = [os.dup(number) for number in (1, 2)]
    yield lambda: None
    for number, fd in enumerate(kept, 1):
        os.dup2(fd, number)
        os.close(fd)


@pytest.mark.usefixtures("streams")
def test_output_is_captured(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log: ErrorLog = open_log(Settings(errorlog=str(path)), captures=True)
    os.write(1, b"printed\n")
    os.write(2, b"complained\n")
    path.rename(tmp_path / "log.1")
    log.reopen()
    os.write(1, b"again\n")
    assert (tmp_path / "log.1").read_text() == "printed\ncomplained\n"
    assert path.read_text() == "again\n"
    log.close()


def test_nothing_is_captured_without_a_file(capfd: pytest.CaptureFixture[str]) -> None:
    open_log(Settings(), captures=True)
    os.write(1, b"printed\n")
    assert capfd.readouterr().out == "printed\n"
