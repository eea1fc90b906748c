"""Which source wins, what is refused and with which exit code."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from pyserve.server.sources import Resolved, Source, resolve
from pyserve.settings import DEFAULTS, OPTIONS, SettingsError


def refusal(given: dict[str, Any], environ: dict[str, str], source: Source = Source.COMMAND_LINE) -> tuple[str, int]:
    with pytest.raises(SettingsError) as caught:
        resolve(given, environ, source)
    text = str(caught.value)
    assert "\n" not in text
    return text, caught.value.exit_code


def binds(given: dict[str, Any], environ: dict[str, str]) -> tuple[str, ...]:
    return resolve(given, environ).settings.bind


def test_nothing_given_is_the_defaults() -> None:
    resolved = resolve({}, {})
    assert resolved.settings == DEFAULTS
    assert {str(origin) for origin in resolved.origins.values()} == {"default"}
    assert resolved.warnings == ()


# (command line, environment, setting, value, origin)
ORDER: list[tuple[dict[str, Any], dict[str, str], str, object, str]] = [
    ({"workers": "3"}, {"PYSERVE_WORKERS": "4", "WEB_CONCURRENCY": "5"}, "workers", 3, "--workers 3"),
    ({}, {"PYSERVE_WORKERS": "4", "WEB_CONCURRENCY": "5"}, "workers", 4, "PYSERVE_WORKERS=4"),
    ({}, {"WEB_CONCURRENCY": "5"}, "workers", 5, "WEB_CONCURRENCY=5"),
    ({}, {"WEB_CONCURRENCY": ""}, "workers", 1, "default"),
    ({}, {"WEB_CONCURRENCY": "  "}, "workers", 1, "default"),
    ({}, {"PYSERVE_WORKERS": "", "WEB_CONCURRENCY": "5"}, "workers", 5, "WEB_CONCURRENCY=5"),
    ({"workers": "1"}, {"WEB_CONCURRENCY": "junk"}, "workers", 1, "--workers 1"),
    ({"workers": None}, {}, "workers", 1, "default"),
    ({}, {"PYSERVE_KEEP_ALIVE": "2"}, "keepalive", 2.0, "PYSERVE_KEEP_ALIVE=2"),
    ({}, {"PYSERVE_PRELOAD": "yes"}, "preload_app", True, "PYSERVE_PRELOAD=yes"),
    ({"preload_app": False}, {"PYSERVE_PRELOAD": "yes"}, "preload_app", False, "--no-preload"),
    ({"preload_app": True}, {}, "preload_app", True, "--preload"),
    ({"limit_request_body": "10m"}, {}, "limit_request_body", 10485760, "--limit-request-body 10m"),
    ({}, {"SCRIPT_NAME": "/api"}, "root_path", "/api", "SCRIPT_NAME=/api"),
    ({"root_path": "/x"}, {"SCRIPT_NAME": "/api"}, "root_path", "/x", "--root-path /x"),
    ({}, {"PYSERVE_APP": "main:app"}, "app", "main:app", "PYSERVE_APP=main:app"),
    ({"app": "main:app"}, {}, "app", "main:app", "APP main:app"),
    ({"log_level": "debug"}, {}, "loglevel", "debug", "--log-level debug"),
    ({"bind": (":1", "unix:/a")}, {}, "bind", ("0.0.0.0:1", "unix:/a"), "--bind :1,unix:/a"),
]


@pytest.mark.parametrize(("given", "environ", "name", "value", "origin"), ORDER)
def test_order(given: dict[str, Any], environ: dict[str, str], name: str, value: object, origin: str) -> None:
    resolved = resolve(given, environ)
    assert getattr(resolved.settings, name) == value
    assert str(resolved.origins[name]) == origin


def test_keywords_are_quoted_as_keywords() -> None:
    resolved = resolve({"workers": 2, "preload_app": True}, {}, Source.KEYWORD)
    assert str(resolved.origins["workers"]) == "workers=2"
    assert str(resolved.origins["preload_app"]) == "preload_app=true"


# (command line, environment, bind)
BINDS: list[tuple[dict[str, Any], dict[str, str], tuple[str, ...]]] = [
    ({}, {"PORT": "9000"}, ("0.0.0.0:9000",)),
    ({}, {"PORT": ""}, ("127.0.0.1:8000",)),
    ({"host": "localhost"}, {}, ("localhost:8000",)),
    ({"port": "80"}, {}, ("127.0.0.1:80",)),
    ({"port": "0"}, {}, ("127.0.0.1:0",)),
    ({"host": "::1", "port": "80"}, {}, ("[::1]:80",)),
    ({"host": "localhost"}, {"PORT": "9000"}, ("localhost:9000",)),
    ({"port": "80"}, {"PORT": "9000"}, ("127.0.0.1:80",)),
    ({"bind": ("a:1",)}, {"PORT": "9000"}, ("a:1",)),
    ({"bind": ("a:1",)}, {"PORT": "junk"}, ("a:1",)),
    ({}, {"PYSERVE_BIND": "a:1,b:2", "PORT": "9000"}, ("a:1", "b:2")),
    ({"bind": ("a:1",)}, {"PYSERVE_HOST": "b", "PYSERVE_PORT": "2"}, ("a:1",)),
    ({"port": "80"}, {"PYSERVE_BIND": "a:1"}, ("127.0.0.1:80",)),
    ({"port": "80"}, {"PYSERVE_HOST": "b"}, ("b:80",)),
    ({}, {"PYSERVE_HOST": "b", "PORT": "2"}, ("b:2",)),
    ({"uds": "/a"}, {"PORT": "2"}, ("unix:/a",)),
    ({"fd": "3"}, {"PYSERVE_BIND": "a:1"}, ("fd://3",)),
    ({"bind": ("a:1",)}, {"UVICORN_UDS": "/a", "UVICORN_FD": "3"}, ("a:1",)),
    ({"fd": "3", "uds": "/a", "port": "1"}, {}, ("fd://3",)),
    ({}, {"UVICORN_PORT": "80", "PORT": "90"}, ("127.0.0.1:80",)),
    ({}, {"UVICORN_HOST": "a", "PORT": "90"}, ("a:90",)),
    ({}, {"UVICORN_PORT": "80", "PYSERVE_BIND": "a:1"}, ("a:1",)),
]


@pytest.mark.parametrize(("given", "environ", "bind"), BINDS)
def test_bind(given: dict[str, Any], environ: dict[str, str], bind: tuple[str, ...]) -> None:
    assert binds(given, environ) == bind


def test_the_origin_of_a_combined_bind() -> None:
    assert str(resolve({"port": "80"}, {"PYSERVE_HOST": "b"}).origins["bind"]) == "PYSERVE_HOST and --port"
    assert str(resolve({}, {"PORT": "80"}).origins["bind"]) == "PORT"


# (command line, environment, where the access log goes, origin)
ACCESS_LOGS: list[tuple[dict[str, Any], dict[str, str], str | None, str]] = [
    ({"access_log": True}, {}, "-", "--access-log"),
    ({"access_log": False}, {}, None, "--no-access-log"),
    ({"access_log": False}, {"PYSERVE_ACCESS_LOGFILE": "x"}, None, "--no-access-log"),
    ({"access_log": True}, {"PYSERVE_ACCESS_LOGFILE": "x"}, "x", "PYSERVE_ACCESS_LOGFILE=x"),
    ({"access_log": True, "accesslog": "x"}, {}, "x", "--access-logfile x"),
    ({"access_log": False, "accesslog": "x"}, {}, None, "--no-access-log"),
    ({"accesslog": "x"}, {"UVICORN_ACCESS_LOG": "0"}, "x", "--access-logfile x"),
    ({}, {"UVICORN_ACCESS_LOG": "1"}, "-", "UVICORN_ACCESS_LOG=1"),
]


@pytest.mark.parametrize(("given", "environ", "accesslog", "origin"), ACCESS_LOGS)
def test_access_log(given: dict[str, Any], environ: dict[str, str], accesslog: str | None, origin: str) -> None:
    resolved = resolve(given, environ)
    assert (resolved.settings.accesslog, str(resolved.origins["accesslog"])) == (accesslog, origin)


# (what other servers call it, setting, value)
ALIASES: list[tuple[dict[str, Any], str, object]] = [
    ({"timeout_keep_alive": "3"}, "keepalive", 3.0),
    ({"timeout_graceful_shutdown": 3}, "graceful_timeout", 3.0),
    ({"limit_max_requests": "3"}, "max_requests", 3),
    ({"asgi_disconnect_grace_period": 3}, "disconnect_grace", 3.0),
    ({"asgi_lifespan": "off"}, "lifespan", "off"),
    ({"asgi_loop": "asyncio"}, "loop", "asyncio"),
    ({"loop": "none"}, "loop", "asyncio"),
    ({"http_parser": "python"}, "http", "h11"),
    ({"http": "auto"}, "http", "httptools"),
    ({"interface": "asgi3"}, "interface", "asgi"),
    ({"log_level": "trace"}, "loglevel", "debug"),
    ({"wsgi_app": "a:b"}, "app", "a:b"),
    ({"log_config": {"version": 1}}, "logconfig_dict", {"version": 1}),
    ({"log_config": "log.ini"}, "logconfig", "log.ini"),
    ({"worker_class": "gthread"}, "worker_class", "sync"),
    ({"worker_class": "asgi"}, "worker_class", "async"),
]


@pytest.mark.parametrize(("given", "name", "value"), ALIASES)
def test_names_and_words_of_other_servers(given: dict[str, Any], name: str, value: object) -> None:
    assert getattr(resolve(given, {}).settings, name) == value


# (variable, text, setting, value)
LISTS: list[tuple[str, str, str, tuple[str, ...]]] = [
    ("UVICORN_HEADERS", "X-A:b X-C:d", "headers", ("X-A:b", "X-C:d")),
    ("UVICORN_HEADERS", "X-A: b c", "headers", ("X-A: b c",)),
    ("UVICORN_RELOAD_DIRS", "/a b:/c", "reload_dirs", ("/a b", "/c")),
    ("UVICORN_RELOAD_INCLUDES", "*.a *.b", "reload_includes", ("*.a", "*.b")),
    ("PYSERVE_RELOAD_INCLUDE", "a b", "reload_includes", ("a b",)),
]


@pytest.mark.parametrize(("variable", "text", "name", "value"), LISTS)
def test_several_values_in_a_variable(variable: str, text: str, name: str, value: tuple[str, ...]) -> None:
    found = getattr(resolve({}, {variable: text}).settings, name)
    assert tuple(one.replace(": ", ":") for one in found) == tuple(one.replace(": ", ":") for one in value)


# (what was given, environment, the one warning)
FOREIGN: list[tuple[dict[str, Any], dict[str, str], str]] = [
    ({"spew": True}, {}, "--spew has no effect: "),
    ({"spew": False}, {}, ""),
    ({"dirty_workers": "0"}, {}, ""),
    ({"dirty_workers": "2"}, {}, "--dirty-workers 2 has no effect: "),
    ({"control_socket_disable": True}, {}, ""),
    ({"tmp_upload_dir": "/tmp"}, {}, ""),
    ({"sendfile": False}, {}, "--no-sendfile has no effect: "),
    ({"use_colors": False}, {}, ""),
    ({}, {"UVICORN_HTTP2": "true"}, "UVICORN_HTTP2=true has no effect: "),
    ({}, {"UVICORN_HTTP2": "false"}, ""),
    ({"http_protocols": ["h1"]}, {}, ""),
    ({"http_protocols": "h2,h1"}, {}, "--http-protocols h2,h1 has no effect: "),
    ({"protocol": "uwsgi"}, {}, "--protocol uwsgi has no effect: HTTP is spoken"),
    ({"uwsgi_allow_ips": "*"}, {}, "--uwsgi-allow-from * has no effect: HTTP is spoken"),
]


@pytest.mark.parametrize(("given", "environ", "warning"), FOREIGN)
def test_settings_of_other_servers(given: dict[str, Any], environ: dict[str, str], warning: str) -> None:
    warnings = resolve(given, environ).warnings
    assert len(warnings) == bool(warning)
    assert all(line.startswith(warning) for line in warnings)


# (what was given, environment, the one warning, setting, its value)
DOUBTED: list[tuple[dict[str, Any], dict[str, str], str, str, object]] = [
    ({"log_level": "nonsense"}, {}, "--log-level: 'nonsense' given, expected one of debug, info", "loglevel", "info"),
    ({}, {"UVICORN_LOG_LEVEL": "x"}, "UVICORN_LOG_LEVEL: 'x' given, expected one of debug", "loglevel", "info"),
    ({"limit_request_fields": 40000}, {}, "--limit-request-fields: 40000 given", "limit_request_fields", 32768),
    ({"bind": ("",)}, {}, "--bind: '' given, expected host:port", "bind", ("0.0.0.0:8000",)),
    ({"bind": ""}, {}, "bind: '' says nothing", "bind", ("127.0.0.1:8000",)),
    ({"bind": []}, {"PYSERVE_BIND": ":1"}, "bind: [] says nothing", "bind", ("0.0.0.0:1",)),
    ({"http": "zttp"}, {}, "--http: 'zttp' given, expected one of httptools, h11; httptools is", "http", "httptools"),
    ({"loop": "own.module:make"}, {}, "--loop: 'own.module:make' given, expected one of auto", "loop", "auto"),
    ({"ws": "own.module:Class"}, {}, "--ws: 'own.module:Class' given, expected one of auto", "ws", "auto"),
    ({"host": ""}, {}, "--host: '' given, expected a host name", "bind", ("0.0.0.0:8000",)),
    ({"root_path": "api"}, {}, "--root-path: 'api' given, expected a path such as /api; /api is", "root_path", "/api"),
]


@pytest.mark.parametrize(("given", "environ", "warning", "name", "value"), DOUBTED)
def test_what_makes_no_sense_elsewhere_either(
    given: dict[str, Any], environ: dict[str, str], warning: str, name: str, value: object
) -> None:
    resolved = resolve(given, environ)
    assert getattr(resolved.settings, name) == value
    assert len(resolved.warnings) == 1
    assert resolved.warnings[0].startswith(warning)


# (command line, environment, pieces of the message, exit code)
REFUSED: list[tuple[dict[str, Any], dict[str, str], list[str], int]] = [
    ({"workers": "x"}, {}, ["--workers: 'x' given, expected a whole number"], 2),
    ({}, {"PYSERVE_WORKERS": "x"}, ["PYSERVE_WORKERS: 'x' given, expected"], 1),
    ({}, {"WEB_CONCURRENCY": "x"}, ["WEB_CONCURRENCY: 'x' given, expected"], 1),
    ({}, {"PORT": "x"}, ["PORT: 'x' given", "65535"], 1),
    ({}, {"PORT": "70000"}, ["PORT: '70000' given", "65535"], 1),
    ({"bind": ("a:1", "8000")}, {}, ["--bind: 'a:1,8000' given", "':8000' perhaps"], 2),
    ({"worker_class": "asink"}, {}, ["one of sync, async", "did you mean 'async'"], 2),
    ({"timeout": "-1"}, {}, ["--timeout", "0 or more seconds"], 2),
    ({"limit_request_body": "10 megs"}, {}, ["--limit-request-body", "10m"], 2),
    ({"access_log_format": "a\nb"}, {}, ["--access-logformat: 'a\\nb' given"], 2),
    ({"app": "x" * 500 + "-"}, {}, [" ..."], 2),
    ({"app": "main.py"}, {}, ["APP: 'main.py' given", "'main:app' perhaps"], 2),
    ({"chdir": "/does/not/exist"}, {}, ["--chdir: '/does/not/exist' given, expected a directory that exists"], 2),
    ({}, {"PYSERVE_APP_DIR": "/does/not/exist"}, ["PYSERVE_APP_DIR: '/does/not/exist' given"], 1),
    ({"wokers": 1}, {}, ["wokers is not a setting; did you mean 'workers'"], 2),
    ({"loglevel": "info", "log_level": "info"}, {}, ["same setting"], 2),
    # Contradictions
    ({"bind": ("a:1",), "port": "1"}, {}, ["--bind a:1 and --port 1"], 2),
    ({"bind": ("a:1",), "host": "b"}, {}, ["--bind a:1 and --host b"], 2),
    ({}, {"PYSERVE_BIND": "a:1", "PYSERVE_HOST": "b"}, ["PYSERVE_BIND=a:1 and PYSERVE_HOST=b"], 1),
    ({"bind": ("a:1", "a:1")}, {}, ["--bind a:1,a:1: the same address"], 2),
    ({"worker_class": "sync", "interface": "asgi"}, {}, ["--worker-class sync and --interface asgi", "async"], 2),
    ({}, {"PYSERVE_WORKER_CLASS": "sync", "PYSERVE_INTERFACE": "asgi"}, ["PYSERVE_WORKER_CLASS=sync"], 1),
    ({"worker_class": "sync"}, {"PYSERVE_INTERFACE": "asgi"}, ["PYSERVE_INTERFACE=asgi"], 2),
    ({"interface": "wsgi", "lifespan": "on"}, {}, ["--interface wsgi and --lifespan on"], 2),
    ({"factory": True, "app": "m:f()"}, {}, ["--factory and APP m:f()"], 2),
    ({"bind": ("a:1",), "uds": "/a"}, {}, ["--bind a:1 and --uds /a"], 2),
    ({"worker_class": "sync", "interface": "asgi2"}, {}, ["--worker-class sync and --interface asgi2", "async"], 2),
    ({"paste": "a.ini"}, {}, ["--paste: 'a.ini' given, expected the path of an ini file", "there is no such file"], 2),
    ({"raw_paste_global_conf": ("a\\=b",)}, {}, ["--paste-global: ", "given, expected NAME=value"], 2),
    ({"body_buffer_size": "1g"}, {}, ["--body-buffer-size 1g and --body-buffer-total 67108864 (the default)"], 2),
]


@pytest.mark.parametrize(("given", "environ", "pieces", "code"), REFUSED)
def test_refused(given: dict[str, Any], environ: dict[str, str], pieces: list[str], code: int) -> None:
    text, exit_code = refusal(given, environ)
    assert all(piece in text for piece in pieces), text
    assert exit_code == code


def test_a_wrong_keyword_is_a_configuration_error() -> None:
    assert refusal({"workers": 0}, {}, Source.KEYWORD) == (
        "workers: 0 given, expected a whole number from 1 to 4096, or auto",
        1,
    )
    assert refusal({"debug": 1}, {}, Source.KEYWORD)[1] == 1


def test_uvloop_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    text, code = refusal({"loop": "uvloop"}, {})
    assert text.startswith("--loop uvloop: ")
    assert code == 2


def test_directories_become_absolute_and_app_dir_is_relative_to_chdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project" / "src").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    settings = resolve({"chdir": "project", "app_dir": "src"}, {}).settings
    assert settings.chdir == str(tmp_path / "project")
    assert settings.app_dir == str(tmp_path / "project" / "src")
    assert resolve({"app_dir": "project/src"}, {}).settings.app_dir == str(tmp_path / "project" / "src")
    refusal({"app_dir": "src"}, {})


def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert resolve({}, {}).settings == DEFAULTS
    refusal({"chdir": "."}, {})
    os.chdir(tmp_path)


# (environment, pieces of the one warning, or none)
STRANGERS: list[tuple[dict[str, str], list[str]]] = [
    ({"PYSERVE_WORKER": "3"}, ["PYSERVE_WORKER is not a setting", "'PYSERVE_WORKERS'"]),
    ({"PYSERVE_SOMETHING_OF_THE_APPLICATION": "3"}, []),
    ({"MY_PYSERVE_WORKER": "3"}, []),
    ({"PYSERVE_PORT": "tcp://10.0.0.1:8000"}, ["PYSERVE_PORT=tcp://10.0.0.1:8000", "Kubernetes"]),
    ({"PYSERVE_PORT_8000_TCP_PORT": "8000", "PYSERVE_SERVICE_PORT": "1", "PYSERVE_SERVICE_HOST": "10.0.0.1"}, []),
]


@pytest.mark.parametrize(("environ", "pieces"), STRANGERS)
def test_variables_that_are_not_ours(environ: dict[str, str], pieces: list[str]) -> None:
    resolved: Resolved = resolve({}, environ)
    assert resolved.settings == DEFAULTS
    assert len(resolved.warnings) == bool(pieces)
    assert all(piece in resolved.warnings[0] for piece in pieces)


VALUES = st.one_of(
    st.text(),
    st.from_regex(r"[a-z]{0,6}:?[0-9]{0,6}", fullmatch=True),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.binary(),
    st.lists(st.text()),
)


def complaint(given: dict[str, object], environ: dict[str, str]) -> SettingsError | None:
    try:
        resolve(given, environ)
    except SettingsError as error:
        return error
    return None


@for_all(st.sampled_from(list(OPTIONS)), VALUES)
def test_anything_is_a_setting_or_one_line(name: str, value: object) -> None:
    error = complaint({name: value}, {})
    assert error is None or (len(str(error).splitlines()) == 1 and len(str(error)) < 400)


@for_all(
    st.dictionaries(
        st.sampled_from([option.variable for option in OPTIONS.values() if option.flags]), st.text(min_size=1)
    )
)
def test_any_environment_is_settings_or_one_line(environ: dict[str, str]) -> None:
    error = complaint({}, environ)
    assert error is None or (len(str(error).splitlines()) == 1 and error.exit_code == 1)
