"""Time as the workers of a test see it."""

import time

from pyserve.workers.deadlines import Deadlines
from tests.workers.serving import eventually


class Clock:
    """The clock by which deadlines are judged: the real one, put forward by a test.

    With it deadlines can be so long that a busy machine meets none of them by its own slowness, and nobody waits for
    them. The workers look at their connections every few milliseconds.
    """

    def __init__(self) -> None:
        self._ahead = 0.0
        self._looks = 0

    def __call__(self) -> float:
        return time.monotonic() + self._ahead

    def look(self, deadlines: Deadlines) -> float:
        """A worker asks when to look next (`Deadlines.step`)."""
        self._looks += 1
        return 0.01

    def advance(self, seconds: float) -> None:
        """Put it forward, and wait until the worker has looked at all of its connections since."""
        self._ahead += seconds
        before = self._looks
        eventually(lambda: self._looks > before + 2)  # one look may have begun before, the next one is complete
