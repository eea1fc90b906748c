"""The chunked transfer coding, inwards (RFC 9112 section 7.1).

    chunked-body = *chunk last-chunk trailer-section CRLF
    chunk        = chunk-size [ chunk-ext ] CRLF chunk-data CRLF

Extensions are read past and trailers are checked and dropped: a trailer that an application took for a field of the
head would be a second way into it (section 7.1.2).
"""

import re
from enum import Enum

from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.fields import TOKEN
from pyserve.protocol.limits import Limits, Scanner, content_too_large

# chunk-size = 1*HEXDIG; 16 digits are 64 bits, as some senders write them with zeros before
# chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ), chunk-ext-val = token / quoted-string
_TOKEN = TOKEN.pattern
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_SIZE_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,16})((?:[ \t]*;[ \t]*"
    + _TOKEN
    + rb"(?:[ \t]*=[ \t]*(?:"
    + _TOKEN
    + rb"|"
    + _QUOTED
    + rb"))?)*)\r\n"
)
_PLAIN_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n").match  # without extensions
# What has come of a line that has not ended
_SIZE_LINE_BEGINS = re.compile(rb"[0-9A-Fa-f]{1,16}(?:[ \t;][\t\x20-\x7e\x80-\xff]*)?\r?")
_LINE_AT_MOST = 1024  # octets of one chunk-size line; only extensions need more than 17
_EXTENSIONS_AT_MOST = 16384  # octets of extensions in one body (CVE-2023-39326)

# Fields that refuse a request when they stand in its trailers: those of framing, routing and the connection, by which
# two readers could come to differ. All others are dropped, as a recipient may (RFC 9110 section 6.5.1).
_NOT_IN_TRAILERS = frozenset(
    (
        b"transfer-encoding", b"content-length", b"host", b"connection", b"trailer", b"te", b"upgrade", b"expect",
        b"keep-alive", b"proxy-connection",
    )
)  # fmt: skip


class _Part(Enum):
    SIZE = "chunk-size line"
    DATA = "chunk-data"
    DATA_END = "the CRLF after chunk-data"
    TRAILERS = "trailer section"
    DONE = "done"


class ChunkedDecoder:
    """Take a chunked body apart, fed in any pieces."""

    __slots__ = ("_extensions", "_left", "_limits", "_part", "_scanner", "_trailers", "received")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._part = _Part.SIZE
        self._left = 0
        self._extensions = 0
        self._trailers = bytearray()
        self._scanner = Scanner(limits, 0, first_line=1)
        self.received = 0  # octets of content so far

    @property
    def done(self) -> bool:
        return self._part is _Part.DONE

    def feed(self, buffer: bytes | bytearray, position: int, content: bytearray) -> int:
        """Read on from `position` and append what is content to `content`.

        Returns the position up to which the buffer is used; what remains is either the beginning of an element that
        has not arrived whole (call again with it and more) or, once `done`, the next message. Raises `ProtocolError`.
        """
        while self._part is not _Part.DONE:
            if self._part is _Part.DATA:
                piece = buffer[position : position + self._left]
                content += piece
                position += len(piece)
                self._left -= len(piece)
                self.received += len(piece)
                if self._left:
                    break
                self._part = _Part.DATA_END
            elif self._part is _Part.DATA_END:
                if not self._at_line_end(buffer, position):
                    break
                position += 2
                self._part = _Part.SIZE
            elif self._part is _Part.SIZE:
                position = self._whole_chunks(buffer, position, content)
                after = self._size_line(buffer, position)
                if after < 0:
                    break
                position = after
            else:
                position = self._trailer_section(buffer, position)
                if self._part is _Part.TRAILERS:
                    break
        return position

    def _whole_chunks(self, buffer: bytes | bytearray, position: int, content: bytearray) -> int:
        """Take chunks that are here whole and have no extensions: a body may have one for each octet. Whatever is
        otherwise, wrong for one, is left; returns where that begins."""
        room = self._limits.body - self.received
        while (line := _PLAIN_SIZE_LINE(buffer, position)) is not None:
            size = int(line[1], 16)
            begin = line.end()
            end = begin + size
            if not 0 < size <= room or not buffer.startswith(b"\r\n", end):
                break
            content += buffer[begin:end]
            room -= size
            position = end + 2
        self.received = self._limits.body - room
        return position

    def _at_line_end(self, buffer: bytes | bytearray, position: int) -> bool:
        two = buffer[position : position + 2]
        if two == b"\r\n":
            return True
        if two in (b"", b"\r"):
            return False
        raise ProtocolError(400, "chunk-data not followed by CR LF (RFC 9112 section 7.1)")

    def _size_line(self, buffer: bytes | bytearray, position: int) -> int:
        match = _SIZE_LINE.match(buffer, position, position + _LINE_AT_MOST)
        if match is None:
            self._check_partial_size_line(bytes(buffer[position : position + _LINE_AT_MOST]))
            return -1
        self._extensions += len(match[2])
        if self._extensions > _EXTENSIONS_AT_MOST:
            raise ProtocolError(400, "too much in chunk extensions (RFC 9112 section 7.1.1)")
        self._left = int(match[1], 16)
        if self.received + self._left > self._limits.body:
            raise content_too_large()
        self._part = _Part.DATA if self._left else _Part.TRAILERS
        return match.end()

    def _check_partial_size_line(self, line: bytes) -> None:
        """Refuse at once what cannot become a chunk-size line any more."""
        if len(line) >= _LINE_AT_MOST or (line and not _SIZE_LINE_BEGINS.fullmatch(line)):
            raise ProtocolError(400, "invalid chunk-size line (RFC 9112 section 7.1)")

    def _trailer_section(self, buffer: bytes | bytearray, position: int) -> int:
        """Collect and check the trailers; return the position after them, or the buffer's end when there are more."""
        before = len(self._trailers)
        if not before and buffer.startswith(b"\r\n", position):  # none, as nearly always
            self._part = _Part.DONE
            return position + 2
        # No more than may belong to it: a peer may have sent many messages ahead.
        end = buffer.find(b"\r\n\r\n", position)
        self._trailers += buffer[position : end + 4 if end >= 0 else len(buffer)]
        end = self._scanner.scan(self._trailers)
        if end < 0:
            return len(buffer)
        _check_trailers(bytes(self._trailers[:end]))
        self._trailers.clear()
        self._part = _Part.DONE
        return position + end - before


def _check_trailers(section: bytes) -> None:
    for line in section.split(b"\r\n")[:-2]:
        name, colon, _ = line.partition(b":")
        if not colon or not TOKEN.fullmatch(name):
            raise ProtocolError(400, "malformed trailer field (RFC 9112 section 7.1.2)")
        if name.lower() in _NOT_IN_TRAILERS:
            raise ProtocolError(400, "a field that may not be a trailer (RFC 9110 section 6.5.1)")
