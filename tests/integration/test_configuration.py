"""A configuration file under a running server: read at the start and at each reload, kept to when it is broken."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

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
