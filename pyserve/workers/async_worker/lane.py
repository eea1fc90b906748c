"""The slow lane: connections whose requests come in small pieces are read one at a time.

A loop serves all that one wait has returned, up to a thousand events, before it waits again, and each piece may wake a
task besides. Thousands of peers who send a piece each in the same millisecond would have whoever comes with a whole
request wait until all of them had been served. So the transports of such connections do not read: they wait in an epoll
of their own, which the loop watches as a single descriptor, and one of them is read here in each turn of the loop:
from a new connection to its answer there are half a dozen turns. They come here with the second small piece, or when
the scan of deadlines finds a request that is not here whole.

Only what comes is the lane's. The end of the peer's stream, and errors, are met by the transport, which reads on then.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable
from time import sleep
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from pyserve.workers.async_worker.stream import Stream

SMALL = 4096  # octets: of larger pieces fewer are needed, and nobody sends thousands at once

_OCTETS = 16384  # of one read
_PAUSE = 0.00005  # seconds


class Lane:
    """The connections of one worker that are in it.

    threads_work: whether threads are at work for others. A read gives the interpreter away for too short a time for
    them to get it, where there is but one core or they have to be woken first.
    """

    __slots__ = ("_epoll", "_loop", "_streams", "threads_work")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._streams: dict[int, Stream] = {}
        self.threads_work: Callable[[], bool] | None = None
        loop.add_reader(self._epoll.fileno(), self._turn)

    def __len__(self) -> int:
        return len(self._streams)

    def take(self, stream: Stream) -> None:
        """Read for `stream`, whose transport reads, and from now on does not."""
        fd = stream.transport.get_extra_info("socket").fileno()
        self._epoll.register(fd, select.EPOLLIN)
        self._streams[fd] = stream
        stream.slow = True
        stream.transport.pause_reading()

    def release(self, stream: Stream) -> None:
        """Read no more for `stream`, which is in the lane; nor does its transport, unless it is told to."""
        fd = stream.transport.get_extra_info("socket").fileno()
        del self._streams[fd]
        self._epoll.unregister(fd)
        stream.slow = False

    def close(self) -> None:
        """Nobody is read for any more."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._streams.clear()

    def _turn(self) -> None:
        for fd, _ in self._epoll.poll(0, 1):
            stream = self._streams.get(fd)
            if stream is not None:
                self._read(fd, stream)
        if self.threads_work is not None and self.threads_work():
            sleep(_PAUSE)

    def _read(self, fd: int, stream: Stream) -> None:
        try:
            data = os.read(fd, _OCTETS)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            # With TLS that is who has the stream behind it.
            cast(asyncio.Protocol, stream.transport.get_protocol()).data_received(data)
        if stream.slow and not (data and len(data) < SMALL and stream.trickles):
            self.release(stream)
            if not stream.transport.is_closing():
                stream.transport.resume_reading()
