"""What the WSGI environs of one connection share (PEP 3333); `protocol.wsgi` adds what a request brings."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass
from typing import IO, Any

from pyserve.protocol.wsgi import Environ, FileWrapper
from pyserve.workers.logs.error_log import ErrorLog
from pyserve.workers.logs.log_file import STDERR

_WILDCARDS = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all environs of one worker share.

    script_name: the mount point. errors: `wsgi.errors`. multithread, multiprocess: whether the application may run in
    another thread or another process at the same time.
    """

    script_name: str
    errors: IO[str]
    multithread: bool
    multiprocess: bool


class Templates:
    """Makes the environ template of each connection to one listener."""

    __slots__ = ("_base", "_unnamed")

    def __init__(self, listener: socket.socket, surroundings: Surroundings) -> None:
        name, port = _host_and_port(listener.getsockname())
        self._unnamed = name in _WILDCARDS  # the address that a client has met is known from its connection only
        self._base: Environ = {
            "SERVER_SOFTWARE": "pyserve",
            "SERVER_NAME": name or "localhost",  # of a unix socket; PEP 3333 lets neither be empty
            "SERVER_PORT": port or "80",
            "REMOTE_ADDR": "",
            "REMOTE_PORT": "",
            "SCRIPT_NAME": surroundings.script_name,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": surroundings.errors,
            "wsgi.multithread": surroundings.multithread,
            "wsgi.multiprocess": surroundings.multiprocess,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": FileWrapper,
            "wsgi.input_terminated": True,
        }

    def make(self, connection: socket.socket, address: Any) -> Environ:
        """The template for a connection from `address`, which is what `accept` returned."""
        template = self._base.copy()
        template["REMOTE_ADDR"], template["REMOTE_PORT"] = _host_and_port(address)
        if self._unnamed:
            template["SERVER_NAME"] = _host_and_port(connection.getsockname())[0]
        return template


def _host_and_port(address: Any) -> tuple[str, str]:
    """Both empty for a unix socket's address."""
    return (address[0], str(address[1])) if isinstance(address, tuple) else ("", "")


def error_stream(log: ErrorLog) -> IO[str]:
    """`wsgi.errors`: text that goes where the error log goes, as it is."""
    fd = log.fileno()
    if fd == STDERR and sys.stderr is not None:
        return sys.stderr
    # The log keeps its descriptor's number when it is opened anew.
    target: int | str = fd if fd >= 0 else os.devnull
    return open(target, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=fd < 0)
