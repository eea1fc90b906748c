"""The thread of a sync worker that never serves: the clock, deadlines, heartbeat, signals, and the way to the end.

It sleeps for a second at a time while nothing happens. Where an access log is kept, the first line after that wakes it
(`nudge`), so that lines wait for at most a tenth of a second.

Silence is judged by progress. With one serving thread the heartbeat stops where the request in progress began, or last
got octets in or out; with several it goes on, as threads may all be busy for good reasons.
"""

from __future__ import annotations

import os
import select
import threading
from contextlib import suppress
from time import monotonic, monotonic_ns, sleep, time
from typing import TYPE_CHECKING

from pyserve.workers.crew import Phase
from pyserve.workers.logs.error_log import escape
from pyserve.workers.scoreboard import CONNECTIONS, HEARTBEAT, IN_FLIGHT
from pyserve.workers.thread_worker.table import Owner

if TYPE_CHECKING:
    from pyserve.protocol.exchange import Exchange
    from pyserve.workers.thread_worker.channel import Channel
    from pyserve.workers.thread_worker.deck import Deck

_FLUSH = 0.1  # seconds that a line of the access log may wait
_SLOW = 1.0  # seconds after which a request in progress is worth telling
_AT_ONCE = 200  # connections judged in one go, a quarter of a millisecond: whoever wants an answer waits for as long
_BETWEEN = 0.001  # seconds from one part to the next
_MOVE = 5  # looks: as long as it takes to have a connection wait in the slow lane
_HURRY = 0.05  # seconds between two looks while the worker ends
_LEAVE = 1.0  # seconds that the main thread has to return from its last request


