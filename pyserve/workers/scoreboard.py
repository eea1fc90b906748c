"""What every worker is doing, in memory that the master and all workers share.

The rules:

* The memory is mapped once, before the first fork, with room for workers added later. No files.
* A slot belongs to one worker at a time and is written only by that worker; a thread's sub-slot only by that
  thread (``words[i] += 1`` from two threads loses counts). The master clears a slot between two owners, when
  nobody writes.
* A number is one aligned 64-bit word, stored at once, so that a reader sees the old value or the new one.
* A record of several words carries a sequence number: odd while it is being written. A reader that saw an odd
  number, or two different ones, saw nothing and tries again.

A hot path takes ``slot.words`` or ``slot.thread(j).words`` (memoryviews of unsigned 64-bit numbers) once and
then counts with ``words[REQUESTS] += 1``; the properties are for everybody else.

Where the system has ``memfd_create`` the memory is also a file descriptor, so that a master which executes
itself anew can go on reading what its old workers write (`Scoreboard.attach`).
"""

from __future__ import annotations

import enum
import mmap
import os
from typing import Final, NamedTuple

WORD: Final = 8

# Words of a worker.
PID: Final = 0
AGE: Final = 1
STATE: Final = 2
HEARTBEAT: Final = 3
CONNECTIONS: Final = 4
IN_FLIGHT: Final = 5
BOOTED_AT: Final = 6
_SEQUENCE: Final = 8
_TEXT_STARTED: Final = 9
_TEXT_LENGTH: Final = 10
_WORKER_WORDS: Final = 16

TEXT_OCTETS: Final = 1024
"""Room for the published text; a longer one is cut. A request line may be 8190 octets: its beginning tells
enough."""
_TEXT_WORDS: Final = TEXT_OCTETS // WORD

