"""Which files have changed? Looked at again and again, or, for whole directories, told by the system (watchfiles)."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, Protocol

_IGNORED: Final = {"__pycache__", "node_modules", "site-packages", "dist-packages"}
"""Directories that are not searched, as those that begin with a dot and virtual environments."""
_INCLUDED: Final = ("*.py",)
_EXCLUDED: Final = (".*", ".py[cod]", ".sw.*", "~*")

Mark = tuple[int, int, int] | None
"""What shows that a file is another one: time of change, size and inode; None for no file."""


def mark(path: str) -> Mark:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


@dataclass(frozen=True, slots=True)
class Choice:
    """Which files below the directories count: patterns as uvicorn has them, matched with the end of a path.

    A pattern that was given overrules the built-in ones of the other kind; one that is the end of the path, such as
    `.env`, overrules all.
    """

    directories: Sequence[str]
    includes: Sequence[str] = ()
    excludes: Sequence[str] = ()

    def covers(self, path: str) -> bool:
        """Whether a change of this file is seen by who watches the directories."""
        return self._below(path) is not None and self.accepts(path)

    def accepts(self, path: str) -> bool:
        pure = PurePath(path)
        includes = [*(one for one in _INCLUDED if one not in self.excludes), *self.includes]
        matching = [one for one in includes if pure.match(one)]
        if any(path.endswith(one) for one in matching):
            return True
        return bool(matching) and not self._in_ignored(path) and not self.excluded(path)

    def excluded(self, path: str) -> bool:
        pure = PurePath(path)
        return self.refuses(path) or any(pure.match(one) for one in _EXCLUDED if one not in self.includes)

    def refuses(self, path: str) -> bool:
        """Whether one of `excludes` says no: a pattern, or a directory with all that is below."""
        pure = PurePath(path)
        parents = {str(parent) for parent in pure.parents}
        return any(os.path.abspath(one) in parents or pure.match(one) for one in self.excludes)

    def _below(self, path: str) -> str | None:
        """The path as seen from the directory that it is in."""
        for directory in self.directories:
            if path.startswith(directory.rstrip("/") + "/"):
                return path[len(directory.rstrip("/")) + 1 :]
        return None

    def _in_ignored(self, path: str) -> bool:
        inside = self._below(path) or ""
        return any(is_ignored(part) for part in inside.split("/")[:-1])


def is_ignored(name: str) -> bool:
    """Whether a directory of this name is not searched."""
    return name in _IGNORED or name.startswith(".")


class Files:
    """Single files: what the application was loaded from, and extra ones. They are looked at by `changed`."""

    def __init__(self, choice: Choice, extra: Iterable[str] = ()) -> None:
        self._choice = choice
        self._patterns = [one for one in extra if glob.has_magic(one)]
        self._marks = {one: mark(one) for one in extra if not glob.has_magic(one)}
        self._marks |= {path: mark(path) for path in self._matching()}

    def add(self, path: str) -> None:
        """Look at this one, too, unless who watches the directories sees it, or it is not to count."""
        real = os.path.realpath(path)
        if path not in self._marks and not self._choice.covers(real) and not self._choice.refuses(real):
            self._marks[path] = mark(path)

    def changed(self) -> set[str]:
        """What is not as it was the last time."""
        found = set()
        for path in (*self._marks, *(set(self._matching()) - self._marks.keys())):
            now = mark(path)
            if path not in self._marks or now != self._marks[path]:
                self._marks[path] = now
                found.add(path)
        return found

    def _matching(self) -> Iterator[str]:
        for pattern in self._patterns:
            yield from glob.iglob(pattern, recursive=True)


class Directories(Protocol):
    """waits: whether `changed` takes the time that one may wait."""

    waits: bool

    def changed(self) -> set[str]:
        """What has changed since the last time."""


class Searched:
    """Directories that are gone through from top to bottom each time."""

    waits = False

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._marks = self._search()

    def changed(self) -> set[str]:
        before, self._marks = self._marks, self._search()
        return {path for path in before.keys() | self._marks.keys() if before.get(path) != self._marks.get(path)}

    def _search(self) -> dict[str, Mark]:
        found = {}
        waiting = list(self._choice.directories)
        while waiting:
            for entry in _entries(waiting.pop()):
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if not is_ignored(entry.name) and not _is_environment(entry.path):
                            waiting.append(entry.path)
                    elif self._choice.accepts(entry.path):
                        found[entry.path] = mark(entry.path)
                except OSError:
                    continue
        return found


class Notified:
    """Directories whose changes the system tells, by watchfiles."""

    waits = True

    def __init__(self, choice: Choice, seconds: float) -> None:
        """seconds: how long `changed` waits. ImportError without watchfiles."""
        from watchfiles import watch

        # It says of each change that there was one: a log that is written in a watched directory would have no end.
        logging.getLogger("watchfiles").setLevel(logging.WARNING)
        self._choice = choice
        milliseconds = max(20, int(seconds * 1000))
        self._told = watch(
            *choice.directories,
            watch_filter=None,
            debounce=200,  # an unrelated file that is written all the time must not keep us waiting
            rust_timeout=milliseconds,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
        self._first = self._next()  # it begins to watch only when it is asked for the first time

    def changed(self) -> set[str]:
        first, self._first = self._first, set()
        return first or self._next()

    def _next(self) -> set[str]:
        return {path for _, path in next(self._told) if self._choice.accepts(path)}


def _entries(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError:
        return []


def _is_environment(directory: str) -> bool:
    return os.path.exists(os.path.join(directory, "pyvenv.cfg"))
