"""What WSGI environs share, and what WSGI applications write to (PEP 3333); for both kinds of worker."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pyserve.protocol.exchange import FileSpan
from pyserve.protocol.wsgi import Environ, FileWrapper

if TYPE_CHECKING:
    from pyserve.workers.logs import ErrorLog


class ErrorStream:
    """`wsgi.errors`: what is written to it goes to the error log, a line at a time."""

    def __init__(self, log: ErrorLog) -> None:
        self._log = log

    def write(self, text: str) -> int:
        """Log `text`."""
        if text.strip():
            self._log.error("%s", text.rstrip("\n"))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Log all of `lines`."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Nothing waits to be flushed."""


def listener_template(listener: socket.socket, script_name: str, errors: ErrorStream) -> Environ:
    """What the environs of one listener's requests share.

    The worker sets `wsgi.multithread` and `wsgi.multiprocess`, and `peer_template` adds what a connection brings.
    """
    name = listener.getsockname()
    is_internet = listener.family in (socket.AF_INET, socket.AF_INET6)
    return {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": errors,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input_terminated": True,
        "SERVER_SOFTWARE": "pyserve",
        # On a unix socket both are there and not empty, as PEP 3333 asks.
        "SERVER_NAME": name[0] if is_internet else "localhost",
        "SERVER_PORT": str(name[1]) if is_internet else "80",
        "SCRIPT_NAME": script_name,
    }


def open_span(file: Any) -> FileSpan | None:
    """Open what is left of a file that an application has wrapped; None when it is no plain file, or nothing is left.

    On a descriptor of its own, since the application closes its file before the last octet has been sent. What
    decodes as it reads (gzip, text) has the descriptor of what it decodes from, so only plain classes are taken.
    """
    raw = getattr(file, "file", file)  # tempfile.NamedTemporaryFile keeps its file there
    if type(raw).__module__ != "_io" or not hasattr(raw, "readinto"):
        return None
    try:
        fd = raw.fileno()
        status = os.fstat(fd)
        offset = raw.tell()
    except (OSError, ValueError):
        return None
    left = status.st_size - offset
    if not stat.S_ISREG(status.st_mode) or left <= 0:
        return None
    own = os.dup(fd)
    return FileSpan(own, offset, left, lambda: os.close(own))
