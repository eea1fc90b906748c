"""A connection of the sync worker on which something is to be done between the application's end and the last octet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyserve.protocol.wsgi import serve
from pyserve.workers.connection import Connection

if TYPE_CHECKING:
    from pyserve.protocol.exchange import Exchange
    from pyserve.workers.hand import Hand


class CarefulConnection(Connection):
    """Where a request takes the short way, application and response are one step. Here they are two: `_call`, to be
    wrapped by subclasses, leaves what remains in the wire's `out`. To be mixed with other classes."""

    __slots__ = ()

    def _run(self, hand: Hand, exchange: Exchange, now: float) -> None:
        self.exchange = exchange
        exchange.called = now
        self._call(hand, exchange, now)

    def _call(self, hand: Hand, exchange: Exchange, now: float) -> None:
        """Run the application."""
        deck = self._deck
        hand.exchange = exchange
        hand.since = now
        self._hand = hand
        try:
            environ = deck.make_environ(exchange, self._template, self._keys)
            if deck.keeps_environ:
                self.environ = environ
            serve(deck.application, environ, exchange, self)
        except BaseException as error:
            self._failed(hand, exchange, error)
        self._hand = hand.exchange = None
