"""The next life of the master: the same process executes itself anew and keeps what it has.

`execve` keeps the process number, the children, the descriptors marked inheritable, the ignored and the blocked
signals. Everything else must be told: one environment variable holds it as JSON. It names the process, so that a
child that inherits the environment does not take itself for the master.

Before that, the new code is tried out: a child process starts the same command with a variable that says so, goes
the whole way to the loaded application, and ends with 0 or the code that the server would have ended with.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from pyserve import __version__
from pyserve.server import signals
from pyserve.server.seats import Life, Member

VARIABLE: Final = "_PYSERVE_LIFE"
_TRIAL: Final = f"trial {__version__}"


@dataclass(frozen=True, slots=True)
class Origin:
    """How this process was started, kept from before `--chdir` and the application could change any of it."""

    executable: str
    arguments: tuple[str, ...]
    environ: Mapping[str, str]
    directory: str

    @classmethod
    def now(cls) -> Origin:
        environ = {name: value for name, value in os.environ.items() if name != VARIABLE}
        return cls(sys.executable, tuple(sys.orig_argv), environ, os.getcwd())

    def execute(self, life: str) -> None:
        """Become the same command again. Only returns by OSError."""
        os.chdir(self.directory)
        os.execve(self.executable, [self.executable, *self.arguments[1:]], {**self.environ, VARIABLE: life})


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What one life of the master leaves to the next.

    pipes: by age, the read ends of the workers' pipes. wakeup: both ends of the socket that signal numbers are
    written to; what has come and was not read yet is for the next life.
    """

    listeners: list[dict[str, Any]]
    board: int | None
    alive: tuple[int, int]
    wakeup: tuple[int, int]
    members: list[Member]
    pipes: dict[int, int]
    last_age: int
    wanted: int

    def to_text(self) -> str:
        told = asdict(self)
        for member in told["members"]:
            member["life"] = member["life"].value
        return json.dumps({"pid": os.getpid(), **told})

    @classmethod
    def from_text(cls, text: str) -> Inheritance | None:
        """None when it is not meant for this process."""
        told = json.loads(text)
        if told.pop("pid", None) != os.getpid():
            return None
        return cls(
            listeners=told["listeners"],
            board=told["board"],
            alive=(told["alive"][0], told["alive"][1]),
            wakeup=(told["wakeup"][0], told["wakeup"][1]),
            members=[Member(**{**member, "life": Life(member["life"])}) for member in told["members"]],
            pipes={int(age): fd for age, fd in told["pipes"].items()},
            last_age=told["last_age"],
            wanted=told["wanted"],
        )

    def descriptors(self) -> list[int]:
        """All but the listeners'."""
        return [*self.alive, *self.wakeup, *self.pipes.values(), *([] if self.board is None else [self.board])]


def is_trial() -> bool:
    """Whether this process only tries out whether the server would start."""
    return os.environ.get(VARIABLE, "").startswith("trial ")


def is_same_version() -> bool:
    """In a trial: whether the master that began it would understand us, and we what it leaves."""
    return os.environ.get(VARIABLE) == _TRIAL


def inherited() -> Inheritance | None:
    """What the life before has left, taken out of the environment so that nobody else finds it."""
    text = os.environ.pop(VARIABLE, None)
    inheritance = Inheritance.from_text(text) if text and not text.startswith("trial ") else None
    if inheritance is not None:
        _set_inheritable(inheritance.descriptors(), False)
    return inheritance


def try_out(origin: Origin) -> int:
    """Start the trial and give its process number; `waitpid` tells the outcome. OSError when it cannot fork."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals.HANDLED)
    try:
        pid = os.fork()
        if pid == 0:
            _be_trial(origin)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _be_trial(origin: Origin) -> None:
    try:
        signal.set_wakeup_fd(-1)
        for number in signals.HANDLED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.HANDLED)
        origin.execute(_TRIAL)
    finally:
        os._exit(1)


def live_again(origin: Origin, inheritance: Inheritance, listener_fds: Sequence[int]) -> None:
    """Begin the next life. Only returns by OSError, and then this life can go on.

    Signals are held back until the next life has its handlers. Without them it would die of most, also of those that
    are to stop it in good order; and as process 1 it would not even notice them.
    """
    descriptors = [*inheritance.descriptors(), *listener_fds]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals.HANDLED)
    directory = os.getcwd()
    try:
        _set_inheritable(descriptors, True)
        origin.execute(inheritance.to_text())
    finally:
        _set_inheritable(descriptors, False)
        os.chdir(directory)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _set_inheritable(descriptors: Iterable[int], inheritable: bool) -> None:
    for descriptor in descriptors:
        os.set_inheritable(descriptor, inheritable)
