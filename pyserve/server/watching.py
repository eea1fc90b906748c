"""`--reload`: a process of its own that watches the application's files, and tells the master when one has changed.

    workers --> files --> watcher --> changes --> master --> Restart for the supervisor
            the paths they were loaded from    lines: + a path, = a message for the log

It is a process because looking at thousands of files would keep the master from its workers, because watchfiles has
threads of its own, and a process that forks should have none, and because workers come and go, also those that cannot
load the application: what was wrong there is put right in a file that nobody else would look at.

It ends when nobody reads what it tells: the master is gone, or has begun a new life, which has a watcher of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import importlib.util
import os
import select
import signal
import time
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from pyserve.server import children
from pyserve.server.changes import Choice, Directories, Files, Notified, Searched
from pyserve.server.wakeup import Wakeup, blocked
from pyserve.workers.identity import set_title
from pyserve.workers.loaded import directories

if TYPE_CHECKING:
    from pyserve.settings import Settings
    from pyserve.workers.logs.error_log import ErrorLog

_READ: Final = 65536
_SETTLED: Final = 0.1
"""Seconds without another change after which the last one counts: editors and `git checkout` write several files."""
_LONGEST: Final = 0.6
_SHOWN: Final = 3


def adapted(settings: Settings) -> Settings:
    """What goes together with `reload`."""
    if not settings.reload:
        return settings
    if settings.reference is None:
        return dataclasses.replace(settings, reload=False)
    ini = (settings.paste.partition("#")[0],) if settings.paste is not None else ()
    return dataclasses.replace(settings, preload_app=False, reload_extra_files=(*settings.reload_extra_files, *ini))


def remarks(settings: Settings) -> Iterator[str]:
    """What the log should warn of, one line each. settings: as they were given."""
    if not settings.reload:
        return
    if settings.reference is None:
        yield "--reload has no effect on an application that was given as an object: give module:attribute"
        return
    yield "Reloader is on. Use in development only!"
    if settings.preload_app:
        yield "--preload has no effect with --reload: each worker loads the application anew"
    for path in settings.reload_dirs:
        if not os.path.isdir(path):
            yield f"--reload-dir {path}: there is no such directory yet"
    for path in settings.reload_extra_files:
        if not glob.has_magic(path) and not os.path.exists(path):
            yield f"--reload-extra-file {path}: there is no such file yet"


class Watch:
    """The master's side. files_fd: where workers write the paths of what they have loaded. fd: None at the end."""

    def __init__(self, pid: int, fd: int, files_fd: int) -> None:
        self.pid = pid
        self.fd: int | None = fd
        self.files_fd = files_fd
        self._begun = b""

    def read(self, log: ErrorLog) -> bool:
        """Log what the watcher has said since the last call; whether there is a change. Closes `fd` at the end."""
        changed = []
        while self.fd is not None:
            try:
                octets = os.read(self.fd, _READ)
            except BlockingIOError:
                break
            if not octets:
                os.close(self.fd)
                self.fd = None
                log.error("The reloader has ended: changes are not seen any more")
            *lines, self._begun = (self._begun + octets).split(b"\n")
            for line in lines:
                text = os.fsdecode(line[1:])
                if line[:1] == b"+":
                    changed.append(text)
                else:
                    log.info("%s", text)
        if changed:
            more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
            log.info("Worker reloading: %s%s modified", ", ".join(changed[:_SHOWN]), more)
        return bool(changed)

    def close(self) -> None:
        """End the watcher, which would notice a little later by itself."""
        os.close(self.files_fd)
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)

    def leave_to_child(self) -> None:
        """In a fresh worker, which only writes to `files_fd`."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


def begin(settings: Settings, wakeup: Wakeup) -> Watch:
    """Start the watcher. OSError when the system refuses. Does not return in the new process."""
    fd, tell = children.pipe()
    files, files_fd = children.pipe()
    with blocked():
        pid = os.fork()
        if pid == 0:
            _be_watcher(settings, wakeup, files, tell)
    os.close(tell)
    os.close(files)
    return Watch(pid, fd, files_fd)


def _be_watcher(settings: Settings, wakeup: Wakeup, files: int, tell: int) -> None:
    code = 1
    try:
        wakeup.leave_to_child()
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # Ctrl-C is for all: the master ends, and that ends us
        _close_all_but(0, 1, 2, files, tell)
        set_title(settings, "reloader")
        Watcher(settings, files, tell).run()
        code = 0
    except BaseException:
        _say(tell, *("=" + line for line in traceback.format_exc().splitlines()))
    finally:
        os._exit(code)


class Watcher:
    """The process. files: the read end of the workers' pipe. tell: the write end of the master's."""

    def __init__(self, settings: Settings, files: int, tell: int) -> None:
        given = [one for one in settings.reload_includes if os.path.isdir(one)]
        self._choice = Choice(
            sorted({*directories(settings), *map(os.path.realpath, given)}),
            [one for one in settings.reload_includes if one not in given],
            settings.reload_excludes,
        )
        self._delay = settings.reload_delay
        self._engine = settings.reload_engine
        self._files = Files(self._choice, settings.reload_extra_files)
        self._pipe = files
        self._tell = tell
        self._begun = b""
        self._poll = select.poll()
        self._poll.register(files, select.POLLIN)
        self._poll.register(tell, 0)  # POLLERR when nobody reads any more

    def run(self) -> None:
        """Until nobody listens."""
        watched = self._directories()
        with_what = "watchfiles" if watched.waits else "looking at them"
        places = ", ".join(self._choice.directories) or "single files"
        _say(self._tell, f"=Watching for changes in {places}, by {with_what}")
        took = 0.0
        # Where there are very many files, looking at them may take a third of a processor and no more.
        while self._listen(0 if watched.waits else max(self._delay, 2 * took)):
            begun = time.monotonic()
            found = watched.changed() | self._files.changed()
            took = time.monotonic() - begun
            if found:
                _say(self._tell, *("+" + path for path in sorted(self._settle(watched, found))))

    def _directories(self) -> Directories:
        # inotify tells nothing of what is not there yet, and needs something to begin with.
        usable = self._engine != "poll" and self._choice.directories and importlib.util.find_spec("watchfiles")
        return Notified(self._choice, self._delay) if usable else Searched(self._choice)

    def _settle(self, watched: Directories, found: set[str]) -> set[str]:
        """All that changes at about the same time, so that it is one restart."""
        until = time.monotonic() + _LONGEST
        more = found
        while more and time.monotonic() < until:
            if not watched.waits:
                time.sleep(_SETTLED)
            more = (watched.changed() | self._files.changed()) - found
            found |= more
        return found

    def _listen(self, seconds: float) -> bool:
        """Learn the workers' files for as long; False when the master reads no more."""
        until = time.monotonic() + seconds
        while True:
            for fd, _ in self._poll.poll(max(0.0, until - time.monotonic()) * 1000):
                if fd == self._tell:
                    return False
                try:
                    octets = os.read(fd, _READ)
                except BlockingIOError:
                    continue
                if not octets:  # no worker, and no master that could start one
                    return False
                *lines, self._begun = (self._begun + octets).split(b"\n")
                for line in lines:
                    self._files.add(os.fsdecode(line))
            if time.monotonic() >= until:
                return True


def _say(fd: int, *lines: str) -> None:
    """Tell the master, in one piece: what it reads together is one restart."""
    try:
        os.write(fd, b"".join(os.fsencode(line.replace("\n", " ")) + b"\n" for line in lines))
    except OSError:
        pass  # the end is noticed where it is looked for


def _close_all_but(*kept: int) -> None:
    """Listening sockets, pipes of workers, whatever the configuration has opened: none of it is the watcher's."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                pass  # the one that listed them
