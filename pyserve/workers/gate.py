"""How many requests a worker has in flight at once (`--limit-concurrency`), and what others are answered."""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING

from pyserve.workers.readiness import answer, is_check

if TYPE_CHECKING:
    from pyserve.protocol.exchange import Exchange
    from pyserve.workers.crew import Crew
    from pyserve.workers.logs.error_log import ErrorLog

_QUIET = 60.0  # seconds between two lines about it
_FIELDS = [(b"Retry-After", b"1"), (b"Content-Type", b"text/plain; charset=utf-8")]


class Gate:
    """Counts requests from their head to the end of their response: idle connections are none. For any thread."""

    __slots__ = ("_limit", "_lock", "_log", "_said", "inside")

    def __init__(self, limit: int, log: ErrorLog) -> None:
        self.inside = 0
        self._limit = limit
        self._lock = threading.Lock()
        self._log = log
        self._said = -_QUIET

    @property
    def full(self) -> bool:
        """Whether the next one would be turned away."""
        return self.inside >= self._limit

    def enter(self) -> bool:
        """A request begins; False where it is one too many."""
        with self._lock:
            if self.inside < self._limit:
                self.inside += 1
                return True
            now = monotonic()
            tells = now - self._said >= _QUIET
            if tells:
                self._said = now
        if tells:
            self._log.warning("%d requests are in flight (--limit-concurrency): others are answered 503", self._limit)
        return False

    def leave(self) -> None:
        """One that has entered is over."""
        with self._lock:
            self.inside -= 1


def turn_away(exchange: Exchange, crew: Crew) -> None:
    """Answer in the application's place (RFC 9110 section 15.6.4). The connection may go on, also where content has not
    been read (RFC 9112 section 9.3). The readiness check is answered as ever."""
    if is_check(exchange, crew):
        answer(exchange, crew)
        return
    exchange.send_head(503, None, _FIELDS)
    exchange.send_body(b"too many requests at a time\n", False)
