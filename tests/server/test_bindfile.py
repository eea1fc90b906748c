"""The file that tells where the server listens."""

import os
from pathlib import Path

import pytest

from pyserve.server.bindfile import BindFile


def test_it_is_written_in_one_step_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "binds"
    file = BindFile(str(path))
    file.write(["127.0.0.1:80", "unix:/a\udcff"])
    assert path.read_bytes() == b"127.0.0.1:80\nunix:/a\xff\n"
    assert os.listdir(tmp_path) == ["binds"]
    file.remove()
    file.remove()
    assert not path.exists()


def test_what_another_has_written_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "binds"
    old, new = BindFile(str(path)), BindFile(str(path))
    old.write(["a:1"])
    new.write(["b:2"])
    old.remove()
    assert path.read_text() == "b:2\n"
    new._pid += 1  # as in a child
    new.remove()
    assert path.exists()


def test_the_next_life_of_the_process_takes_it_over(tmp_path: Path) -> None:
    path = tmp_path / "binds"
    file = BindFile(str(path))
    assert BindFile.take_over(file.hand_over()) is None
    file.write(["a:1"])
    heir = BindFile.take_over(file.hand_over())
    assert heir is not None
    assert heir.path == str(path)
    heir.remove()
    assert not path.exists()
    file.restore()
    assert path.read_text() == "a:1\n"


def test_the_directory_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = BindFile("binds")
    file.write([])
    monkeypatch.chdir("/")
    file.remove()
    assert os.listdir(tmp_path) == []


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        BindFile(str(tmp_path / "x" / "binds")).write(["a:1"])
