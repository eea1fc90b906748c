"""What gunicorn's settings take as a value is taken here, too; what is not is listed."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from gunicorn.config import KNOWN_SETTINGS

from pyserve.server.sources import FIELDS
from pyserve.settings import OPTIONS

VALUES: list[Any] = [
    *(
        "",
        " ",
        "0",
        "1",
        "7",
        " 8 ",
        "0x10",
        "0o22",
        "022",
        "1.5",
        "100000",
        "true",
        "FALSE",
        "yes",
        "on",
        "auto",
        "off",
    ),
    *(
        "a",
        "a,b",
        "a=b",
        "*",
        "-",
        "/dev/null",
        "simple",
        "debug",
        "INFO",
        "warn",
        "critical",
        "nonsense",
        "sync",
        "v1",
    ),
    *("127.0.0.1", "127.0.0.1,::1", "10.0.0.0/8", "localhost:80", "udp://localhost:514", "unix:///dev/log"),
    *(0, 1, 2, 0o22, 40000, 65536, 1.5, True, False, [], (), {}, ["a"], ["a=b"], ("a=b",), ["127.0.0.1"], {"a": "b"}),
    *(len, print, lambda: None, lambda a: None, lambda a, b: None, lambda a, b, c: None),
]

# What is refused although gunicorn's own settings take it. Most of it does not start a server there either.
REFUSED: dict[str, str] = {
    "wsgi_app": "no name of a module: cannot be loaded",
    "bind": "no address: the server does not start; 0, False and {} are none, too",
    "workers": "0: nobody would serve. More than 4096",
    "worker_class": "no worker class: the server does not start",
    "threads": "more than 1024",
    "raw_env": "without =: the server does not start",
    "user": "False and True: root, and the user number 1",
    "group": "False and True",
    "umask": "more than 0o777",
    "control_socket_mode": "more than 0o777",
    "errorlog": "no name of a file: the server does not start",
    "logger_class": "no class: the server does not start",
    "syslog_addr": "no address: the server does not start with --log-syslog",
    "syslog_facility": "no facility: the server does not start with --log-syslog",
    "statsd_host": "no host: nothing is ever sent",
    "paste": "no file: the server does not start",
    "ssl_version": "no version of TLS",
    "cert_reqs": "not 0, 1 or 2: the server does not start with TLS",
    "raw_paste_global_conf": "without =: the server does not start with --paste",
    "forwarder_headers": "no names of fields",
    "root_path": "a URL",
}


def taken(name: str, value: Any) -> bool:
    option = OPTIONS.get(FIELDS[name])
    if option is None or name == "config":  # accepted without effect, and names for files that are looked for elsewhere
        return True
    try:
        option.kind.parse(value)
    except (ValueError, OverflowError):
        return False
    return True


def taken_by_gunicorn(setting: Any, value: Any) -> bool:
    try:
        with warnings.catch_warnings(action="ignore"):
            setting().set(value)
    except Exception:
        return False
    return True


@pytest.mark.parametrize("setting", KNOWN_SETTINGS, ids=lambda setting: str(setting.name))
def test_values(setting: Any) -> None:
    refused = [value for value in VALUES if taken_by_gunicorn(setting, value) and not taken(setting.name, value)]
    assert bool(refused) == (setting.name in REFUSED), refused
