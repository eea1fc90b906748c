"""Listeners shared with other workers: the kernel wakes one of them for a connection, and forgets."""

from typing import Any

import pytest

from pyserve.workers.scoreboard import State
from pyserve.workers.thread_worker.doors import Accepting
from pyserve.workers.thread_worker.hand import Hand
from tests.workers.hands import serving
from tests.workers.serving import eventually, request


def hello(environ: dict[str, Any], start: Any) -> list[bytes]:
    start("200 OK", [])
    return [b"hello"]


@pytest.mark.parametrize("threads", [1, 4])
def test_draining_takes_who_has_woken_this_worker(threads: int) -> None:
    with serving(hello, threads, multiprocess=True) as served:
        served.crew.context.scoreboard.slot(1).state = State.READY
        doors = served.deck.doors
        with doors._lock:
            doors._pause(Accepting.STEPPING)  # as if a thread had been woken, and had not come to accept yet
        client = served.connect()
        client.send(request())
        served.crew.drain()
        assert client.response()[1] == b"hello"
        client.socket.close()
        assert served.ended() == 0


@pytest.mark.parametrize("threads", [1, 4])
def test_who_has_woken_a_worker_that_died_is_found(threads: int) -> None:
    with serving(hello, threads, multiprocess=True) as served:
        doors = served.deck.doors
        table = served.deck.table
        (fd,) = doors.listening
        with doors._lock:
            table.epoll.unregister(fd)
            table.epoll.register(fd, 0)  # this worker hears nothing, as when another one was woken
        client = served.connect()
        client.send(request())
        eventually(lambda: client.socket.recv(1, 2))  # MSG_PEEK
        assert client.response()[1] == b"hello"


class _Deck:
    """One batch of events on two listeners, of which the first asks for a pause."""

    def __init__(self) -> None:
        self.table = self.epoll = self.lane = self.doors = self.relay = self
        self.doubled = False
        self.parked: dict[int, Any] = {}
        self.listening = {1: None, 2: None}
        self.stopping = False
        self.stepped = False
        self._batches = [[(1, 1), (2, 1)], []]

    def fileno(self) -> int:
        return -1

    def poll(self, pause: float | None, most: int) -> list[tuple[int, int]]:
        self.stopping = not self._batches[1:]
        return self._batches.pop(0)

    def accept(self, fd: int, hand: Hand) -> float | None:
        return 0.005 if fd == 1 else None

    def step_forward(self) -> None:
        self.stepped = True


def test_a_pause_is_kept_whatever_follows_in_its_batch() -> None:
    deck: Any = _Deck()
    Hand(deck, memoryview(b""), 1).work()
    assert deck.stepped
