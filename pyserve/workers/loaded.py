"""With `--reload`: the files that the application was loaded from, told to the process that watches them.

A worker tells them through a pipe, one path in a line: after loading, successful or not, and every second what was
imported since. The master cannot know them, as it does not load the application.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pyserve.settings import Settings

_PAUSE: Final = 1.0
_IN_TRACEBACK: Final = re.compile(r'^ +File "([^"\n]+)", line \d+', re.MULTILINE)
_OURS: Final = ("__main__", "__config__", "pyserve")
_INSTALLED: Final = {"site-packages", "dist-packages"}


def directories(settings: Settings) -> list[str]:
    """What is watched with all that is below: `reload_dirs`, or else where the application is looked for.

    For a process that has changed to `chdir`. The root of the file system is left out: it would be the whole machine.
    """
    found = settings.reload_dirs or (os.path.abspath(settings.app_dir or os.curdir),)
    return sorted({os.path.realpath(path) for path in found} - {"/"})


@contextlib.contextmanager
def telling(fd: int, settings: Settings) -> Iterator[None]:
    """Load the application within. fd: where its files are told; from then on a thread tells what comes later."""
    # A compiled file is taken for that of its source by second and size: two changes within a second would be one.
    sys.dont_write_bytecode = True
    forget(directories(settings))
    teller = Teller(fd)
    try:
        yield
    except BaseException as error:
        teller.tell(_files_of(error))
        raise
    threading.Thread(target=teller.go_on, name="tell-files", daemon=True).start()


def forget(places: Iterable[str]) -> None:
    """Have the modules in these directories loaded anew. The master may have loaded some, for its configuration or for
    the script that calls `pyserve.run`, and those are as they were when it started."""
    below = tuple(place.rstrip("/") + "/" for place in places)
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if not isinstance(path, str) or name.partition(".")[0] in _OURS:
            continue
        path = os.path.realpath(path)
        if path.startswith(below) and _INSTALLED.isdisjoint(path.split("/")):
            del sys.modules[name]


class Teller:
    """Tells each file once."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._told: set[str] = set()

    def go_on(self) -> None:
        """Tell what is loaded, and every second what came since, for as long as somebody listens."""
        known = 0
        try:
            while True:
                if len(sys.modules) != known:
                    known = len(sys.modules)
                    self.tell(())
                time.sleep(_PAUSE)
        except OSError:
            pass  # the watcher is gone

    def tell(self, also: Iterable[str]) -> None:
        """The files of all modules, and others. OSError when nobody listens."""
        new = {*_module_files(), *also} - self._told
        self._told |= new
        lines = b""
        for path in new:
            line = os.fsencode(path) + b"\n"
            # Several workers write to the pipe at once: what is longer than this may be torn apart (pipe(7)).
            if len(lines) + len(line) > select.PIPE_BUF:
                os.write(self._fd, lines)
                lines = b""
            if len(line) <= select.PIPE_BUF:
                lines += line
        if lines:
            os.write(self._fd, lines)


def _module_files() -> Iterator[str]:
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and os.path.isabs(path) and "\n" not in path:
            yield path.removesuffix("c") if path.endswith(".pyc") else path


def _files_of(error: BaseException) -> list[str]:
    """What failed is no module: the files that its traceback names, which may be text."""
    found = [path for path in _IN_TRACEBACK.findall(getattr(error, "traceback", None) or "") if os.path.isabs(path)]
    trace = error.__traceback__
    while trace is not None:
        found.append(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    return [path for path in found if os.path.isabs(path)]
