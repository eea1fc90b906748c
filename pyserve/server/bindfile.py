"""The file that tells where the server listens (`--bind-file`), for whoever has let the kernel choose the port."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from typing import Any


class BindFile:
    """Written in one step; removed by who has written it, as long as nobody else has written his own there."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)  # the application may change the working directory
        self._pid = os.getpid()
        self._ours: tuple[int, int] | None = None
        self._addresses: list[str] = []

    def hand_over(self) -> tuple[str, int, int] | None:
        """For the next life of this process: (path, device, inode); None where there is no file of ours."""
        return None if self._ours is None else (self.path, *self._ours)

    @classmethod
    def take_over(cls, told: Sequence[Any] | None) -> BindFile | None:
        """The file of the life before, by its `hand_over`."""
        if told is None:
            return None
        file = cls(str(told[0]))
        file._ours = int(told[1]), int(told[2])
        return file

    def write(self, addresses: Iterable[str]) -> None:
        """One address on a line. OSError."""
        self._addresses = list(addresses)
        draft = f"{self.path}.{os.getpid()}"
        try:
            with open(draft, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.writelines(f"{address}\n" for address in self._addresses)
                status = os.fstat(file.fileno())
            os.replace(draft, self.path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise
        self._ours = status.st_dev, status.st_ino

    def restore(self) -> None:
        """Write it once more: another master at the same addresses has put its own there and taken it away. Never
        raises."""
        if self._addresses:
            with contextlib.suppress(OSError):
                self.write(self._addresses)

    def remove(self) -> None:
        """Remove the file if it is still ours, and this is the process that has written it. Never raises."""
        with contextlib.suppress(OSError):
            status = os.lstat(self.path)
            if self._ours == (status.st_dev, status.st_ino) and os.getpid() == self._pid:
                os.unlink(self.path)
