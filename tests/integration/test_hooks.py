"""Hooks in the real command: their order beside gunicorn's own, what people do in them, and what becomes of failures.

The files in `recipes` are configuration files as they are written for gunicorn.
"""

import ast
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from gunicorn.ctl.client import ControlClient

from tests.integration.server import APPS, PATIENCE, Server, wait_for

Serve = Callable[..., Server]

RECIPES = Path(__file__).with_name("recipes")
GUNICORN = (sys.executable, "-m", "gunicorn", "--no-control-socket", "--worker-tmp-dir", "/dev/shm")


def recipe(name: str) -> tuple[str, str]:
    return "-c", str(RECIPES / f"{name}.py")


def conf(server_directory: Path, text: str) -> tuple[str, str]:
    """Options for a configuration file of this text."""
    file = server_directory / "hooks.conf.py"
    file.write_text(text)
    return "-c", str(file)


def python_path(*directories: Path) -> str:
    """PYTHONPATH with these as well."""
    return os.pathsep.join([*map(str, directories), os.environ.get("PYTHONPATH", "")])


# The order, and what hooks are given


def have_booted(server: Server) -> bool:
    """Whether the server knows that all its workers serve, which is after the last hook of their beginning."""
    with ControlClient(str(server.directory / "control"), PATIENCE) as client:
        return all(worker["booted"] for worker in client.send_command("show workers")["workers"])


def live(server: Server, *, ours: bool) -> None:
    """One worker, a request, a reload, one worker more, one less (the youngest of ours), the end."""
    server.says("HOOK post_worker_init")
    server.ready("/a?q=1")
    server.says("HOOK post_request")
    server.send(signal.SIGHUP)
    server.says("HOOK post_worker_init", 2)
    server.says("HOOK child_exit")
    server.send(signal.SIGTTIN)
    server.says("HOOK post_worker_init", 3)
    if ours:
        wait_for(lambda: have_booted(server), "the youngest worker")
    server.send(signal.SIGTTOU)
    server.says("HOOK child_exit", 2)
    server.stop()
    server.says("HOOK on_exit")


def told(server: Server) -> tuple[list[str], list[list[str]]]:
    """What the hooks have said: in the master, and in each worker, these in no order."""
    said: dict[int, list[str]] = {server.pid: []}
    for line in server.logged(r"^\[[^]]+\] \[(?P<pid>\d+)\] \[INFO\] HOOK (?P<text>.*)$"):
        said.setdefault(int(line["pid"]), []).append(line["text"])
    return said.pop(server.pid), sorted(said.values())


@pytest.mark.parametrize(
    ("app", "theirs"),
    [("metered:wsgi", ()), ("metered:asgi", ("--worker-class", "asgi"))],
    ids=["sync", "async"],
)
def test_a_life_calls_what_gunicorn_calls(serve: Serve, app: str, theirs: tuple[str, ...]) -> None:
    options = (*recipe("everything"), "--access-logfile", "access")
    environ = {"PYTHONPATH": python_path(APPS), "PYTHONWARNINGS": "ignore"}
    ours = serve(app, *options, "--control-socket", "control", path=None)
    peer = serve(app, *options, *theirs, path=None, peer=GUNICORN, environ=environ)
    live(ours, ours=True)
    live(peer, ours=False)
    assert told(ours) == told(peer)


# Recipes


def test_prometheus_counts_over_workers_that_have_died(serve: Serve, tmp_path: Path) -> None:
    directory = tmp_path / "metrics"
    directory.mkdir()
    environ = {"PROMETHEUS_MULTIPROC_DIR": str(directory)}
    server = serve("metered:measured", "--workers", "2", *recipe("prometheus"), environ=environ)

    def living() -> set[int]:
        return {int(path.stem.rpartition("_")[2]) for path in directory.glob("gauge_livesum_*.db")}

    def ask(path: str = "/") -> str:
        with server.client() as client:
            return client.get(path).text

    served = 1  # by which it was found to be ready
    while living() != set(server.workers()):
        served += bool(ask())
    assert len(living()) == 2
    killed = int(ask())
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: killed not in living(), "the end of the dead worker's gauge")
    text = ask("/metrics")
    assert f"shop_requests_total {served + 2}.0" in text
    assert re.search(r"^shop_workers [12]\.0$", text, re.MULTILINE)


