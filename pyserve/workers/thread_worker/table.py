"""Who owns a connection: the one table that all threads of a sync worker share.

    parked     nobody owns it: it is in `parked` and armed in the epoll
    owned      a thread has taken it out of `parked`, and that thread alone touches it

`dict.pop` is atomic, so an event, the lookout and whoever needs room cannot all have the same connection: one gets it,
the others find nothing. An event that is late finds nothing either, or another connection with the same descriptor,
which then reads nothing and is parked again.

With several serving threads connections are armed for one event each (EPOLLONESHOT). An owner parks first and arms
then, as an event between the two would find nothing and be lost. So the lookout may take a connection, and close it,
while its last owner is about to arm the descriptor, whose number may by then be another connection's. Therefore each
owner says what it is arming (`Owner.arming`), and `claim` waits until nobody is arming what it took. With one serving
thread connections stay armed as they are (level-triggered), and parking costs no system call.

The slow lane: thousands of peers who send their requests in small pieces may all do so in the same millisecond, and
whoever comes with a whole request would wait until each of them had been served. So a connection whose request has come
in pieces twice, or is found to be halfway by the lookout, waits in an epoll of its own, `lane`, which the other one
holds as a single descriptor: of all that is ready in the lane, a thread takes a few at a time, between the events of
others.
"""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyserve.workers.thread_worker.channel import Channel

READ = select.EPOLLIN
WRITE = select.EPOLLOUT


class Owner:
    """A thread that owns connections. arming: the descriptor that it is about to arm, or -1. words: its counters."""

    __slots__ = ("arming", "words")

    def __init__(self, words: memoryview[int]) -> None:
        self.arming = -1
        self.words = words


class Table:
    """The connections of one worker.

    parked: descriptor -> connection, in the order in which they were parked. open: all connections.
    """

    __slots__ = ("_bell", "_once", "epoll", "lane", "open", "owners", "parked")

    def __init__(self, threads: int) -> None:
        self.epoll = select.epoll()
        self.lane = select.epoll()
        self.epoll.register(self.lane, READ)
        self.parked: dict[int, Channel] = {}
        self.open: set[Channel] = set()
        self.owners: list[Owner] = []
        self._bell = -1
        self._once = select.EPOLLONESHOT if threads > 1 else 0

    def park(self, connection: Channel, owner: Owner, wanted: int) -> None:
        """Give up a connection until `wanted`, READ or WRITE. The caller must not touch it after this."""
        fd = connection.fd
        armed = connection.armed
        owner.arming = fd
        if self._once or armed != wanted:
            connection.armed = wanted
            self.parked[fd] = connection
            epoll = self.lane if connection.slow else self.epoll
            if armed:
                epoll.modify(fd, wanted | self._once)
            else:
                epoll.register(fd, wanted | self._once)
        else:
            self.parked[fd] = connection
        owner.arming = -1

    def disarm(self, connection: Channel) -> None:
        """An owned connection is not to wake anybody; where each event is asked for, it does not anyway."""
        if not self._once:
            self._take_out(connection)

    def change_lanes(self, connection: Channel, *, slow: bool) -> None:
        """Have an owned connection wait in the slow lane from now on, or no longer."""
        if connection.slow is not slow:
            self._take_out(connection)
            connection.slow = slow

    def _take_out(self, connection: Channel) -> None:
        if connection.armed:
            connection.armed = 0
            (self.lane if connection.slow else self.epoll).unregister(connection.fd)

    def claim(self, fd: int) -> Channel | None:
        """Take a parked connection without an event; the caller owns it then. None if somebody else has it."""
        connection = self.parked.pop(fd, None)
        if connection is not None:
            while any(owner.arming == fd for owner in self.owners):
                time.sleep(0)
        return connection

    def wake_all(self) -> None:
        """Have every wait on the epoll return, from now on at once."""
        self._bell = os.eventfd(1, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.epoll.register(self._bell, READ)

    def close(self) -> None:
        """Give back descriptors; nobody waits any more."""
        self.lane.close()
        self.epoll.close()
        if self._bell >= 0:
            os.close(self._bell)

    def forget(self, connection: Channel) -> None:
        """An owned connection is about to be closed."""
        self.open.discard(connection)
        # Closing would not do: a process that the application has started may hold the same open socket.
        self._take_out(connection)
