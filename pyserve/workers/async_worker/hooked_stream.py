"""The async worker's connection to an ASGI application where a hook is called around each request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyserve.protocol.errors import ProtocolError
from pyserve.workers.async_worker.asgi_stream import AsgiStream
from pyserve.workers.notes import METHODS, note

if TYPE_CHECKING:
    from pyserve.protocol.exchange import Exchange
    from pyserve.workers.async_worker.registry import Door, Registry
    from pyserve.workers.tls.channel import TlsChannel


class HookedAsgiStream(AsgiStream):
    """Calls `pre_request` before the application, in the loop's thread."""

    __slots__ = ("_scheme",)

    def __init__(self, registry: Registry, door: Door) -> None:
        super().__init__(registry, door)
        self._scheme = "http"

    def secured(self, tls: TlsChannel) -> None:
        super().secured(tls)
        self._scheme = "https"

    def begin(self, exchange: Exchange) -> None:
        requests = self.registry.crew.request_hooks
        assert requests is not None
        note(self.registry.notes, self.place, METHODS[exchange.method], exchange.target, exchange.arrived)
        try:
            requests.begin(exchange, self._template.client, self._scheme)
        except ProtocolError as error:
            exchange.fail(error.status, error.text)
            self.flush()
            return
        super().begin(exchange)
