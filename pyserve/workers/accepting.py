"""Whether a worker takes connections, in either kind of worker."""

from enum import Enum
from typing import Final

LAST_CALL: Final = 0.3
"""Seconds that a worker which retires goes on to accept who waits already."""
LAST_CALL_OF_ALL: Final = 1.0
"""... where nobody else will."""
SETTLE: Final = 0.05
"""Seconds that it goes on at least then: who has been told that he is connected may not have come so far as to wait."""


class Accepting(Enum):
    """Whether connections are taken."""

    NOT_YET = "not yet"
    OPEN = "open"
    FULL = "full"
    STARVED = "starved"
    STEPPING = "stepping back"
    CLOSED = "closed"
