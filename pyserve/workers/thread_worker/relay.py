"""Who serves while threads of a sync worker wait for their clients.

A generator's next block cannot be made before the last one is out, and `wsgi.input` cannot return what has not come:
the thread that runs the application waits with it, as neither can change threads. It steps aside for as long as that
takes, and a relief serves in its place: so slow clients never come to hold the threads that serve, however many they
are. When the wait is over the thread goes on at once, and afterwards the relief rests.

    serving    `threads` of them: in the epoll's wait, or at the work of one event
    aside      waits for its client, in the middle of a request
    resting    a relief that is not needed, ready for the next time; more than a few of them end

A worker with one thread promises its application that nothing else runs at the same time (`wsgi.multithread`). So
there, and only while reliefs are about, whoever does anything holds the baton: other requests come in between two
blocks of a stalled response, but never at the same time, however long one of them takes. Where an application holds a
lock over a `yield` and waits for it in another request, neither goes on, and the master replaces the worker after
`timeout`: as it would have been without a relief, whose stalled client had the only thread.
"""

from __future__ import annotations

import threading
from array import array
from time import monotonic
from typing import TYPE_CHECKING

from pyserve.workers.thread_worker.hand import Hand

if TYPE_CHECKING:
    from pyserve.workers.thread_worker.channel import Channel
    from pyserve.workers.thread_worker.deck import Deck

_MOST = 1024  # reliefs: past these, threads that wait stay in their places (`patience`)
_KEPT = 4  # that rest
_WORDS = 16


class Relay:
    """The serving threads of one worker and their reliefs.

    hands: all of them; a list that is replaced and never changed, for those who look from other threads. doubled: there
    are reliefs about, so each event is to begin with `enter` and to end with `stays`.
    """

    __slots__ = (
        "_active", "_baton", "_deck", "_departed", "_lock", "_out", "_resting", "_serving", "_threads",
        "doubled", "hands",
    )  # fmt: skip

    def __init__(self, deck: Deck, hands: list[Hand]) -> None:
        self._deck = deck
        self.hands = hands
        self._serving = self._active = len(hands)
        self._lock = threading.Lock()
        self._baton = threading.Lock() if len(hands) == 1 else None
        self._out = 0  # reliefs that do not rest
        self._resting: list[Hand] = []
        self._threads: dict[Hand, threading.Thread] = {}  # of the reliefs
        self._departed: list[Hand] = []  # whose counts have not been taken over
        self.doubled = False

    # What threads say of themselves

    def step_aside(self, hand: Hand, connection: Channel) -> bool:
        """The thread is about to wait for its client; False if nobody can relieve it."""
        with self._lock:
            if self._deck.stopping:
                return False
            relief = self._relief() if self._active <= self._serving else None
            if relief is None and self._active <= self._serving:
                return False
            self._active -= 1
            hand.aside = True
            self.doubled = True
            # Where descriptors stay armed, what comes on it would wake the relief again and again.
            self._deck.table.disarm(connection)
            if relief is not None:
                self._active += 1
                self._out += 1
        self._give_baton(hand)
        if relief is not None:
            relief.gate.release()
        return True

    def step_back(self, hand: Hand) -> None:
        """The wait is over."""
        hand.since = monotonic()  # else what it has waited would count as silence while it waits for the baton
        with self._lock:
            self._active += 1
            hand.aside = False
        self.enter(hand)

    def enter(self, hand: Hand) -> None:
        """The thread is about to do something."""
        if self._baton is not None and not hand.holds:
            self._baton.acquire()
            hand.holds = True

    def stays(self, hand: Hand, may_rest: bool) -> bool:
        """The thread has done it: whether it is to go on serving. May wait for long, as a relief does that rests."""
        self._give_baton(hand)
        with self._lock:
            rests = hand.relieves and may_rest and self._active > self._serving and not self._deck.stopping
            if rests:
                self._active -= 1
                self._out -= 1
                if len(self._resting) < _KEPT:
                    self._resting.append(hand)
            is_kept = not rests or hand in self._resting
            self.doubled = self._out > 0 or (self._baton is not None and self._baton.locked())
        if rests and is_kept:
            hand.gate.acquire()
        return is_kept

    def end(self) -> None:
        """The deck is stopping: nobody rests any more."""
        with self._lock:
            resting, self._resting = self._resting, []
        for hand in resting:
            hand.gate.release()

    def join(self, until: float) -> bool:
        """Wait for the reliefs to return; whether all have."""
        for thread in tuple(self._threads.values()):
            thread.join(max(0.0, until - monotonic()))
        return not self._threads

    def account(self, words: memoryview[int]) -> None:
        """Add to a thread's counters what reliefs have counted; by that thread only. They have no place of their own
        on the scoreboard, which is laid out before it is known how many there will be."""
        with self._lock:
            departed, self._departed = self._departed, []
        for hand in (*self.hands, *departed):
            if hand.relieves:
                for index, count in enumerate(hand.words):
                    words[index] += count - hand.told[index]
                    hand.told[index] = count

    # Their lives

    def _relief(self) -> Hand | None:
        if self._resting:
            return self._resting.pop()
        if self._out >= _MOST:
            return None
        deck = self._deck
        hand = Hand(deck, memoryview(array("Q", bytes(8 * _WORDS))), self._serving, relieves=True)
        thread = threading.Thread(target=self._run, args=(hand,), name="relief", daemon=True)
        self.hands = [*self.hands, hand]
        deck.table.owners = [*deck.table.owners, hand]
        self._threads[hand] = thread
        try:
            thread.start()
        except RuntimeError:  # the system has no more
            self._forget(hand)
            return None
        return hand

    def _run(self, hand: Hand) -> None:
        hand.gate.acquire()
        hand.work()
        self._give_baton(hand)
        with self._lock:
            self._forget(hand)
            self._departed.append(hand)

    def _forget(self, hand: Hand) -> None:
        del self._threads[hand]
        self.hands = [other for other in self.hands if other is not hand]
        table = self._deck.table
        table.owners = [other for other in table.owners if other is not hand]

    def _give_baton(self, hand: Hand) -> None:
        if hand.holds and self._baton is not None:
            hand.holds = False
            self._baton.release()