def test_opentelemetry_exports_from_every_worker(serve: Serve) -> None:
    server = serve("metered:traced", "--workers", "2", *recipe("tracing"))
    answered = set()
    with server.client() as client:
        while answered != set(server.workers()):
            answered.add(int(client.get("/shop", headers={"Connection": "close"}).text))
    server.stop()
    for pid in answered:
        assert server.logged(rf"Worker spawned \(pid: {pid}\)")
    decoder, text, spans = json.JSONDecoder(), server.out.read_text(), []
    while text.strip():
        span, end = decoder.raw_decode(text.lstrip())
        spans.append(span)
        text = text.lstrip()[end:]
    exported = {span["resource"]["attributes"]["worker"] for span in spans if span["name"] == "/shop"}
    assert exported == answered


@pytest.mark.parametrize(("app", "options"), [("plain_wsgi", ()), ("plain_asgi:app", ())], ids=["sync", "async"])
def test_a_worker_that_hangs_shows_where(serve: Serve, app: str, options: tuple[str, ...]) -> None:
    server = serve(app, "--timeout", "3", *recipe("stacks"), *options)
    [pid] = server.workers()
    with server.connect() as connection:
        connection.sendall(b"GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n")
        server.says("worker received SIGABRT signal")
    server.says(rf"Worker \(pid:{pid}\) exited with code 1")
    assert server.logged(r"^# Thread: [^(]+\(\d+\)$")
    assert server.logged(rf'^File: "{APPS}.*", line \d+, in \w+$')
    wait_for(lambda: server.workers() not in ([], [pid]), "another worker")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("app", ["plain_wsgi", "plain_asgi:app"], ids=["sync", "async"])
def test_a_worker_that_is_to_stop_at_once_says_so(serve: Serve, app: str, number: signal.Signals) -> None:
    server = serve(app, *recipe("stacks"))
    server.stop(number=number)
    assert len(server.logged("worker received INT or QUIT signal")) == 1
    assert server.logged(r"^# Thread: [^(]+\(\d+\)$")


@pytest.mark.parametrize("app", ["metered:wsgi", "metered:asgi"], ids=["sync", "async"])
def test_requests_are_counted_and_the_application_is_warm(serve: Serve, app: str) -> None:
    server = serve(app, *recipe("counting"))
    with server.client() as client:
        for path in ("/x", "/x", "/y"):
            assert client.get(path).status_code == 200
    server.stop()
    assert server.logged(rf"starting with 1 workers at \[\('127.0.0.1', {server.port}\)")
    assert len(server.logged("warm$")) == 1
    counted = ast.literal_eval(server.says(r"counted: (.*)$")[1])
    assert counted == [(("GET", path, "200 OK"), count) for path, count in (("/", 1), ("/x", 2), ("/y", 1))]


# What hooks may do


def test_a_hook_may_be_named_by_its_path(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "shop_hooks.py").write_text("def forked(server, worker):\n    server.log.info('forked by name')\n")
    options = conf(tmp_path, "post_fork = 'shop_hooks.forked'\n")
    serve("plain_wsgi", *options, environ={"PYTHONPATH": python_path(tmp_path)}).says("forked by name")


def test_a_hook_may_retire_its_worker(serve: Serve, tmp_path: Path) -> None:
    text = "def post_request(worker, req):\n    if req.path == '/pid':\n        worker.alive = False\n"
    server = serve("plain_wsgi", *conf(tmp_path, text))
    with server.client() as client:
        first = client.get("/pid", headers={"Connection": "close"}).text
        wait_for(lambda: server.workers() and int(first) not in server.workers(), "the end of the worker")
        assert client.get("/pid", headers={"Connection": "close"}).text != first


def test_a_hook_may_set_the_number_of_workers(serve: Serve, tmp_path: Path) -> None:
    text = "def when_ready(server):\n    server.num_workers += 1\n"
    text += "def nworkers_changed(server, new, old):\n    server.log.info('changed: %s %s', new, old)\n"
    server = serve("plain_wsgi", *conf(tmp_path, text))
    server.says("changed: 2 1")
    wait_for(lambda: len(server.workers()) == 2, "the second worker")


def test_a_hook_may_prepare_the_next_master(serve: Serve, tmp_path: Path) -> None:
    text = "def pre_exec(server):\n    server.log.info('pre_exec: %s', server.pid == __import__('os').getppid())\n"
    server = serve("plain_wsgi", *conf(tmp_path, text))
    server.send(signal.SIGUSR2)
    server.says("pre_exec: True")
    server.says("Starting pyserve", 2)
    server.says("Booting worker", 2)
    server.send(signal.SIGQUIT)
    second = int(server.says(r"A new master is started \(pid:(\d+)\)")[1])
    server.process.wait(PATIENCE)
    os.kill(second, signal.SIGQUIT)
    server.ends(0)


