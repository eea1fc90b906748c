"""Connections of the async worker where only so many requests may be in flight: see `gate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyserve.workers.async_worker.registry import Registry
from pyserve.workers.async_worker.stream import Stream
from pyserve.workers.gate import Gate, turn_away

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from pyserve.protocol.exchange import Exchange
    from pyserve.workers.crew import Crew


class LimitedRegistry(Registry):
    """Knows which requests are in flight."""

    def __init__(self, loop: asyncio.AbstractEventLoop, crew: Crew, changed: Callable[[], None]) -> None:
        super().__init__(loop, crew, changed)
        self.gate = Gate(crew.settings.limit_concurrency or 0, crew.log)
        self.inside: set[Exchange] = set()

    def enter(self, exchange: Exchange) -> bool:
        """A request begins; False where it is one too many."""
        if not self.gate.enter():
            return False
        self.inside.add(exchange)
        return True

    def finished(self, exchange: Exchange, stream: Stream) -> None:
        super().finished(exchange, stream)
        self.parted(exchange)

    def parted(self, exchange: Exchange) -> None:
        if exchange in self.inside:
            self.inside.remove(exchange)
            self.gate.leave()


class LimitedStream(Stream):
    """To be mixed with classes of streams: what they begin, begins here."""

    __slots__ = ()

    def begin(self, exchange: Exchange) -> None:
        registry = self.registry
        assert isinstance(registry, LimitedRegistry)
        if registry.enter(exchange):
            super().begin(exchange)
        else:
            turn_away(exchange, registry.crew)
            self.flush()
