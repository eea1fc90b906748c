"""One complete head -> fields: the smallest thing that varies between the parser libraries.

A parser is a function from the octets of a whole request head (request line, field lines, empty line) to the list of
(lower-case name, value) pairs in their order, with blanks around values removed. It raises `Malformed` for anything
that its library refuses or that has other than one field to a line; what was wrong is then said by `head.py`, in the
same words for either library. The request line and message framing are judged there too.
"""

import re
from collections.abc import Callable

import h11
import httptools

from pyserve.protocol.fields import Fields, count_lines, request_names

Parser = Callable[[bytes], Fields]

_known, _learn = request_names.known, request_names.learn


class Malformed(Exception):
    """The library refused the head."""


# What both libraries know for certain; any other method token is replaced before the head is fed (llhttp refuses BREW).
_KNOWN_METHODS = (b"GET /", b"POST /", b"HEAD /", b"PUT /", b"DELETE /", b"PATCH /", b"OPTIONS /")
_STAND_IN = b"GET / HTTP/1.0"  # of 1.1 h11 would ask for a Host

# What h11 changes on its way: a list of equal lengths becomes one length, codings become lower-case.
_FRAMING = re.compile(rb"\r\n(content-length|transfer-encoding):([^\r]*)", re.IGNORECASE)


# All that may stand in the line that is replaced: nobody else looks at its octets (RFC 9112 section 3).
_PLAIN_LINE = re.compile(rb"[\x20-\x7e]*\r\n")


def _with_known_line(head: bytes) -> bytes:
    """Replace the request line by one that both libraries take, whatever its method and form of target are."""
    line = _PLAIN_LINE.match(head)
    if line is None:
        raise Malformed
    return _STAND_IN + head[line.end() - 2 :]


class _Collector(Fields):
    """What httptools calls back. That happens for each field, so it does as little as can be."""

    __slots__ = ()

    def on_header(self, name: bytes, value: bytes) -> None:
        # llhttp keeps trailing blanks; no other white space that rstrip takes gets past it.
        try:
            self.append((_known[name], value.rstrip()))
        except KeyError:
            self.append((_learn(name), value.rstrip()))


def parse_httptools(head: bytes) -> Fields:
    """Parse with httptools (llhttp), which itself refuses control characters, bare CR, bare LF and bad names."""
    fields = _Collector()
    # A new parser for each head: it costs 0.2 us, and nothing of one message can leak into the next.
    parser = httptools.HttpRequestParser(fields)
    failed = False
    try:
        parser.feed_data(head if head.startswith(_KNOWN_METHODS) else _with_known_line(head))
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        failed = True  # and not the error itself: it holds this frame, and all that called it, until a collection
    # A failure past the last field is llhttp's verdict on framing or upgrades, which are not its business here; one
    # before it leaves fields out, or there are none. A folded line, which llhttp takes, makes one field of two lines.
    if len(fields) != head.count(b"\n") - 2 or (failed and not fields):
        raise Malformed
    return fields


def parse_h11(head: bytes) -> Fields:
    """Parse with h11 (pure Python), which takes bare LF, control characters and folded lines: they are counted out."""
    lines = count_lines(head)
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=len(head) + 1)
    try:
        connection.receive_data(head if head.startswith(_KNOWN_METHODS) else _with_known_line(head))
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise Malformed from error
    if not isinstance(event, h11.Request):
        raise Malformed
    fields = [(_known.get(name) or _learn(name), value) for name, value in event.headers.raw_items()]
    if len(fields) != lines - 2:
        raise Malformed
    # Framing is judged in head.py, by what was sent.
    sent = {match[1].lower(): match[2].strip(b" \t") for match in _FRAMING.finditer(head)}
    return [(name, sent.get(name, value)) for name, value in fields] if sent else fields


PARSERS: dict[str, Parser] = {"httptools": parse_httptools, "h11": parse_h11}
