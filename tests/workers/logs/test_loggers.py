"""The short way until somebody changes the loggers, `logging` from then on."""

import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyserve.workers.logs import loggers
from pyserve.workers.logs.access import AccessLog
from pyserve.workers.logs.error_log import ErrorLog
from pyserve.workers.logs.loggers import AccessHandler, ErrorHandler, Form, Loggers

pytestmark = pytest.mark.usefixtures("loggers_restored")

ERROR = loggers.GUNICORN_ERROR
ACCESS = loggers.GUNICORN_ACCESS
UVICORN = loggers.UVICORN
UVICORN_ERROR = loggers.UVICORN_ERROR
UVICORN_ACCESS = loggers.UVICORN_ACCESS


class Recorder(logging.Handler):
    """Keeps records; raises instead where it is broken."""

    def __init__(self, *, broken: bool = False) -> None:
        super().__init__()
        self.broken = broken
        self.records: list[logging.LogRecord] = []

    def handle(self, record: logging.LogRecord) -> bool:
        if self.broken:
            raise LookupError("the handler is broken")
        self.records.append(record)
        return True


@pytest.fixture
def log(tmp_path: Path) -> ErrorLog:
    made = ErrorLog(str(tmp_path / "error.log"))
    made.outlet = Loggers(made, logging.INFO)
    return made


@pytest.fixture
def text(tmp_path: Path) -> Callable[[], str]:
    return lambda: (tmp_path / "error.log").read_text()


def test_nothing_goes_through_logging_at_first(log: ErrorLog, monkeypatch: pytest.MonkeyPatch) -> None:
    assert log.outlet is not None
    assert not log.outlet.takes()
    assert loggers.access_form() is Form.OWN
    monkeypatch.setattr(logging.Logger, "handle", pytest.fail)
    log.error("x")


def test_what_others_log_there_is_in_the_error_log(log: ErrorLog, text: Callable[[], str]) -> None:
    """As Flask's documentation has it, `app.logger.handlers = logging.getLogger("gunicorn.error").handlers`."""
    mine = logging.Logger("app")
    mine.handlers = ERROR.handlers
    mine.warning("of the %s", "app")
    ERROR.info("one")
    ERROR.debug("no")
    UVICORN_ERROR.info("two")
    logging.getLogger("uvicorn").error("three")
    assert re.findall(r"^\[.*\] \[\d+\] \[(\w+)\] (.*)$", text(), re.MULTILINE) == [
        ("WARNING", "of the app"), ("INFO", "one"), ("INFO", "two"), ("ERROR", "three"),
    ]  # fmt: skip


def test_a_traceback_there(log: ErrorLog, text: Callable[[], str]) -> None:
    try:
        raise ValueError("boom\n[x")
    except ValueError:
        ERROR.exception("failed")
    assert "[ERROR] failed\nTraceback (most recent call last):\n" in text()
    assert "\n [x" in text()


