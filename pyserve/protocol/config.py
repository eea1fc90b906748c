"""What all HTTP/1.1 connections of one worker share, and the answer that needs nothing else: an error's."""

from dataclasses import dataclass

from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.limits import Limits
from pyserve.protocol.parsers import Parser
from pyserve.protocol.status import STATUS_LINES


@dataclass(slots=True)
class WireConfig:
    """What all connections of one worker share; the worker changes `date` and `retiring` as time goes on.

    limits, parse: see there. server: the Server field line or b"", followed by `extra`. extra: field lines of every
    response, also of one that has a Server of its own. date: the Date field line as of now, or b"" (RFC 9110 section
    6.6.1). retiring: the worker takes no further request on any connection (Connection: close). upgrades: a request may
    ask for WebSocket; else one that does is like others (RFC 9110 section 7.8).
    """

    limits: Limits
    parse: Parser
    server: bytes = b""
    date: bytes = b""
    retiring: bool = False
    extra: bytes = b""
    upgrades: bool = False

    def refusal(self, error: ProtocolError, *, with_content: bool) -> bytes:
        """A whole response that says what `error` says and that the connection closes (RFC 9110 section 15)."""
        text = error.text.encode("ascii", "replace") + b"\n"
        lines = (
            STATUS_LINES[error.status],
            self.date,
            self.server,
            b"Content-Type: text/plain; charset=utf-8\r\n",
            b"Content-Length: %d\r\n" % len(text),
            b"Connection: close\r\n\r\n",
        )
        return b"".join(lines) + (text if with_content else b"")
