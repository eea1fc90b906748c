"""How much of the bodies that are still arriving a worker holds in memory."""

from __future__ import annotations

import threading
from typing import Protocol


class Holder(Protocol):
    """A connection. held: octets that are counted for it, 0 at first."""

    held: int


class Bodies:
    """The content of requests that have not started because more of it is to come, over all connections."""

    __slots__ = ("_each", "_held", "_lock", "_total")

    def __init__(self, each: int, total: int) -> None:
        """each: octets of one body, total: of all together; a request past either starts with what has come."""
        self._each = each
        self._total = total
        self._held = 0
        self._lock = threading.Lock()

    def hold(self, connection: Holder, octets: int) -> bool:
        """Note that a connection's body holds so many octets now; False when that is too much to go on waiting."""
        with self._lock:
            self._held += octets - connection.held
            connection.held = octets
            return octets <= self._each and self._held <= self._total

    def release(self, connection: Holder) -> None:
        """The request starts, or will never."""
        if connection.held:
            self.hold(connection, 0)

    @property
    def held(self) -> int:
        """Octets, of all connections together."""
        return self._held
