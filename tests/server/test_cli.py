"""The command: what it prints and the exit code it returns."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pyserve import __version__
from pyserve.server import cli
from pyserve.settings import OPTIONS, Settings

PLATFORM = {variable for option in OPTIONS.values() for variable in option.fallbacks}
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with two applications, an environment without our variables, modules left as they were."""
    (tmp_path / "cli_wsgi.py").write_text("def app(environ, start_response): return []\n")
    (tmp_path / "cli_asgi.py").write_text("async def app(scope, receive, send): pass\n")
    (tmp_path / "cli_broken.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in list(os.environ):
        if name.startswith(("PYSERVE_", "UVICORN_", "GUNICORN_")) or name in PLATFORM:
            monkeypatch.delenv(name)
    for name in ("cli_wsgi", "cli_asgi", "cli_broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """What the master was asked to serve, in place of a master; its exit code is 7."""
    found: list[Settings] = []

    def serve(settings: Settings, remarks: Iterable[str]) -> int:
        found.append(settings)
        for remark in remarks:
            print(f"remark: {remark}", file=sys.stderr)
        return 7

    original = importlib.import_module

    def import_module(name: str, package: str | None = None) -> Any:
        return SimpleNamespace(serve=serve) if name == "pyserve.server.master" else original(name, package)

    monkeypatch.setattr(importlib, "import_module", import_module)
    return found


def error(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("pyserve: ")
    return captured.err.removeprefix("pyserve: ").rstrip("\n")


def test_every_setting_is_an_option(served: list[Settings]) -> None:
    arguments = {
        "bind": ["--bind", ":1", "-b", "unix:/a"],
        "config": [],
        "host": [],
        "port": [],
        "uds": [],
        "fd": [],
        "chdir": ["--chdir", "."],
        "app_dir": ["--app-dir", "."],
        "check_config": [],
        "print_config": [],
        "app": ["cli_wsgi:app"],
        "interface": ["--interface", "wsgi"],
        "ws": ["--ws", "none"],
        "ws_per_message_deflate": ["--ws-per-message-deflate", "false"],
        "worker_class": ["--worker-class", "async"],
        "root_path": ["--root-path", "/api"],
        "loglevel": ["--log-level", "debug"],
        "syslog_addr": ["--log-syslog-to", "unix:///dev/log"],
        "syslog_facility": ["--log-syslog-facility", "local7"],
        "statsd_host": ["--statsd-host", "localhost:8125"],
        "logger_class": ["--logger-class", "logging.Logger"],
        "http": ["--http", "h11"],
        "loop": ["--loop", "asyncio"],
        "lifespan": ["--lifespan", "off"],
        "header_map": ["--header-map", "refuse"],
        "cert_reqs": ["--cert-reqs", "2"],
        "suppress_ragged_eofs": ["--no-suppress-ragged-eofs"],
        "headers": ["--header", "X-A: b", "--header", "X-C:d"],
        "unix_socket_mode": ["--unix-socket-mode", "660"],
        "unix_socket_owner": ["--unix-socket-owner", "0:0"],
        "server_header": ["--no-server-header"],
        "date_header": ["--no-date-header"],
        "forwarded_allow_ips": ["--forwarded-allow-ips", "10.0.0.0/8"],
        "trusted_proxy_headers": ["--trusted-proxy-headers", "forwarded"],
        "secure_scheme_headers": ["--secure-scheme-headers", "X-SSL=on"],
        "proxy_protocol": ["--proxy-protocol"],
        "proxy_allow_ips": ["--proxy-allow-from", "*"],
        "forwarder_headers": ["--forwarder-headers", "REMOTE_USER"],
        "access_log_format": ["--access-logformat", "%(h)s"],
        "raw_env": ["--env", "A=b"],
        "paste": ["--paste", "a.ini"],
        "raw_paste_global_conf": ["--paste-global", "a=b"],
        "env_file": ["--env-file", os.devnull],
        "reload_engine": ["--reload-engine", "poll"],
    }
    Path("a.ini").touch()
    given: list[str] = []
    for name, option in OPTIONS.items():
        if option.flags:
            given += arguments.get(name, [option.flag, "7"] if option.kind.metavar else [option.flag])
    assert cli.main(given) == 7
    unlike = [name for name in OPTIONS if getattr(served[0], name) == getattr(Settings(), name)]
    unlike = [name for name in unlike if OPTIONS[name].flags]
    assert unlike == ["config", "host", "port", "uds", "fd", "check_config", "print_config"]
    assert served[0].bind == ("0.0.0.0:1", "unix:/a")


def test_a_password_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--print-config", "--certfile", "a", "--keyfile-password", "sesame"]) == 0
    printed = capsys.readouterr().out
    assert "sesame" not in printed
    assert "keyfile_password" in printed


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["-w", "3"], "workers", 3),
        (["-k", "ASYNC"], "worker_class", "async"),
        (["-t", "0"], "timeout", 0.0),
        (["-p", "x.pid"], "pidfile", "x.pid"),
        (["--workers=3"], "workers", 3),
        (["--workers", "2", "--workers", "3"], "workers", 3),
        (["--no-preload"], "preload_app", False),
        (["--log-file", "x"], "errorlog", "x"),
        (["--limit-request-field_size", "1k"], "limit_request_field_size", 1024),
        (["--port", "80"], "bind", ("127.0.0.1:80",)),
    ],
)
def test_forms(served: list[Settings], arguments: list[str], field: str, value: object) -> None:
    assert cli.main([*arguments, "cli_wsgi:app"]) == 7
    assert cli.main(["cli_wsgi:app", *arguments]) == 7
    assert [getattr(settings, field) for settings in served] == [value, value]


# (arguments, piece of the one line)
WRONG = [
    ([], "APP is missing, for example: pyserve main:app"),
    (["--wroker", "3", "x"], "No such option"),
    (["--workers"], "requires an argument"),
    (["--workers", "x", "cli_wsgi"], "--workers: 'x' given, expected a whole number from 1 to 4096, or auto"),
    (["--preload=yes", "x"], "does not take a value"),
    (["a", "b"], "unexpected extra argument"),
    (["main.py"], "APP: 'main.py' given"),
    (["--bind", ":1", "--port", "2", "x"], "--bind :1 and --port 2"),
    (["--access-logformat", "%h", "x"], "--access-logformat: '%h' is not an atom"),
    (["--chdir", "nowhere", "x"], "--chdir: 'nowhere' given"),
]


@pytest.mark.parametrize(("arguments", "piece"), WRONG, ids=[" ".join(case[0]) for case in WRONG])
def test_a_wrong_command_line(
    served: list[Settings], capsys: pytest.CaptureFixture[str], arguments: list[str], piece: str
) -> None:
    assert cli.main(arguments) == 2
    assert piece in error(capsys)
    assert served == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PYSERVE_WORKERS", "x"), ("WEB_CONCURRENCY", "0"), ("PORT", "http"), ("PYSERVE_ACCESS_LOGFORMAT", "%h")],
)
def test_a_wrong_environment(
    served: list[Settings],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
) -> None:
    monkeypatch.setenv(variable, value)
    assert cli.main(["cli_wsgi:app"]) == 1
    assert error(capsys)
    assert served == []


def test_the_environment_may_name_everything(served: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSERVE_APP", "cli_wsgi:app")
    monkeypatch.setenv("PORT", "9000")
    assert cli.main([]) == 7
    assert served[0].app == "cli_wsgi:app"
    assert served[0].bind == ("0.0.0.0:9000",)


def test_a_mistyped_variable_is_a_warning(
    served: list[Settings], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYSERVE_WORKER", "3")
    assert cli.main(["cli_wsgi:app"]) == 7
    remark = "PYSERVE_WORKER is not a setting; did you mean 'PYSERVE_WORKERS'?"
    assert capsys.readouterr().err == f"remark: {remark}\n"
    assert cli.main(["--check-config", "cli_wsgi:app"]) == 0
    assert capsys.readouterr().err == f"pyserve: warning: {remark}\n"


def test_a_working_directory_that_is_gone(
    served: list[Settings], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert cli.main(["cli_wsgi"]) == 1
    assert error(capsys) == "working directory: No such file or directory"
    os.chdir(tmp_path)


# --version, --help, --print-config, --check-config


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"pyserve {__version__} (")


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    missing = [flag for option in OPTIONS.values() for flag in option.flags.split() if flag not in out]
    assert missing == []
    assert "--version" in out


def test_print_config(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    assert cli.main(["--print-config", "--limit-request-body", "1k"]) == 0
    lines = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    found = {name.strip(): " ".join(rest.split()) for name, rest in lines.items()}
    assert list(found) == list(OPTIONS)
    assert found["workers"] == "3 # WEB_CONCURRENCY=3"
    assert found["limit_request_body"] == "1024 # --limit-request-body 1k"
    assert found["loglevel"] == "'info' # default"
    assert found["print_config"] == "True # --print-config"


@pytest.mark.parametrize(
    ("arguments", "interface", "worker_class"),
    [
        (["cli_wsgi:app"], "WSGI", "sync"),
        (["cli_asgi"], "ASGI", "async"),
        (["-k", "async", "cli_wsgi:app"], "WSGI", "async"),
    ],
)
def test_check_config(
    served: list[Settings],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    interface: str,
    worker_class: str,
) -> None:
    assert cli.main(["--check-config", *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"The configuration is good: {arguments[-1]} is {interface}, worker class {worker_class}\n"
    assert captured.err == ""
    assert served == []


def test_check_config_warns(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--check-config", "--loop", "asyncio", "cli_wsgi:app"]) == 0
    assert capsys.readouterr().err.startswith("pyserve: warning: --loop has no effect")


@pytest.mark.parametrize(
    ("arguments", "code", "piece"),
    [
        (["cli_nowhere:app"], 1, "no module 'cli_nowhere'"),
        (["cli_wsgi:ap"], 1, "did you mean 'app'"),
        (["-k", "sync", "cli_asgi:app"], 2, "this works: pyserve --worker-class async cli_asgi:app"),
    ],
)
def test_check_config_fails(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, piece: str) -> None:
    assert cli.main(["--check-config", *arguments]) == code
    assert piece in error(capsys)


def test_the_applications_traceback_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--check-config", "cli_broken"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "cli_broken.py" in lines[1]
    assert lines[-1] == "pyserve: importing module 'cli_broken' failed: ZeroDivisionError: division by zero"


def test_print_config_checks_the_application_as_gunicorn_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--print-config", "cli_broken"]) == 1
    assert cli.main(["--print-config", "cli_wsgi"]) == 0
    assert "The configuration is good" not in capsys.readouterr().out


def test_the_server_tells_its_name(served: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVER_SOFTWARE", raising=False)
    assert cli.main(["cli_wsgi"]) == 7
    assert os.environ["SERVER_SOFTWARE"] == f"pyserve/{__version__}"


def test_both_print_and_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--print-config", "--check-config", "cli_wsgi"]) == 0
    assert capsys.readouterr().out.endswith("worker class sync\n")


@pytest.mark.parametrize("argument", ["--print-config", "--help", "--version"])
def test_output_that_cannot_be_written(argument: str) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "pyserve", argument]
        done = subprocess.run(command, env=environ, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "pyserve: stdout: No space left on device\n")


# Configuration files


def test_a_file_may_name_everything(served: list[Settings], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("wsgi_app = 'cli_wsgi:app'\nworkers = 3\npost_fork = print\n")
    assert cli.main([]) == 7
    assert (served[0].app, served[0].workers, served[0].config) == ("cli_wsgi:app", 3, "gunicorn.conf.py")
    assert cli.main(["--print-config", "-w4"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "workers = 4 # --workers 4" in lines
    assert "app = 'cli_wsgi:app' # gunicorn.conf.py: app" in lines


def test_a_broken_file_shows_its_own_traceback(
    served: list[Settings], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf.py").write_text("def number():\n    return 1 / 0\n\nworkers = number()\n")
    assert cli.main(["-c", "conf.py", "cli_wsgi"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "conf.py" in lines[1]
    assert lines[-1] == "pyserve: conf.py failed: ZeroDivisionError: division by zero"
    assert served == []


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["-c", "nowhere.py", "cli_wsgi"]) == 1
    assert error(capsys) == "nowhere.py: No such file or directory"


# Keywords


def test_run_with_keywords(served: list[Settings]) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        return []

    assert cli.run(app, {"workers": 2, "bind": "a:1", "keep_alive": 3, "pidfile": None}) == 7
    assert served[0].app is app
    assert (served[0].workers, served[0].bind, served[0].keepalive) == (2, ("a:1",), 3.0)


@pytest.mark.parametrize(
    ("settings", "piece"),
    [
        ({"workers": "x"}, "workers: 'x' given"),
        ({"worker": 1}, "worker is not a setting; did you mean 'workers'"),
        ({"app": "x"}, "app is given twice"),
    ],
)
def test_run_with_wrong_keywords(
    served: list[Settings], capsys: pytest.CaptureFixture[str], settings: dict[str, object], piece: str
) -> None:
    assert cli.run("cli_wsgi:app", settings) == 1
    assert piece in error(capsys)
    assert served == []


# As processes


@pytest.mark.parametrize("arguments", [["-m", "pyserve", "--version"], ["-m", "pyserve.settings"]])
def test_as_a_module(arguments: list[str]) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *arguments], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(("pyserve ", "# Settings"))
    assert done.stderr == ""
