"""A connection of the sync worker where only so many requests may be in flight: see `gate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyserve.workers.gate import turn_away
from pyserve.workers.thread_worker.connection import Connection

if TYPE_CHECKING:
    from pyserve.protocol.exchange import Exchange
    from pyserve.workers.thread_worker.hand import Hand


class LimitedConnection(Connection):
    """In a class of its own, so that it costs nothing where there is no limit. To be mixed with others."""

    __slots__ = ()

    def _gather(self, hand: Hand, exchange: Exchange, now: float) -> bool:
        if self._deck.gate.full:
            self._deck.bodies.release(self)
            return True  # who is turned away is not asked for content
        return super()._gather(hand, exchange, now)

    def _call(self, hand: Hand, exchange: Exchange, now: float) -> None:
        gate = self._deck.gate
        if not gate.enter():
            turn_away(exchange, self._deck.crew)
            return
        try:
            super()._call(hand, exchange, now)
        finally:
            gate.leave()  # before the response is out: its client may ask again at once
