"""Which requests a worker is answering, for who finds it dead: on the scoreboard, which outlives it.

Each connection has a place there, found by the number of its descriptor. Its driver notes the request before the
application is called, in one call of C, and when the response is out the note is wiped by a single store
(`Crew.log_exchange`). What a worker that is killed leaves behind is what it was answering, were it for a millisecond.
Both together take 0.1 us by themselves, 0.2 to 0.3 in the middle of a request of 12; some 0.06 of that is the method.

    octets  16      the method, padded with zeros; 0 in the first: there is no request
            104     the target as it was sent, its beginning
            8       when it had begun (seconds, monotonic); 0.0: the worker died while it noted this

In this order they are written, into octets that are all zero by then, and the time in one store as it is aligned: so a
note of which a part is missing is known.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from pyserve.workers.logs.error_log import escape
from pyserve.workers.scoreboard import NOTE_OCTETS, NOTES, NOTES_PAGE

if TYPE_CHECKING:
    from pyserve.workers.scoreboard import Slot

_RECORD: Final = struct.Struct("@16s104sd")
assert _RECORD.size == NOTE_OCTETS

note: Final = _RECORD.pack_into
"""note(slot.notes, place, METHODS[method], target, began): write down a request. `notes[place] = 0` wipes it."""

NOWHERE: Final = NOTES * NOTE_OCTETS
"""A place that nobody reads."""


class _Methods(dict[str, bytes]):
    def __missing__(self, method: str) -> bytes:
        return method.encode("ascii", "replace")  # not kept: a peer may invent any number of them


METHODS: Final = _Methods(
    (method, method.encode())
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "PROPFIND", "REPORT")
)
"""Their octets."""


class Noted(NamedTuple):
    """A request in progress. began: seconds, monotonic."""

    began: float
    request: str


def place_for(slot: Slot, fd: int) -> int:
    """Where a new connection with this descriptor makes its notes. Those with high numbers share a place that nobody
    reads."""
    place = fd * NOTE_OCTETS if 0 <= fd < NOTES else NOWHERE
    slot.notes[place] = 0
    slot.noted[place // NOTES_PAGE] = 1
    return place


def read(slot: Slot) -> list[Noted]:
    """What the worker is answering, the oldest first; all of it where it is dead."""
    found = []
    for page in slot.pages():
        for place in range(page, page + NOTES_PAGE, NOTE_OCTETS):
            if slot.notes[place] and place != NOWHERE:
                method, target, began = _RECORD.unpack_from(slot.notes, place)
                if began:
                    found.append(Noted(began, _describe(method.rstrip(b"\0"), target)))
    return sorted(found)


def is_all(slot: Slot) -> bool:
    """Whether all connections of the worker have had a place that is read."""
    return not slot.noted[NOWHERE // NOTES_PAGE]


def _describe(method: bytes, target: bytes) -> str:
    cut = "..." if target[-1] else ""
    return f"{escape(method)} {escape(target.rstrip(bytes(1)))}{cut}"
