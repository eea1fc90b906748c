"""What a worker tells of the files that the application was loaded from."""

import fcntl
import os
import select
import subprocess
import sys
import threading

import pytest

from pyserve.settings import Settings
from pyserve.workers.application import ApplicationLoadError
from pyserve.workers.loaded import Teller, directories, telling


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 1 << 20)  # nobody reads while the files of a whole suite are told
    yield reader, writer
    for fd in (reader, writer):
        os.close(fd)


def heard(reader: int) -> list[str]:
    os.set_blocking(reader, False)
    octets = b""
    try:
        while found := os.read(reader, 65536):
            octets += found
    except BlockingIOError:
        pass
    return [os.fsdecode(line) for line in octets.split(b"\n")[:-1]]


def test_directories(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert directories(Settings()) == [str(tmp_path)]
    assert directories(Settings(app_dir=str(tmp_path / "src"))) == [str(tmp_path / "src")]
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert directories(Settings(reload_dirs=(str(tmp_path / "link"), str(tmp_path / "a")))) == [str(tmp_path / "a")]
    monkeypatch.chdir("/")
    assert directories(Settings()) == [], "not the whole machine"


def test_each_file_is_told_once(pipe):
    reader, writer = pipe
    teller = Teller(writer)
    teller.tell(["/extra"])
    lines = heard(reader)
    assert "/extra" in lines
    assert __file__ in lines
    assert os.__file__ in lines
    assert all(os.path.isabs(line) for line in lines)
    assert len(lines) == len(set(lines))
    teller.tell(["/extra", "/more"])
    assert heard(reader) == ["/more"]


def test_lines_stay_whole(pipe, monkeypatch):
    """No write is longer than what a pipe keeps together."""
    _, writer = pipe
    written = []
    monkeypatch.setattr(os, "write", lambda fd, octets: written.append(octets))
    Teller(writer).tell([f"/{number}/" + "x" * 1000 for number in range(20)] + ["/" + "y" * 5000])
    monkeypatch.undo()
    assert len(written) > 4
    assert all(octets.endswith(b"\n") and len(octets) <= select.PIPE_BUF for octets in written)
    assert b"yyyy" not in b"".join(written)


def test_it_ends_when_nobody_listens():
    reader, writer = os.pipe()
    os.close(reader)
    thread = threading.Thread(target=Teller(writer).go_on)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    os.close(writer)


def test_a_failure_tells_the_files_of_its_traceback(pipe, tmp_path, monkeypatch):
    reader, writer = pipe
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    broken = tmp_path / "broken.py"
    trace = f'Traceback (most recent call last):\n  File "{broken}", line 3, in <module>\n  File "<string>", line 1\n'
    with (
        pytest.raises(ApplicationLoadError),
        telling(writer, Settings(reload_dirs=(str(tmp_path),))),
    ):
        raise ApplicationLoadError("broken", trace)
    lines = heard(reader)
    assert str(broken) in lines
    assert "<string>" not in lines


SCRIPT = """
import os, sys, threading
from pyserve.settings import Settings
from pyserve.workers.loaded import telling
sys.path.insert(0, os.getcwd())
import app, pkg.part, json
sys.modules["__config__"] = app
first = app
with telling(os.open("files", os.O_WRONLY | os.O_CREAT), Settings()):
    open("app.py", "w").write("version = 2")
    import app
    import pkg.part
print(first.version, app.version, sys.modules["__config__"].version, json is sys.modules["json"])
print(os.path.exists("__pycache__"), [thread.name for thread in threading.enumerate()])
"""


def test_modules_of_the_application_are_loaded_anew(tmp_path):
    """Whatever the master had loaded of it, for its configuration perhaps; and no compiled file misleads."""
    (tmp_path / "pkg").mkdir()
    for name in ("pkg/__init__.py", "pkg/part.py"):
        (tmp_path / name).touch()
    (tmp_path / "app.py").write_text("version = 1")
    done = subprocess.run(
        [sys.executable, "-B", "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.stdout == "1 2 1 True\nFalse ['MainThread', 'tell-files']\n", done.stderr
