"""Taking connections from the listeners, as long as there is room for them.

A server object of asyncio can be closed but not paused, and closing it closes its socket. So each listener is
duplicated: accepting pauses by closing the servers made on the duplicates and resumes on new ones.

Why accepting pauses:

    FULL       `worker_connections` are open. What waits stays in the kernel's queue; when something waits there, the
               connection that has been idle for longest gives way.
    STARVED    descriptors run out. This must be noticed before accept() fails: libuv answers EMFILE by dropping the
               client that waits.
    STEPPING   this worker holds more than its share: the others go first, as long as one of them does. Where
               connections come and go there is nothing to be balanced, and this only costs: see `_rest`.
"""

import asyncio
import math
import os
import resource
import select
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pyserve.workers.accepting import Accepting

RESERVE = 32  # descriptors left for the application, pipes and files when accepting pauses

_FREE = 8  # of these, free when accepting goes on
_STEP_BACK = 0.01  # seconds between two looks at how the others are doing
_MANY = 8  # one in so many connections ends while it steps back: they come and go
_REST, _LONGEST_REST = 0.05, 2.0  # seconds between two steps back of which the first was in vain
_LOOK_AGAIN = 0.1
_QUIET = 60.0  # seconds between two lines about descriptors


class _Listener(socket.socket):
    """A listener for asyncio, which takes as many connections as its backlog before it says so; uvloop takes one.

    This one accepts again only once the connection before has been made.
    """

    acceptor: "Acceptor"

    def accept(self) -> tuple[socket.socket, Any]:
        acceptor = self.acceptor
        if acceptor.unmade or acceptor.state is not Accepting.OPEN:
            raise BlockingIOError
        accepted = super().accept()
        acceptor.unmade = True
        acceptor.accepted += 1
        return accepted


Factory = Callable[[], asyncio.BaseProtocol]


class Host(Protocol):
    """What the acceptor asks of the connections that are open."""

    def make_room(self) -> bool:
        """Close the connection that has been idle for longest; False when none is idle."""

    def has_more_than_its_share(self) -> bool:
        """Whether other workers hold clearly fewer."""

    def say_full(self) -> None:
        """As many are open as may be, and somebody waits."""


