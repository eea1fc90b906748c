"""Log records to syslog: over UDP, TCP or a unix socket, in the form of the standard library's `SysLogHandler`.

What is not there, or does not keep up, never makes anybody wait: a record that cannot go at once is dropped, over TCP
and unix streams after a buffer is full. A stream that broke is begun anew, at most once a second. Names are looked up
once, when the log is set up: `SysLogHandler` itself would ask for them with each record.
"""

import logging
import logging.handlers
import os
import socket
from errno import EINPROGRESS
from time import monotonic
from typing import Any

from pyserve.values.log_addresses import parse_syslog_address

_DGRAM, _STREAM = socket.SOCK_DGRAM, socket.SOCK_STREAM
_KEPT = 256 * 1024  # octets of records that wait for a stream
_PAUSE = 1.0  # seconds between two attempts to connect

Target = tuple[int, Any]  # socket family, and where to; None for a name that was not found


class SyslogHandler(logging.handlers.SysLogHandler):
    """See above. address: see `parse_syslog_address`. facility: as syslog names it."""

    def __init__(self, address: str, facility: str) -> None:
        logging.Handler.__init__(self)  # the parent's would connect here, and wait
        kind, to = parse_syslog_address(address)
        self.address = to
        self.facility = self.facility_names[facility]
        self._kind = kind
        self.lost = 0
        self._target = _find(kind, to)
        self._socket: socket.socket | None = None
        self._is_stream = False
        self._waiting = bytearray()
        self._again = 0.0
        self._pid = os.getpid()

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record, or drop it."""
        try:
            priority = self.encodePriority(self.facility, self.mapPriority(record.levelname))
            message = f"<{priority}>{self.format(record)}\0".encode()
        except Exception:
            self.handleError(record)
            return
        self._leave_to_parent()
        try:
            if self._socket is None and not self._connect():
                self.lost += 1
            elif self._is_stream:
                self._stream(message)
            else:
                self._send(message)
        except BlockingIOError:
            self.lost += 1
        except OSError:
            self.lost += 1
            self._drop()

    def close(self) -> None:
        """Close the socket; later records open it again."""
        self.acquire()
        try:
            self._drop()
            logging.Handler.close(self)
        finally:
            self.release()

    def _leave_to_parent(self) -> None:
        """After a fork: two processes must not write into one stream."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._drop()
            self._again = 0.0

    def _send(self, message: bytes) -> None:
        assert self._socket is not None
        if isinstance(self._target[1], str):
            self._socket.send(message)
        else:
            self._socket.sendto(message, self._target[1])

    def _stream(self, message: bytes) -> None:
        assert self._socket is not None
        if len(self._waiting) + len(message) > _KEPT:
            self.lost += 1
        else:
            self._waiting += message
        try:
            while self._waiting:
                del self._waiting[: self._socket.send(self._waiting)]
        except BlockingIOError:
            pass  # it goes with a later record

    def _connect(self) -> bool:
        now = monotonic()
        if now < self._again:
            return False
        self._again = now + _PAUSE
        if isinstance(self.address, tuple) and self._target[1] is None:
            return False  # its name was not found
        for kind in (self._kind,) if self._kind is not None else (_DGRAM, _STREAM):
            sock = socket.socket(self._target[0], kind)
            sock.setblocking(False)
            self._is_stream = kind == _STREAM
            is_udp = not self._is_stream and not isinstance(self._target[1], str)
            if is_udp or sock.connect_ex(self._target[1]) in (0, EINPROGRESS):
                self._socket = sock
                return True
            sock.close()
        return False

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._waiting.clear()


def _find(kind: int | None, to: str | tuple[str, int]) -> Target:
    if isinstance(to, str):
        return socket.AF_UNIX, to
    try:
        found = socket.getaddrinfo(*to, type=kind or 0)
    except OSError:
        return socket.AF_INET, None
    family, *_, address = found[0]
    return family, address


def formatter(prefix: str, log: str) -> logging.Formatter:
    """The form of a message as gunicorn has it: `gunicorn.myapp.error: [123] text`. log: "error" or "access"."""
    return logging.Formatter(f"gunicorn.{prefix.replace('%', '%%')}.{log}: [%(process)d] %(message)s")
