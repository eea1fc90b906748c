import os
import select
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pyserve.workers.thread_worker.table import READ, WRITE, Owner, Table

WORDS = memoryview(bytearray(128)).cast("Q")


@pytest.fixture(params=[1, 2])
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    table = Table(request.param)
    yield table
    table.close()


@pytest.fixture
def owner(table: Table) -> Owner:
    owner = Owner(WORDS)
    table.owners.append(owner)
    return owner


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, peer = socket.socketpair()
    yield ours, peer
    ours.close()
    peer.close()


class Parked:
    """As much of a connection as the table knows."""

    def __init__(self, ours: socket.socket) -> None:
        self.fd = ours.fileno()
        self.armed = 0
        self.slow = False


def connection(ours: socket.socket) -> Any:
    return Parked(ours)


def ready(table: Table) -> list[int]:
    return [fd for fd, _ in table.epoll.poll(0)]


def test_a_parked_connection_has_no_owner(
    table: Table, owner: Owner, pair: tuple[socket.socket, socket.socket]
) -> None:
    parked = connection(pair[0])
    table.park(parked, owner, READ)
    assert owner.arming == -1
    assert ready(table) == []
    pair[1].send(b"x")
    assert ready(table) == [parked.fd]
    assert table.parked.pop(parked.fd) is parked
    assert table.claim(parked.fd) is None


def test_a_claimed_connection(table: Table, owner: Owner, pair: tuple[socket.socket, socket.socket]) -> None:
    parked = connection(pair[0])
    table.park(parked, owner, READ)
    assert table.claim(parked.fd) is parked
    assert table.parked == {}
    table.park(parked, owner, parked.armed)
    assert table.claim(parked.fd) is parked


def test_from_reading_to_writing_and_back(
    table: Table, owner: Owner, pair: tuple[socket.socket, socket.socket]
) -> None:
    parked = connection(pair[0])
    for _ in range(2):
        table.park(parked, owner, READ)
        assert ready(table) == []
        table.claim(parked.fd)
        table.park(parked, owner, WRITE)
        assert ready(table) == [parked.fd]
        table.claim(parked.fd)


def test_one_event_for_several_threads(pair: tuple[socket.socket, socket.socket]) -> None:
    table, owner = Table(2), Owner(WORDS)
    parked = connection(pair[0])
    pair[1].send(b"x")
    table.park(parked, owner, READ)
    assert ready(table) == [parked.fd]
    assert ready(table) == []  # until it is parked again
    table.park(parked, owner, READ)
    assert ready(table) == [parked.fd]
    table.close()


def test_the_slow_lane(table: Table, owner: Owner, pair: tuple[socket.socket, socket.socket]) -> None:
    """Whoever waits on the epoll hears of it as of one descriptor, however many are ready there."""
    parked = connection(pair[0])
    table.park(parked, owner, READ)
    table.claim(parked.fd)
    table.change_lanes(parked, slow=True)
    table.change_lanes(parked, slow=True)
    pair[1].send(b"x")
    assert ready(table) == []  # nobody waits for it yet
    table.park(parked, owner, READ)
    assert ready(table) == [table.lane.fileno()]
    assert [fd for fd, _ in table.lane.poll(0)] == [parked.fd]
    table.claim(parked.fd)
    table.change_lanes(parked, slow=False)
    assert ready(table) == []
    table.park(parked, owner, READ)
    assert ready(table) == [parked.fd]
    assert table.lane.poll(0) == []


@pytest.mark.parametrize("end", [Table.forget, Table.disarm])
def test_leaving_the_slow_lane_for_good(pair: tuple[socket.socket, socket.socket], end: Any) -> None:
    table, owner = Table(1), Owner(WORDS)
    parked = connection(pair[0])
    table.change_lanes(parked, slow=True)
    table.park(parked, owner, READ)
    table.claim(parked.fd)
    end(table, parked)
    pair[1].send(b"x")
    assert ready(table) == []
    table.close()


def test_who_claims_waits_for_the_last_owner(
    table: Table, owner: Owner, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Who has parked it may still be about to arm its descriptor."""
    parked = connection(pair[0])
    table.parked[parked.fd] = parked
    owner.arming = parked.fd
    claimed: list[Any] = []
    thread = threading.Thread(target=lambda: claimed.append(table.claim(parked.fd)))
    thread.start()
    thread.join(0.05)
    assert claimed == []
    owner.arming = -1
    thread.join(10)
    assert claimed == [parked]


def test_a_forgotten_connection(table: Table, owner: Owner, pair: tuple[socket.socket, socket.socket]) -> None:
    """Also while somebody else holds the open socket, as an application's child process may."""
    parked = connection(pair[0])
    table.open.add(parked)
    held = os.dup(parked.fd)
    table.park(parked, owner, READ)
    table.claim(parked.fd)
    table.forget(parked)
    table.forget(parked)
    assert table.open == set()
    pair[1].send(b"x")
    assert ready(table) == []
    os.close(held)


def test_everybody_wakes(table: Table) -> None:
    woken = [threading.Thread(target=table.epoll.poll, args=(10, 1)) for _ in range(3)]
    for thread in woken:
        thread.start()
    table.wake_all()
    for thread in woken:
        thread.join(10)
        assert not thread.is_alive()


def test_listeners_are_exclusive(table: Table) -> None:
    """What the doors rely on: such an entry can be taken out and put back, and not be modified."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        table.epoll.register(listener, READ | select.EPOLLEXCLUSIVE)
        with pytest.raises(OSError, match="Invalid argument"):
            table.epoll.modify(listener, 0)
        table.epoll.unregister(listener)
        table.epoll.register(listener, READ | select.EPOLLEXCLUSIVE)
