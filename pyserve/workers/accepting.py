"""Whether a worker takes connections, in either kind of worker."""

from enum import Enum


class Accepting(Enum):
    """Whether connections are taken."""

    NOT_YET = "not yet"
    OPEN = "open"
    FULL = "full"
    STARVED = "starved"
    STEPPING = "stepping back"
    CLOSED = "closed"