NOTE_OCTETS: Final = 128
"""Of one request in progress (`notes`)."""
NOTES: Final = 8192
"""Connections that have a place for theirs; one more place is everybody else's."""
NOTES_PAGE: Final = 4096
"""Octets of notes that share a mark. What is not marked was never touched, and takes no memory."""
_NOTES_PAGES: Final = NOTES * NOTE_OCTETS // NOTES_PAGE + 1
_NOTED_WORDS: Final = -(-_NOTES_PAGES // WORD)
_NOTES_WORDS: Final = _NOTED_WORDS + _NOTES_PAGES * NOTES_PAGE // WORD

# Words of a thread.
REQUESTS: Final = 0
BYTES_IN: Final = 1
BYTES_OUT: Final = 2
ERRORS: Final = 3
TIMEOUTS_HEADER: Final = 4
TIMEOUTS_BODY: Final = 5
TIMEOUTS_KEEPALIVE: Final = 6
TIMEOUTS_WRITE: Final = 7
TIMEOUTS_REQUEST: Final = 8
_THREAD_WORDS: Final = 16  # two cache lines: threads of one worker do not slow each other down

# Words of the board itself.
_LAYOUT: Final = 0
_SLOTS: Final = 1
_THREADS: Final = 2
_STOPPING: Final = 3
_BOARD_WORDS: Final = 16
_LAYOUT_VERSION: Final = 0x70797365_00000003

_READ_ATTEMPTS: Final = 64


class State(enum.IntEnum):
    """Where a worker is in its life. EMPTY: the slot has no worker."""

    EMPTY = 0
    BOOTING = 1
    READY = 2
    DRAINING = 3


class Totals(NamedTuple):
    """Counters of a worker over all its threads; the last five are deadlines that were missed, by kind: four by
    clients, `request` by the application."""

    requests: int
    bytes_in: int
    bytes_out: int
    errors: int
    header: int
    body: int
    keepalive: int
    write: int
    request: int


_COUNTED: Final = (
    REQUESTS,
    BYTES_IN,
    BYTES_OUT,
    ERRORS,
    TIMEOUTS_HEADER,
    TIMEOUTS_BODY,
    TIMEOUTS_KEEPALIVE,
    TIMEOUTS_WRITE,
    TIMEOUTS_REQUEST,
)


class ThreadSlot:
    """One thread's counters. Only that thread writes them; anybody may read."""

    __slots__ = ("words",)

    def __init__(self, words: memoryview[int]) -> None:
        self.words = words

    @property
    def requests(self) -> int:
        """Requests that this thread has finished."""
        return self.words[REQUESTS]

    @property
    def bytes_in(self) -> int:
        return self.words[BYTES_IN]

    @property
    def bytes_out(self) -> int:
        return self.words[BYTES_OUT]

    @property
    def errors(self) -> int:
        return self.words[ERRORS]

    @property
    def timeouts(self) -> tuple[int, int, int, int]:
        """Connections given up waiting for: a head, a body, the next request, the client's reading."""
        words = self.words
        return words[TIMEOUTS_HEADER], words[TIMEOUTS_BODY], words[TIMEOUTS_KEEPALIVE], words[TIMEOUTS_WRITE]


class Slot:
    """One worker's part of the board: written by the worker, read by the master and by the other workers.

    notes: octets, what it is answering (`workers/notes.py`); noted: an octet for each page of them that is in use.
    """

    __slots__ = ("_text", "_threads", "index", "noted", "notes", "words")

    def __init__(self, index: int, words: memoryview[int], threads: int) -> None:
        self.index = index
        self.words = words[:_WORKER_WORDS]
        self._text = words[_WORKER_WORDS : _WORKER_WORDS + _TEXT_WORDS].cast("B")
        first = _WORKER_WORDS + _TEXT_WORDS + _NOTES_WORDS
        notes = words[first - _NOTES_WORDS : first].cast("B")
        self.noted = notes[:_NOTES_PAGES]
        self.notes = notes[_NOTED_WORDS * WORD :]
        self._threads = [
            ThreadSlot(words[at : at + _THREAD_WORDS])
            for at in range(first, first + threads * _THREAD_WORDS, _THREAD_WORDS)
        ]

    def clear(self, age: int = 0, state: State = State.EMPTY) -> None:
        """Forget the last owner. The caller knows that nobody writes: the owner is dead, or does it to
        begin."""
        for at in range(_WORKER_WORDS):
            self.words[at] = 0
        for page in self.pages():
            self.notes[page : page + NOTES_PAGE] = bytes(NOTES_PAGE)
            self.noted[page // NOTES_PAGE] = 0
        for thread in self._threads:
            for at in range(_THREAD_WORDS):
                thread.words[at] = 0
        self.words[AGE] = age
        self.words[STATE] = state

    @property
    def pid(self) -> int:
        return self.words[PID]

    @pid.setter
    def pid(self, value: int) -> None:
        self.words[PID] = value

    @property
    def age(self) -> int:
        """The spawn number of the owner: the master counts the workers it starts from 1."""
        return self.words[AGE]

    @property
    def state(self) -> State:
        return State(self.words[STATE])

    @state.setter
    def state(self, value: State) -> None:
        self.words[STATE] = value

    @property
    def heartbeat(self) -> int:
        """When the worker last made progress, in monotonic nanoseconds."""
        return self.words[HEARTBEAT]

    @heartbeat.setter
    def heartbeat(self, value: int) -> None:
        self.words[HEARTBEAT] = value

    @property
    def connections(self) -> int:
        return self.words[CONNECTIONS]

    @connections.setter
    def connections(self, value: int) -> None:
        self.words[CONNECTIONS] = value

    @property
    def in_flight(self) -> int:
        """Requests being answered at this moment, where one thread has several (the async worker)."""
        return self.words[IN_FLIGHT]

    @in_flight.setter
    def in_flight(self, value: int) -> None:
        self.words[IN_FLIGHT] = value

    @property
    def booted_at(self) -> int:
        """When the worker became ready, in monotonic nanoseconds; 0 before."""
        return self.words[BOOTED_AT]

    @booted_at.setter
    def booted_at(self, value: int) -> None:
        self.words[BOOTED_AT] = value

    @property
    def threads(self) -> list[ThreadSlot]:
        return self._threads

    def thread(self, index: int) -> ThreadSlot:
        """The sub-slot of thread `index`, from 0. The caller sees to it that one thread only writes it."""
        return self._threads[index]

    def pages(self) -> list[int]:
        """Where the pages of `notes` begin that are in use."""
        return [page * NOTES_PAGE for page, is_used in enumerate(self.noted) if is_used]

    def requests(self) -> int:
        """Requests that the worker has finished, over all its threads."""
        return sum(thread.words[REQUESTS] for thread in self._threads)

    def totals(self) -> Totals:
        """What all its threads have counted."""
        return Totals(*(sum(thread.words[at] for thread in self._threads) for at in _COUNTED))

    def publish(self, text: str, started_ns: int) -> None:
        """Say what the worker is busy with and since when (monotonic nanoseconds).

        One thread of the worker calls this (its watcher). The text is cut to `TEXT_OCTETS` octets of UTF-8.
        """
        octets = text.encode("utf-8", "backslashreplace")[:TEXT_OCTETS]
        words = self.words
        sequence = words[_SEQUENCE] | 1
        words[_SEQUENCE] = sequence
        self._text[: len(octets)] = octets
        words[_TEXT_LENGTH] = len(octets)
        words[_TEXT_STARTED] = started_ns
        words[_SEQUENCE] = sequence + 1

    def withdraw(self) -> None:
        """Take back what was published: the worker is busy with nothing worth telling."""
        if self.words[_TEXT_STARTED]:
            self.publish("", 0)

    def published(self) -> tuple[str, int] | None:
        """What the worker is busy with and since when; None for nothing, or for a record that never came
        whole.

        A worker killed in the middle of `publish` leaves an odd sequence number behind: that is nothing, too.
        """
        words = self.words
        for _ in range(_READ_ATTEMPTS):
            before = words[_SEQUENCE]
            octets = bytes(self._text[: min(words[_TEXT_LENGTH], TEXT_OCTETS)])
            started_ns = words[_TEXT_STARTED]
            if before & 1 == 0 and words[_SEQUENCE] == before:
                return (octets.decode("utf-8", "replace"), started_ns) if started_ns else None
        return None


class Scoreboard:
    """The whole board: `slots` workers with `threads` threads each. Made by the master before it forks."""

    __slots__ = ("_connections", "_in_flight", "_slots", "_states", "_words", "fd", "threads")

    def __init__(self, slots: int, threads: int) -> None:
        size = WORD * (_BOARD_WORDS + slots * _slot_words(threads))
        self.fd: int | None = None
        if hasattr(os, "memfd_create"):
            self.fd = os.memfd_create("pyserve-scoreboard")
            os.ftruncate(self.fd, size)
        memory = mmap.mmap(self.fd if self.fd is not None else -1, size)
        self._lay_out(memoryview(memory).cast("Q"), slots, threads)
        self._words[_SLOTS] = slots
        self._words[_THREADS] = threads
        self._words[_LAYOUT] = _LAYOUT_VERSION

    @classmethod
    def attach(cls, fd: int) -> Scoreboard:
        """The board behind `fd`, made by an earlier life of this process.

        Raises ValueError when it is none, or one of another layout (the server was upgraded in between).
        """
        board = cls.__new__(cls)
        words = memoryview(mmap.mmap(fd, 0)).cast("Q")
        slots, threads = words[_SLOTS], words[_THREADS]
        if words[_LAYOUT] != _LAYOUT_VERSION or len(words) != _BOARD_WORDS + slots * _slot_words(threads):
            raise ValueError("not a scoreboard of this version")
        board.fd = fd
        board._lay_out(words, slots, threads)
        return board

    def _lay_out(self, words: memoryview[int], slots: int, threads: int) -> None:
        stride = _slot_words(threads)
        self._words = words
        self.threads = threads
        self._slots = [
            Slot(index, words[at : at + stride], threads)
            for index, at in enumerate(range(_BOARD_WORDS, _BOARD_WORDS + slots * stride, stride))
        ]
        # One word of every slot, as a strided view: what the balance rule reads costs no loop in Python.
        self._states = words[_BOARD_WORDS + STATE :: stride]
        self._connections = words[_BOARD_WORDS + CONNECTIONS :: stride]
        self._in_flight = words[_BOARD_WORDS + IN_FLIGHT :: stride]

    @property
    def stopping(self) -> bool:
        """Whether the whole server stops, or is about to; the master sets it, for all workers."""
        return bool(self._words[_STOPPING])

    @stopping.setter
    def stopping(self, value: bool) -> None:
        self._words[_STOPPING] = value

    def __len__(self) -> int:
        return len(self._slots)

    def slot(self, index: int) -> Slot:
        return self._slots[index]

    def slots(self) -> list[Slot]:
        return self._slots

    def ready(self) -> int:
        """How many workers serve."""
        return self._states.tolist().count(State.READY)

    def mean_connections(self) -> float:
        """Open connections per serving worker; 0.0 when none serves."""
        return self._mean(self._connections)

    def mean_in_flight(self) -> float:
        """Requests being answered per serving worker; 0.0 when none serves."""
        return self._mean(self._in_flight)

    def _mean(self, column: memoryview[int]) -> float:
        total = count = 0
        for state, value in zip(self._states.tolist(), column.tolist(), strict=True):
            if state == State.READY:
                total += value
                count += 1
        return total / count if count else 0.0


def _slot_words(threads: int) -> int:
    return _WORKER_WORDS + _TEXT_WORDS + _NOTES_WORDS + threads * _THREAD_WORDS


def room(workers: int) -> int:
    """How many slots to map for `workers`: every one may have a successor while it drains, and some more may
    come."""
    return max(2 * workers, workers + 8)
