"""What a worker was doing, for who finds it dead: on the scoreboard, which outlives it.

To write down every request would cost every request something. So the thread that looks after the others, which wakes
anyway, notes every tenth of a second (a quarter, while nothing happens) what is in progress, and how many requests were
finished by then. A worker that is
killed leaves the last note behind. What the reader may conclude: the requests of the note were in progress at that
time; so many of them at most have been answered since as the count of the finished has grown; requests that came
after the note are not in it. Where that has hidden the one that killed, `wary` makes notes of each.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pyserve.workers.logs.error_log import escape

if TYPE_CHECKING:
    from pyserve.protocol.exchange import Exchange
    from pyserve.workers.scoreboard import Slot

PAUSE: Final = 0.11
"""Seconds between two notes while there is something to be noted."""
IDLE: Final = 0.25
"""Seconds between two notes while there is nothing."""

_MOST: Final = 10  # requests that are noted by name
_LONGEST: Final = 180  # characters of one

# Words of a note; its text comes after them.
_SEQUENCE, _AT, _COUNT, _FINISHED, _LENGTH = range(5)
_TEXT: Final = 8

_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class Note:
    """at_ns: when it was written. count: requests in progress then. finished: those before. named: some of them, the
    oldest first, each with the time at which it had begun (monotonic nanoseconds)."""

    at_ns: int
    count: int
    finished: int
    named: tuple[tuple[int, str], ...] = ()


def write(slot: Slot, exchanges: Sequence[Exchange], now_ns: int) -> None:
    """Note what is in progress, the oldest first. For any thread of the worker."""
    lines = [
        f"{int(exchange.arrived * 1e9)} {exchange.method} {escape(exchange.target)}"[:_LONGEST]
        for exchange in exchanges[:_MOST]
    ]
    words = slot.note
    text = words[_TEXT:].cast("B")
    octets = "\n".join(lines).encode("ascii", "replace")[: len(text)]
    with _one_at_a_time:
        sequence = words[_SEQUENCE] | 1
        words[_SEQUENCE] = sequence
        text[: len(octets)] = octets
        words[_LENGTH] = len(octets)
        words[_AT] = now_ns
        words[_COUNT] = len(exchanges)
        words[_FINISHED] = slot.requests()
        words[_SEQUENCE] = sequence + 1


def read(slot: Slot) -> Note | None:
    """The last note of a worker that is dead; None where there is none, or it died while it wrote one."""
    words = slot.note
    if not words[_AT] or words[_SEQUENCE] & 1:
        return None
    text = bytes(words[_TEXT:].cast("B")[: words[_LENGTH]]).decode("ascii", "replace")
    named = tuple(
        (int(began), request) for began, _, request in (line.partition(" ") for line in text.splitlines()) if request
    )
    return Note(words[_AT], words[_COUNT], words[_FINISHED], named)
