"""Names and classes of other servers' workers: which of ours is meant, and with which settings."""

import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from pyserve.server.configfile import ConfigFileError
from pyserve.server.configuration import settle
from pyserve.server.sources import Layer, Resolved, Source
from pyserve.server.workerclass import recognise
from pyserve.settings import SettingsError


def settled(worker_class: object, **given: object) -> Resolved:
    return settle([Layer(Source.COMMAND_LINE, {"worker_class": worker_class, **given})], {})


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in list(sys.modules):
        if name.startswith("own_worker"):
            monkeypatch.delitem(sys.modules, name)
    return tmp_path


# (name, worker class, changed settings)
NAMES: list[tuple[str, str, dict[str, object]]] = [
    ("sync", "sync", {}),
    ("gthread", "sync", {}),
    ("GThread", "sync", {}),
    ("egg:gunicorn#gthread", "sync", {}),
    ("gunicorn.workers.gthread.ThreadWorker", "sync", {}),
    ("asgi", "async", {}),
    ("gunicorn.workers.gasgi.ASGIWorker", "async", {}),
    ("uvicorn.workers.UvicornWorker", "async", {}),
    ("uvicorn_worker.UvicornWorker", "async", {}),
    ("uvicorn.workers.UvicornH11Worker", "async", {"loop": "asyncio", "http": "h11"}),
    ("uvicorn_worker.UvicornH11Worker", "async", {"loop": "asyncio", "http": "h11"}),
    ("gevent", "sync", {"threads": 64}),
    ("eventlet", "sync", {"threads": 64}),
    ("gunicorn.workers.ggevent.GeventWorker", "sync", {"threads": 64}),
]


@pytest.mark.parametrize(("name", "worker_class", "changed"), NAMES)
def test_names(name: str, worker_class: str, changed: dict[str, object]) -> None:
    resolved = settled(name)
    assert resolved.settings.worker_class == worker_class
    assert {key: getattr(resolved.settings, key) for key in changed} == changed
    assert len(resolved.warnings) == ("threads" in changed)


def test_the_name_is_quoted_as_it_was_given() -> None:
    with pytest.raises(SettingsError, match=r"^--worker-class gunicorn.*ThreadWorker and --interface asgi"):
        settled("gunicorn.workers.gthread.ThreadWorker", interface="asgi")
    resolved = settle([Layer(Source.COMMAND_LINE, {"worker_class": "uvicorn.workers.UvicornWorker"})], {})
    assert str(resolved.origins["worker_class"]) == "--worker-class uvicorn.workers.UvicornWorker"


def test_a_name_from_the_environment() -> None:
    resolved = settle([], {"PYSERVE_WORKER_CLASS": "uvicorn.workers.UvicornH11Worker"})
    assert (resolved.settings.worker_class, resolved.settings.http) == ("async", "h11")
    assert str(resolved.origins["worker_class"]) == "PYSERVE_WORKER_CLASS=async"


def test_threads_for_greenlets() -> None:
    resolved = settled("gevent", worker_connections="1000")
    text = "--worker-class gevent: threads serve instead of greenlets, 64 of them (--threads)"
    assert resolved.warnings == (text,)
    assert settled("gevent", worker_connections="10").settings.threads == 10
    assert settled("gevent", threads="8").settings.threads == 8


CLASSES = """
from uvicorn_worker import UvicornWorker

class Own(UvicornWorker):
    CONFIG_KWARGS = {"loop": "asyncio", "lifespan": "off", "http": "auto", "timeout_keep_alive": 9, "app": None}

class Other(Own):
    CONFIG_KWARGS = {"nowhere": 1}
    def run(self): pass
"""


def test_classes_of_ones_own(directory: Path) -> None:
    (directory / "own_worker.py").write_text(CLASSES)
    resolved = settled("own_worker.Own")
    settings = resolved.settings
    assert (settings.worker_class, settings.loop, settings.lifespan, settings.http) == (
        "async",
        "asyncio",
        "off",
        "httptools",
    )
    assert (settings.keepalive, resolved.warnings) == (9.0, ())
    assert settled("own_worker.Own", keepalive="3").settings.keepalive == 3.0
    assert settled("own_worker.Other").warnings == (
        "Other: its run are not called",
        "Other.CONFIG_KWARGS: nowhere has no effect",
    )
    assert "uvicorn_worker" not in sys.modules


def test_a_class_derived_from_uvicorns_needs_no_gunicorn(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "own_worker_3.py").write_text(
        "from uvicorn import workers\nclass Own(workers.UvicornWorker):\n    CONFIG_KWARGS = {'loop': 'asyncio'}\n"
    )
    monkeypatch.delitem(sys.modules, "uvicorn.workers", raising=False)
    monkeypatch.setitem(sys.modules, "gunicorn", None)
    monkeypatch.setitem(sys.modules, "gunicorn.arbiter", None)
    resolved = settled("own_worker_3.Own")
    assert (resolved.settings.worker_class, resolved.settings.loop, resolved.warnings) == ("async", "asyncio", ())
    assert "uvicorn.workers" not in sys.modules


def test_a_class_in_the_configuration_file() -> None:
    from gunicorn.workers.gthread import ThreadWorker

    with warnings.catch_warnings(action="ignore"):
        from uvicorn.workers import UvicornWorker

    class Own(UvicornWorker):
        CONFIG_KWARGS: dict[str, Any] = {"loop": "asyncio"}  # noqa: RUF012 - as people write it

    for given in (Own, lambda: Own):
        resolved = settle([Layer(Source.FILE, {"worker_class": given}, "gunicorn.conf.py")], {})
        assert (resolved.settings.worker_class, resolved.settings.loop) == ("async", "asyncio")
        assert resolved.warnings == ()
    assert recognise(ThreadWorker) == recognise("gthread")


def test_a_class_that_cannot_be_imported_is_known_by_its_name() -> None:
    resolved = settled("own_worker_nowhere.MyUvicornWorker")
    assert resolved.settings.worker_class == "async"
    (warning,) = resolved.warnings
    assert warning.startswith("own_worker_nowhere.MyUvicornWorker cannot be imported, and is taken for a UvicornWorker")
    assert settled("own_worker_nowhere.MyGeventWorker").settings.threads == 64


def test_what_is_no_worker_class(directory: Path) -> None:
    (directory / "own_worker_2.py").write_text("class Own: pass\nnumber = 3\n")
    with pytest.raises(SettingsError, match=r"^own_worker_2.Own is a worker of its own kind; take sync or async"):
        settled("own_worker_2.Own")
    with pytest.raises(SettingsError, match=r"^3 is not a worker class"):
        settled("own_worker_2.number")
    with pytest.raises(ConfigFileError, match=r"^worker_class own_worker_2.Nothing failed: AttributeError"):
        settled("own_worker_2.Nothing")
    with pytest.raises(
        ConfigFileError, match=r"^worker_class no.such failed: ModuleNotFoundError: No module"
    ) as caught:
        settled("no.such")
    assert caught.value.traceback is None  # nothing of the user's ran
    (directory / "own_worker_3.py").write_text("1 / 0\n")
    with pytest.raises(ConfigFileError, match="ZeroDivisionError") as caught:
        settled("own_worker_3.Own")
    assert caught.value.traceback is not None
    assert "own_worker_3.py" in caught.value.traceback
    assert "pyserve/" not in caught.value.traceback
    with pytest.raises(SettingsError, match=r"^worker_class: calling .* failed: .*missing 1 required"):
        settled(lambda wrong: None)
    with pytest.raises(SettingsError, match=r"--worker-class: 'asink' given, .* did you mean 'async'"):
        settled("asink")
