import socket
import threading
import time
from collections.abc import Iterator
from math import inf

import pytest

from pyserve.workers.patience import READABLE, STALLED, WRITABLE, Patience

Pair = tuple[socket.socket, socket.socket]


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
    patience = Patience(threads)
    ours, peer = pairs[0]
    assert patience.wait(ours, WRITABLE, soon())
    peer.send(b"x")
    assert patience.wait(ours, READABLE, inf)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_deadline(pairs: list[Pair], threads: int) -> None:
    patience = Patience(threads)
    assert not patience.wait(pairs[0][0], READABLE, soon(0.05))
    assert not patience.wait(pairs[0][0], READABLE, soon(-1))


def test_what_comes_later(pairs: list[Pair]) -> None:
    patience = Patience(1)
    ours, peer = pairs[0]
    timer = threading.Timer(0.05, peer.send, [b"x"])
    timer.start()
    assert patience.wait(ours, READABLE, soon())
    timer.join()


class Waiting(threading.Thread):
    """Waits in a thread of its own."""

    def __init__(self, patience: Patience, ours: socket.socket) -> None:
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
    patience = Patience(2)
    first = Waiting(patience, pairs[0][0])
    second = None
    try:
        time.sleep(0.2)
        second = Waiting(patience, pairs[1][0])
        first.join(5)
        assert not first.is_alive()
        assert first.seconds >= STALLED
        assert second.is_alive()
        assert pairs[0][0].recv(1) == b""
    finally:
        patience.end()
        first.join()
        if second is not None:
            second.join()


def test_one_thread_makes_room_for_nobody(pairs: list[Pair]) -> None:
    patience = Patience(1)
    assert not patience.wait(pairs[0][0], READABLE, soon(STALLED + 0.3))
    pairs[0][1].send(b"x")
    assert pairs[0][0].recv(1) == b"x"


def test_the_end(pairs: list[Pair]) -> None:
    patience = Patience(4)
    waiting = Waiting(patience, pairs[0][0])
    patience.end()
    waiting.join(5)
    assert not waiting.is_alive()
    assert patience.wait(pairs[1][0], READABLE, soon())  # and for those who come later
