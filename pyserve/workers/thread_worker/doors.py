"""Taking connections from the listeners, as long as there is room for them.

The listeners are in the epoll of the connections, with EPOLLEXCLUSIVE: a new connection wakes one worker and not all.
Such an entry cannot be modified, so accepting pauses by taking the listeners out and resumes by putting them back:

    FULL       `worker_connections` are open and none of them is idle. What waits stays in the kernel's queue.
    STARVED    descriptors run out, which is noticed before accept() or the application fails; or accept() fails
    STEPPING   this worker holds more than its share of the connections (the scoreboard's mean): others go first
    CLOSED     the worker retires. It takes who waits there first
"""

from __future__ import annotations

import errno
import os
import resource
import select
import socket
import threading
import types
from time import monotonic
from typing import TYPE_CHECKING

from pyserve.workers.accepting import LAST_CALL, LAST_CALL_OF_ALL, SETTLE, Accepting
from pyserve.workers.environ import Surroundings, Templates, error_stream
from pyserve.workers.proxies import greetings_of, remote_of
from pyserve.workers.scoreboard import CONNECTIONS
from pyserve.workers.thread_worker.channel import Channel
from pyserve.workers.thread_worker.connection import Connection
from pyserve.workers.thread_worker.greeting import Arrival, Greeting
from pyserve.workers.thread_worker.lending import LendingConnection
from pyserve.workers.thread_worker.table import READ, Owner

if TYPE_CHECKING:
    from pyserve.workers.thread_worker.deck import Deck
    from pyserve.workers.thread_worker.hand import Hand

RESERVE = 32  # descriptors left for the application, pipes and files when accepting pauses

_AT_ONCE = 16  # connections taken in a row where no other worker wants them
_STEP_BACK = 0.005  # seconds
_QUIET = 60.0  # seconds between two lines about descriptors
_GONE = (errno.EAGAIN, errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.ENETDOWN, errno.EHOSTUNREACH)


class Door:
    """One listener."""

    __slots__ = ("listener", "templates")

    def __init__(self, listener: socket.socket, surroundings: Surroundings) -> None:
        self.listener = listener
        self.templates = Templates(listener, surroundings)


