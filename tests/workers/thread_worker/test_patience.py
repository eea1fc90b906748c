import socket
import threading
import time
from collections.abc import Iterator
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

from pyserve.workers.thread_worker.patience import READABLE, STALLED, WRITABLE, Patience
from tests.workers.serving import eventually

Pair = tuple[socket.socket, socket.socket]


class Relay:
    """Has so many reliefs."""

    def __init__(self, reliefs: int = 0) -> None:
        self.reliefs = reliefs
        self.told: list[str] = []

    def step_aside(self, hand: object, connection: object) -> bool:
        self.reliefs -= 1
        if self.reliefs >= 0:
            self.told.append("aside")
        return self.reliefs >= 0

    def step_back(self, hand: object) -> None:
        self.told.append("back")


class Patient:
    """A `Patience` whose waits need only a socket."""

    def __init__(self, threads: int, reliefs: int = 0) -> None:
        self.relay: Any = Relay(reliefs)
        self.inner = Patience(self.relay, threads)
        self.end = self.inner.end

    def wait(self, ours: socket.socket, event: int, until: float) -> bool:
        hand: Any = None
        connection: Any = SimpleNamespace(socket=ours)
        return self.inner.wait(hand, connection, event, until)


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    made = [socket.socketpair() for _ in range(3)]
    yield made
    for ours, peer in made:
        ours.close()
        peer.close()


def soon(seconds: float = 10.0) -> float:
    return time.monotonic() + seconds


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_there_is_not_waited_for(pairs: list[Pair], threads: int) -> None:
    patience = Patient(threads)
    ours, peer = pairs[0]
    assert patience.wait(ours, WRITABLE, soon())
    peer.send(b"x")
    assert patience.wait(ours, READABLE, inf)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_deadline(pairs: list[Pair], threads: int) -> None:
    patience = Patient(threads)
    assert not patience.wait(pairs[0][0], READABLE, soon(0.05))
    assert not patience.wait(pairs[0][0], READABLE, soon(-1))


def test_what_comes_later(pairs: list[Pair]) -> None:
    patience = Patient(1)
    ours, peer = pairs[0]
    timer = threading.Timer(0.05, peer.send, [b"x"])
    timer.start()
    assert patience.wait(ours, READABLE, soon())
    timer.join()


class Waiting(threading.Thread):
    """Waits in a thread of its own."""

    def __init__(self, patience: Patient, ours: socket.socket) -> None:
        super().__init__()
        self._patience = patience
        self._ours = ours
        self.began = time.monotonic()
        self.seconds = 0.0
        self.start()

    def run(self) -> None:
        assert self._patience.wait(self._ours, READABLE, soon())
        self.seconds = time.monotonic() - self.began


def test_who_has_stalled_longest_makes_room(pairs: list[Pair]) -> None:
    patience = Patient(2)
    first = Waiting(patience, pairs[0][0])
    second = None
    try:
        eventually(lambda: patience.inner._since)
        time.sleep(0.2)  # how much longer it has stalled
        second = Waiting(patience, pairs[1][0])
        first.join(10)
        assert not first.is_alive()
        assert first.seconds >= STALLED
        assert second.is_alive()
        assert pairs[0][0].recv(1) == b""
    finally:
        patience.end()
        first.join()
        if second is not None:
            second.join()


def test_one_is_enough_although_it_takes_its_time_to_go(pairs: list[Pair]) -> None:
    """The thread that was freed may not have come to run yet when another one looks."""
    patience = Patience(Patient(2).relay, 2)
    now = time.monotonic()
    patience._since = {pairs[0][0]: now - 9, pairs[1][0]: now - 8}
    patience._make_room()
    patience._make_room()
    assert pairs[0][1].recv(1) == b""
    pairs[1][1].setblocking(False)
    with pytest.raises(BlockingIOError):
        pairs[1][1].recv(1)
    del patience._since[pairs[0][0]]
    patience._make_room()
    assert pairs[1][1].recv(1) == b""


def test_nobody_is_cut_off_while_there_are_reliefs(pairs: list[Pair]) -> None:
    patience = Patient(1, reliefs=2)
    first = Waiting(patience, pairs[0][0])
    assert not patience.wait(pairs[1][0], READABLE, soon(STALLED + 0.3))
    assert first.is_alive()
    pairs[0][1].send(b"x")
    first.join()
    assert sorted(patience.relay.told) == ["aside", "aside", "back", "back"]


def test_nobody_steps_aside_for_what_is_there(pairs: list[Pair]) -> None:
    patience = Patient(1, reliefs=2)
    assert patience.wait(pairs[0][0], WRITABLE, soon())
    assert patience.relay.told == []


def test_the_end(pairs: list[Pair]) -> None:
    patience = Patient(4)
    waiting = Waiting(patience, pairs[0][0])
    patience.end()
    waiting.join(10)
    assert not waiting.is_alive()
    assert patience.wait(pairs[1][0], READABLE, soon())  # and for those who come later
