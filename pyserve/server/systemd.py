"""What systemd and a service tell each other: sockets at the start (sd_listen_fds(3)), states later (sd_notify(3)).

Both are environment variables and one datagram each: no library is needed. Podman and others speak it, too.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pyserve.settings import DEFAULTS

if TYPE_CHECKING:
    from pyserve.settings import Settings
    from pyserve.workers.logs.error_log import ErrorLog

_FIRST_FD: Final = 3


def with_its_sockets(settings: Settings) -> Settings:
    """The settings, with the sockets that systemd has opened for this process as `bind`, which is ignored then, as
    gunicorn does.

    The variables stay: the next life of this process must find them, too, and nobody else takes them for his.
    """
    count = _number(os.environ, "LISTEN_FDS")
    if not count or _number(os.environ, "LISTEN_PID") != os.getpid():
        return settings
    return dataclasses.replace(settings, bind=tuple(f"fd://{fd}" for fd in range(_FIRST_FD, _FIRST_FD + count)))


def remarks(settings: Settings) -> Iterator[str]:
    """What the log should warn of, one line each. settings: as they were given."""
    sockets = with_its_sockets(settings).bind
    if sockets is not settings.bind and not set(settings.bind) <= {*DEFAULTS.bind, *sockets}:
        yield f"--bind {','.join(settings.bind)} is not used: systemd has opened the sockets"
    meant = _number(os.environ, "LISTEN_PID")
    if _number(os.environ, "LISTEN_FDS") and meant == os.getppid():
        yield f"The sockets from systemd are for process {meant}, our parent: start pyserve with exec there"
    if settings.daemon and "NOTIFY_SOCKET" in os.environ:
        yield "--daemon does not suit Type=notify: systemd watches the process that it started, and that one ends"


def _number(environ: Mapping[str, str], variable: str) -> int:
    text = environ.get(variable, "")
    return int(text) if text.isdecimal() else 0


class Stage(enum.Enum):
    """What the service manager has been told last."""

    STARTING = "starting"
    READY = "ready"
    RELOADING = "reloading"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Health:
    """What the master knows at the end of a turn of its loop. ready: how many workers serve. successor: the process
    number of another master that serves in our place when we stop, 0 for none."""

    ready: int
    wanted: int
    reloading: bool
    stopping: bool
    successor: int = 0


class Notifier:
    """Tells the service manager what has changed, and every half of WATCHDOG_USEC that the master's loop turns.

    Ready is said when the first worker serves, and again at the end of a reload. What goes wrong is not worth more than
    a line at debug level: the service manager notices by itself.
    """

    def __init__(self, environ: Mapping[str, str], log: ErrorLog, *, reloading: bool = False) -> None:
        """reloading: an earlier life of this process has said so, and the end of it is still to be told."""
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._log = log
        self._stage = Stage.RELOADING if reloading else Stage.STARTING
        self._status = ""
        self._watched = _watchdog(environ) if address else 0.0
        self._next = 0.0

    def reloading(self) -> None:
        """A reload begins: with Type=notify-reload systemd wants to know when."""
        if self._stage in (Stage.READY, Stage.RELOADING):
            self._stage = Stage.RELOADING
            self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=Reloading")

    def look(self, health: Health, now: float) -> None:
        """Tell what is new. now: monotonic seconds."""
        if not self._address:
            return
        if health.stopping:
            if self._stage is not Stage.STOPPING:
                self._stage = Stage.STOPPING
                if health.successor:  # it is we who stop, not the service
                    self._send(f"MAINPID={health.successor}")
                else:
                    self._send("STOPPING=1", "STATUS=Stopping")
        elif health.ready and not health.reloading and self._stage is not Stage.READY:
            self._stage = Stage.READY
            self._status = _status(health)
            self._send("READY=1", f"MAINPID={os.getpid()}", f"STATUS={self._status}")
        elif self._stage is Stage.READY and (status := _status(health)) != self._status:
            self._status = status
            self._send(f"STATUS={status}")
        if self._watched and now >= self._next:
            self._next = now + self._watched
            self._send("WATCHDOG=1")

    def due(self, now: float) -> float:
        """Seconds until `look` is needed at the latest."""
        return max(0.0, self._next - now) if self._watched else math.inf

    def _send(self, *fields: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.setblocking(False)
                channel.sendto("\n".join(fields).encode(), self._address)
        except OSError as error:
            self._log.debug("Can't notify the service manager at %r: %s", self._address, error)


def _watchdog(environ: Mapping[str, str]) -> float:
    """Seconds between two signs of life, half of what systemd waits for; 0 for none (sd_watchdog_enabled(3))."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    return _number(environ, "WATCHDOG_USEC") / 2e6


def _status(health: Health) -> str:
    return f"{health.ready} of {health.wanted} workers serve"