@pytest.mark.parametrize("name", ["on_starting", "when_ready"])
def test_a_hook_that_has_started_a_thread_is_called_again_when_a_reload_has_ended_it(
    serve: Serve, tmp_path: Path, name: str
) -> None:
    other = "when_ready" if name == "on_starting" else "on_starting"
    text = "import threading, warnings\n"
    text += "warnings.filterwarnings('ignore', 'This process .* is multi-threaded', DeprecationWarning)\n"
    text += f"def {name}(server):\n"
    text += "    threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    text += "    server.log.info('metrics are served')\n"
    text += f"def {other}(server):\n    server.log.info('only once')\n"
    text += "def on_reload(server):\n    server.log.info('threads: %s', __import__('threading').active_count())\n"
    server = serve("plain_wsgi", *conf(tmp_path, text))
    for life in (2, 3):
        server.send(signal.SIGHUP)
        server.says("threads: 2", life - 1)
        server.says("metrics are served", life)
        server.says("Reload: all workers are new", life - 1)
    assert len(server.logged("only once")) == 1


# Hooks that raise, as under gunicorn

FAILS = "def {name}({arguments}):\n    raise ValueError('no licence')\n"
ERRORS = ("ValueError: no licence",)


def failing(name: str, directory: Path) -> tuple[str, str]:
    arguments = {"nworkers_changed": "server, new, old", "on_starting": "server", "when_ready": "server"}
    arguments |= {"on_exit": "server", "on_reload": "server", "post_worker_init": "worker", "worker_int": "worker"}
    return conf(directory, FAILS.format(name=name, arguments=arguments.get(name, "server, worker")))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nworkers_changed", 1), ("on_starting", 1), ("when_ready", 1), ("pre_fork", 255), ("post_fork", 3),
        ("post_worker_init", 3),
    ],
)  # fmt: skip
def test_a_failure_at_the_start_ends_the_server(serve: Serve, tmp_path: Path, name: str, code: int) -> None:
    server = serve("plain_wsgi", *failing(name, tmp_path), path=None, errors=ERRORS)
    server.ends(code)
    assert server.logged(f"(the {name} hook failed: ValueError: no licence|Exception in {name} hook)")
    assert server.logged("^ValueError: no licence")


def test_a_failing_child_exit_stops_the_server(serve: Serve, tmp_path: Path) -> None:
    server = serve("plain_wsgi", "--workers", "2", *failing("child_exit", tmp_path), errors=ERRORS)
    os.kill(server.workers()[0], signal.SIGTERM)
    server.ends(255)
    assert server.logged("Exception in child_exit hook, the server stops")


def test_a_failing_on_reload_stops_the_server(serve: Serve, tmp_path: Path) -> None:
    server = serve("plain_wsgi", *failing("on_reload", tmp_path), errors=ERRORS)
    server.send(signal.SIGHUP)
    server.ends(255)
    assert server.logged("Exception in on_reload hook, the server stops")


@pytest.mark.parametrize(("name", "code"), [("worker_exit", 0), ("worker_int", 0), ("on_exit", 1)])
def test_a_failure_at_the_end_is_logged(serve: Serve, tmp_path: Path, name: str, code: int) -> None:
    server = serve("plain_wsgi", *failing(name, tmp_path), errors=ERRORS)
    server.stop(code, signal.SIGINT if name == "worker_int" else signal.SIGTERM)
    assert len(server.logged(f"Exception in {name} hook")) == 1


@pytest.mark.parametrize(("name", "status"), [("pre_request", 500), ("post_request", 200)])
def test_a_failure_at_a_request_is_the_requests(serve: Serve, tmp_path: Path, name: str, status: int) -> None:
    server = serve("plain_wsgi", *failing(name, tmp_path), errors=ERRORS)
    with server.client() as client:
        assert [client.get("/").status_code for _ in range(2)] == [status] * 2
    server.says(f"Exception in {name} hook", 3)


def test_a_hook_of_the_wrong_arity_is_a_wrong_setting(serve: Serve, tmp_path: Path) -> None:
    server = serve("plain_wsgi", *conf(tmp_path, "def post_fork(server):\n    pass\n"), path=None)
    server.ends(1)
    assert server.logged(r"post_fork: .* expected a function of \(server, worker\).*: Value must have an arity of: 2$")
