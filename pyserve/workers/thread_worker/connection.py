"""One connection of the sync worker: requests and responses, between the threads that own it by turns and a wire.

    ready -> recv -> wire.receive -> (gather the body) -> answer: application -> send -> park, or end

Nothing here waits, but for `flush` and `fill` in the thread that runs the application (`patience`).
"""

from __future__ import annotations

import socket
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from pyserve.protocol.errors import Disconnected, ProtocolError
from pyserve.protocol.exchange import Exchange, FileSpan, Receiving
from pyserve.protocol.http1 import Awaiting, Persistence
from pyserve.protocol.wsgi import Environ, serve
from pyserve.workers.notes import METHODS, note, place_for
from pyserve.workers.pace import Pace
from pyserve.workers.scoreboard import TIMEOUTS_BODY, TIMEOUTS_HEADER, TIMEOUTS_KEEPALIVE, TIMEOUTS_WRITE
from pyserve.workers.thread_worker.channel import RECEIVE, RECEIVE_HEAD, Channel, Stage
from pyserve.workers.thread_worker.patience import READABLE, WRITABLE
from pyserve.workers.thread_worker.sendfile import open_rest
from pyserve.workers.thread_worker.table import READ, Owner

if TYPE_CHECKING:
    from pyserve.workers.thread_worker.deck import Deck
    from pyserve.workers.thread_worker.hand import Hand
    from pyserve.workers.thread_worker.lending import LendingConnection

_TURNS = 16  # exchanges that came together before other connections have theirs

# Enum members by names of their own: on the hot path a global is cheaper than an attribute of a class.
_KEEP = Persistence.KEEP
_RECEIVED = Receiving.DONE
_READING = Stage.READING

_TIMEOUTS = {
    Awaiting.HEAD: TIMEOUTS_HEADER,
    Awaiting.BODY: TIMEOUTS_BODY,
    Awaiting.IDLE: TIMEOUTS_KEEPALIVE,
    Awaiting.NOTHING: TIMEOUTS_KEEPALIVE,
}


