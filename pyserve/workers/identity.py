"""Who a process is to the system: its user and groups, and the name under which `ps` lists it.

The master keeps the rights that it was started with: it binds ports, writes the pid file and opens logs. A worker gives
them up right after the fork, before anything of the application runs in it.
"""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

from pyserve.settings import SettingsError

if TYPE_CHECKING:
    from pyserve.settings import Settings


def give_up_rights(settings: Settings) -> None:
    """Become `user` and `group`, for good. SettingsError where the system does not let us.

    As with gunicorn a user alone keeps the group, and `initgroups` adds the groups that the user is a member of, if the
    system knows the user. Without it the other groups of the master are kept, but for root's own.
    """
    uid, gid = settings.user, settings.group
    try:
        if os.geteuid() == 0 and uid:
            _leave_groups(uid, os.getegid() if gid is None else gid, settings.initgroups)
        if gid is not None and gid != os.getegid():
            os.setgid(gid)
        if uid is not None and uid != os.geteuid():
            os.setuid(uid)
    except OSError as error:
        wanted = " and ".join(
            f"{flag} {number}" for flag, number in (("--user", uid), ("--group", gid)) if number is not None
        )
        who = f"user {os.geteuid()} and group {os.getegid()}"
        raise SettingsError(f"{wanted}: {error.strerror}, started as {who}") from None


def _leave_groups(uid: int, gid: int, initgroups: bool) -> None:
    name = _name(uid) if initgroups else None
    if name is not None:
        os.initgroups(name, gid)
    elif gid != 0:
        os.setgroups([group for group in os.getgroups() if group != 0])


def _name(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def set_title(settings: Settings, role: str) -> bool:
    """Name this process `pyserve: ROLE [NAME]`, as gunicorn does; False where setproctitle is not installed.

    NAME is `proc_name`, or what is served.
    """
    try:
        from setproctitle import setproctitle
    except ImportError:
        return False
    setproctitle(f"pyserve: {role} [{name_of(settings)}]")
    return True


def name_of(settings: Settings) -> str:
    """The server's name among others on the same machine."""
    return settings.proc_name or settings.default_proc_name or settings.reference or "app"
