"""The socket of one connection, which never waits, and the ways in which a connection ends (RFC 9112 section 9.6).

Whoever calls a method owns the connection (`table`). Methods that take the owner give the connection up: it is parked
or closed when they return.
"""

from __future__ import annotations

import socket
import struct
from enum import Enum
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from pyserve.protocol.exchange import Exchange, Sending
from pyserve.protocol.http1 import Http1Wire
from pyserve.workers.deadlines import ARRIVING, LINGER, throws_away
from pyserve.workers.pace import Pace
from pyserve.workers.scoreboard import TIMEOUTS_KEEPALIVE
from pyserve.workers.thread_worker.outflow import send_some
from pyserve.workers.thread_worker.table import READ, WRITE, Owner

if TYPE_CHECKING:
    from pyserve.workers.thread_worker.deck import Deck
    from pyserve.workers.thread_worker.hand import Hand

RECEIVE = 65536  # octets of one recv of content
RECEIVE_HEAD = 16384  # ... where a head is expected: to make room for more costs more than most heads themselves

_SEND = 4 * 1024 * 1024  # octets of a complete response before other connections have their turn
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER without time: close() sends RST


class Stage(Enum):
    """What a parked connection waits for."""

    READING = "octets of a request"
    WRITING = "the peer to take the rest of a complete response"
    YIELDING = "its turn: the next request is here"
    SHAKING = "the peer to take the server's part of a handshake"
    LINGERING = "the peer to close"
    CLOSED = "nothing"


