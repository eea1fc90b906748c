"""The beginning of a connection of the sync worker where a proxy may send a PROXY header first.

The header stands before TLS and HTTP, so it is read before there is what drives these. It is looked at in the kernel's
buffer (MSG_PEEK) and only what belongs to it is taken out: whoever follows finds the connection as if it began there.
It shares the deadline of the first request's head.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyserve.protocol.errors import ProtocolError
from pyserve.workers.proxies import believed_as, remote_of, variables_of
from pyserve.workers.scoreboard import TIMEOUTS_HEADER
from pyserve.workers.thread_worker.channel import RECEIVE_HEAD, Channel, Stage
from pyserve.workers.thread_worker.table import READ, Owner

if TYPE_CHECKING:
    from pyserve.protocol.proxy import ProxyReader
    from pyserve.workers.environ import Templates
    from pyserve.workers.thread_worker.connection import Connection
    from pyserve.workers.thread_worker.deck import Deck
    from pyserve.workers.thread_worker.hand import Hand


@dataclass(frozen=True, slots=True)
class Arrival:
    """A connection that was accepted. address: what `accept` has returned. make: what drives it once it is known."""

    socket: socket.socket
    address: Any
    templates: Templates
    make: Callable[..., Connection]


class Greeting(Channel):
    """A connection until its PROXY header is over, or until there turns out to be none."""

    __slots__ = ("_arrival", "_began", "_reader")

    def __init__(self, deck: Deck, arrival: Arrival, reader: ProxyReader, now: float) -> None:
        super().__init__(deck, arrival.socket, remote_of(arrival.address), now)
        self._arrival = arrival
        self._began = now
        self._reader = reader

    def ready(self, hand: Hand) -> None:
        """Something has come."""
        try:
            data = self.socket.recv(RECEIVE_HEAD, socket.MSG_PEEK)
        except BlockingIOError:
            self._deck.table.park(self, hand, READ)
            return
        except OSError:
            data = b""
        if not data:
            self.close(hand)
            return
        try:
            rest = self._reader.feed(data)
        except ProtocolError as error:
            self._deck.crew.log_refusal(self, error.text)
            self.close(hand)
            return
        if rest is None:
            self.socket.recv(len(data))
            self._deck.table.park(self, hand, READ)
        elif self._reader.header is None:
            self._go_on(hand, rest[: len(rest) - len(data)])
        else:
            if size := len(data) - len(rest):
                self.socket.recv(size)
            self._go_on(hand, b"")

    def _go_on(self, hand: Hand, held: bytes) -> None:
        """Let the real connection begin. held: octets that might have been a header and are its own."""
        deck, arrival, header = self._deck, self._arrival, self._reader.header
        place = arrival.address if header is None or header.client is None else header.client
        template = arrival.templates.make(self.socket, place)
        if header is not None:
            template.update(variables_of(header))
        connection = arrival.make(deck, self.socket, template, self._began)
        if header is not None:
            connection.believe(believed_as(header, connection.remote))
        connection.armed, self.armed = self.armed, 0
        deck.table.open.add(connection)
        deck.table.open.discard(self)
        self.stage = Stage.CLOSED
        if held:
            connection.resume(held)
        hand.serve(connection)

    def expire(self, owner: Owner, now: float) -> None:
        """It has not come before the deadline."""
        owner.words[TIMEOUTS_HEADER] += 1
        self.close(owner)