Change = Callable[[logging.Logger], object]
CHANGES: dict[str, Change] = {
    "handler": lambda logger: logger.addHandler(Recorder()),
    "filter": lambda logger: logger.addFilter(lambda record: True),
    "level": lambda logger: logger.setLevel(logging.DEBUG),
    "propagate": lambda logger: setattr(logger, "propagate", True),
    "formatter": lambda logger: logger.handlers[0].setFormatter(logging.Formatter("%(message)s")),
    "filter of the handler": lambda logger: logger.handlers[0].addFilter(lambda record: True),
    "level of the handler": lambda logger: logger.handlers[0].setLevel(logging.INFO),
    "other handlers": lambda logger: setattr(logger, "handlers", [Recorder()]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_any_change_is_noticed(log: ErrorLog, change: Change) -> None:
    assert log.outlet is not None
    change(ERROR)
    assert log.outlet.takes()
    change(ACCESS)
    assert loggers.access_form() is Form.GUNICORN


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_any_change_to_those_of_uvicorn_is_noticed(log: ErrorLog, change: Change) -> None:
    assert log.outlet is not None
    change(UVICORN)
    assert log.outlet.takes()
    change(UVICORN_ACCESS)
    assert loggers.access_form() is Form.UVICORN


def test_the_servers_records(log: ErrorLog, text: Callable[[], str]) -> None:
    ERROR.addHandler(recorder := Recorder())
    ERROR.removeHandler(ERROR.handlers[0])
    error = ValueError("boom")
    log.info("a %s %s", b"\n", 1)
    log.debug("not at this level")
    log.exception("b", exc_info=error, extra={"mine": 7})
    log.log("warning", "c")
    first, second, third = recorder.records
    assert (first.name, first.levelname, first.getMessage()) == ("gunicorn.error", "INFO", "a \\x0a 1")
    assert first.filename == "test_loggers.py"
    assert second.exc_info is not None
    assert second.exc_info[1] is error
    assert second.__dict__["mine"] == 7
    assert third.levelname == "WARNING"
    assert text() == ""


def test_the_form_of_the_servers_own_handler(log: ErrorLog, text: Callable[[], str]) -> None:
    ERROR.handlers[0].setFormatter(logging.Formatter('{"m": "%(message)s"}'))
    log.info("a\nb")
    assert text() == '{"m": "a\nb"}\n'


def test_only_uvicorns_are_configured(log: ErrorLog, text: Callable[[], str]) -> None:
    UVICORN.handlers = [recorder := Recorder()]
    log.info("x")
    assert [(record.name, record.getMessage()) for record in recorder.records] == [("uvicorn.error", "x")]
    ERROR.addFilter(lambda record: True)
    log.info("y")
    assert len(recorder.records) == 1
    assert "[INFO] y" in text()


@pytest.mark.parametrize("logger", [ERROR, UVICORN_ERROR])
def test_to_be_disabled_silences_nothing(log: ErrorLog, text: Callable[[], str], logger: logging.Logger) -> None:
    """`dictConfig` of an application does that to all that it does not name."""
    logger.addFilter(lambda record: True)
    logger.disabled = True
    log.info("x")
    assert "[INFO] x" in text()


def test_a_handler_that_raises(log: ErrorLog, text: Callable[[], str]) -> None:
    ERROR.handlers = [Recorder(broken=True)]
    log.info("one")
    log.info("two")
    assert text().count("LookupError: the handler is broken") == 1
    assert len(re.findall(r"\[INFO\] (one|two)$", text(), re.MULTILINE)) == 2
    log.reopen()
    log.info("three")
    assert text().count("LookupError: the handler is broken") == 2


def test_services_that_replace_a_method_of_all_loggers(log: ErrorLog, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []

    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        heard.append(record)

    monkeypatch.setattr(logging.Logger, "callHandlers", call_handlers)
    log.error("x")
    assert [record.getMessage() for record in heard] == ["x"]


SILENCES: dict[str, Change] = {
    "level": lambda logger: logger.setLevel(logging.WARNING),
    "disabled": lambda logger: setattr(logger, "disabled", True),
    "no handlers": lambda logger: logger.handlers.clear(),
}


@pytest.mark.parametrize("logger", [ACCESS, UVICORN_ACCESS], ids=["gunicorn", "uvicorn"])
@pytest.mark.parametrize("silence", SILENCES.values(), ids=SILENCES)
def test_the_access_log_is_silenced_by_either_name(log: ErrorLog, logger: logging.Logger, silence: Change) -> None:
    if logger is ACCESS and silence is SILENCES["disabled"]:
        logger.addFilter(lambda record: True)
    silence(logger)
    assert loggers.access_form() is Form.SILENT


def test_a_configuration_for_gunicorn_that_disables_the_rest(log: ErrorLog) -> None:
    ACCESS.handlers = [Recorder()]
    UVICORN_ACCESS.disabled = True
    assert loggers.access_form() is Form.GUNICORN
    loggers.enable()
    assert not UVICORN_ACCESS.disabled


def test_the_handler_of_the_access_log(log: ErrorLog, tmp_path: Path) -> None:
    ACCESS.info("nowhere yet")
    file = AccessLog(str(tmp_path / "access.log"), "%(h)s", log)
    loggers.write_access_to(file)
    ACCESS.info("line")
    file.flush()
    assert (tmp_path / "access.log").read_text() == "line\n"


def test_to_equip_twice_leaves_one_handler(log: ErrorLog) -> None:
    Loggers(log, logging.INFO)
    assert [type(handler) for handler in ERROR.handlers] == [ErrorHandler]
    assert [type(handler) for handler in ACCESS.handlers] == [AccessHandler]


def test_files_are_opened_anew(log: ErrorLog, tmp_path: Path) -> None:
    path = tmp_path / "handler.log"
    handler = logging.FileHandler(path)
    logging.getLogger("some.app").addHandler(handler)
    logging.root.addHandler(handler)
    try:
        ERROR.handlers = [handler]
        log.info("one")
        path.rename(tmp_path / "handler.log.1")
        log.info("two")
        log.reopen()
        log.info("three")
        assert (tmp_path / "handler.log.1").read_text() == "one\ntwo\n"
        assert path.read_text() == "three\n"
    finally:
        logging.getLogger("some.app").removeHandler(handler)
        logging.root.removeHandler(handler)


def test_a_file_that_is_just_written_to_is_opened_anew_after_that(log: ErrorLog, tmp_path: Path) -> None:
    """As a signal handler may run at any time in the thread that writes."""
    path = tmp_path / "handler.log"
    handler = logging.FileHandler(path)
    ERROR.handlers = [handler]
    before = handler.stream
    handler.acquire()
    log.reopen()
    assert handler.stream is before
    handler.release()
    for _ in range(1000):
        if handler.stream is not before:
            break
        handler.acquire()
        handler.release()
        time.sleep(0.01)
    assert handler.stream is not before


def test_a_file_that_cannot_be_opened_anew_stays(log: ErrorLog, tmp_path: Path, text: Callable[[], str]) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    handler = logging.FileHandler(folder / "handler.log")
    ERROR.handlers = [handler]
    folder.rename(tmp_path / "moved")
    log.reopen()
    log.info("kept")
    assert (tmp_path / "moved" / "handler.log").read_text() == "kept\n"
    assert f"[ERROR] Log file '{folder}/handler.log' cannot be opened anew: No such file or directory\n" in text()


class Voice:
    """A logger class's object."""

    error_log = "the error log"
    access_log = "the access log"
    mine = "an attribute"

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        if name not in ("debug", "info", "warning", "error", "exception", "critical", "log", "reopen_files"):
            raise AttributeError(name)
        return lambda *args, **more: self.calls.append((name, *args, more))


def test_a_logger_class_gets_all_messages(log: ErrorLog, text: Callable[[], str]) -> None:
    outlet = log.outlet
    assert isinstance(outlet, Loggers)
    outlet.voice = voice = Voice()
    for name in ("debug", "info", "warning", "error", "critical"):
        getattr(log, name)("%s", name)
    error = ValueError()
    log.exception("e", exc_info=error)
    log.log(25, "f")
    log.reopen()
    assert voice.calls == [
        *((name, "%s", name, {}) for name in ("debug", "info", "warning", "error", "critical")),
        ("exception", "e", {"exc_info": error}),
        ("log", 25, "f", {}),
        ("reopen_files", {}),
    ]
    assert (log.error_log, log.access_log, log.mine) == ("the error log", "the access log", "an attribute")
    assert not hasattr(log, "other")
    assert text() == ""
