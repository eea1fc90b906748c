"""A serving thread: it waits on the epoll that all of them share, and does all the work of what wakes it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pyserve.workers.thread_worker.channel import Channel, Stage
from pyserve.workers.thread_worker.table import Owner

if TYPE_CHECKING:
    from pyserve.protocol.exchange import Exchange
    from pyserve.workers.thread_worker.deck import Deck

_EVENTS = 64  # taken in one call by a thread that shares them with nobody
_SLOW_EVENTS = 2  # ... of the slow lane, some ten microseconds each: whoever has come whole waits for as long


class Hand(Owner):
    """One serving thread.

    exchange: the one that the application is answering, or None. since: when it began or last got octets in or out
    (seconds, monotonic). ident: of the thread. For the lookout, who reads them from its own.

    relieves, aside, holds, gate, told: what `relay` knows of it: whether it is a relief, waits for its client, holds
    the baton; where it rests; and what of its words has been accounted for.
    """

    __slots__ = (
        "_deck", "_events", "_slow_events", "aside", "exchange", "gate", "holds", "ident", "relieves", "since", "told",
    )  # fmt: skip

    def __init__(self, deck: Deck, words: memoryview[int], threads: int, *, relieves: bool = False) -> None:
        super().__init__(words)
        self.relieves = relieves
        self.aside = self.holds = False
        self.gate = threading.Lock()
        self.gate.acquire()
        self.told = [0] * len(words)
        self._deck = deck
        self._events = 1 if threads > 1 else _EVENTS
        self._slow_events = 1 if threads > 1 else _SLOW_EVENTS
        self.exchange: Exchange | None = None
        self.since = 0.0
        self.ident = 0

    def work(self) -> None:
        """Serve until the deck is stopping."""
        self.ident = threading.get_ident()
        deck = self._deck
        relay = deck.relay
        poll = deck.table.epoll.poll
        take = deck.table.parked.pop
        listening = deck.doors.listening
        lane = deck.table.lane.fileno()
        most = self._events
        pause: float | None = None
        while not deck.stopping:
            try:
                events = poll(pause, most)
                if relay.doubled:
                    relay.enter(self)
                if pause is not None:
                    pause = None
                    deck.doors.step_forward()
                for fd, _ in events:
                    connection = take(fd, None)
                    if connection is not None:
                        try:  # as `serve` does, without the call: this is the way of every request
                            connection.ready(self)
                        except Exception:
                            self._break_off(connection)
                    elif fd in listening:
                        # Another listener of the same batch may have asked for a pause already.
                        pause = deck.doors.accept(fd, self) or pause
                    elif fd == lane:
                        self._serve_slow()
            except KeyboardInterrupt:
                deck.crew.quit()  # the application has taken over the signal
            except Exception:
                deck.crew.log.exception("Unhandled exception in a serving thread")
            if relay.doubled and not relay.stays(self, pause is None):
                return

    def serve(self, connection: Channel) -> None:
        """Do what is to be done for a connection; nothing that goes wrong there ends the thread that serves all."""
        try:
            connection.ready(self)
        except Exception:
            self._break_off(connection)

    def _serve_slow(self) -> None:
        """Serve a few of those in the slow lane. Who has sent a request whole, at last, begins the next as all do."""
        table = self._deck.table
        for fd, _ in table.lane.poll(0, self._slow_events):
            connection = table.parked.pop(fd, None)
            if connection is not None:
                if connection.idle:
                    table.change_lanes(connection, slow=False)
                self.serve(connection)

    def _break_off(self, connection: Channel) -> None:
        """An exception that nobody expected: to be called where it is handled."""
        self._deck.crew.log.exception("Unhandled exception on a connection")
        if self._deck.table.parked.get(connection.fd) is not connection and connection.stage is not Stage.CLOSED:
            connection.reset(self)
