"""Files on the way to a peer of the sync worker (sendfile(2))."""

import errno
import io
import os
import socket
import stat
from typing import Any

from pyserve.protocol.exchange import FileSpan

_READ = 65536
_MADE = 65536  # octets: no file in /sys that is to be read says more, which is one page of memory
# What sendfile says for files or sockets that it cannot serve; all of them read like any other file.
_UNFIT = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EOVERFLOW)


def open_rest(file: Any) -> FileSpan | None:
    """Open what is left of a plain file from its current position; None for anything else.

    The span has a descriptor of its own: the application closes its file before the last octet has been sent. Only an
    object whose `read` is that of Python's own binary files is taken. Others may have a `fileno` and yet read something
    else than the file holds, as a gzip file does.
    """
    try:
        raw = _plain(file)
        if raw is None:
            return None
        status = os.fstat(raw.fileno())
        if not stat.S_ISREG(status.st_mode) or not is_stored(status):
            return None
        offset = raw.tell()
        fd = os.dup(raw.fileno())
    except (OSError, ValueError):  # closed, not seekable, or no descriptor is left: reading it will tell
        return None
    return FileSpan(fd, offset, max(0, status.st_size - offset), _Closer(fd))


def is_stored(status: os.stat_result) -> bool:
    """Whether a file's size can be believed.

    The kernel makes the contents of /proc and /sys as they are read: such a file says 0, or 4096, and has another
    length. Nothing else tells it from a small file than that no storage belongs to it.
    """
    return status.st_blocks > 0 or status.st_size > _MADE


class _Closer:
    """Closes a descriptor once, however often it is asked to: its number may be somebody else's by then."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __call__(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _plain(file: Any) -> io.BufferedReader | io.BufferedRandom | io.FileIO | None:
    """Return the binary file that `file.read` reads, be it `file` or what it wraps (tempfile, django.core.files)."""
    read = getattr(file, "read", None)
    read = getattr(read, "__wrapped__", read)  # tempfile's wrapper wraps the methods, too
    owner = getattr(read, "__self__", None)
    if type(owner) is io.FileIO:
        return owner
    if isinstance(owner, io.BufferedReader | io.BufferedRandom) and type(owner.raw) is io.FileIO:
        owner.flush()
        return owner
    return None


def send_span(target: socket.socket, span: FileSpan, at_most: int) -> int:
    """Send octets of a file, once; return how many, and move the span on. Closes it at its end.

    Raises BlockingIOError when the peer takes none, and other OSErrors: the connection is gone, or the file is shorter
    than it was (EIO), which leaves a response that cannot be completed.
    """
    try:
        if type(target) is not socket.socket:
            raise OSError(errno.ENOTSUP, "the kernel does not encrypt")
        sent = os.sendfile(target.fileno(), span.fd, span.offset, min(span.count, at_most))
    except OSError as error:
        if error.errno not in _UNFIT:
            raise
        sent = target.send(os.pread(span.fd, min(span.count, _READ), span.offset))
    if not sent:
        raise OSError(errno.EIO, "the file is shorter than its response")
    span.offset += sent
    span.count -= sent
    if not span.count:
        span.close()
    return sent
