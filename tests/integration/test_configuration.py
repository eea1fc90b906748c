"""A configuration file under a running server: read at the start and at each reload, kept to when it is broken."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.clients import refuses, request_in_progress
from tests.integration.server import Server, wait_for

Serve = Callable[..., Server]

FILE = """
import multiprocessing

workers = 1
worker_class = "{worker_class}"
threads = 2
keepallive = 5
control_socket_disable = True
spew = True

def on_reload(server):
    server.log.info("%s workers from now on", server.cfg.workers)
"""


@pytest.mark.parametrize(
    ("app", "worker_class"), [("plain_wsgi", "gthread"), ("plain_asgi", "uvicorn.workers.UvicornWorker")]
)
def test_a_file_and_its_changes(serve: Serve, tmp_path: Path, app: str, worker_class: str) -> None:
    file = tmp_path / "conf.py"
    text = FILE.format(worker_class=worker_class)
    file.write_text(text)
    environ = {"GUNICORN_CMD_ARGS": f"--workers 2 --config {file}", "UVICORN_LIFESPAN": "off"}
    server = serve(app, environ=environ, errors=("SyntaxError",))
    wait_for(lambda: len(server.workers()) == 2, "two workers: the variable overrules the file")
    assert len(server.logged(r"keepallive \(did you mean 'keepalive'\?\) is not a setting")) == 1
    assert len(server.logged(r"spew has no effect: ")) == 1

    file.write_text(text + "workers = = 3")
    server.send(signal.SIGHUP)
    server.says(r"this would not start \(exit code 1\)[\s\S]*SyntaxError: invalid syntax")
    assert len(server.workers()) == 2

    file.write_text(text.replace("spew = True", "loglevel = 'debug'"))
    server.send(signal.SIGHUP)
    server.says("2 workers from now on")
    server.says("Reload: all workers are new")
    assert len(server.logged(r"spew has no effect: ")) == 1
    with server.client() as client:
        assert client.get("/").status_code == 200


LATE = """
import os
late = os.path.join(os.path.dirname(__file__), "late")
if '"members"' in os.environ.get("_PYSERVE_LIFE", "") and os.path.exists(late):
    raise SystemExit("too late") if os.path.getsize(late) else ValueError("too late")
"""


def test_a_file_that_breaks_after_it_was_tried(serve: Serve, tmp_path: Path) -> None:
    """The old workers serve on, and the next life is begun again and again."""
    (tmp_path / "conf.py").write_text(LATE)
    server = serve("plain_wsgi", "-c", str(tmp_path / "conf.py"), errors=("ValueError",))
    (old,) = server.workers()
    (tmp_path / "late").touch()
    server.send(signal.SIGHUP)
    server.says("Reload: the old workers go on, and the configuration is read again in 5 s")
    assert server.workers() == [old]
    (tmp_path / "late").write_text("exits")
    server.send(signal.SIGHUP)
    server.says("the configuration ends with too late")
    with server.client() as client:
        assert client.get("/").text == "hello\n"
    (tmp_path / "late").unlink()
    server.send(signal.SIGHUP)
    server.says("Reload: all workers are new")
    (tmp_path / "late").touch()
    server.send(signal.SIGHUP)
    server.says("(?s)read again in.*Reload: all workers are new.*read again in")
    (new,) = server.workers()
    server.send(signal.SIGTERM)
    server.says(rf"Worker exiting \(pid: {new}\)")
    server.ends(0)


FILES = ("--pid", "pid", "--bind-file", "addresses", "--control-socket", "control", "--graceful-timeout", "60")


@pytest.fixture
def broken(serve: Serve, tmp_path: Path) -> Iterator[Server]:
    """A server whose configuration has broken between trial and next life. It has a request."""
    (tmp_path / "conf.py").write_text(LATE)
    server = serve("plain_wsgi", "-c", str(tmp_path / "conf.py"), *FILES, errors=("ValueError",))
    (tmp_path / "late").touch()
    server.send(signal.SIGHUP)
    server.says("the configuration is read again in 5 s")
    assert {"pid", "addresses", "control", "socket"} <= set(os.listdir(server.directory))
    yield server
    assert not {"pid", "addresses", "control", "socket"} & set(os.listdir(server.directory))


def test_a_stop_while_a_broken_file_is_waited_for_is_as_any_other(broken: Server) -> None:
    with request_in_progress(broken) as finish:
        broken.send(signal.SIGTERM)
        wait_for(lambda: refuses(broken), "the end of listening")
        assert b"through" in finish()
    broken.ends(0)


def test_a_quick_stop_follows_a_slow_one_while_a_broken_file_is_waited_for(broken: Server) -> None:
    with request_in_progress(broken):
        broken.send(signal.SIGTERM)
        wait_for(lambda: refuses(broken), "the end of listening")
        broken.stop(0, signal.SIGINT)


def test_who_does_not_end_while_a_broken_file_is_waited_for_is_killed(broken: Server) -> None:
    (worker,) = broken.workers()
    os.kill(worker, signal.SIGSTOP)
    broken.stop(1, signal.SIGQUIT)