class Channel:
    """See above; what is asked and answered on it is `Connection`'s.

    remote: the peer's address as text, "" on a unix socket. armed: what the epoll watches the descriptor for, 0 while
    it does not know it. slow: whether it waits in the slow lane (`table`).
    deadline: when what a parked connection waits for must have come (seconds, monotonic).
    exchange: the one whose content is gathered, that is being answered, or whose response is not out yet; else None.
    held: octets of its content that wait for the rest (`bodies`). heard: when something last came of a head that is
    awaited, or the connection itself.
    """

    __slots__ = (
        "_deck", "_discarded", "_eof", "_lost", "_offset", "_outward", "_sent",
        "armed", "deadline", "exchange", "fd", "heard", "held", "remote", "slow", "socket", "stage", "wire",
    )  # fmt: skip

    def __init__(self, deck: Deck, peer: socket.socket, remote: str, now: float) -> None:
        self._deck = deck
        self.socket = peer
        self.fd = peer.fileno()
        self.remote = remote
        self.wire = Http1Wire(deck.crew.config)
        self.exchange: Exchange | None = None
        self.stage = Stage.READING
        self.armed = 0
        self.slow = False
        self.held = 0
        self.heard = now
        self.deadline = now + deck.deadlines.head
        self._offset = 0  # octets of wire.out[0] that have gone
        self._sent = 0  # octets that have gone past `_push`, ever
        self._outward: Pace | None = None  # what the peer takes of the present response, once that was waited for
        self._discarded = 0
        self._eof = False  # the peer sends no more
        self._lost = False  # reset, or in a state in which nothing more can be sent

    def ready(self, hand: Hand) -> None:
        """What a parked connection waits for has come."""
        raise NotImplementedError

    def expire(self, owner: Owner, now: float) -> None:
        """It has not come before the deadline."""
        raise NotImplementedError

    def _finish(self, owner: Owner, exchange: Exchange, now: float) -> None:
        """An exchange is over: its response is out, or never will be."""
        raise NotImplementedError

    # Writing

    def _push(self) -> bool:
        """Write without waiting; True when nothing is left to be written, also because the connection is lost."""
        out = self.wire.out
        left = _SEND
        try:
            while out:
                self._offset, sent = send_some(self.socket, out, self._offset)
                self._sent += sent
                left -= sent
                if left <= 0:
                    return not out
        except BlockingIOError:
            return False
        except OSError:
            self._lose()
        return True

    def _lose(self) -> None:
        """Nothing more can be sent."""
        self._lost = True
        self._offset = 0
        self.wire.lose()

    def _has_sent(self) -> bool:
        """Whether the peer has sent something that nobody has read yet; the end of the stream is not something."""
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def _pace_outward(self) -> Pace:
        """How slowly the peer takes the present response; a wait that has begun is over."""
        pace = self._outward
        if pace is None or pace.message != self.wire.served:
            pace = self._outward = self._deck.deadlines.outward(self.wire.served, self._sent)
        return pace

    # Parking

    def _wait_to_write(self, owner: Owner, now: float) -> None:
        """Park until the peer takes more of what is in `out`."""
        self.stage = Stage.WRITING
        self.deadline = self._pace_outward().begin(now)
        self._deck.table.park(self, owner, WRITE)

    def _yield(self, owner: Owner, exchange: Exchange) -> None:
        """Park with the next exchange at hand: the event comes at once, but behind those of other connections."""
        self.exchange = exchange
        self.stage = Stage.YIELDING
        self.deadline = inf
        self._deck.table.park(self, owner, WRITE)  # to which the socket is ready

    def go_back(self, owner: Owner, *, slow: bool = False) -> None:
        """Park as before, or in the slow lane."""
        table, armed = self._deck.table, self.armed
        if slow:
            table.change_lanes(self, slow=True)
        table.park(self, owner, armed)

    @property
    def idle(self) -> bool:
        """Whether it waits for a request of which nothing has come. Without owning it this is a guess."""
        wire = self.wire
        return self.stage is Stage.READING and self.exchange is None and wire.exchange is None and not wire.pending

    @property
    def arriving(self) -> bool:
        """Whether a part of a head has come, and nothing else is under way. Without owning it this is a guess."""
        wire = self.wire
        return self.stage is Stage.READING and self.exchange is None and wire.exchange is None and wire.pending > 0

    @property
    def halfway(self) -> bool:
        """Whether a part of a request has come, and the rest is waited for. Without owning it this is a guess."""
        wire = self.wire
        return self.stage is Stage.READING and (wire.exchange is not None or wire.pending > 0)

    @property
    def expendable(self) -> bool:
        """Whether it may give way to others; without owning it a guess."""
        if self.stage is Stage.LINGERING:
            return True
        return self.idle and (self.wire.served > 0 or monotonic() - self.heard > ARRIVING)

    @property
    def missed_by_nobody(self) -> bool:
        """Whether no request has come whole; for its owner."""
        return self.stage is Stage.LINGERING or ((self.idle or self.arriving) and not self._has_sent())

    def give_way(self, owner: Owner) -> bool:
        """Close an idle connection because others wait; False if it is idle no more, and then it is parked again."""
        if self.expendable and not self._has_sent():
            owner.words[TIMEOUTS_KEEPALIVE] += 1
            self.close(owner)
            return True
        self.go_back(owner)
        return False

    # The end

    def account(self, owner: Owner) -> None:
        """Its thread does not come back before the process ends: what it was doing is logged as far as it has come."""
        exchange = self.exchange
        if exchange is not None and not exchange.finished:
            self._finish(owner, exchange, monotonic())

    def _conclude(self, owner: Owner, now: float) -> None:
        """End the connection: half-close, linger, close (RFC 9112 section 9.6).

        Also where the peer has wished the close: some send a line end behind their last content, or a request more than
        they should, and would get a reset in the place of the response.
        """
        if self._lost or self.wire.cut:
            self.reset(owner)
            return
        if self._eof:
            self.close(owner)
            return
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.close(owner)
            return
        self.stage = Stage.LINGERING
        self.deadline = now + LINGER
        self._deck.table.park(self, owner, READ)

    def _discard(self, owner: Owner) -> None:
        """Throw away what the peer still sends, until it closes."""
        try:
            data = self.socket.recv(RECEIVE)
        except BlockingIOError:
            self.go_back(owner)
            return
        except OSError:
            data = b""
        self._discarded += len(data)
        if data and throws_away(self._discarded, self.wire.error):
            self.go_back(owner)
        else:
            self.close(owner)

    def close(self, owner: Owner) -> None:
        """Close. What is not written is lost."""
        try:
            # For all who hold it: the application's child processes may be among them.
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the peer was faster
        self._drop(owner)

    def reset(self, owner: Owner) -> None:
        """Close so that the peer cannot take it for a regular end."""
        self._reset_by_close()
        self._drop(owner)

    def spoil(self) -> None:
        """The process is about to end: that must not look like the end of the response, and an application that is in
        the middle of one is to close it. For any thread."""
        if self.wire.ends_by_close:
            self._reset_by_close()
        exchange = self.exchange
        if exchange is not None and exchange.sending is Sending.BODY:
            self._lost = True  # so its next block meets the end

    def _reset_by_close(self) -> None:
        if self.socket.family != socket.AF_UNIX:
            try:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            except OSError:
                pass

    def _drop(self, owner: Owner) -> None:
        self.stage = Stage.CLOSED
        self._lose()
        self.wire.exchange = None  # they hold each other
        deck = self._deck
        deck.bodies.release(self)
        if self.exchange is not None:
            self._finish(owner, self.exchange, monotonic())
        deck.table.forget(self)
        self.socket.close()
        deck.doors.closed()
