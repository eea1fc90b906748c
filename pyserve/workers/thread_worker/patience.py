"""Waiting for one peer in a serving thread, where there is no other way.

The thread steps aside meanwhile (`relay`). Only where all threads wait and nobody can relieve them, the one that has
waited longest without any progress is cut off, once that is `STALLED` seconds.
"""

from __future__ import annotations

import select
import socket
import threading
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyserve.workers.thread_worker.channel import Channel
    from pyserve.workers.thread_worker.hand import Hand
    from pyserve.workers.thread_worker.relay import Relay

STALLED = 1.0  # seconds
_LOOK_AGAIN = 0.1

READABLE = select.POLLIN
WRITABLE = select.POLLOUT


class Patience:
    """The threads of one worker that wait for their peers."""

    __slots__ = ("_lock", "_over", "_relay", "_since", "_stuck", "_threads")

    def __init__(self, relay: Relay, threads: int) -> None:
        """threads: how many serve."""
        self._relay = relay
        self._threads = threads
        self._over = False
        self._lock = threading.Lock()
        self._since: dict[socket.socket, float] = {}
        self._stuck = 0  # of those who wait, without a relief

    def wait(self, hand: Hand, connection: Channel, event: int, until: float) -> bool:
        """Wait for READABLE or WRITABLE; False when it does not come before `until` (monotonic).

        To be cut off is an event, too: the socket is shut down then, and the next call on it tells.
        """
        poll = select.poll()
        poll.register(connection.socket, event)
        if poll.poll(0):
            return True
        aside = self._relay.step_aside(hand, connection)
        try:
            return self._wait(poll, connection.socket, until, aside)
        finally:
            if aside:
                self._relay.step_back(hand)

    def _wait(self, poll: select.poll, peer: socket.socket, until: float, aside: bool) -> bool:
        with self._lock:
            self._since[peer] = monotonic()
            self._stuck += not aside
            if self._over:
                _shut_down(peer)
        try:
            while True:
                left = until - monotonic()
                if self._stuck >= self._threads:
                    self._make_room()
                    left = min(left, _LOOK_AGAIN)
                if poll.poll(None if left == inf else max(0, left * 1000)):
                    return True
                if monotonic() >= until:
                    return False
        finally:
            with self._lock:
                del self._since[peer]
                self._stuck -= not aside

    def _make_room(self) -> None:
        """Shut down the connection that has stalled for longest."""
        with self._lock:  # and so it still waits, and nobody closes it
            if inf in self._since.values():
                return  # the last one is about to go
            peer = min(self._since, key=self._since.__getitem__, default=None)
            if peer is None or monotonic() - self._since[peer] < STALLED:
                return
            _shut_down(peer)
            self._since[peer] = inf  # not to be chosen again

    def end(self) -> None:
        """Cut off all who wait, and whoever comes to wait later."""
        with self._lock:
            self._over = True
            for peer in self._since:
                _shut_down(peer)


def _shut_down(peer: socket.socket) -> None:
    try:
        peer.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is gone already, and its thread is about to learn of that
