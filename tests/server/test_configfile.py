"""Configuration files: which is read, how it is executed, what of it is a setting, what goes wrong."""

import contextlib
import os
import sys
from pathlib import Path

import pytest

from pyserve.server.configfile import ConfigFile, ConfigFileError, find, read
from pyserve.settings import SettingsError


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "__config__", raising=False)
    return tmp_path


def written(directory: Path, text: str, name: str = "gunicorn.conf.py") -> ConfigFile:
    (directory / name).write_text(text)
    return read(name)


# (what is in the working directory, what is read, pieces of the warning)
PLACES: list[tuple[list[str], str, list[str]]] = [
    (["gunicorn.conf.py"], "gunicorn.conf.py", []),
    (["pyserve.conf.py"], "pyserve.conf.py", []),
    (["pyserve.conf.py", "gunicorn.conf.py"], "pyserve.conf.py", ["pyserve.conf.py is read, gunicorn.conf.py not"]),
    (["pyserve.toml", "gunicorn.conf.py"], "pyserve.toml", ["gunicorn.conf.py not"]),
    (["pyproject.toml", "gunicorn.conf.py"], "pyproject.toml", ["gunicorn.conf.py not"]),
    (["pyproject.toml", "pyserve.conf.py", "gunicorn.conf.py"], "pyserve.conf.py", ["pyproject.toml and gunicorn"]),
]


@pytest.mark.parametrize(("present", "expected", "pieces"), PLACES)
def test_the_first_one_is_read(directory: Path, present: list[str], expected: str, pieces: list[str]) -> None:
    for name in present:
        (directory / name).write_text("[tool.pyserve]\nworkers = 3" if name == "pyproject.toml" else "workers = 3")
    file = find()
    assert file is not None
    assert (file.layer.place, dict(file.layer.values)) == (expected, {"workers": 3, "config": expected})
    assert len(file.warnings) == bool(pieces)
    assert all(piece in file.warnings[0] for piece in pieces)


def test_a_project_without_our_table_is_no_file_of_ours(directory: Path) -> None:
    assert find() is None
    (directory / "pyproject.toml").write_text("[tool.other]\nthis is no TOML at all")
    assert find() is None


@pytest.mark.parametrize("location", ["conf/x.py", "file:conf/x.py", "python:conf.x", "conf/x", "conf/x.conf"])
def test_locations(directory: Path, location: str) -> None:
    (directory / "conf").mkdir()
    name = location.removeprefix("file:").replace("python:conf.x", "conf/x.py")
    (directory / name).write_text("workers = 3\n")
    for module in ("conf", "conf.x"):
        sys.modules.pop(module, None)
    assert dict(read(location).layer.values) == {"workers": 3}
    assert read(location).layer.place == location.removeprefix("file:")


def test_a_file_is_executed_like_gunicorns(directory: Path) -> None:
    (directory / "neighbour.py").write_text("number = 5\n")
    text = (
        "import os, dataclasses, neighbour\n"
        "@dataclasses.dataclass\nclass Some:\n    x: 'int' = 1\n"
        "accesslog = __file__\nerrorlog = __name__\nworkers = neighbour.number\n"
    )
    values = written(directory, text).layer.values
    assert dict(values) == {"accesslog": str(directory / "gunicorn.conf.py"), "errorlog": "__config__", "workers": 5}
    assert "__config__" in sys.modules
    assert {entry.name for entry in os.scandir(directory) if "conf" in entry.name} == {"gunicorn.conf.py"}


def test_a_file_does_not_move_the_server(directory: Path) -> None:
    (directory / "src").mkdir()
    for text in ("import os\nos.chdir('src')\nworkers = 3\n", "import os\nos.chdir('src')\n1 / 0\n"):
        with contextlib.suppress(ConfigFileError):
            assert dict(written(directory, text).layer.values) == {"workers": 3}
        assert Path.cwd() == directory


def test_none_is_a_value_where_a_setting_may_be_without_one(directory: Path) -> None:
    file = written(directory, "pidfile = None\naccesslog = None\nchdir = None\npreload_app = None\nbind = None\n")
    assert set(file.layer.values.values()) == {None}
    assert file.warnings == ()
    with pytest.raises(SettingsError, match=r"^gunicorn.conf.py: timeout: None given, expected 0 or more seconds"):
        written(directory, "timeout = None\n")


def test_common_words_are_settings_only_in_our_own_files(directory: Path) -> None:
    text = "host = '::1'\nport = 80\nhttp = 'h11'\nloop = 'asyncio'\napp = object()\nbind = f'{host}:{port}'\n"
    assert set(written(directory, text).layer.values) == {"bind"}
    assert set(written(directory, "host = 'a'\nhttp = 'h11'\n", "pyserve.conf.py").layer.values) == {"host", "http"}
    assert dict(written(directory, "wsgi_app = 'a:b'\n").layer.values) == {"app": "a:b"}


# (name, the file, piece of the message, piece of the traceback or None for no traceback)
BROKEN = [
    (
        "gunicorn.conf.py",
        "1 / 0",
        "gunicorn.conf.py failed: ZeroDivisionError: division by zero",
        "line 1, in <module>",
    ),
    (
        "gunicorn.conf.py",
        "bind = ",
        "gunicorn.conf.py failed: SyntaxError: invalid syntax",
        'gunicorn.conf.py", line 1',
    ),
    ("gunicorn.conf.py", "import nowhere_x", "ModuleNotFoundError: No module named 'nowhere_x'", "import nowhere_x"),
    (
        "gunicorn.conf.py",
        "raise ModuleNotFoundError('no module', name='gunicorn.glogging')",  # as the tests have it
        "ModuleNotFoundError: no module: pyserve.glogging has its Logger",
        "line 1, in <module>",
    ),
    ("pyserve.toml", "workers = ", "pyserve.toml: Invalid value", None),
    ("pyserve.toml", "wokers = 3", "pyserve.toml: wokers is not a setting; did you mean 'workers'?", None),
    ("pyproject.toml", "tool.pyserve = 3", "tool.pyserve is not a table", None),
]


@pytest.mark.parametrize(("name", "text", "message", "trace"), BROKEN)
def test_a_broken_file(directory: Path, name: str, text: str, message: str, trace: str | None) -> None:
    with pytest.raises(SettingsError) as caught:
        written(directory, text, name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1
    shown = getattr(caught.value, "traceback", None)
    assert (shown is None) == (trace is None)
    assert trace is None or (trace in shown and "configfile.py" not in shown)


@pytest.mark.parametrize("location", ["nowhere.py", "file:nowhere.py", "nowhere.toml"])
def test_a_file_that_is_not_there(location: str) -> None:
    with pytest.raises(ConfigFileError, match=r"^nowhere\.\w+: No such file or directory$"):
        read(location)


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(ConfigFileError, match=r"^python:nowhere_x failed: ModuleNotFoundError"):
        read("python:nowhere_x")


def test_a_file_may_end_the_server(directory: Path) -> None:
    with pytest.raises(SystemExit):
        written(directory, "import sys\nsys.exit(3)")


def test_toml(directory: Path) -> None:
    text = 'keep-alive = 3\nbind = ["a:1", "b:2"]\npreload_app = true\nhost = "x"\n'
    expected = {"keepalive": 3, "bind": ["a:1", "b:2"], "preload_app": True, "host": "x"}
    assert dict(written(directory, text, "pyserve.toml").layer.values) == expected
    (directory / "pyproject.toml").write_text("[tool.pyserve]\n" + text)
    assert dict(read("pyproject.toml").layer.values) == expected
