"""Files that the master makes and its workers use with fewer rights (`--user`, `--group`): their owner and permissions.

A worker opens the access log, and after a rotation all logs, with the rights of its user. In a directory of root's it
could not make them: so the master does, and gives them away, as gunicorn does.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyserve.values.owners import split_owner

if TYPE_CHECKING:
    from pyserve.settings import Settings


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a file is to be, and the permissions that it does not get. uid, gid: None leaves it as it is.

    mode: the permissions of unix sockets, None for all that the mask leaves.
    """

    uid: int | None = None
    gid: int | None = None
    umask: int = 0
    mode: int | None = None

    @property
    def mask_of_sockets(self) -> int:
        """With it a unix socket is made: never, not even for a moment, with more permissions than it is to have."""
        return self.umask if self.mode is None else 0o777 & ~self.mode

    @classmethod
    def of_workers(cls, settings: Settings) -> Owner:
        return cls(settings.user, settings.group, settings.umask, settings.unix_socket_mode)

    @classmethod
    def of_sockets(cls, settings: Settings) -> Owner:
        """Of unix sockets: what --unix-socket-owner leaves open is as for the workers' other files."""
        owner = cls.of_workers(settings)
        uid, gid = split_owner(settings.unix_socket_owner or "")
        return replace(owner, uid=owner.uid if uid is None else uid, gid=owner.gid if gid is None else gid)

    def take(self, path: str) -> None:
        """Give the file to this owner. OSError where the system does not let us."""
        if self.uid is None and self.gid is None:
            return
        try:
            # Not through a link that somebody has put in its place meanwhile.
            os.chown(path, *self._ids(), follow_symlinks=False)
        except OSError as error:
            raise OSError(error.errno, f"can't change its owner: {error.strerror}") from error

    def take_open(self, descriptor: int) -> None:
        os.fchown(descriptor, *self._ids())

    def _ids(self) -> tuple[int, int]:
        return (-1 if self.uid is None else self.uid), (-1 if self.gid is None else self.gid)


def give_logs(settings: Settings) -> None:
    """Make the log files that are not there, and give them to the workers' user. What fails the log will tell."""
    owner = Owner.of_workers(settings)
    if owner.uid is None and owner.gid is None:
        return
    for path in (settings.accesslog, settings.errorlog):
        if path and path != "-":
            try:
                _give(path, owner)
            except OSError:
                pass


def _give(path: str, owner: Owner) -> None:
    """Never through a link: the workers' user may be able to put one there, to any file of root's."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o666)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            owner.take_open(descriptor)
    finally:
        os.close(descriptor)
