"""The working directory that the command lines and the files are read in, and an environment without settings."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

FILES = {
    "conf.py": 'bind = "127.0.0.1:8001"\nworkers = 2\ntimeout = 90\nwsgi_app = "conf:app"\n',
    "neighbour.py": "number = 7\n",
    "extra.txt": "",
    "cert.pem": "",
    "key.pem": "",
    ".env": "A=1\n",
    "deploy.ini": "[app:main]\nuse = egg:shop\n[loggers]\nkeys=root\n",
    "log.ini": "[loggers]\nkeys=root\n[handlers]\nkeys=h\n[formatters]\nkeys=\n[logger_root]\nhandlers=h\n"
    "[handler_h]\nclass=StreamHandler\nargs=()\n",
    "log.json": '{"version": 1}',
}
FOLDERS = ("src", "lib")
PREFIXES = ("PYSERVE_", "UVICORN_", "GUNICORN_")
VARIABLES = ("PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "SCRIPT_NAME", "SENDFILE", "DEBUG_OF_APP")


def arrange(directory: Path, monkeypatch: pytest.MonkeyPatch, environ: Mapping[str, str] | None = None) -> None:
    """Fill the directory and change to it; `environ` is all that the environment says to a server."""
    for name, text in FILES.items():
        (directory / name).write_text(text)
    for name in FOLDERS:
        (directory / name).mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in list(os.environ):
        if name.startswith(PREFIXES) or name in VARIABLES:
            monkeypatch.delenv(name)
    for name, value in (environ or {}).items():
        monkeypatch.setenv(name, value)
    forget()


def forget() -> None:
    """Modules of the directory that the one server has imported would be the other's."""
    for name in ("__config__", "conf", "neighbour"):
        sys.modules.pop(name, None)
