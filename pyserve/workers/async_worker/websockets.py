"""The WebSockets of one async worker: what they share, and the one clock that asks whether their peers live.

A peer of which nothing has come for `ping_interval` seconds is sent a ping, and one that says nothing for another
`ping_timeout` is given up (1011). Anything it sends is a sign of life: its pong may be held up behind a long message.
Nor does the time run while nothing is read because the application takes nothing.
"""

from __future__ import annotations

import sys
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from pyserve.protocol.websocket import State, Terms
from pyserve.protocol.websocket_frames import Code

if TYPE_CHECKING:
    from pyserve.settings import Settings
    from pyserve.workers.async_worker.registry import Registry
    from pyserve.workers.async_worker.websocket_stream import HandshakeStream, WebSocketStream

_CLOSE = 10.0
"""Seconds for the peer to answer a close frame (RFC 6455 section 7.1.1 leaves it open; uvicorn and websockets: 10)."""


class Beat:
    """One peer's signs of life. pinged: when it was last sent a ping that it has not answered, else 0.0. closing: since
    when its close frame is awaited, else 0.0. Monotonic seconds."""

    __slots__ = ("closing", "pinged")

    def __init__(self) -> None:
        self.pinged = 0.0
        self.closing = 0.0


class WebSockets:
    """Those of one worker.

    terms: what they may do. handshakes, kind: the classes that connections become, of the class that they begin as.
    retiring: the worker ends, and every WebSocket with it.
    """

    kind: type[WebSocketStream]
    handshakes: type[HandshakeStream]

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self.terms = Terms(
            settings.websocket_max_message_size or sys.maxsize, settings.ws_max_queue, settings.ws_per_message_deflate
        )
        self.retiring = False
        self._registry = registry
        self._interval = settings.ws_ping_interval or inf
        self._timeout = settings.ws_ping_timeout or inf
        self._step = max(0.02, min(1.0, self._interval / 4, self._timeout / 4))
        self._beats: dict[WebSocketStream, Beat] = {}
        self._looking = False

    def opened(self, stream: WebSocketStream) -> None:
        """A handshake was agreed to."""
        self._beats[stream] = Beat()
        if not self._looking:
            self._looking = True
            self._look_later()
        if self.retiring:
            self._registry.loop.call_soon(stream.take_leave, context=self._registry.context)

    def closed(self, stream: WebSocketStream) -> None:
        """One is over."""
        self._beats.pop(stream, None)

    def retire(self) -> None:
        """The worker ends: all are closed, also those that begin later."""
        self.retiring = True
        for stream in tuple(self._beats):
            stream.take_leave()

    def _look_later(self) -> None:
        self._registry.loop.call_later(self._step, self._look, context=self._registry.context)

    def _look(self) -> None:
        now = monotonic()
        for stream, beat in tuple(self._beats.items()):
            if stream.socket.state is State.OPEN:
                self._judge(stream, beat, now)
            elif not beat.closing:
                beat.closing = now
            elif now - beat.closing > _CLOSE:
                stream.transport.abort()
        self._looking = bool(self._beats)
        if self._looking:
            self._look_later()

    def _judge(self, stream: WebSocketStream, beat: Beat, now: float) -> None:
        if stream.touched < beat.pinged and stream.reading and self._timeout < inf:
            if now - beat.pinged > self._timeout:
                stream.give_up(Code.SERVER_ERROR, "keepalive ping timeout")
        elif now - max(stream.touched, beat.pinged) >= self._interval:
            beat.pinged = now
            stream.ping()
