"""A connection of the sync worker whose requests may take only so long: see `overdue`.

The thread that runs the application and the lookout, which finds it overdue, must not both answer. So each asks for the
word (`_speaks`), and who comes second is silent:

    PENDING     nothing has been sent; the application is running
    ANSWERING   its response has begun, or is about to
    TIMED_OUT   the lookout has spoken; the thread drops what it still brings, and closes
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING

from pyserve.protocol.errors import Disconnected
from pyserve.protocol.exchange import Exchange, Sending
from pyserve.protocol.wsgi import Environ
from pyserve.workers.overdue import answer_for, log_overdue, stack_of_thread
from pyserve.workers.thread_worker.connection import Connection
from pyserve.workers.thread_worker.table import Owner

if TYPE_CHECKING:
    from pyserve.workers.thread_worker.deck import Deck
    from pyserve.workers.thread_worker.hand import Hand
    from pyserve.workers.thread_worker.lookout import Lookout


class Turn(Enum):
    """Whose word the client gets."""

    PENDING = "nobody's yet"
    ANSWERING = "the application's"
    TIMED_OUT = "the lookout's"


class TimedConnection(Connection):
    """In a class of its own, so that it costs nothing where there is no such deadline. To be mixed with others: it has
    no slots."""

    def __init__(self, deck: Deck, peer: socket.socket, template: Environ, now: float) -> None:
        super().__init__(deck, peer, template, now)
        self._turn = Turn.PENDING
        self._word = threading.Lock()
        self._filling = False  # the thread waits for content

    def _call(self, hand: Hand, exchange: Exchange, now: float) -> None:
        running = self._deck.running
        self._turn = Turn.PENDING
        running.add(self)
        super()._call(hand, exchange, now)
        running.discard(self)
        if not self._speaks():
            self._lose()

    def _failed(self, hand: Hand, exchange: Exchange, error: BaseException) -> None:
        if self._speaks() or not isinstance(error, Disconnected):
            super()._failed(hand, exchange, error)

    def _speaks(self) -> bool:
        """The application has something to send; False when it comes too late."""
        with self._word:
            if self._turn is Turn.PENDING:
                self._turn = Turn.ANSWERING
            return self._turn is Turn.ANSWERING

    def flush(self) -> None:
        if not self._speaks():
            raise Disconnected("the request has taken too long")
        super().flush()

    def fill(self) -> None:
        with self._word:
            if self._turn is Turn.TIMED_OUT:
                raise Disconnected("the request has taken too long")
            self._filling = True
        try:
            super().fill()
        finally:
            self._filling = False

    def _finish(self, owner: Owner, exchange: Exchange, now: float) -> None:
        if self._turn is Turn.TIMED_OUT:
            self.exchange = self.environ = None  # it was told of when it timed out
        else:
            super()._finish(owner, exchange, now)

    def _conclude(self, owner: Owner, now: float) -> None:
        if self._turn is Turn.TIMED_OUT:
            self.close(owner)  # the client has been told already, and a reset could take the answer from it
        else:
            super()._conclude(owner, now)

    # In the lookout's thread

    def look(self, lookout: Lookout, now: float) -> bool:
        """Whether its request has taken too long. Then it has been answered for, or broken off."""
        hand, exchange = self._hand, self.exchange
        if hand is None or exchange is None or now - exchange.called <= self._deck.deadlines.request:
            return False
        with self._word:
            turn, self._turn = self._turn, Turn.TIMED_OUT
            is_free = not self._filling or self._deck.crew.certificates is None
        if turn is Turn.TIMED_OUT:
            return False
        if turn is Turn.PENDING:  # the application's head, should it still come, is none: the log is to have ours
            exchange.sending = Sending.DONE
            exchange.gone = True
        crew = self._deck.crew
        log_overdue(crew, exchange, lookout.words, stack_of_thread(hand.ident))
        with suppress(OSError):  # the peer has gone
            # While TLS decrypts in the thread, nothing can be encrypted here.
            if turn is Turn.PENDING and is_free:
                self.socket.send(answer_for(exchange, crew))
                self.socket.shutdown(socket.SHUT_WR)  # which has TLS say goodbye, too
            self._break_off()
        exchange.finished = monotonic()
        crew.log_exchange(exchange, self, lookout.words)
        self._deck.table.open.discard(self)  # nobody waits for it when the worker ends
        crew.retire()
        return True

    def _break_off(self) -> None:
        """End the connection under a thread that may be at it. A response that only the close ends has no other sign of
        being cut than a reset, and that comes when the thread lets go of the socket, or the process ends."""
        if self.wire.ends_by_close:
            self._reset_by_close()
            self._lost = True
        else:
            self.socket.shutdown(socket.SHUT_RDWR)
