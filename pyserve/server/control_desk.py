"""What is answered at the control socket, and what is done there: gunicorn's commands, and answers of the same shape.

Nothing is decided here. A command becomes the event that the signal of the same meaning becomes (`signals.py`); what
the answer tells are the supervisor's books, the scoreboard and the settings.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from pyserve.server.control_frames import CommandError, Request
from pyserve.server.events import Event, Fewer, Manner, More, Oust, Reload, Reopen, Stop
from pyserve.server.seats import Life, Member
from pyserve.server.sockets import name_of
from pyserve.settings import OPTIONS
from pyserve.values.kinds import near
from pyserve.values.option import Group, shown_value

if TYPE_CHECKING:
    from pyserve.server.equipment import Equipment
    from pyserve.server.supervisor import Supervisor

Told = dict[str, Any]

_HIDDEN: Final = {"keyfile_password", "raw_env", "raw_paste_global_conf", "logconfig_dict"}
"""What may hold secrets, or functions: whom --control-socket-mode lets in need not know them."""
_UNSAID: Final = (Group.HOOKS, Group.ACTIONS)

_TYPES: Final = {socket.AF_UNIX: "unix", socket.AF_INET: "tcp", socket.AF_INET6: "tcp6"}
_MOST: Final = 4096
_NO_DIRTY: Final = "there are no dirty arbiters"

COMMANDS: Final = {
    "show all": "The master and its workers",
    "show workers": "The workers",
    "show dirty": "Nothing: there are no dirty arbiters",
    "show config": "The settings, without what may hold secrets",
    "show stats": "What is counted since the server's start",
    "show listeners": "The listening sockets",
    "worker add [N]": "N workers more (TTIN)",
    "worker remove [N]": "N workers less, down to one (TTOU)",
    "worker kill <PID>": "Graceful stop of this worker; another one is started",
    "reload": "Read everything anew, and replace the workers (HUP)",
    "reopen": "Open the log files anew (USR1)",
    "shutdown [graceful|quick]": "Stop the server (TERM, INT)",
    "help": "The commands",
}


class Desk:
    """heed: takes an event as if a signal had brought it."""

    def __init__(self, equipment: Equipment, supervisor: Supervisor, heed: Callable[[Event], None]) -> None:
        self._is = equipment
        self._supervisor = supervisor
        self._heed = heed
        self._shows: dict[str, Callable[[], Told]] = {
            "all": self._all,
            "workers": self._workers,
            "dirty": lambda: {"enabled": False, "pid": None, "workers": [], "apps": []},
            "config": self._config,
            "stats": self._stats,
            "listeners": self._listeners,
        }

    def answer(self, asked: Request) -> Told:
        """Do it, and say what was done. CommandError."""
        verb, *rest = asked.words or ("",)
        match (verb.lower(), *rest):
            case ("show", what) if what.lower() in self._shows:
                return self._shows[what.lower()]()
            case ("show", *_):
                raise CommandError(f"Invalid argument: show what? {'|'.join(self._shows)}")
            case ("worker", action, *more) if len(more) < 2:
                return self._worker(action.lower(), more[0] if more else None)
            case ("worker", *_):
                raise CommandError("Invalid argument: worker add [N], worker remove [N] or worker kill PID")
            case ("dirty", *_):
                return {"success": False, "error": _NO_DIRTY}
            case ("reload",):
                self._do("reload", Reload())
                return {"status": "reloading"}
            case ("reopen",):
                self._do("reopen", Reopen())
                return {"status": "reopening"}
            case ("shutdown", *more) if len(more) < 2:
                return self._shutdown(more[0].lower() if more else Manner.GRACEFUL.value)
            case ("help",):
                return {"commands": COMMANDS}
            case ("",):
                raise CommandError("Empty command")
        raise CommandError(f"Invalid argument: no such command: {' '.join(asked.words)}{near(verb, _VERBS)}")

    def _do(self, command: str, event: Event) -> None:
        self._is.log.info("Control socket: %s", command)
        self._heed(event)

    # What there is

    def _workers(self) -> Told:
        workers = [self._worker_of(member) for member in self._members()]
        return {"workers": workers, "count": len(workers)}

    def _all(self) -> Told:
        workers = [{"type": "web", **self._worker_of(member)} for member in self._members()]
        return {
            "arbiter": {"pid": os.getpid(), "type": "arbiter", "role": "master"},
            "web_workers": workers,
            "web_worker_count": len(workers),
            "dirty_arbiter": None,
            "dirty_workers": [],
            "dirty_worker_count": 0,
        }

    def _members(self) -> list[Member]:
        return [member for member in self._supervisor.members if member.pid is not None]

    def _worker_of(self, member: Member) -> Told:
        """beat 0 is that of a worker which still boots."""
        slot = self._is.slot_of(member.slot, member.age)
        return {
            "pid": member.pid,
            "age": member.age,
            "booted": member.ready_at is not None,
            "aborted": member.life is Life.STUCK,
            "last_heartbeat": round(max(0.0, time.monotonic() - member.beat), 2) if member.beat else None,
            "leaving": member.life is Life.LEAVING,
            "requests": slot.requests() if slot is not None else None,
        }

    def _stats(self) -> Told:
        record = self._is.record
        return {
            "uptime": round(time.monotonic() - record.since, 2),
            "pid": os.getpid(),
            "workers_current": len(self._members()),
            "workers_target": self._supervisor.wanted,
            "workers_spawned": self._supervisor.last_age,
            "workers_killed": record.killed,
            "reloads": record.reloads,
            "dirty_arbiter_pid": None,
        }

    def _listeners(self) -> Told:
        listeners = [
            {"address": name_of(one), "fd": one.fileno(), "type": _TYPES.get(one.family, "unknown")}
            for one in self._is.listeners.all()
        ]
        return {"listeners": listeners, "count": len(listeners)}

    def _config(self) -> Told:
        cfg = self._is.hooks.server.cfg
        names = [name for name, option in OPTIONS.items() if option.group not in _UNSAID and name not in _HIDDEN]
        return {name: _plain(getattr(cfg, name)) for name in names}

    # What is to be done

    def _worker(self, action: str, given: str | None) -> Told:
        match action:
            case "add":
                return self._resize("added", "worker add", More(), _number("N", given or "1"))
            case "remove":
                return self._resize("removed", "worker remove", Fewer(), _number("N", given or "1"))
            case "kill":
                return self._kill(_number("PID", given or ""))
        raise CommandError(f"Invalid argument: no such command: worker {action}")

    def _resize(self, done: str, command: str, event: Event, count: int) -> Told:
        """As if so many signals had come; there is no sense in those behind the first that changes nothing."""
        before = self._supervisor.wanted
        self._is.log.info("Control socket: %s %d", command, count)
        for _ in range(min(count, _MOST)):
            last = self._supervisor.wanted
            self._heed(event)
            if self._supervisor.wanted == last:
                break
        wanted = self._supervisor.wanted
        return {done: abs(wanted - before), "previous": before, "total": wanted}

    def _kill(self, pid: int) -> Told:
        age = next((member.age for member in self._members() if member.pid == pid), None)
        if age is None:
            return {"success": False, "error": f"Worker {pid} not found"}
        self._do(f"worker kill {pid}", Oust(age))
        return {"success": True, "killed": pid}

    def _shutdown(self, mode: str) -> Told:
        if mode not in (manner.value for manner in Manner):
            raise CommandError("Invalid argument: shutdown graceful or shutdown quick")
        self._do(f"shutdown {mode}", Stop(Manner(mode)))
        return {"status": "shutting_down", "mode": mode}


_VERBS: Final = sorted({command.partition(" ")[0] for command in COMMANDS})


def _number(name: str, given: str) -> int:
    if not (given.isascii() and given.isdigit() and len(given) < 10 and int(given)):
        raise CommandError(f"Invalid argument: {name} is a number of 1 or more, not {given!r}")
    return int(given)


def _plain(value: object) -> object:
    """In a form that JSON has."""
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, bool | int | float | str | None):
        return value
    # What an application makes of `str(app)` is not ours to try.
    return shown_value(value) if isinstance(value, type | FunctionType) else f"<{type(value).__name__}>"
