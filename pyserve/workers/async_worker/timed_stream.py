"""Connections of the async worker whose requests may take only so long: see `overdue`.

All of this happens in the loop. A thread that runs a WSGI application hands what it sends to the loop, where it is
dropped once its exchange is over.
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING

from pyserve.protocol.exchange import Exchange
from pyserve.workers.async_worker.asgi_stream import AsgiStream
from pyserve.workers.async_worker.stream import Stream
from pyserve.workers.async_worker.wsgi_stream import Call, Owner, WsgiStream
from pyserve.workers.overdue import UNHEEDED, answer_for, log_overdue, stack_of_task, stack_of_thread, too_long

if TYPE_CHECKING:
    from pyserve.protocol.wsgi import Environ


class TimedAsgiStream(AsgiStream):
    """To be mixed with other classes of streams."""

    __slots__ = ()

    def look(self, now: float) -> bool:
        exchange, registry = self.exchange, self.registry
        if exchange is None or now - exchange.arrived <= registry.deadlines.request:
            return False
        crew = registry.crew
        task = registry.tasks.get(exchange)
        log_overdue(crew, exchange, crew.counters, stack_of_task(task))
        error = too_long()
        exchange.fail(error.status, error.text)
        self.flush()
        if task is not None:
            task.cancel(error.text)
            registry.loop.call_later(UNHEEDED, registry.unheeded, exchange)
        return True


class TimedCall(Call):
    """Knows since when it is to run, and in which thread it does."""

    __slots__ = ("began", "ident")

    def __init__(self, stream: WsgiStream, exchange: Exchange, environ: Environ) -> None:
        super().__init__(stream, exchange, environ)
        self.began = monotonic()
        self.ident = 0

    def run(self) -> None:
        self.ident = threading.get_ident()
        super().run()


class TimedWsgiStream(WsgiStream):
    """To be mixed with other classes of streams."""

    __slots__ = ()

    def look(self, now: float) -> bool:
        exchange, call, registry = self.exchange, self._call, self.registry
        if exchange is None or not isinstance(call, TimedCall) or now - call.began <= registry.deadlines.request:
            return False
        crew = registry.crew
        log_overdue(crew, exchange, crew.counters, stack_of_thread(call.ident))
        registry.tasks.pop(exchange, None)  # nobody waits for its thread when the worker ends
        if self._owner is Owner.LOOP:
            error = too_long()
            exchange.fail(error.status, error.text)
            self.flush()
        else:
            self._leave_behind(exchange, call)
        crew.retire()
        return True

    def _leave_behind(self, exchange: Exchange, call: TimedCall) -> None:
        """Answer in the thread's place, or break its response off; from now on it meets only errors."""
        exchange.gone = True
        self.exchange = None
        if call.handed:
            self.reset()
        else:
            self.write(answer_for(exchange, self.registry.crew))
            Stream.close(self)
        self.registry.finished(exchange, self)
        call.wake()