class Acceptor:
    """The listeners of one worker.

    doors: each listener with what makes the protocol of a connection to it. limit: how many connections may be open.
    """

    def __init__(
        self,
        doors: Sequence[tuple[socket.socket, Factory]],
        backlog: int,
        limit: int,
        host: Host,
        say: Callable[[str], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._doors = doors
        self._backlog = backlog
        self._limit = limit
        self._host = host
        self._say = say
        self._servers: list[asyncio.Server] = []
        self._opening: asyncio.Task[None] | None = None
        self.unmade = False  # one is accepted of which `made` has not been told
        self.accepted = 0  # connections, by asyncio
        self._accepted_at_tick = 0
        self._last_fd = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVE
        self._said = -_QUIET
        self._someone_waited = False
        self._stepped_at = 0  # how many were open when it stepped back
        self._ended = 0  # of these and others, how many have ended since
        self._rest = _REST
        self._rests_until = 0.0
        self.state = Accepting.NOT_YET

    async def open(self) -> None:
        """Begin to accept."""
        self.state = Accepting.OPEN
        await self._open()

    async def _open(self) -> None:
        for listener, factory in self._doors:
            if not self._is_open():
                return
            duplicate = _Listener(listener.family, listener.type, listener.proto, os.dup(listener.fileno()))
            duplicate.setblocking(False)
            duplicate.acceptor = self
            self._servers.append(await self._loop.create_server(factory, sock=duplicate, backlog=self._backlog))
            if not self._is_open():
                self._close_servers()
                return

    def _is_open(self) -> bool:
        return self.state is Accepting.OPEN

    def made(self, open_now: int, fd: int) -> None:
        """A connection was accepted. open_now: how many are open with it; fd: its descriptor."""
        self.unmade = False
        if self.state is not Accepting.OPEN:
            self._close_servers()
            return
        if fd >= self._last_fd:
            self._pause(Accepting.STARVED)
            if self._loop.time() - self._said >= _QUIET:
                self._said = self._loop.time()
                self._say(f"Few file descriptors are left (connection {open_now} has number {fd}): accepting pauses")
            self._loop.call_later(_LOOK_AGAIN, self._look_for_descriptors)
        elif open_now >= self._limit:
            self._pause(Accepting.FULL)
            self._watch()
        elif self._loop.time() >= self._rests_until and self._host.has_more_than_its_share():
            self._pause(Accepting.STEPPING)
            self._someone_waited = False
            self._stepped_at = open_now
            self._ended = 0
            self._loop.call_later(_STEP_BACK, self._look_at_others)

    def lost(self, open_now: int) -> None:
        """A connection has ended; `open_now` are left."""
        self._ended += 1
        if self.state is Accepting.FULL and open_now < self._limit:
            self._unwatch()
            self._resume()

    @property
    def closed(self) -> bool:
        return self.state is Accepting.CLOSED

    def last_call(self) -> None:
        """Take all who wait from now on, whatever the limit: nobody else will, and the kernel would reset them."""
        self._limit = sys.maxsize
        self._rests_until = math.inf
        if self.state is Accepting.FULL:
            self._unwatch()
        if self.state in (Accepting.FULL, Accepting.STEPPING):
            self._resume()

    def close(self) -> None:
        """Accept no more, and let the listeners go: once nobody holds them, who connects is refused.

        A connection that is accepted and not made yet is made: see `unmade`.
        """
        if self.state is Accepting.FULL:
            self._unwatch()
        self._pause(Accepting.CLOSED)
        for listener, _ in self._doors:
            listener.close()

    def waiting(self) -> bool:
        """Whether a connection waits to be accepted."""
        poll = select.poll()
        for listener, _ in self._doors:
            poll.register(listener.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def tick(self) -> None:
        """Called about once a second. A connection that broke before it was made is not waited for."""
        if self.accepted == self._accepted_at_tick:
            self.unmade = False
            if not self._is_open():
                self._close_servers()
        self._accepted_at_tick = self.accepted

    def _pause(self, state: Accepting) -> None:
        self.state = state
        self._close_servers()

    def _close_servers(self) -> None:
        """Not while a connection is to be made: asyncio would reset one whose server is closed, and its request with
        it. Nothing is accepted meanwhile, and whoever makes it comes here again."""
        if self.unmade:
            return
        for server in self._servers:
            server.close()
        self._servers.clear()

    def _resume(self) -> None:
        self.state = Accepting.OPEN
        self._opening = self._loop.create_task(self._open())

    def _look_at_others(self) -> None:
        if self.state is not Accepting.STEPPING:
            return
        # Whoever still waits at the next look is not taken by the others: they may be stuck.
        waits = self.waiting()
        if (waits and self._someone_waited) or not self._host.has_more_than_its_share():
            self._step_forward()
            return
        self._someone_waited = waits
        self._loop.call_later(_STEP_BACK, self._look_at_others)

    def _step_forward(self) -> None:
        """Accept again. If it had only to wait for its surplus to end, it does not step back again so soon."""
        in_vain = self._ended > self._stepped_at // _MANY
        self._rest = min(2 * self._rest, _LONGEST_REST) if in_vain else _REST
        self._rests_until = self._loop.time() + self._rest if in_vain else 0.0
        self._resume()

    def _watch(self) -> None:
        for listener, _ in self._doors:
            self._loop.add_reader(listener.fileno(), self._someone_waits)

    def _unwatch(self) -> None:
        for listener, _ in self._doors:
            self._loop.remove_reader(listener.fileno())

    def _someone_waits(self) -> None:
        if self.state is Accepting.FULL:
            # Either way the listeners stay readable: they are looked at again when there may be room.
            self._unwatch()
            self._host.say_full()
            if not self._host.make_room():
                self._loop.call_later(_LOOK_AGAIN, self._look_for_idle)

    def _look_for_idle(self) -> None:
        if self.state is Accepting.FULL:
            self._watch()

    def _look_for_descriptors(self) -> None:
        if self.state is not Accepting.STARVED:
            return
        if self._enough_are_free():
            self._resume()
            return
        if self.waiting():
            self._host.make_room()
        self._loop.call_later(_LOOK_AGAIN, self._look_for_descriptors)

    def _enough_are_free(self) -> bool:
        """Whether as many descriptors are free as accepting takes, and some more, lest it stop again at once.

        One says nothing: a new descriptor gets the lowest free number, and whatever was closed has left one.
        """
        taken: list[int] = []
        try:
            for _ in range(len(self._doors) + _FREE):
                taken.append(os.dup(self._doors[0][0].fileno()))
            return taken[-1] < self._last_fd
        except OSError:
            return False
        finally:
            for fd in taken:
                os.close(fd)
