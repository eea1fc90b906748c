"""What one master leaves to another: to its own next life (HUP), or to a new master beside it (USR2).

`execve` keeps the process number, the children, the descriptors marked inheritable, the ignored and the blocked
signals. Everything else must be told: one environment variable holds it as JSON. It names the process that it is meant
for, so that a child that inherits the environment does not take itself for a master.

Before a next life, it is tried out: a child process starts the same command with a variable that says so, goes the
whole way to what would be served, and ends with `PASSED`. Any other end means that the server would not start, also 0:
a command that cannot be run a second time, such as `python -` with its script on standard input, ends with that.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pyserve import __version__
from pyserve.server import signals
from pyserve.server.seats import Life, Member

if TYPE_CHECKING:
    from pyserve.server.control import HandedOver

VARIABLE: Final = "_PYSERVE_LIFE"
PASSED: Final = 86
"""Exit code of a trial that went well."""

AGAIN: Final = 5.0
"""Seconds after which a life that cannot read its configuration is begun once more (`second_chance`)."""

_STDERR: Final = 2
_HANDOVER: Final = 1  # how it is written; unlike an inheritance it may be read by another version


@dataclass(frozen=True, slots=True)
class Origin:
    """How this process was started, kept from before `--chdir` and the application could change any of it."""

    executable: str
    arguments: tuple[str, ...]
    environ: Mapping[str, str]
    directory: str

    @classmethod
    def now(cls) -> Origin:
        others = {VARIABLE}
        if os.environ.get("LISTEN_PID") != str(os.getpid()):
            others.add("LISTEN_PID")  # sockets that are not for us are not for our next life either
        environ = {name: value for name, value in os.environ.items() if name not in others}
        return cls(sys.executable, tuple(sys.orig_argv), environ, _directory())

    def execute(self, life: str) -> None:
        """Become the same command again. Only returns by OSError."""
        os.chdir(self.directory)
        environ = {**self.environ, VARIABLE: life}
        if "LISTEN_PID" in environ:  # sd_listen_fds(3): it names the process, too
            environ["LISTEN_PID"] = str(os.getpid())
        os.execve(self.executable, [self.executable, *self.arguments[1:]], environ)


def _directory() -> str:
    """The working directory by the name under which it was entered: where that leads through a link to the release in
    use, the next life is to find the next release."""
    named, real = os.environ.get("PWD", ""), os.getcwd()
    try:
        return named if os.path.isabs(named) and os.path.samefile(named, real) else real
    except OSError:
        return real


@dataclass(slots=True)
class Record:
    """What is counted over all lives. since: when the first began, monotonic seconds. killed: TERM and KILL sent to
    workers."""

    since: float = field(default_factory=time.monotonic)
    reloads: int = 0
    killed: int = 0


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What one life of the master leaves to the next.

    pipes: by age, the read ends of the workers' pipes. wakeup: both ends of the socket that signal numbers are
    written to; what has come and was not read yet is for the next life. wanted: how many workers there should have
    been. pidfile: the file with our number. bindfile, control: by their `hand_over`. parent, successor: the other
    masters, 0 for none (see `lives`). lasting: the hooks that have left something which ends (see `hooks`). patience:
    seconds for a graceful stop, 0 for any time.
    """

    listeners: list[dict[str, Any]]
    board: int | None
    alive: tuple[int, int]
    wakeup: tuple[int, int]
    members: list[Member]
    pipes: dict[int, int]
    last_age: int
    wanted: int
    record: Record = field(default_factory=Record)
    pidfile: str | None = None
    bindfile: tuple[str, int, int] | None = None
    control: HandedOver | None = None
    parent: int = 0
    successor: int = 0
    lasting: list[str] = field(default_factory=list)
    patience: float = 0.0

    def to_text(self) -> str:
        told = asdict(self)
        for member in told["members"]:
            member["life"] = member["life"].value
        return json.dumps({"pid": os.getpid(), **told})

    @classmethod
    def from_told(cls, told: dict[str, Any]) -> Inheritance:
        return cls(
            **{
                **told,
                "bindfile": tuple(told["bindfile"]) if told.get("bindfile") else None,
                "control": tuple(told["control"]) if told.get("control") else None,
                "record": Record(**told.get("record", {})),
                "alive": tuple(told["alive"]),
                "wakeup": tuple(told["wakeup"]),
                "members": [Member(**{**member, "life": Life(member["life"])}) for member in told["members"]],
                "pipes": {int(age): fd for age, fd in told["pipes"].items()},
            }
        )

    def descriptors(self) -> list[int]:
        """All but the listeners'."""
        some = [self.board] if self.board is not None else []
        if self.control is not None:
            *_, listener, connected = self.control
            some += [listener, *(client[0] for client in connected)]
        return [*self.alive, *self.wakeup, *self.pipes.values(), *some]


