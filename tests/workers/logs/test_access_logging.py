"""Which way the access log goes, and the records that filters, formatters and logger classes get."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pyserve.settings import Settings
from pyserve.workers.logs import access, access_logging, loggers
from pyserve.workers.logs.access import Access, AccessLog
from pyserve.workers.logs.access_logging import LoggedAccess, MeteredAccess
from pyserve.workers.logs.error_log import ErrorLog
from pyserve.workers.logs.loggers import Loggers
from tests.workers.answers import Connection, Exchange, WsgiConnection
from tests.workers.logs.test_loggers import Recorder

pytestmark = pytest.mark.usefixtures("loggers_restored")

FORMAT = "%(m)s %(U)s %(s)s"
LINE = "GET /a b 200"


@pytest.fixture
def log(tmp_path: Path) -> ErrorLog:
    made = ErrorLog(str(tmp_path / "error.log"))
    made.outlet = Loggers(made, logging.INFO)
    return made


@pytest.fixture
def choose(log: ErrorLog, tmp_path: Path) -> Callable[..., Access | None]:
    """What a worker takes, with an access log of its own in `access.log` unless it is told otherwise."""

    def choose(accesslog: str | None = str(tmp_path / "access.log"), **more: Any) -> Access | None:
        settings = Settings(accesslog=accesslog, access_log_format=FORMAT, **more)
        return access_logging.choose(settings, log, access.setup(settings, log))

    return choose


def answer(chosen: Access | None, exchange: Exchange | None = None, connection: Any = None) -> None:
    assert chosen is not None
    chosen.write(exchange or Exchange(), connection or Connection(), 0.5, 0.0)
    chosen.tick()


def lines(tmp_path: Path) -> list[str]:
    return (tmp_path / "access.log").read_text().splitlines()


Choose = Callable[..., Access | None]


def test_the_short_way(choose: Choose) -> None:
    chosen = choose()
    assert type(chosen) is AccessLog
    assert not chosen.wants_environ
    assert choose(None) is None


def test_a_filter_on_gunicorns_logger(choose: Choose, tmp_path: Path) -> None:
    loggers.GUNICORN_ACCESS.addFilter(lambda record: record.args["U"] != "/healthz")  # type: ignore[call-overload,index]
    chosen = choose()
    answer(chosen)
    answer(chosen, Exchange(path=b"/healthz", target=b"/healthz"))
    assert lines(tmp_path) == [LINE]


def test_a_filter_on_uvicorns_logger(choose: Choose, tmp_path: Path) -> None:
    """The line keeps the form that the settings give it, unless the filter changes the record."""

    def judge(record: logging.LogRecord) -> bool:
        assert isinstance(record.args, tuple)
        if "secret" in str(record.args[2]):
            record.args = (*record.args[:2], "***", *record.args[3:])
        return "/healthz" not in record.getMessage()

    loggers.UVICORN_ACCESS.addFilter(judge)
    chosen = choose()
    answer(chosen)
    answer(chosen, Exchange(path=b"/healthz", target=b"/healthz"))
    answer(chosen, Exchange(path=b"/secret", target=b"/secret"))
    assert lines(tmp_path) == [LINE, '192.0.2.7:50000 - "GET *** HTTP/1.1" 200']


@pytest.mark.parametrize("voiced", [True, False])
def test_a_filter_on_uvicorns_logger_beside_a_handler_on_gunicorns(choose: Choose, log: ErrorLog, voiced: bool) -> None:
    loggers.GUNICORN_ACCESS.handlers = [recorder := Recorder()]
    loggers.UVICORN_ACCESS.addFilter(lambda record: record.args[2] != "/healthz")  # type: ignore[call-overload,index]
    voice = Voice()
    if voiced:
        assert isinstance(log.outlet, Loggers)
        log.outlet.voice = voice
    chosen = choose(None, logconfig="x")
    answer(chosen)
    answer(chosen, Exchange(path=b"/healthz", query=b""))
    answer(chosen, Exchange(status=0))
    assert len(voice.calls if voiced else recorder.records) == 2


def test_a_filter_does_not_turn_the_log_on(choose: Choose) -> None:
    loggers.GUNICORN_ACCESS.addFilter(lambda record: True)
    loggers.UVICORN_ACCESS.addHandler(Recorder())
    assert choose(None) is None


def test_gunicorns_record(choose: Choose) -> None:
    loggers.GUNICORN_ACCESS.handlers = [recorder := Recorder()]
    chosen = choose(None, logconfig_dict={"version": 1})
    assert chosen is not None
    assert chosen.wants_environ
    answer(chosen, connection=WsgiConnection(MINE="x"))
    (record,) = recorder.records
    assert (record.name, record.levelname, record.msg, record.getMessage()) == ("gunicorn.access", "INFO", FORMAT, LINE)
    assert isinstance(record.args, dict)
    assert (record.args["D"], record.args["{host}i"], record.args["{mine}e"]) == (500000, "example.org", "x")


@pytest.mark.parametrize(
    ("connection", "client"),
    [
        (Connection(), "192.0.2.7:50000"),
        (WsgiConnection(), "192.0.2.7:50001"),
        (SimpleNamespace(remote="", environ=None), ""),
    ],
)
def test_uvicorns_record(choose: Choose, connection: Any, client: str) -> None:
    loggers.UVICORN_ACCESS.handlers = [recorder := Recorder()]
    chosen = choose(None, logconfig="file.ini")
    answer(chosen, connection=connection)
    answer(chosen, Exchange(status=0))
    (record,) = recorder.records
    assert record.name == "uvicorn.access"
    assert record.args == (client, "GET", "/a%20b?x=1", "1.1", 200)
    assert record.getMessage() == f'{client} - "GET /a%20b?x=1 HTTP/1.1" 200'


def test_a_client_that_a_proxy_names(choose: Choose) -> None:
    loggers.UVICORN_ACCESS.handlers = [uvicorns := Recorder()]
    answer(choose(None, logconfig="x"), Exchange(client="203.0.113.9"))
    assert isinstance(args := uvicorns.records[0].args, tuple)
    assert args[0] == "203.0.113.9:0"
    loggers.GUNICORN_ACCESS.handlers = [gunicorns := Recorder()]
    answer(choose(None, logconfig="x"), Exchange(client="203.0.113.9"))
    assert isinstance(atoms := gunicorns.records[0].args, dict)
    assert atoms["h"] == "203.0.113.9"


def test_the_formatter_of_uvicorn(choose: Choose, capsys: pytest.CaptureFixture[str]) -> None:
    formatter = pytest.importorskip("uvicorn.logging").AccessFormatter(
        '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s', use_colors=False
    )
    loggers.UVICORN_ACCESS.handlers = [handler := logging.StreamHandler()]
    handler.setFormatter(formatter)
    answer(choose(None, logconfig="x.json"))
    assert capsys.readouterr().err == 'INFO:     192.0.2.7:50000 - "GET /a%20b?x=1 HTTP/1.1" 200 OK\n'


def test_a_silenced_log_costs_nothing(choose: Choose) -> None:
    loggers.UVICORN_ACCESS.setLevel(logging.WARNING)
    assert choose() is None


def test_what_raises_costs_no_request(choose: Choose, tmp_path: Path) -> None:
    loggers.GUNICORN_ACCESS.handlers = [recorder := Recorder(broken=True)]
    chosen = choose()
    answer(chosen)
    answer(chosen)
    text = (tmp_path / "error.log").read_text()
    assert text.count("LookupError: the handler is broken") == 1
    assert "The access log could not describe a request" in text
    assert isinstance(chosen, LoggedAccess)
    assert chosen.lost == 2
    recorder.broken = False
    answer(chosen)
    assert len(recorder.records) == 1


def test_the_servers_own_file_is_kept_going(choose: Choose, tmp_path: Path) -> None:
    loggers.GUNICORN_ACCESS.addHandler(Recorder())
    chosen = choose()
    assert chosen is not None
    answer(chosen)
    (tmp_path / "access.log").rename(tmp_path / "access.log.1")
    chosen.reopen()
    chosen.write(Exchange(), Connection(), 0.5, 0.0)
    chosen.flush()
    chosen.close()
    assert (tmp_path / "access.log.1").read_text() == lines(tmp_path)[0] + "\n"


def test_it_can_be_refused_whatever_is_configured(choose: Choose) -> None:
    loggers.GUNICORN_ACCESS.addHandler(Recorder())
    assert choose(None, logconfig="x", access_log=False) is None


def test_syslog_alone_turns_it_on(choose: Choose) -> None:
    loggers.GUNICORN_ACCESS.addHandler(recorder := Recorder())
    assert choose(None, syslog=True, disable_redirect_access_to_syslog=True) is None
    answer(choose(None, syslog=True))
    assert len(recorder.records) == 1


class Voice:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        self.calls.append((resp.status, req.uri, environ["PATH_INFO"], request_time.total_seconds()))


def test_a_logger_class(choose: Choose, log: ErrorLog) -> None:
    assert isinstance(log.outlet, Loggers)
    log.outlet.voice = voice = Voice()
    answer(choose(None))
    assert voice.calls == [("200 OK", "/a%20b?x=1", "/a b", 0.5)]


@pytest.mark.parametrize("enabled", [True, False])
def test_gunicorns_own_method_is_asked_whether_it_logs(choose: Choose, log: ErrorLog, enabled: bool) -> None:
    glogging = pytest.importorskip("gunicorn.glogging")
    voice = object.__new__(type("Mine", (glogging.Logger,), {}))
    voice._access_log_enabled = enabled
    assert isinstance(log.outlet, Loggers)
    log.outlet.voice = voice
    assert (choose(None) is not None) is enabled


class Metrics:
    def __init__(self) -> None:
        self.told: list[tuple[int, float]] = []
        self.connected = False

    def connect(self) -> None:
        self.connected = True

    def request(self, status: int, milliseconds: float) -> None:
        self.told.append((status, milliseconds))


@pytest.mark.parametrize("logged", [True, False])
def test_metrics(choose: Choose, log: ErrorLog, tmp_path: Path, logged: bool) -> None:
    log.metrics = metrics = Metrics()  # type: ignore[assignment] # what is not asked for is not there
    chosen = choose() if logged else choose(None)
    assert isinstance(chosen, MeteredAccess)
    answer(chosen, Exchange(status=404))
    chosen.flush()
    chosen.reopen()
    chosen.close()
    assert metrics.connected
    assert metrics.told == [(404, 500.0)]
    if logged:
        assert lines(tmp_path) == ["GET /a b 404"]
