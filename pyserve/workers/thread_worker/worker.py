"""The sync worker: threads that serve WSGI from one shared epoll (leader/followers).

    epoll (connections, listeners, stop) <- hand, hand, ... each: wait, take one, do all its work, park it
    table     who owns a connection          doors      the listeners, and when not to accept
    patience  threads that wait for a peer   lookout    clock, deadlines, heartbeat, signals, the end
    relay     who serves in their places

There is no queue and no hand-over between threads, and no thread is tied to an idle or slow peer. The main thread is
one of those that serve: with one thread the application runs where it was loaded, but for what is asked while a client
makes it wait in the middle of a stream.
"""

from __future__ import annotations

import threading
from time import monotonic

from pyserve.workers.crew import Crew
from pyserve.workers.thread_worker.deck import Deck
from pyserve.workers.thread_worker.doors import Doors
from pyserve.workers.thread_worker.hand import Hand
from pyserve.workers.thread_worker.lookout import Lookout
from pyserve.workers.thread_worker.patience import Patience
from pyserve.workers.thread_worker.relay import Relay

_LEAVE = 0.5  # seconds that idle threads have to return; one that is busy does not hold the process up


class ThreadWorker:
    """Serves until it is told to stop."""

    def __init__(self, crew: Crew) -> None:
        threads = crew.settings.threads
        slot = crew.context.slot
        self._crew = crew
        self.deck = deck = Deck(crew)
        self._hands = [Hand(deck, slot.thread(index).words, threads) for index in range(threads)]
        deck.relay = Relay(deck, self._hands)
        deck.patience = Patience(deck.relay, threads)
        deck.lookout = Lookout(deck, slot.thread(threads).words)
        deck.table.owners += [*self._hands, deck.lookout]
        deck.doors = Doors(deck)

    def run(self) -> int:
        """Serve; return the exit code of the process. For the main thread."""
        crew, deck = self._crew, self.deck
        lookout = deck.lookout
        crew.handle_signals(lookout.wake)
        crew.write_signals_to(lookout.wakeup_fd)
        crew.initialised()
        others = [
            threading.Thread(target=hand.work, name=f"hand-{number}", daemon=True)
            for number, hand in enumerate(self._hands[1:], 2)
        ]
        for thread in others:
            thread.start()
        lookout.start()
        crew.choose_access_log()
        deck.keeps_environ = crew.access is not None and crew.access.wants_environ
        crew.ready()  # the master knows before anybody is served
        deck.doors.open()
        self._hands[0].work()
        lookout.left.set()
        until = monotonic() + _LEAVE
        for thread in others:
            thread.join(max(0.0, until - monotonic()))
        returned = deck.relay.join(until) and not any(thread.is_alive() for thread in others)
        crew.write_signals_to(-1)
        lookout.join()
        deck.relay.account(lookout.words)
        if not returned:
            lookout.account()
        else:
            for connection in tuple(deck.table.open):
                connection.reset(lookout)  # a hand has parked it past the end
            deck.table.close()
        return lookout.code