class Connection(Channel):
    """The driver of one connection (`protocol.wsgi.Driver`).

    environ: of the exchange, while the access log may ask for it. place: where its requests are noted
    (`workers/notes.py`).
    """

    __slots__ = ("_began", "_hand", "_inward", "_keys", "_pieces_of", "_template", "environ", "place")

    def __init__(self, deck: Deck, peer: socket.socket, template: Environ, now: float) -> None:
        super().__init__(deck, peer, template["REMOTE_ADDR"], now)
        self._template = template
        self._keys = deck.keys.of(self.remote)
        self._began = now  # when the head that is awaited began; 0.0 before its first octet on a kept connection
        self._inward: Pace | None = None  # what the peer sends of the present request, once that was waited for
        self._pieces_of = -1  # `wire.served` when something last came that completed nothing
        self._hand: Hand | None = None  # the thread that runs the application
        self.environ: Environ | None = None
        self.place = place_for(deck.crew.context.slot, self.fd)

    def believe(self, peer: str) -> None:
        """What requests say of their client is to be judged as if it were this peer who says it."""
        self._keys = self._deck.keys.of(peer)

    def resume(self, octets: bytes) -> None:
        """Take octets that were received before this object was made; more are at hand."""
        self.wire.receive(octets)

    # Events

    def ready(self, hand: Hand) -> None:
        """What was waited for has come."""
        if self.stage is not _READING:
            self._go_on(hand)
            return
        try:
            data = self.socket.recv(RECEIVE_HEAD)
        except BlockingIOError:
            self._nothing_came(hand)
            return
        except OSError:
            self._lose()
            self._conclude(hand, monotonic())
            return
        now = monotonic()
        if not data:
            self._receive_eof(hand, now)
            return
        exchange = self.wire.receive(data)
        if exchange is None:
            self._received_part(hand, now)
            return
        exchange.arrived = now
        if exchange.receiving is _RECEIVED or self._gather(hand, exchange, now):
            self._answer(hand, exchange, now)

    def _go_on(self, hand: Hand) -> None:
        now = monotonic()
        if self.stage is Stage.LINGERING:
            self._discard(hand)
        elif self.stage is Stage.WRITING:
            done = self._push()
            self._pace_outward().end(self._sent, now)
            if done:
                self.stage = _READING
                self._written(hand, now)
            else:
                self._wait_to_write(hand, now)
        elif (exchange := self.exchange) is not None:
            self.stage = _READING
            if self._gather(hand, exchange, now):
                self._answer(hand, exchange, now)

    # Inwards

    def _nothing_came(self, hand: Hand) -> None:
        """The event was late, or what has come says nothing yet."""
        self._deck.table.park(self, hand, READ)

    def _arrived(self, exchange: Exchange) -> int:
        """How much of an exchange's content has come over, as far as that shows."""
        return exchange.received

    def _received_part(self, hand: Hand, now: float) -> None:
        """Octets have come that complete no head."""
        exchange = self.exchange
        arriving = self.wire.exchange
        if arriving is not None:
            self._pace_inward(arriving).end(arriving.received, now)
        if exchange is None:
            self._await(hand, now)
        elif exchange.error is not None:
            self._refused(hand, exchange, now)
        elif self._gather(hand, exchange, now):
            self._answer(hand, exchange, now)

    def _receive_eof(self, hand: Hand, now: float) -> None:
        """The peer sends no more. What it has asked for whole has been answered: else it would not be read from."""
        self._eof = True
        self.wire.receive_eof()
        if self.exchange is not None:
            self._refused(hand, self.exchange, now)
        else:
            self._await(hand, now)

    def _came_in_part(self) -> None:
        """It waits for the rest of a head or a content. One wait is what many clients need, who send these apart."""
        if self._pieces_of == self.wire.served:
            self._deck.table.change_lanes(self, slow=True)
        else:
            self._pieces_of = self.wire.served

    def _pace_inward(self, arriving: Exchange) -> Pace:
        """How slowly the content of a request comes."""
        pace = self._inward
        if pace is None or pace.message != self.wire.served:
            pace = self._inward = self._deck.deadlines.inward(self.wire.served, arriving.received)
        return pace

    def _gather(self, hand: Hand, exchange: Exchange, now: float) -> bool:
        """Receive content that is here; True when the application can start, else the connection is given up."""
        bodies = self._deck.bodies
        note(self._deck.notes, self.place, METHODS[exchange.method], exchange.target, exchange.arrived)
        self.exchange = exchange
        if exchange.expects:
            exchange.send_continue()
            if not self._push():
                return True
        while exchange.receiving is not _RECEIVED and bodies.hold(self, exchange.buffered):
            try:
                data = self.socket.recv(RECEIVE)
            except BlockingIOError:
                self.deadline = self._pace_inward(exchange).begin(now)
                self._came_in_part()
                self._deck.table.park(self, hand, READ)
                return False
            except OSError:
                self._lose()
                break
            if data:
                self.wire.receive(data)
            else:
                self._eof = True
                self.wire.receive_eof()
            if exchange.error is not None:
                break
        bodies.release(self)
        if self._lost or exchange.error is not None:
            self._refused(hand, exchange, now)
            return False
        return True

    def _refused(self, owner: Owner, exchange: Exchange, now: float) -> None:
        """The rest of a request that has not started is wrong, late, or will never come."""
        self._deck.bodies.release(self)
        if self._push():
            self._written(owner, now)
        else:
            self._wait_to_write(owner, now)

    # Answering

    def _answer(self, hand: Hand, exchange: Exchange, now: float) -> None:
        """Answer an exchange, and those behind it that are already here."""
        deck = self._deck
        wire = self.wire
        turns = _TURNS
        while True:
            self._run(hand, exchange, now)
            if wire.out and not self._push():
                self._wait_to_write(hand, monotonic())
                return
            now = monotonic()
            self._finish(hand, exchange, now)
            if wire.exchange is None and wire.persistence is _KEEP and not wire.ahead:
                self._began = 0.0
                self.deadline = now + deck.deadlines.idle
                deck.table.park(self, hand, READ)
                if deck.crowded:
                    deck.doors.room()
                return
            turns -= 1
            following = self._next(hand, exchange, now, turns)
            if following is None:
                return
            exchange = following

    def _run(self, hand: Hand, exchange: Exchange, now: float) -> None:
        """Run the application, and send its response as far as that goes in one step."""
        self.exchange = exchange
        exchange.called = now
        self._call(hand, exchange, now)
        out = self.wire.out
        if len(out) == 1 and type(data := out[0]) is bytes:
            try:
                sent = self.socket.send(data)
            except OSError:
                return  # `_push` meets the same, and deals with it
            if sent == len(data):
                out.clear()
            else:
                self._offset = sent

    def _call(self, hand: Hand, exchange: Exchange, now: float) -> None:
        """Run the application; what is left of its response is in the wire's `out`. For subclasses to wrap."""
        deck = self._deck
        note(deck.notes, self.place, METHODS[exchange.method], exchange.target, exchange.arrived)
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

    def _failed(self, hand: Hand, exchange: Exchange, error: BaseException) -> None:
        """The application, or what is done for it, has raised `error`."""
        if isinstance(error, ProtocolError):
            exchange.fail(error.status, error.text)
            return
        if not isinstance(error, Disconnected):
            self._deck.crew.log_failure(exchange, error, hand.words)
        if not self._lost:
            exchange.fail(500, "the application failed")

    def _next(self, hand: Hand, exchange: Exchange, now: float, turns: int) -> Exchange | None:
        """Return the exchange behind `exchange` if it can be answered; else the connection is given up."""
        if self._lost or self.wire.closing:
            self._conclude(hand, now)
            return None
        following = self.wire.proceed()
        if following is None:
            self._began = 0.0
            self._await(hand, now)
            return None
        following.arrived = now
        if turns <= 0:
            self._yield(hand, following)
            return None
        return following if self._gather(hand, following, now) else None

    # What the gateway asks of its driver

    def flush(self) -> None:
        """Write what is in the wire's `out`; wait while the peer does not take it."""
        hand, exchange = self._running()
        deck = self._deck
        pace: Pace | None = None
        while not self._push():
            now = monotonic()
            pace = self._pace_outward()
            pace.end(self._sent, now)
            if not deck.patience.wait(hand, self, WRITABLE, pace.begin(now)):
                hand.words[TIMEOUTS_WRITE] += 1
                self._lose()
        if self._lost:
            raise Disconnected("the peer has gone")
        hand.since = now = monotonic()
        if pace is not None:
            pace.end(self._sent, now)
        if not exchange.answered:
            exchange.answered = now

    def fill(self) -> None:
        """Wait until more content has come or the request is over."""
        hand, exchange = self._running()
        deck = self._deck
        if self.wire.out:
            self.flush()
        pace = self._pace_inward(exchange)
        while True:
            try:
                data = self.socket.recv(RECEIVE)
            except BlockingIOError:
                now = monotonic()
                pace.end(self._arrived(exchange), now)
                if deck.patience.wait(hand, self, READABLE, pace.begin(now)):
                    continue
                hand.words[TIMEOUTS_BODY] += 1
                self.wire.expire()
                return
            except OSError:
                self._lose()
                raise Disconnected("the peer has gone") from None
            break
        hand.since = now = monotonic()
        if data:
            self.wire.receive(data)
            pace.end(exchange.received, now)
        else:
            self._eof = True
            self.wire.receive_eof()

    def span(self, file: Any) -> FileSpan | None:
        """Open what is left of a file for sendfile, or None when it is no plain file."""
        return open_rest(file)

    def _running(self) -> tuple[Hand, Exchange]:
        """The thread that runs the application, and what for; `Disconnected` where it comes back after its response."""
        if self._hand is None or self.exchange is None or self._lost:
            raise Disconnected("the peer has gone")
        return self._hand, self.exchange

    def _written(self, owner: Owner, now: float) -> None:
        """All is out that was in the way of going on."""
        exchange = self.exchange
        if exchange is not None:
            self._finish(owner, exchange, now)
        if self._lost or self.wire.closing:
            self._conclude(owner, now)
        elif self._eof or self.wire.pending:
            # A request may be here. It takes its turn, as only a serving thread may answer it.
            following = self.wire.proceed()
            if following is None:
                self._await(owner, now)
            else:
                following.arrived = now
                self._yield(owner, following)
        else:
            self._began = 0.0
            self._await(owner, now)

    def _await(self, owner: Owner, now: float) -> None:
        """Park for what the wire awaits, or end the connection if that is nothing."""
        wire = self.wire
        if wire.error is not None and self.exchange is None and wire.exchange is None:
            self._deck.crew.log_refusal(self, wire.error.text)
        if wire.out and not self._push():
            self._wait_to_write(owner, now)
            return
        if self._lost or wire.closing:
            self._conclude(owner, now)
            return
        if wire.persistence is Persistence.UPGRADE and wire.exchange is not None:
            self._asked_to_upgrade(owner, wire.exchange, now)
            return
        deadlines = self._deck.deadlines
        awaiting = wire.awaiting
        if awaiting is Awaiting.HEAD:
            self.heard = now
            self._began = self._began or now
            self.deadline = max(self._began, deadlines.retired_at) + deadlines.head
            if wire.pending:
                self._came_in_part()
        elif wire.exchange is not None:  # the rest of a content that the application did not want
            self.deadline = self._pace_inward(wire.exchange).begin(now)
        else:
            self.deadline = now + deadlines.idle
        self._deck.table.park(self, owner, READ)
        if self._deck.crowded:
            self._deck.doors.room()

    def _asked_to_upgrade(self, owner: Owner, exchange: Exchange, now: float) -> None:
        """WebSocket is asked for: answer as ever, but the application may take the socket."""
        self.__class__ = self._deck.lending
        cast("LendingConnection", self).offer()
        exchange.arrived = now
        self._yield(owner, exchange)

    def _finish(self, owner: Owner, exchange: Exchange, now: float) -> None:
        """The response is out, or never will be."""
        exchange.finished = now
        deck = self._deck
        deck.crew.log_exchange(exchange, self, owner.words)
        self.exchange = self.environ = None
        if deck.drowsy:
            deck.lookout.nudge()

    # What the lookout asks

    def expire(self, owner: Owner, now: float) -> None:
        """The deadline has passed. The peer is not to blame if it has done its part and no thread was free for it."""
        stage = self.stage
        if stage is Stage.LINGERING:
            self.close(owner)
        elif stage is Stage.WRITING:
            done = self._push()
            pace = self._pace_outward()
            pace.end(self._sent, now)
            if done or pace.begin(now) > now:
                self._wait_to_write(owner, now)
                return
            owner.words[TIMEOUTS_WRITE] += 1
            self._lose()
            self._written(owner, now)
        elif self._has_sent():
            self.deadline = now + self._deck.deadlines.body
            self._deck.table.park(self, owner, READ)
        else:
            owner.words[_TIMEOUTS[self.wire.awaiting]] += 1
            self.wire.expire()
            if self.exchange is not None:
                self._refused(owner, self.exchange, now)
            else:
                self._await(owner, now)