class Lookout(Owner):
    """See above. wakeup_fd: where signal numbers are written to (`signal.set_wakeup_fd`). code: the exit code."""

    __slots__ = (
        "_deck", "_due", "_pipe", "_poll", "_retired", "_thread", "code", "left", "wakeup_fd",
    )  # fmt: skip

    def __init__(self, deck: Deck, words: memoryview[int]) -> None:
        super().__init__(words)
        self._deck = deck
        self._pipe, self.wakeup_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._pipe, select.POLLIN)
        self._poll.register(deck.crew.context.master_fd, select.POLLIN)
        self._retired = False
        self._due = 0.0  # when the connections are looked at next
        self._thread = threading.Thread(target=self._watch, name="lookout", daemon=True)
        self.code = 0
        self.left = threading.Event()  # the main thread serves no more

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Wait until it has ended, and give back what it holds."""
        self._thread.join()
        os.close(self._pipe)
        fd, self.wakeup_fd = self.wakeup_fd, -1  # its number may be another's soon
        os.close(fd)

    def wake(self) -> None:
        """Have it look at once; from any thread or a signal handler."""
        with suppress(OSError):  # a full pipe wakes as well
            os.write(self.wakeup_fd, b"\0")

    def nudge(self) -> None:
        """A line waits in the access log, and the deck is drowsy."""
        self._deck.drowsy = False
        self.wake()

    # The loop

    def _watch(self) -> None:
        deck = self._deck
        crew = deck.crew
        pause = 0.0
        lines = False
        while not deck.stopping:
            self._listen(pause)
            try:
                lines = self._flush(pause)
                now = monotonic()
                crew.tick(time())
                self._beat(now)
                if now >= self._due:
                    self._due = now + deck.deadlines.step
                    self._scan(now)
            except Exception:
                crew.log.exception("Unhandled exception in the lookout")
            if crew.phase is not Phase.RUNNING:
                self._go_on_to_the_end()
            pause = self._pause(lines)

    def _go_on_to_the_end(self) -> None:
        """Whatever went wrong with other duties."""
        try:
            self._steer()
        except Exception:
            self._deck.crew.log.exception("Unhandled exception in the lookout")

    def _flush(self, slept: float) -> bool:
        """Have gathered lines of the access log written; return whether others may come that are not to wait long."""
        deck = self._deck
        access = deck.crew.access
        if access is None:
            return False
        if slept > _FLUSH and not deck.drowsy:
            return True  # nudged: there are lines, and soon there may be more
        # First drowsy, then the writing: a line that comes in between wakes for nothing, but none waits in vain.
        deck.drowsy = True
        access.tick()
        return False

    def _listen(self, pause: float) -> None:
        """Sleep, and heed what wakes: signals, the master's death, a wish to look."""
        crew = self._deck.crew
        for fd, _ in self._poll.poll(pause * 1000):
            if fd == self._pipe:
                with suppress(BlockingIOError):
                    for number in os.read(self._pipe, 4096):
                        crew.signalled(number)
            else:
                self._poll.unregister(fd)
                crew.master_died()

    def _pause(self, lines: bool) -> float:
        """How long to sleep: until the next second begins or deadlines are due, and not long where lines wait."""
        most = _HURRY if self._retired else _FLUSH if lines else min(1.001 - time() % 1, self._deck.crew.pulse)
        return max(0.001, min(most, self._due - monotonic()))

    # Duties

    def _beat(self, now: float) -> None:
        words = self._deck.crew.context.slot.words
        busy = []
        aside = 0
        for hand in self._deck.relay.hands:
            exchange = hand.exchange
            if exchange is None:
                continue
            if hand.aside:
                aside += 1
            else:
                busy.append((hand.since, exchange))
        self._deck.relay.account(self.words)
        words[IN_FLIGHT] = len(busy) + aside
        words[CONNECTIONS] = len(self._deck.table.open)
        beat = monotonic_ns()
        since, exchange = min(busy, key=_called, default=(now, None))
        if exchange is not None and now - exchange.called >= _SLOW:
            text = f"{exchange.method} {escape(exchange.target)}"
            self._deck.crew.context.slot.publish(text, int(exchange.called * 1e9))
            if self._deck.crew.settings.threads == 1 and now - since >= _SLOW:
                beat = int(since * 1e9)
        else:
            self._deck.crew.context.slot.withdraw()
        words[HEARTBEAT] = beat

    def _scan(self, now: float) -> None:
        """End what has missed its deadline."""
        deck = self._deck
        table = deck.table
        for running in tuple(deck.running):
            running.look(self, now)
        looks = 0
        for connection in tuple(table.parked.values()):
            looks += 1
            if looks >= _AT_ONCE:
                looks = 0
                sleep(_BETWEEN)  # those who serve need the interpreter
            if self._is_late(connection, now):
                if (claimed := table.claim(connection.fd)) is None:
                    continue
                if self._is_late(claimed, now):
                    claimed.expire(self, now)
                else:
                    claimed.go_back(self)
            elif connection.halfway and not connection.slow and (claimed := table.claim(connection.fd)) is not None:
                looks += _MOVE
                claimed.go_back(self, slow=claimed.halfway)
        deck.doors.look_again(self)

    def _is_late(self, connection: Channel, now: float) -> bool:
        if now > connection.deadline:
            return True
        deadlines = self._deck.deadlines
        if not deadlines.retired_at:
            return False
        silent = now - max(deadlines.retired_at, connection.heard)
        if connection.idle and not connection.wire.served:
            return silent > deadlines.unasked
        if connection.idle:
            return now - deadlines.retired_at > deadlines.idle
        return connection.arriving and silent > deadlines.arriving

    # The end

    def _steer(self) -> None:
        deck = self._deck
        crew = deck.crew
        if not self._retired:
            self._retired = True
            deck.deadlines.retire(crew.drained_since, crew.drain_idle)
            deck.doors.close(self)
        if crew.phase is Phase.QUITTING or crew.grace_over:
            self._cut()
        elif not deck.table.open:
            self._finish()

    def _cut(self) -> None:
        """Close everything, whatever it is doing. That idle connections are open is no failure."""
        deck = self._deck
        table = deck.table
        draining = deck.crew.phase is Phase.DRAINING
        late = 0
        for fd in tuple(table.parked):
            if (connection := table.claim(fd)) is None:
                continue
            if draining and connection.missed_by_nobody:
                connection.close(self)
            else:
                late += 1
                connection.reset(self)
        for connection in tuple(table.open):  # in the hands of threads
            late += 1
            connection.spoil()
        if late and draining:
            self.code = 1
            limit = deck.crew.settings.graceful_timeout
            deck.crew.log.warning("%d connections were not done within %g s and are cut off", late, limit)
        deck.patience.end()
        self._finish()

    def _finish(self) -> None:
        """Have all threads return. The main thread may be in a request that does not end: then nobody else ends it."""
        deck = self._deck
        deck.stopping = True
        deck.table.wake_all()
        deck.relay.end()
        if not self.left.wait(_LEAVE):
            self.account()
            deck.crew.abandon(self.code)

    def account(self) -> None:
        """Threads that are still in a request are not waited for: the access log is told of them all the same."""
        for connection in tuple(self._deck.table.open):
            connection.account(self)


def _called(busy: tuple[float, Exchange]) -> float:
    return busy[1].called
