"""The sync worker: threads that serve WSGI from one shared epoll (leader/followers).

    epoll (connections, listeners, stop) <- hand, hand, ... each: wait, take one, do all its work, park it
    table     who owns a connection          doors      the listeners, and when not to accept
    patience  threads that wait for a peer   lookout    clock, deadlines, heartbeat, signals, the end

There is no queue and no hand-over between threads, and no thread is tied to an idle or slow peer. The main thread is
one of those that serve: with one thread the application runs where it was loaded.
"""

from __future__ import annotations

import signal
import threading

from pyserve.workers.crew import Crew
from pyserve.workers.deck import Deck
from pyserve.workers.doors import Doors
from pyserve.workers.hand import Hand
from pyserve.workers.lookout import Lookout

_LEAVE = 0.5  # seconds that idle threads have to return; one that is busy does not hold the process up


class ThreadWorker:
    """Serves until it is told to stop."""

    def __init__(self, crew: Crew) -> None:
        threads = crew.settings.threads
        slot = crew.context.slot
        self._crew = crew
        self._deck = deck = Deck(crew)
        self._hands = [Hand(deck, slot.thread(index).words, threads) for index in range(threads)]
        deck.lookout = Lookout(deck, slot.thread(threads).words, self._hands)
        deck.table.owners += [*self._hands, deck.lookout]
        deck.doors = Doors(deck)

    def run(self) -> int:
        """Serve; return the exit code of the process. For the main thread."""
        crew, deck = self._crew, self._deck
        lookout = deck.lookout
        crew.handle_signals(lookout.wake)
        # Python's own handlers wait for the main thread, which may be busy in C for long; the lookout hears at once.
        before = signal.set_wakeup_fd(lookout.wakeup_fd, warn_on_full_buffer=False)
        others = [
            threading.Thread(target=hand.work, name=f"hand-{number}", daemon=True)
            for number, hand in enumerate(self._hands[1:], 2)
        ]
        deck.doors.open()
        for thread in others:
            thread.start()
        lookout.start()
        crew.ready()
        self._hands[0].work()
        lookout.left.set()
        for thread in others:
            thread.join(_LEAVE)
        signal.set_wakeup_fd(before)
        lookout.join()
        return lookout.code
