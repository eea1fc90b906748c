"""A serving thread: whatever goes wrong with one connection, it goes on with the others."""

from collections.abc import Callable
from typing import Any

import pytest

from pyserve.workers.thread_worker.channel import Stage
from pyserve.workers.thread_worker.hand import Hand

LANE = 100  # the descriptor of the slow lane
NOTHING = memoryview(bytearray(128)).cast("Q")


class Deck:
    """As much of a deck as a hand needs; it is its own epoll, table, doors, relay, crew and log. batches: of events."""

    doubled = False

    def __init__(self, *batches: list[int] | BaseException) -> None:
        self.table = self.epoll = self.lane = self.doors = self.relay = self.crew = self.log = self
        self.parked: dict[int, Any] = {}
        self.listening: dict[int, None] = {}
        self.batches = list(batches)
        self.said: list[str] = []
        self.asked: list[tuple[float | None, int]] = []  # pause, most
        self.ended = False

    @property
    def stopping(self) -> bool:
        return self.ended or not self.batches

    def fileno(self) -> int:
        return LANE

    def change_lanes(self, connection: "Connection", *, slow: bool) -> None:
        self.said.append(f"{connection.fd} is {'slow' if slow else 'slow no more'}")

    def poll(self, pause: float | None, most: int) -> list[tuple[int, int]]:
        self.asked.append((pause, most))
        batch = self.batches.pop(0)
        if isinstance(batch, BaseException):
            raise batch
        return [(fd, 1) for fd in batch]

    def exception(self, text: str) -> None:
        self.said.append(text)

    def quit(self) -> None:
        self.ended = True

    def accept(self, fd: int, hand: Hand) -> float | None:
        self.said.append(f"accepts at {fd}")
        return None


class Connection:
    """What becomes of it when it is ready is `act`."""

    def __init__(self, deck: Deck, fd: int, act: Callable[["Connection"], None]) -> None:
        self.fd = fd
        self.stage = Stage.READING
        self.idle = False
        self.reset_by: Hand | None = None
        self._act = act
        deck.parked[fd] = self

    def ready(self, hand: Hand) -> None:
        self._act(self)

    def reset(self, hand: Hand) -> None:
        self.reset_by = hand


def fail(connection: Connection) -> None:
    raise LookupError("a bug")


def manned(deck: Deck, threads: int = 1) -> Hand:
    hand = Hand(deck, NOTHING, threads)  # type: ignore[arg-type]
    hand.work()
    return hand


def test_it_takes_what_is_parked_and_leaves_what_is_not() -> None:
    deck = Deck([3, 4, 5])
    deck.listening[4] = None
    served: list[int] = []
    for fd in (3, 6):
        Connection(deck, fd, lambda connection: served.append(connection.fd))
    manned(deck)
    assert served == [3]
    assert deck.said == ["accepts at 4"]  # 5 has been somebody else's
    assert list(deck.parked) == [6]


@pytest.mark.parametrize(("threads", "most"), [(1, 64), (4, 1)])
def test_one_of_several_takes_one_event_at_a_time(threads: int, most: int) -> None:
    deck = Deck([])
    manned(deck, threads)
    assert deck.asked == [(None, most)]


@pytest.mark.parametrize(("threads", "most"), [(1, 2), (4, 1)])
def test_a_few_of_the_slow_lane(threads: int, most: int) -> None:
    deck = Deck([3, LANE, 4], [5, 6], [])
    served: list[int] = []
    for fd in (3, 4, 5, 6):
        Connection(deck, fd, lambda connection: served.append(connection.fd))
    deck.parked[6].idle = True  # it is about to begin its next request
    manned(deck, threads)
    assert served == [3, 5, 6, 4]
    assert deck.asked[1] == (0, most)
    assert deck.said == ["6 is slow no more"]


def test_an_exception_costs_one_connection() -> None:
    deck = Deck([3, 4], [4])
    broken = Connection(deck, 3, fail)
    served: list[int] = []
    Connection(deck, 4, lambda connection: served.append(connection.fd))
    hand = manned(deck)
    assert broken.reset_by is hand
    assert deck.said == ["Unhandled exception on a connection"]
    assert served == [4]


def test_what_is_parked_or_closed_when_it_raises_is_not_touched_again() -> None:
    """Somebody else may own it by then."""
    deck = Deck([3, 4])

    def park_and_fail(connection: Connection) -> None:
        deck.parked[connection.fd] = connection
        fail(connection)

    def close_and_fail(connection: Connection) -> None:
        connection.stage = Stage.CLOSED
        fail(connection)

    connections = [Connection(deck, 3, park_and_fail), Connection(deck, 4, close_and_fail)]
    manned(deck)
    assert [connection.reset_by for connection in connections] == [None, None]
    assert len(deck.said) == 2


def test_serving_what_was_accepted_is_as_safe() -> None:
    deck = Deck()
    connection = Connection(deck, 3, fail)
    del deck.parked[3]
    hand = manned(deck)
    hand.serve(connection)  # type: ignore[arg-type]
    assert connection.reset_by is hand


def test_a_wait_that_fails_is_said_and_tried_again() -> None:
    deck = Deck(OSError("no"), [])
    manned(deck)
    assert deck.said == ["Unhandled exception in a serving thread"]
    assert len(deck.asked) == 2


def test_an_interrupt_that_the_application_has_made_its_own_ends_the_worker() -> None:
    deck = Deck(KeyboardInterrupt(), [])
    manned(deck)
    assert deck.ended
    assert len(deck.asked) == 1