class Doors:
    """The listeners of one worker.

    listening: descriptor -> listener. state changes under the lock only; a connection is accepted and added under it,
    too: nobody closes the listener meanwhile, and the limit holds.
    """

    def __init__(self, deck: Deck) -> None:
        context, settings = deck.crew.context, deck.crew.settings
        surroundings = Surroundings(
            settings.root_path, error_stream(context.log), settings.threads > 1, context.multiprocess
        )
        self._deck = deck
        self._greetings = greetings_of(settings)
        self._make = _maker(deck)
        if deck.crew.certificates is None and deck.crew.settings.ws != "none":
            deck.crew.config.upgrades = True
            deck.lending = _lending(self._make)
        self._limit = deck.crew.connections
        self._last_fd = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVE
        self._lock = threading.Lock()
        self._admission = threading.Lock()
        self._words = context.slot.words
        # With listeners of their own nobody else can take what waits at this worker's.
        self._board = context.scoreboard if context.multiprocess and not settings.reuse_port else None
        self._told = 0.0
        self.listening = {listener.fileno(): Door(listener, surroundings) for listener in context.listeners}
        self.state = Accepting.NOT_YET

    def open(self) -> None:
        """Begin to accept, or resume."""
        with self._lock:
            self._resume()

    def accept(self, fd: int, hand: Hand) -> float | None:
        """Somebody waits at a listener: take and serve him, and others, in the calling thread.

        Returns how long the thread is to wait at most before it calls `step_forward`, or None.
        """
        deck = self._deck
        door = self.listening[fd]
        for _ in range(1 if self._board is not None else _AT_ONCE):
            is_full = len(deck.table.open) >= self._limit
            connection = self._accept_for_idle(door, hand) if is_full else self._accept(door)
            if connection is None:
                return None
            hand.serve(connection)
        if self._board is not None and self._has_more_than_its_share():
            with self._lock:
                self._pause(Accepting.STEPPING)
            return _STEP_BACK
        return None

    def _accept(self, door: Door) -> Channel | None:
        """Take one connection; it belongs to the caller. None when nobody waits any more, or may not come in."""
        deck = self._deck
        with self._lock:
            if self.state is not Accepting.OPEN or len(deck.table.open) >= self._limit:
                return None
            try:
                peer, address = door.listener.accept()
            except OSError as error:
                # Who has gone again is nobody's loss; anything else would be met again and again.
                if error.errno not in _GONE:
                    self._starve(str(error))
                return None
            peer.setblocking(False)
            if peer.fileno() >= self._last_fd:
                self._starve(f"few file descriptors are left, a connection has number {peer.fileno()}")
            return self._add(door, peer, address)

    def _accept_for_idle(self, door: Door, hand: Hand) -> Channel | None:
        """Take a connection in the place of one that is idle."""
        # One thread at a time: all of them may see the one who waits, and close a connection each.
        if not self._admission.acquire(blocking=False):
            return None
        try:
            return self._accept(door) if self._make_room(door, hand) else None
        finally:
            self._admission.release()

    def _add(self, door: Door, peer: socket.socket, address: object) -> Channel:
        deck = self._deck
        greetings = self._greetings
        reader = greetings.reader(remote_of(address)) if greetings is not None else None
        connection: Channel
        if reader is None:
            connection = self._make(deck, peer, door.templates.make(peer, address), monotonic())
        else:
            connection = Greeting(deck, Arrival(peer, address, door.templates, self._make), reader, monotonic())
        deck.table.open.add(connection)
        self._words[CONNECTIONS] = len(deck.table.open)
        return connection

    def _has_more_than_its_share(self) -> bool:
        board = self._board
        assert board is not None
        mean = board.mean_connections()
        return len(self._deck.table.open) > mean + 1 + mean / 8

    # Pauses

    def step_forward(self) -> None:
        """The time that others were given is over."""
        with self._lock:
            if self.state is Accepting.STEPPING:
                self._resume()

    def closed(self) -> None:
        """A connection has been closed."""
        deck = self._deck
        self._words[CONNECTIONS] = len(deck.table.open)
        if deck.crowded:
            self.room()
        if self.state is Accepting.CLOSED and not deck.table.open:
            deck.lookout.wake()

    def room(self) -> None:
        """There is room for a connection, or one that may give way."""
        with self._lock:
            if self.state is Accepting.FULL:
                self._resume()

    def _make_room(self, door: Door, owner: Owner) -> bool:
        """Close the connection that has been idle for longest, if somebody waits; pause when none is idle."""
        if not _readable(door.listener):
            return False
        self._deck.crew.say_full()
        table = self._deck.table
        while (fd := self._longest_idle()) is not None:
            connection = table.claim(fd)
            if connection is not None and connection.give_way(owner):
                return True
        with self._lock:
            self._pause(Accepting.FULL)
        if len(table.open) < self._limit or self._longest_idle() is not None:
            # It was closed or parked just now, by somebody who looked for the pause before it was there.
            self.room()
        return False

    def _longest_idle(self) -> int | None:
        parked = self._deck.table.parked
        try:
            return next((fd for fd, connection in parked.items() if connection.expendable), None)
        except RuntimeError:  # it has changed while it was looked at
            return next((fd for fd, connection in tuple(parked.items()) if connection.expendable), None)

    def _starve(self, how: str) -> None:
        self._pause(Accepting.STARVED)
        now = monotonic()
        if not self._told or now - self._told > _QUIET:
            self._told = now
            self._deck.crew.log.warning("Accepting pauses: %s", how)

    def look_again(self, owner: Owner) -> None:
        """Called about once a second: whatever else may have kept somebody waiting."""
        if self.state is Accepting.STARVED:
            self._look_for_descriptors(owner)
            return
        if self.state is Accepting.FULL and self._longest_idle() is not None:
            self.room()  # somebody has been silent for long enough by now
        if self._board is not None:
            self._look_for_forgotten()

    def _look_for_forgotten(self) -> None:
        """Have those accepted for whom the kernel has woken another worker, which paused or died before it came."""
        with self._lock:
            if self.state is Accepting.OPEN and any(_readable(door.listener) for door in self.listening.values()):
                self._pause(Accepting.STEPPING)
                self._resume()  # a listener that is put into the epoll is looked at anew

    def _look_for_descriptors(self, owner: Owner) -> None:
        """Resume when enough descriptors are free again."""
        try:
            free = os.dup(next(iter(self.listening)))
            os.close(free)
        except OSError:
            free = self._last_fd
        # Some more than one are to be free, lest accepting stop again at once.
        if free < self._last_fd - RESERVE // 4:
            self.open()
        elif (fd := self._longest_idle()) is not None and (connection := self._deck.table.claim(fd)) is not None:
            connection.give_way(owner)

    def _pause(self, state: Accepting) -> None:
        if self.state is Accepting.OPEN:
            for fd in self.listening:
                self._deck.table.epoll.unregister(fd)
        if self.state is not Accepting.CLOSED:
            self.state = state
            self._deck.crowded = state is Accepting.FULL

    def _resume(self) -> None:
        if self.state is not Accepting.CLOSED and self.state is not Accepting.OPEN:
            self.state = Accepting.OPEN
            self._deck.crowded = False
            for fd in self.listening:
                self._deck.table.epoll.register(fd, READ | select.EPOLLEXCLUSIVE)

    # The end

    def close(self, owner: Owner) -> None:
        """Accept no more, and close the listeners. Never serves anybody in the calling thread."""
        with self._lock:
            self._pause(Accepting.CLOSED)
        self._last_call(owner)
        for door in self.listening.values():
            door.listener.close()

    def _last_call(self, owner: Owner) -> None:
        """Take who waits: some may have woken this worker and no other, and nobody else would come for them.

        Where no other worker goes on, all are taken, whatever the limit: else the kernel resets them.
        """
        now = monotonic()
        alone = self._deck.crew.is_last
        until = now + (LAST_CALL_OF_ALL if alone else LAST_CALL)
        settled = now + (SETTLE if alone else 0.0)
        limit = self._last_fd + RESERVE if alone else self._limit
        poll = select.poll()
        for fd in self.listening:
            poll.register(fd, select.POLLIN)
        while len(self._deck.table.open) < limit and now < until:
            waiting = poll.poll(max(0.0, settled - now) * 1000)
            if not waiting or not all(self._admit(self.listening[fd], owner) for fd, _ in waiting):
                return
            now = monotonic()

    def _admit(self, door: Door, owner: Owner) -> bool:
        """Take one connection for others to serve; whether that is worth another try."""
        try:
            peer, address = door.listener.accept()
        except OSError as error:
            return error.errno in _GONE
        peer.setblocking(False)
        self._deck.table.park(self._add(door, peer, address), owner, READ)
        return True


def _maker(deck: Deck) -> type[Connection]:
    """What drives a connection; what not every server needs is loaded where it is needed."""
    settings = deck.crew.settings
    kind = Connection
    if deck.crew.certificates is not None:
        from pyserve.workers.thread_worker.tls_connection import TlsConnection as kind
    kinds: list[type[Connection]] = [kind]
    if settings.request_timeout:
        from pyserve.workers.thread_worker.timed_connection import TimedConnection

        kinds.insert(0, TimedConnection)
    if settings.limit_concurrency:
        from pyserve.workers.thread_worker.limited_connection import LimitedConnection

        kinds.insert(0, LimitedConnection)
    return kind if len(kinds) == 1 else types.new_class("MixedConnection", tuple(kinds))


def _lending(kind: type[Connection]) -> type[LendingConnection]:
    """What a connection of this kind may become: of the same layout, so the kind stands first."""
    if kind is Connection:
        return LendingConnection
    made: type[LendingConnection] = type("Lending", (kind, LendingConnection), {"__slots__": ()})
    return made


def _readable(listener: socket.socket) -> bool:
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    return bool(poll.poll(0))
