"""Writing what a wire has in `out` to a socket that does not wait."""

import socket
from itertools import islice

from pyserve.protocol.exchange import Data, FileSpan
from pyserve.workers.thread_worker.sendfile import send_span

_PIECES = 64  # in one system call; the kernel takes 1024
_FILE_AT_ONCE = 1024 * 1024


def send_some(target: socket.socket, out: list[Data], offset: int) -> tuple[int, int]:
    """Send once from the beginning of `out`, and take from it what has gone.

    offset: octets of `out[0]` that have gone before. Returns (the new offset, octets sent); `out` is empty when all
    has gone. Raises BlockingIOError when the peer takes nothing, other OSErrors when the connection is gone.
    """
    first = out[0]
    if isinstance(first, FileSpan):
        sent = send_span(target, first, _FILE_AT_ONCE)
        if not first.count:
            del out[0]
        return 0, sent
    views: list[memoryview] = []
    for data in islice(out, _PIECES):
        if isinstance(data, FileSpan):
            break
        views.append(memoryview(data))
    if offset:
        views[0] = views[0][offset:]
    # A head goes with the file behind it in one packet.
    flags = socket.MSG_MORE if len(views) < len(out) else 0
    sent = target.send(views[0], flags) if len(views) == 1 else target.sendmsg(views, (), flags)
    return _take(out, offset + sent), sent


def _take(out: list[Data], gone: int) -> int:
    """Take pieces off that have gone whole; return how much of the next one has gone."""
    whole = 0
    for data in out:
        if isinstance(data, FileSpan) or gone < len(data):
            break
        gone -= len(data)
        whole += 1
    del out[:whole]
    return gone
