"""What the master gets before it serves; the way as a whole is walked in test_arbiter.py."""

import gc
import os
import resource
import signal
import sys
import threading
from pathlib import Path

import pytest

from pyserve.server import equipment
from pyserve.server.equipment import equipped, preload, raise_descriptor_limit, told
from pyserve.server.sockets import BindError
from pyserve.server.takeover import Inheritance, Origin
from pyserve.server.wakeup import Wakeup
from pyserve.settings import Settings, SettingsError
from pyserve.workers.application import ApplicationLoadError, WorkerClassError
from tests.tls import write_certificate

BEFORE = Inheritance([], None, (0, 0), (0, 0), [], {}, 0, 1)


def application(environ, start_response):
    raise AssertionError("nobody calls it")


async def asgi_application(scope, receive, send):
    raise AssertionError("nobody calls it")


@pytest.fixture
def wakeup():
    wakeup = Wakeup()
    yield wakeup
    wakeup.close()


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """As in a master, where nobody else has threads: those that are there before the test do not count."""
    others = set(threading.enumerate()) - {threading.main_thread()}
    monkeypatch.setattr(threading, "active_count", lambda: len(set(threading.enumerate()) - others))


@pytest.fixture(autouse=True)
def unfrozen(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    gc.unfreeze()


def test_preload_freezes_what_is_there(log):
    assert preload(Settings(app=application), log).callable is application
    assert gc.get_freeze_count() > 0
    assert log.said == []


def test_preload_of_an_application_that_starts_threads(log):
    started: list[threading.Thread] = []
    done = threading.Event()

    def make():
        started.append(threading.Thread(target=done.wait))
        started[0].start()
        return application

    try:
        preload(Settings(app=make, factory=True), log)
    finally:
        done.set()
        started[0].join()
    assert log.said == [
        ("warning", "The application started 1 threads when it was loaded: the workers do not have them")
    ]


def test_preload_refuses_what_the_workers_would_refuse(log):
    with pytest.raises(WorkerClassError):
        preload(Settings(app=asgi_application, worker_class="sync"), log)


def broken():
    raise ValueError("no database")


def test_a_failing_preload(log):
    with pytest.raises(ApplicationLoadError) as caught:
        preload(Settings(app=broken, factory=True), log)
    text = told(caught.value)
    assert "ValueError: no database" in text.splitlines()[0]
    assert "in broken" in text


def test_a_failing_preload_in_a_next_life_is_told_and_the_old_workers_go_on(log, wakeup):
    assert equipment._application(Settings(app=broken, factory=True), log, BEFORE, wakeup) is None
    assert "no database" in log.said[0][1]


def interrupted():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException as error:
        raise ValueError("no luck") from error


def test_a_preload_that_a_signal_ends(log, wakeup):
    """Whatever the application makes of it: in a next life there are workers to be stopped, by the loop."""
    wakeup.install()
    settings = Settings(app=interrupted, factory=True)
    assert equipment._application(settings, log, BEFORE, wakeup) is None
    assert log.said == []
    assert wakeup.interrupted is None
    assert wakeup.read() == [signal.SIGTERM]
    with pytest.raises(ApplicationLoadError):
        equipment._application(settings, log, None, wakeup)
    assert wakeup.interrupted is signal.SIGTERM


def test_the_soft_limit_of_descriptors_becomes_the_hard_one():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_limit_that_cannot_be_raised_is_no_reason_not_to_serve(monkeypatch):
    def refuse(*args):
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda which: (1, 2))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    raise_descriptor_limit()


def test_everything_is_given_back(log, tmp_path, wakeup):
    settings = Settings(app=application, bind=(f"unix:{tmp_path}/s.sock",), pidfile=str(tmp_path / "pid"), workers=3)
    with equipped(settings, log, wakeup, Origin.now(), lambda context: 0) as got:
        assert (tmp_path / "s.sock").exists()
        assert (tmp_path / "pid").exists()
        assert len(got.board) >= 6
        assert got.board.threads == settings.threads + 1
        assert got.application is None
    assert list(tmp_path.iterdir()) == []
    assert [text.partition(":")[0] for _, text in log.said] == ["Listening at"]


@pytest.mark.parametrize(
    ("app", "settings", "said"),
    [
        (application, {"worker_class": "async"}, ["async"]),
        (application, {"preload_app": True}, ["sync"]),
        (asgi_application, {"preload_app": True, "worker_class": "async"}, ["async"]),
        (asgi_application, {}, []),
    ],
)
def test_the_class_of_the_workers_is_said_once_it_is_known(log, wakeup, app, settings, said):
    """What is not known before the application is loaded the first worker says."""
    settings = Settings(app=app, bind=("127.0.0.1:0",), **settings)
    with equipped(settings, log, wakeup, Origin.now(), lambda context: 0):
        pass
    assert [text for _, text in log.said if "worker" in text] == [f"Using worker: {name}" for name in said]


def test_a_start_that_fails_gives_back_what_it_had_got(log, tmp_path, wakeup):
    settings = Settings(app=application, bind=("unix:/nonexistent/s.sock",), pidfile=str(tmp_path / "pid"))
    with pytest.raises(BindError), equipped(settings, log, wakeup, Origin.now(), lambda context: 0):
        raise AssertionError("it must not serve")
    assert list(tmp_path.iterdir()) == []


def test_a_board_of_the_life_before_is_taken_over_if_it_fits(log):
    old = equipment._board(Settings(workers=2), None)
    if old.fd is None:
        pytest.skip("the system has no memfd_create")
    old.slot(1).connections = 5
    before = Inheritance([], old.fd, (0, 0), (0, 0), [], {}, 0, 2)
    assert equipment._board(Settings(workers=2), before).slot(1).connections == 5
    assert equipment._board(Settings(workers=2, threads=4), before).slot(1).connections == 0
    assert equipment._board(Settings(workers=20), before).slot(1).connections == 0


def test_certificates_that_are_being_replaced_during_a_reload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers serve on meanwhile: the next life does not end for it. At a first start a bad file is told at once."""
    path = tmp_path / "server.pem"
    path.write_text("half of it")
    settings = Settings(certfile=(str(path),))
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            write_certificate(path)

    monkeypatch.setattr(equipment.time, "sleep", sleep)
    with pytest.raises(SettingsError, match="holds no certificate"):
        equipment._certificates(settings, None)
    assert not pauses
    assert equipment._certificates(settings, BEFORE) is not None
    assert len(pauses) == 2
    path.write_text("nonsense")
    with pytest.raises(SettingsError, match="holds no certificate"):
        equipment._certificates(settings, BEFORE)
    assert equipment._certificates(Settings(), BEFORE) is None
