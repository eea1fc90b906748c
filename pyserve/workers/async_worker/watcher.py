"""The thread beside a loop that says what holds it."""

import threading
from collections.abc import Callable
from time import monotonic_ns

from pyserve.protocol.exchange import Exchange
from pyserve.workers.logs.error_log import escape
from pyserve.workers.scoreboard import Slot

_LOOK = 0.5  # heartbeats between two looks
_LATE = 1.5  # heartbeats: one is missing


class Watcher:
    """Publishes on the scoreboard which requests were in progress while the loop's heartbeat is late.

    The master reads it when it ends a silent worker. Publishing is the watcher's; the heartbeat never is.

    pulse: seconds between two heartbeats.
    """

    def __init__(self, slot: Slot, busy_with: Callable[[], list[Exchange]], pulse: float = 1.0) -> None:
        self._slot = slot
        self._pulse = pulse
        self._busy_with = busy_with
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait until it has."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(_LOOK * self._pulse):
            now = monotonic_ns()
            if now - self._slot.heartbeat < _LATE * self._pulse * 1e9:
                self._slot.withdraw()
                continue
            try:
                exchanges = self._busy_with()
            except RuntimeError:
                continue  # the loop has moved on while it was looked at
            if exchanges:
                self._slot.publish(_describe(exchanges), int(exchanges[0].arrived * 1e9))


def _describe(exchanges: list[Exchange]) -> str:
    first = exchanges[0]
    text = f"{first.method} {escape(first.target)}"
    others = len(exchanges) - 1
    return f"{text} (and {others} others)" if others else text
