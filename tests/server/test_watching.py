"""The process that watches files, and what the master hears of it."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyserve.server.wakeup import Wakeup
from pyserve.server.watching import Watch, adapted, begin, remarks
from pyserve.settings import Settings
from tests.server.journal import Log

PATIENCE = 20.0


def test_what_goes_together():
    plain = Settings(app="a", preload_app=True)
    assert adapted(plain) is plain
    assert list(remarks(plain)) == []
    both = Settings(app="a", preload_app=True, reload=True)
    assert (adapted(both).reload, adapted(both).preload_app) == (True, False)
    first, second = remarks(both)
    assert first == "Reloader is on. Use in development only!"
    assert "--preload has no effect" in second
    given = Settings(app=print, reload=True)
    assert not adapted(given).reload
    assert "given as an object" in next(remarks(given))


def test_what_is_not_there_yet():
    given = Settings(
        app="a", reload=True, reload_dirs=("/no/such", "/"), reload_extra_files=("/no/file", "/no/*.x", os.devnull)
    )
    assert list(remarks(given))[1:] == [
        "--reload-dir /no/such: there is no such directory yet",
        "--reload-extra-file /no/file: there is no such file yet",
    ]


# The master's side


@pytest.fixture
def ends() -> Iterator[tuple[Watch, int]]:
    fd, tell = os.pipe()
    _, files = os.pipe()
    os.set_blocking(fd, False)
    watch = Watch(0, fd, files)
    yield watch, tell
    for number in (watch.fd, tell):
        if number is not None:
            os.close(number)
    os.close(files)
    os.close(_)


def test_changes_are_told_and_named(ends, log):
    watch, tell = ends
    assert not watch.read(log)
    os.write(tell, b"=hello\n+/a\n+/b")
    assert watch.read(log)
    assert log.lines == ["info: hello", "info: Worker reloading: /a modified"]
    os.write(tell, b"ig\n+/c\n+/d\n+/e\n")
    assert watch.read(log)
    assert log.lines[2] == "info: Worker reloading: /big, /c, /d and 1 more modified"
    os.write(tell, b"=nothing\n")
    assert not watch.read(log)


def test_the_end_is_told(ends, log):
    watch, tell = ends
    os.dup2(os.open(os.devnull, os.O_RDONLY), tell)
    assert not watch.read(log)
    assert watch.fd is None
    assert log.lines == ["error: The reloader has ended: changes are not seen any more"]
    assert not watch.read(log)


# The process


class Running:
    """A watcher, and what it has said."""

    def __init__(self, log: Log, settings: Settings) -> None:
        self.wakeup = Wakeup()
        self.log = log
        self.watch = begin(settings, self.wakeup)

    def until(self, wanted: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not wanted():
            assert time.monotonic() < end, self.log.lines
            time.sleep(0.01)

    def says(self, text: str) -> None:
        def said() -> bool:
            self.watch.read(self.log)
            return any(text in line for line in self.log.lines)

        self.until(said)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """What happens in the block happens in one moment, as the watcher sees it."""
        os.kill(self.watch.pid, signal.SIGSTOP)
        stat = Path(f"/proc/{self.watch.pid}/stat")
        self.until(lambda: stat.read_text().rpartition(") ")[2][0] == "T")
        yield
        os.kill(self.watch.pid, signal.SIGCONT)

    def close(self) -> None:
        self.watch.close()
        self.wakeup.close()


@pytest.fixture(params=["poll", "inotify"])
def started(request, log, tmp_path) -> Iterator[Running]:
    """It watches the directory `src`, every tenth of a second."""
    if request.param == "inotify":
        pytest.importorskip("watchfiles")
    (tmp_path / "src").mkdir()
    settings = Settings(
        app="a",
        reload=True,
        reload_engine=request.param,
        reload_dirs=(str(tmp_path / "src"),),
        reload_extra_files=(str(tmp_path / "extra"),),
        reload_delay=0.1,
    )
    running = Running(log, settings)
    running.says(f"info: Watching for changes in {tmp_path / 'src'}, by ")
    yield running
    running.close()


def test_changes_of_one_moment_are_one(started: Running, tmp_path: Path) -> None:
    with started.stopped():
        (tmp_path / "src" / "a.py").touch()
        (tmp_path / "src" / "b.py").touch()
        (tmp_path / "extra").touch()
    started.says("Worker reloading: ")
    names = {str(tmp_path / name) for name in ("src/a.py", "src/b.py", "extra")}
    assert started.log.lines[-1] == f"info: Worker reloading: {', '.join(sorted(names))} modified"


def test_a_file_that_a_worker_tells(started: Running, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.py"
    elsewhere.touch()
    os.write(started.watch.files_fd, os.fsencode(elsewhere) + b"\n")

    def changed() -> bool:
        """Again and again: when the watcher has heard of the file is not known."""
        elsewhere.write_text(str(time.monotonic_ns()))
        return started.watch.read(started.log)

    started.until(changed)
    assert started.log.lines[-1] == f"info: Worker reloading: {elsewhere} modified"


def test_it_ends_with_the_master(started: Running) -> None:
    """Which is the same as that nobody reads any more."""
    assert started.watch.fd is not None
    os.close(started.watch.fd)
    started.watch.fd = None
    started.until(lambda: os.waitpid(started.watch.pid, os.WNOHANG)[0])


def test_it_holds_nothing_of_the_masters(log, tmp_path):
    with open(tmp_path / "something", "w") as file:
        running = Running(log, Settings(app="a", reload=True, reload_engine="poll", reload_dirs=(str(tmp_path),)))
        running.says("Watching")
        held = [os.readlink(f"/proc/{running.watch.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{running.watch.pid}/fd")]
        assert file.name not in held
        assert not any(name.startswith("socket:") for name in held[3:])
        running.close()
