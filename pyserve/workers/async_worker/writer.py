"""The way out of a connection of the async worker: to the transport, or past it where a file is sent."""

import asyncio
from collections.abc import Awaitable

from pyserve.protocol.exchange import Data, FileSpan
from pyserve.workers.async_worker.spans import SpanQueue
from pyserve.workers.async_worker.waiters import Waiters
from pyserve.workers.deadlines import Phase

HIGH_WATER = 65536  # octets, in either direction

_JOINED = 32768  # octets: up to here a copy costs less than a packet of their own for the small pieces
_SERVING = Phase.SERVING


class Writer(asyncio.Protocol):
    """Writes what it is handed, in order, and says when that should wait.

    phase: how far the connection has come; nothing is written but while it is served.
    written: octets handed out so far.
    """

    __slots__ = ("_loop", "_paused", "_room", "_spans", "_turn", "phase", "transport", "written")

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.phase = _SERVING
        self.written = 0
        self._turn = HIGH_WATER
        self._paused = False  # the transport holds more than its high-water mark
        self._room: Waiters | None = None  # for the transport to take more
        self._spans: SpanQueue | None = None  # while a file is being sent: what goes out goes there

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment] # of TCP and unix sockets it is a Transport
        self._set_marks()

    def _set_marks(self) -> None:
        # uvloop's own low-water mark is 16 octets: the peer would wait for each refill.
        self.transport.set_write_buffer_limits(HIGH_WATER, HIGH_WATER // 4)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._spans is not None:
            self._spans.resume()
        else:
            self._set_marks()
            self._has_room()

    # Writing

    def write_pieces(self, pieces: list[Data]) -> None:
        """Hand data to the transport, or to the queue behind a file that is on its way."""
        if self.phase is not _SERVING:
            for piece in pieces:
                if isinstance(piece, FileSpan):
                    piece.close()
        elif self._spans is not None or any(isinstance(piece, FileSpan) for piece in pieces):
            if self._spans is None:
                self._spans = SpanQueue(self._loop, self)
            self._spans.extend(pieces)
        elif (size := sum(map(len, pieces))) <= _JOINED:
            self.write(b"".join(pieces))  # type: ignore[arg-type] # there is no FileSpan among them
        else:
            self.written += size
            self.transport.writelines(pieces)  # type: ignore[arg-type]
            self.press()  # also because asyncio's `writelines` pauses nobody (Python 3.12 and 3.13)

    def write(self, data: bytes) -> None:
        """Write to the transport (`spans.Outlet`)."""
        if self.phase is _SERVING:
            self.written += len(data)
            self.transport.write(data)

    def press(self) -> None:
        """Something large was written: nothing may follow it before the peer has taken it all.

        The transport holds the application's block as it is, the kernel some more. With the ordinary marks it would
        hold two blocks for each peer that does not read, as the end of one and the next may stay below them together.
        """
        if self.phase is _SERVING and self.transport.get_write_buffer_size():
            self.transport.set_write_buffer_limits(0, 0)

    def count(self, octets: int) -> None:
        """Note octets that have gone past the transport (`spans.Outlet`)."""
        self.written += octets

    def limit(self, octets: int) -> bool:
        """Set the transport's high-water mark; tell whether it holds more (`spans.Outlet`)."""
        if self.phase is Phase.CLOSED:
            return False
        self.transport.set_write_buffer_limits(octets, octets // 4)
        return self._paused

    def sent(self) -> None:
        """A file, and everything behind it, has been sent (`spans.Outlet`)."""
        self._spans = None
        if not self._paused:
            self._has_room()

    def reset(self) -> None:
        """Break the connection off, so that the peer cannot take it for a regular end."""
        raise NotImplementedError

    def _stop_writing(self) -> None:
        """The connection is lost."""
        self.phase = Phase.CLOSED
        if self._spans is not None:
            self._spans.stop()
        if self._room is not None:
            self._room.wake()

    # Waiting

    @property
    def sending_file(self) -> bool:
        """Whether a file, or what follows it, waits to be sent."""
        return self._spans is not None

    @property
    def full(self) -> bool:
        """Whether what was handed out has not gone far enough for more."""
        return (self._paused or self._spans is not None) and self.phase is _SERVING

    def writable(self) -> Awaitable[None] | None:
        """None while the transport takes more, else something to await until it does.

        A response to a fast reader may never meet a full buffer: after each `HIGH_WATER` octets others have their turn.
        """
        if self.full:
            return self.room()
        if self.written < self._turn:
            return None
        self._turn = self.written + HIGH_WATER
        return asyncio.sleep(0)

    def room(self) -> asyncio.Future[None]:
        """Something to await until the transport may take more, or the connection is lost."""
        if self._room is None:
            self._room = Waiters(self._loop)
        return self._room.wait()

    def _has_room(self) -> None:
        """The transport takes more again."""
        if self._room is not None:
            self._room.wake()
