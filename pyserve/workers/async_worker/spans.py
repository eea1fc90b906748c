"""Files on the way to a peer of the async worker.

A file passes the transport by: `os.sendfile` writes to a duplicate of the socket's descriptor while the transport's
own buffer is empty. A duplicate, because the loop lets nobody else watch a descriptor that one of its transports has;
uvloop has no `loop.sendfile`. Where sendfile is not possible, a thread reads the file and the transport writes it.
"""

import asyncio
import contextlib
import errno
import functools
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from pyserve.protocol.exchange import Data, FileSpan
from pyserve.workers.thread_worker.sendfile import is_stored

_AT_ONCE = 1024 * 1024  # octets of a file before the other connections have their turn
_READ = 65536
_MOST = 64 * 1024 * 1024  # octets held of a file that does not say its size; one may have no end
_T = TypeVar("_T")


class Outlet(Protocol):
    """What a queue needs of its stream."""

    transport: asyncio.Transport

    def write(self, data: bytes) -> None:
        """Write to the transport."""

    def count(self, octets: int) -> None:
        """Note octets that have gone past the transport."""

    def limit(self, octets: int) -> bool:
        """Set the transport's high-water mark; tell whether it holds more, and so will call `SpanQueue.resume`."""

    def sent(self) -> None:
        """The queue has come to its end."""

    def reset(self) -> None:
        """Break the connection off, what has been promised cannot be sent."""


class SpanQueue:
    """Data behind and with a file, sent in order by a task of its own; the stream keeps it until `Outlet.sent`."""

    __slots__ = ("_loop", "_outlet", "_pieces", "_resumed", "_task")

    def __init__(self, loop: asyncio.AbstractEventLoop, outlet: Outlet) -> None:
        self._loop = loop
        self._outlet = outlet
        self._pieces: deque[Data] = deque()
        self._resumed: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def extend(self, pieces: Iterable[Data]) -> None:
        """Queue data, and begin to send if that has not begun."""
        self._pieces.extend(pieces)
        if self._task is None:
            self._begin()

    def _begin(self) -> None:
        self._task = self._loop.create_task(self._run())
        # Not in the coroutine itself: cancelled before its first step it would never enter its `try`.
        self._task.add_done_callback(self._done)

    def resume(self) -> None:
        """The transport's buffer has fallen to what `Outlet.limit` has set."""
        if self._resumed is not None and not self._resumed.done():
            self._resumed.set_result(None)

    def stop(self) -> None:
        """Send no more: the connection is lost."""
        if self._task is not None:
            self._task.cancel()
        self._drop()

    def _drop(self) -> None:
        for piece in self._pieces:
            if isinstance(piece, FileSpan):
                piece.close()
        self._pieces.clear()

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is None:
            if self._pieces:  # of the next response, come between the task's last step and this
                self._begin()
            else:
                self._outlet.sent()
            return
        self._drop()
        if not task.cancelled():
            self._outlet.reset()

    async def _run(self) -> None:
        while self._pieces:
            piece = self._pieces.popleft()
            if isinstance(piece, FileSpan):
                await self._send(piece)
            else:
                self._outlet.write(piece)

    async def _send(self, span: FileSpan) -> None:
        """Send one file; OSError when it ends early or cannot be read."""
        reading: _Errand[bytes] | None = None
        try:
            end = span.offset + span.count
            offset = await self._sendfile(span, end)
            while offset < end:
                work = functools.partial(os.pread, span.fd, min(_READ, end - offset), offset)
                # The descriptor is not to be another file's while the thread reads.
                reading = _Errand(work, lambda _: span.close())
                data = await reading.run(self._loop)
                if not data:
                    raise EOFError("the file is shorter than its response")
                offset += len(data)
                self._outlet.write(data)
                await self._room(_READ)
        finally:
            if reading is None or not reading.abandoned:
                span.close()

    async def _sendfile(self, span: FileSpan, end: int) -> int:
        """Send as much as sendfile does; return the offset that it came to."""
        await self._room(0)
        offset = span.offset
        if self._outlet.transport.get_extra_info("tls") is not None:
            return offset  # the kernel does not encrypt
        try:
            target = os.dup(self._outlet.transport.get_extra_info("socket").fileno())
        except OSError:
            return offset  # no descriptor is left
        try:
            while offset < end:
                try:
                    sent = os.sendfile(target, span.fd, offset, min(_AT_ONCE, end - offset))
                except BlockingIOError:
                    await self._writable(target)
                    continue
                except ConnectionError:
                    raise
                except OSError:
                    return offset  # not for this file system; a thread reads on
                if not sent:
                    raise EOFError("the file is shorter than its response")
                offset += sent
                self._outlet.count(sent)
                await asyncio.sleep(0)
        finally:
            os.close(target)
            self._outlet.limit(_READ)
        return offset

    async def _writable(self, fd: int) -> None:
        writable = self._loop.create_future()
        self._loop.add_writer(fd, _complete, writable)
        try:
            await writable
        finally:
            self._loop.remove_writer(fd)

    async def _room(self, octets: int) -> None:
        """Wait until the transport's buffer is down to `octets`."""
        self._resumed = self._loop.create_future()
        if self._outlet.limit(octets):
            await self._resumed


def _complete(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def open_whole(path: str) -> Data:
    """Open a regular file to be sent whole; give the octets of one whose size cannot be known before it is read.

    Raises OSError, also for what is no regular file, and for one without a size that has no end.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO without a writer must not block
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise OSError(f"{path!r} is no regular file")
    if not is_stored(status):
        try:
            return _read_all(fd, path)
        finally:
            os.close(fd)
    return FileSpan(fd, 0, status.st_size, lambda: os.close(fd))


def _read_all(fd: int, path: str) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while data := os.read(fd, _READ):
        pieces.append(data)
        size += len(data)
        if size > _MOST:
            raise OSError(errno.EFBIG, f"it does not say its size, and has more than {_MOST} bytes", path)
    return b"".join(pieces)


async def open_span(loop: asyncio.AbstractEventLoop, path: str) -> Data:
    """Open a file in a thread, as the disk may let one wait. Raises OSError."""
    return await _Errand(functools.partial(open_whole, path), _close_opened).run(loop)


def _close_opened(opened: Data | None) -> None:
    if isinstance(opened, FileSpan):
        opened.close()


class _Errand(Generic[_T]):
    """Work done by a thread, which cannot be called off.

    dispose: what is done with the result (None: it failed) when nobody waits for it any more, once. The thread does
    that if it is the last one: the loop may have ended by then.
    """

    def __init__(self, work: Callable[[], _T], dispose: Callable[[_T | None], None]) -> None:
        self._work = work
        self._dispose = [dispose]
        self._result: _T | None = None
        self._done = False
        self.abandoned = False

    async def run(self, loop: asyncio.AbstractEventLoop) -> _T:
        """The result, or the exception. Cancelled, it is abandoned."""
        try:
            return await asyncio.shield(loop.run_in_executor(None, self._do))
        except asyncio.CancelledError:
            self.abandoned = (
                True  # before it looks whether the thread is done, as the thread does it the other way round
            )
            if self._done:
                self._end()
            raise

    def _do(self) -> _T:
        try:
            self._result = self._work()
            return self._result
        finally:
            self._done = True
            if self.abandoned:
                self._end()

    def _end(self) -> None:
        with contextlib.suppress(IndexError):  # both have seen that the other one is through
            self._dispose.pop()(self._result)
