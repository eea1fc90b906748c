"""What the application finds in its environment."""

import os
import sys

import pytest

from pyserve.settings import Settings, SettingsError
from pyserve.workers.variables import read_file, set_variables


@pytest.fixture
def environ(monkeypatch):
    """An environment of the test's own."""
    found = {"SET": "before"}
    monkeypatch.setattr(os, "environ", found)
    return found


def test_assignments_overrule_what_is_set(environ):
    set_variables(Settings(raw_env=("SET=now", "NEW=a=b", "EMPTY=")))
    assert environ.items() >= {"SET": "now", "NEW": "a=b", "EMPTY": ""}.items()


def test_a_file_does_not_overrule(environ, tmp_path):
    pytest.importorskip("dotenv")
    (tmp_path / "env").write_text("# ours\nSET=file\nexport NEW='a b'\nNONE\nBOTH=file\n")
    set_variables(Settings(env_file=str(tmp_path / "env"), raw_env=("BOTH=flag",)))
    assert environ.items() >= {"SET": "before", "NEW": "a b", "BOTH": "flag"}.items()
    assert "NONE" not in environ


def test_what_cannot_be_read(tmp_path):
    pytest.importorskip("dotenv")
    (tmp_path / "latin").write_bytes(b"A=\xff")
    with pytest.raises(SettingsError, match=r"^--env-file: '/no/such' cannot be read: No such file or directory$"):
        read_file("/no/such")
    with pytest.raises(SettingsError, match=r"PYSERVE_ENV_FILE: .* is no text in UTF-8"):
        read_file(str(tmp_path / "latin"), "PYSERVE_ENV_FILE")


def test_without_python_dotenv(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "dotenv", None)
    with pytest.raises(SettingsError, match=r"--env-file needs python-dotenv: pip install 'pyserve-http\[dotenv\]'"):
        read_file(str(tmp_path))
