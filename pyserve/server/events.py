"""What the master hears (events) and what it is told to do about it (actions).

The supervisor turns the first into the second; the arbiter finds out the first and performs the second. A
worker is named by its age, the number of its spawn: pids come later than the wish to spawn, and are used
again.
"""

from __future__ import annotations

import enum
import signal
from dataclasses import dataclass


class Manner(enum.Enum):
    """How to stop."""

    GRACEFUL = "graceful"
    QUICK = "quick"


class Reason(enum.Enum):
    """Why a worker is sent a signal."""

    SILENT = "no heartbeat for --timeout seconds"
    RETIRED = "another worker has taken its place, or one less is wanted"
    STOP = "the server stops"
    LATE = "told to go, and still there at its deadline"
    REOPEN = "log files were rotated"
    CHANGED = "the application's files have changed"


class News(enum.Enum):
    """What the log should say, beside what the other actions tell."""

    RELOAD_DONE = "all workers are new"
    RELOAD_STOPPED = "a new worker did not become ready: the old ones go on"
    NO_ROOM = "no room for another worker"
    LAST_WORKER = "one worker is the least"
    SUCCESSOR_FAILED = "a successor did not become ready: the old worker goes on, and it is tried again"
    WAITING = "the application does not start: the next change of its files is waited for"


class Cause(enum.Enum):
    """Why a worker is to be replaced although it serves well."""

    REQUESTS = "--max-requests"
    LIFETIME = "--max-worker-lifetime"
    MEMORY = "--max-worker-memory"


# Events


@dataclass(frozen=True, slots=True)
class Started:
    """The wished-for worker runs."""

    age: int
    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """The system refused to fork."""

    age: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker serves."""

    age: int


@dataclass(frozen=True, slots=True)
class BootFailed:
    """The worker says that it cannot serve, with its exit code; it is about to exit."""

    age: int
    code: int


@dataclass(frozen=True, slots=True)
class Beat:
    """The worker last made progress at `at` (monotonic seconds)."""

    age: int
    at: float


@dataclass(frozen=True, slots=True)
class Worn:
    """The worker should be replaced, and serves on until its successor does."""

    age: int
    cause: Cause


@dataclass(frozen=True, slots=True)
class Oust:
    """The worker is to stop gracefully now; another one is to come."""

    age: int


@dataclass(frozen=True, slots=True)
class Retiring:
    """The worker goes by itself (somebody has sent it TERM) and accepts no more."""

    age: int


@dataclass(frozen=True, slots=True)
class Exited:
    """The worker is gone; `code` as of `os.waitstatus_to_exitcode`: a signal's number negative."""

    age: int
    code: int


@dataclass(frozen=True, slots=True)
class Reload:
    """Read everything anew, in a next life of the master, which replaces all workers one after the other."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Start a new master beside this one, at the same sockets."""


@dataclass(frozen=True, slots=True)
class Dismiss:
    """All workers go and none comes: another master serves."""


@dataclass(frozen=True, slots=True)
class Recall:
    """Workers again, after Dismiss."""


@dataclass(frozen=True, slots=True)
class Restart:
    """The application's files have changed (`--reload`): replace all workers at once, whatever they do."""


@dataclass(frozen=True, slots=True)
class More:
    """One worker more."""


@dataclass(frozen=True, slots=True)
class Fewer:
    """One worker less."""


@dataclass(frozen=True, slots=True)
class Reopen:
    """Log files were rotated: open them anew."""


@dataclass(frozen=True, slots=True)
class Stop:
    manner: Manner


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event = (
    Started
    | SpawnFailed
    | Ready
    | BootFailed
    | Beat
    | Worn
    | Oust
    | Retiring
    | Exited
    | Reload
    | Restart
    | Upgrade
    | Dismiss
    | Recall
    | More
    | Fewer
    | Reopen
    | Stop
    | Tick
)

# Actions


@dataclass(frozen=True, slots=True)
class Spawn:
    """Fork a worker for this seat and scoreboard slot; answer with Started or SpawnFailed."""

    age: int
    seat: int
    slot: int


@dataclass(frozen=True, slots=True)
class Kill:
    """Send a signal."""

    age: int
    pid: int
    signal: signal.Signals
    reason: Reason


@dataclass(frozen=True, slots=True)
class Condemn:
    """Say that the worker is going to be replaced, when its turn has come."""

    age: int
    pid: int
    cause: Cause


@dataclass(frozen=True, slots=True)
class Linger:
    """Say that the worker is booting for so long already. heir: while another one serves in its place."""

    age: int
    pid: int
    seconds: float
    heir: bool


@dataclass(frozen=True, slots=True)
class LetGo:
    """Nobody of an earlier life of the master serves any more: the listeners that only they had are to be closed."""


@dataclass(frozen=True, slots=True)
class Announce:
    """The server stops in so many seconds: the workers are to tell their clients."""

    delay: float


@dataclass(frozen=True, slots=True)
class StopListening:
    """The server stops: the master's hold on the listeners ends."""


@dataclass(frozen=True, slots=True)
class Say:
    news: News


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No worker can boot: the server is going to end with this exit code."""

    code: int


@dataclass(frozen=True, slots=True)
class Finish:
    """All workers are gone: end with this exit code."""

    code: int


Action = Spawn | Kill | Condemn | Linger | LetGo | Announce | StopListening | Say | GiveUp | Finish