@dataclass(frozen=True, slots=True)
class Handover:
    """What a master gives to the one that it starts beside itself. parent: its own process number."""

    listeners: list[dict[str, Any]]
    parent: int

    def to_text(self) -> str:
        return json.dumps({"pid": os.getpid(), "handover": _HANDOVER, **asdict(self)})


def _told() -> dict[str, Any]:
    """What the variable says; nothing when it is not meant for this process."""
    try:
        told = json.loads(os.environ.get(VARIABLE, "{}"))
    except ValueError:
        return {}
    return told if isinstance(told, dict) and told.pop("pid", None) == os.getpid() else {}


def is_trial() -> bool:
    """Whether this process only tries out whether the server would start."""
    return "trial" in _told()


def is_later_life() -> bool:
    """Whether this process has workers already."""
    return "members" in _told()


def left_behind() -> Inheritance | None:
    """What the life before has left to this process; it stays in the environment (see `inherited`)."""
    told = _told()
    return Inheritance.from_told(told) if "members" in told else None


def tried_by() -> tuple[str, list[str]]:
    """In a trial: the version of the master that began it, and the addresses where that one listens."""
    told = _told()
    return told["trial"], told["listening"]


def inherited() -> Inheritance | Handover | None:
    """What was left to this process, taken out of the environment so that nobody else finds it."""
    told = _told()
    os.environ.pop(VARIABLE, None)
    if told.pop("handover", None) == _HANDOVER:
        return Handover(told["listeners"], told["parent"])
    if "members" not in told:
        return None
    inheritance = Inheritance.from_told(told)
    _set_inheritable(inheritance.descriptors(), False)
    return inheritance


def try_out(origin: Origin, listening: Sequence[str], stderr: int) -> int:
    """Start the trial and give its process number; `waitpid` tells the outcome. OSError when it cannot fork.

    listening: the addresses where we listen, which it cannot have. stderr: the descriptor that becomes its stderr.
    """

    def prepare() -> str:
        os.dup2(stderr, _STDERR)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        return json.dumps({"pid": os.getpid(), "trial": __version__, "listening": list(listening)})

    return _start(origin, prepare)


def start_beside(origin: Origin, handover: Handover, descriptors: Sequence[int], before: Callable[[], object]) -> int:
    """Start a new master at our sockets, and give its process number. OSError when it cannot fork.

    before: called in the new process, just before it becomes the command.
    """

    def prepare() -> str:
        before()
        _set_inheritable(descriptors, True)
        return handover.to_text()

    return _start(origin, prepare)


def _start(origin: Origin, prepare: Callable[[], str]) -> int:
    held = signal.pthread_sigmask(signal.SIG_BLOCK, signals.HANDLED)
    try:
        pid = os.fork()
        if pid == 0:
            _become(origin, prepare)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _become(origin: Origin, prepare: Callable[[], str]) -> None:
    try:
        signal.set_wakeup_fd(-1)
        for number in signals.HANDLED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.HANDLED)
        origin.execute(prepare())
    except BaseException as error:
        os.write(_STDERR, f"{type(error).__name__}: {error}\n".encode("utf-8", "backslashreplace"))
    finally:
        os._exit(1)


def live_again(origin: Origin, inheritance: Inheritance, listener_fds: Sequence[int]) -> None:
    """Begin the next life. Only returns by OSError, and then this life can go on.

    Signals are held back until the next life has its handlers. Without them it would die of most, also of those that
    are to stop it in good order; and as process 1 it would not even notice them.
    """
    descriptors = [*inheritance.descriptors(), *listener_fds]
    directory = os.open(".", os.O_RDONLY)  # it may have no name any more
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals.HANDLED)
    try:
        _set_inheritable(descriptors, True)
        origin.execute(inheritance.to_text())
    finally:
        _set_inheritable(descriptors, False)
        os.fchdir(directory)
        os.close(directory)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _set_inheritable(descriptors: Iterable[int], inheritable: bool) -> None:
    for descriptor in descriptors:
        os.set_inheritable(descriptor, inheritable)
