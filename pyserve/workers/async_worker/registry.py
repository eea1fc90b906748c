"""The connections of one async worker: what they share, and what they tell."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import os
import socket
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from pyserve.protocol.errors import Disconnected, ProtocolError
from pyserve.workers.crew import request_line
from pyserve.workers.deadlines import ARRIVING, Deadlines, missed, overstays
from pyserve.workers.notes import place_for
from pyserve.workers.proxies import forwarding_of
from pyserve.workers.scoreboard import CONNECTIONS, IN_FLIGHT, TIMEOUTS_KEEPALIVE, TIMEOUTS_WRITE

if TYPE_CHECKING:
    from pyserve.protocol.exchange import Exchange
    from pyserve.workers.async_worker.acceptor import Acceptor
    from pyserve.workers.async_worker.lane import Lane
    from pyserve.workers.async_worker.stream import Stream
    from pyserve.workers.async_worker.websockets import WebSockets
    from pyserve.workers.crew import Crew
    from pyserve.workers.logs.access import Access

_CANDIDATES = 64  # idle connections found in one search, as each search goes over all connections
_MOMENT = 0.0001  # seconds in which connections are judged in one go: whoever wants an answer waits for as long
_BETWEEN = 0.001  # seconds from one such moment to the next
_PARTS = 200  # at most so many make a round, however long the loop takes for a turn
_FLUSH = 0.1  # seconds that a line of the access log may wait


class Door:
    """A listener as its connections see it."""

    __slots__ = ("_named", "server")

    def __init__(self, listener: socket.socket) -> None:
        name = listener.getsockname()
        self.server: tuple[str, int | None] | None = None
        self._named = True
        if listener.family == socket.AF_UNIX:
            self.server = (os.fsdecode(name), None)
        elif listener.family in (socket.AF_INET, socket.AF_INET6):
            self.server = name[:2]
            self._named = name[0] not in ("0.0.0.0", "::")

    def reached(self, transport: asyncio.Transport) -> tuple[str, int | None] | None:
        """The address that a peer has connected to."""
        return self.server if self._named else transport.get_extra_info("sockname")[:2]


class Registry:
    """What the streams of one worker share, and tell.

    tasks: the unfinished tasks of requests, which nothing else may hold; some run on after their response. notes: where
    each request in progress is written down (`workers/notes.py`).
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, crew: Crew, changed: Callable[[], None]) -> None:
        """changed: called when a connection or a task has ended, once the worker retires."""
        self.loop = loop
        # What the loop is asked to call from within a request's task would else run in that request's context.
        self.context = contextvars.copy_context()
        self.crew = crew
        self.config = crew.config
        self.deadlines = Deadlines.of(crew.settings)
        self.refuses_underscores = crew.settings.header_map == "refuse"
        self.forwarder_names = frozenset(name.lower().encode() for name in crew.settings.forwarder_headers)
        self.forwarding = forwarding_of(crew.settings, "asgi")
        self.grace = crew.settings.disconnect_grace
        self.root_path = crew.settings.root_path
        self.application: Any = crew.application.callable
        self.state: dict[str, Any] | None = None
        self.streams: set[Stream] = set()
        self.tasks: dict[Exchange, asyncio.Future[None]] = {}
        self.acceptor: Acceptor | None = None
        self.websockets: WebSockets | None = None  # where they may be
        self.lane: Lane | None = None  # where the system has epoll
        self._timed = bool(crew.settings.request_timeout)
        self._changed = changed
        self._candidates: list[tuple[float, Stream]] = []
        self._unseen: list[Stream] = []  # connections that this round of `check` has still to judge
        self._least = 0  # of them in one go
        self._round_ends = 0.0
        self._flushing = False
        self._counters = crew.counters
        self._log_exchange = crew.log_exchange
        self._slot = crew.context.slot
        self._words = self._slot.words
        self.notes = self._slot.notes
        # With listeners of their own nobody else can take what waits at this worker's.
        shares = crew.context.multiprocess and not crew.settings.reuse_port
        self._board = crew.context.scoreboard if shares else None

    # What streams tell

    def made(self, stream: Stream) -> None:
        """A connection has come."""
        self.streams.add(stream)
        count = len(self.streams)
        self._words[CONNECTIONS] = count
        fd = stream.transport.get_extra_info("socket").fileno()
        stream.place = place_for(self._slot, fd)
        if self.acceptor is not None:
            self.acceptor.made(count, fd)

    def lost(self, stream: Stream) -> None:
        """A connection has ended."""
        self.streams.discard(stream)
        count = len(self.streams)
        self._words[CONNECTIONS] = count
        if self.acceptor is not None:
            self.acceptor.lost(count)
        if self.deadlines.retired_at:
            self._changed()

    def finished(self, exchange: Exchange, stream: Stream) -> None:
        """A response is complete, or never will be."""
        exchange.finished = stream.touched = monotonic()
        self._log_exchange(exchange, stream, self._counters)
        if self.crew.access is not None and not self._flushing:
            self._flushing = True
            self.loop.call_later(_FLUSH, self._flush, self.crew.access)

    def parted(self, exchange: Exchange) -> None:
        """A WebSocket is over: whatever else `finished` does was done when it was agreed to."""

    def failed(self, exchange: Exchange, error: BaseException) -> None:
        """The application has raised."""
        if not _is_silent(exchange, error):
            self.crew.log_failure(exchange, error, self.crew.counters)

    def unanswered(self, exchange: Exchange) -> None:
        """The application has returned without a complete response."""
        if not (exchange.gone or exchange.peer_done):
            what = "completing its response" if exchange.status else "starting a response"
            self.crew.log.error("ASGI application returned without %s: %s", what, request_line(exchange))

    def unheeded(self, exchange: Exchange) -> None:
        """Some time ago a request was cancelled."""
        if exchange in self.tasks:
            self.crew.log.error("The application goes on although it was cancelled: %s", request_line(exchange))

    def refused(self, stream: Stream, error: ProtocolError) -> None:
        """A peer has broken the protocol or missed a deadline."""
        self.crew.log_refusal(stream, error.text)

    def ended(self, exchange: Exchange) -> None:
        """The task of a request has ended."""
        self.tasks.pop(exchange, None)
        if self.deadlines.retired_at:
            self._changed()

    # What the worker asks

    def check(self, now: float) -> float:
        """Judge the deadlines of all connections once in `Deadlines.step`, a moment at a time where they are many; of
        more than some thousands a round takes longer. Returns the seconds until it is to be called again."""
        if not self._unseen:
            self._words[IN_FLIGHT] = len(self.tasks)
            if self.acceptor is not None:
                self.acceptor.tick()
            self._unseen = list(self.streams)
            self._least = len(self._unseen) // _PARTS
            self._round_ends = now + self.deadlines.step
        until, least = now + _MOMENT, self._least
        while self._unseen:
            stream = self._unseen.pop()
            if stream in self.streams:
                self._judge(stream, now)
                if not stream.slow and stream.trickles and stream.reading and self.lane is not None:
                    self.lane.take(stream)
            least -= 1
            now = monotonic()
            if least <= 0 and now >= until:
                break
        return _BETWEEN if self._unseen else max(_BETWEEN, self._round_ends - now)

    def _judge(self, stream: Stream, now: float) -> None:
        if self._timed and stream.look(now):
            return
        if overstays(stream, self.deadlines, now):
            stream.transport.abort()
            return
        if not stream.reading:
            stream.look_for_the_end()
        kind = missed(stream, self.deadlines, now)
        if kind is None:
            return
        self.crew.counters[kind] += 1
        if kind == TIMEOUTS_WRITE:
            stream.reset()
        else:
            stream.expire()

    def make_room(self) -> bool:
        """Close the connection that has been idle for longest; False when none is idle."""
        for _ in range(2):
            while self._candidates:
                touched, stream = self._candidates.pop()
                if stream.idle and stream.touched == touched:
                    self.crew.counters[TIMEOUTS_KEEPALIVE] += 1
                    stream.drop()
                    return True
            silent = monotonic() - ARRIVING  # since before then: who never asked will not
            idle = (
                (stream.touched, stream)
                for stream in self.streams
                if stream.idle and (stream.wire.served or stream.touched < silent)
            )
            self._candidates = heapq.nsmallest(_CANDIDATES, idle, key=_touched)[::-1]
        return False

    def busy_with(self) -> list[Exchange]:
        """The requests in progress: that which holds the loop first, then the oldest ones, then WebSockets, which may
        have been there for days. For any thread.
        """
        current = asyncio.current_task(self.loop)
        waiting = dict(self.tasks)
        found = [stream.exchange for stream in tuple(self.streams)]
        exchanges = [exchange for exchange in found if exchange is not None]
        # A task that started at once is not among those that wait until its first wait.
        exchanges.sort(key=lambda each: (waiting.get(each) not in (None, current), each.status == 101, each.arrived))
        return exchanges

    def has_more_than_its_share(self) -> bool:
        """Whether other workers hold clearly fewer connections, or answer clearly fewer requests."""
        board = self._board
        if board is None:
            return False
        self._words[IN_FLIGHT] = in_flight = len(self.tasks)
        return _stands_out(len(self.streams), board.mean_connections()) or _stands_out(
            in_flight, board.mean_in_flight()
        )

    def say_full(self) -> None:
        """As many are open as may be, and somebody waits."""
        self.crew.say_full()

    def _flush(self, access: Access) -> None:
        self._flushing = False
        access.tick()


def _stands_out(value: int, mean: float) -> bool:
    # Small differences are chance, and to step back has a price.
    return value > mean + max(4.0, mean / 4)


def _is_silent(exchange: Exchange, error: BaseException) -> bool:
    """Tell whether an exception only says that the peer has gone, in whatever the application wraps it."""
    return (exchange.gone or exchange.peer_done) and _comes_of_leaving(error, set())


def _comes_of_leaving(error: BaseException | None, seen: set[int]) -> bool:
    if error is None or id(error) in seen:
        return False
    seen.add(id(error))
    if isinstance(error, Disconnected | asyncio.CancelledError):
        return True
    if isinstance(error, BaseExceptionGroup) and all(_comes_of_leaving(inner, seen) for inner in error.exceptions):
        return True
    return _comes_of_leaving(error.__cause__ or error.__context__, seen)


def _touched(candidate: tuple[float, Stream]) -> float:
    return candidate[0]
