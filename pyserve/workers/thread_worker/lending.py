"""A connection whose socket the application takes for itself: `environ["gunicorn.socket"]`, which WebSocket libraries
for WSGI look for (simple-websocket, and with it Flask-Sock and Flask-SocketIO in threads).

It is there where a request asks for WebSocket, and not over TLS. From the first thing that is asked of it the socket
is the application's: blocking, and with its own descriptor. Nothing of HTTP is sent any more; when the application
returns, or raises StopIteration, as it must to make gunicorn say nothing, the connection is closed. Its thread is taken
until then, and `--request-timeout` does not count.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from pyserve.workers.thread_worker.connection import Connection

if TYPE_CHECKING:
    from pyserve.protocol.exchange import Exchange
    from pyserve.workers.thread_worker.hand import Hand
    from pyserve.workers.thread_worker.table import Owner

KEY = "gunicorn.socket"


class LentSocket:
    """The socket, once something is asked of it."""

    __slots__ = ("_connection", "taken")

    def __init__(self, connection: LendingConnection) -> None:
        self._connection = connection
        self.taken: socket.socket | None = None

    def __getattr__(self, name: str) -> Any:
        if self.taken is None:
            self.taken = self._connection.lend()
        return getattr(self.taken, name)


class LendingConnection(Connection):
    """What a connection becomes when WebSocket is asked for. To be mixed with others."""

    __slots__ = ()

    def offer(self) -> None:
        """Put the socket into the environ."""
        self._template = {**self._template, KEY: LentSocket(self)}

    def lend(self) -> socket.socket:
        """Give the socket away, for good."""
        taken = self.socket.dup()
        taken.setblocking(True)
        if self.exchange is not None:
            self.exchange.status = 101  # for the access log; what it really answers is not seen
        self._deck.running.discard(self)
        self._lose()
        return taken

    @property
    def _is_lent(self) -> bool:
        return self._template[KEY].taken is not None

    def _failed(self, hand: Hand, exchange: Exchange, error: BaseException) -> None:
        if not (self._is_lent and isinstance(error, StopIteration)):
            super()._failed(hand, exchange, error)

    def _conclude(self, owner: Owner, now: float) -> None:
        if self._is_lent:
            self.close(owner)
        else:
            super()._conclude(owner, now)

    def _drop(self, owner: Owner) -> None:
        super()._drop(owner)
        if self._is_lent:
            self._template[KEY].taken.close()
