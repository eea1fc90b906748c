"""What a peer may send, judged line by line as it arrives (RFC 9112 sections 2.2, 3 and 5, RFC 6585 section 5)."""

from dataclasses import dataclass, field

from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.fields import LINE_OCTETS, TOKEN

# SP and VCHAR; what a field may hold besides is in `fields`. Looked for by `translate`: a regular expression takes ten
# times as long for each octet.
_REQUEST_LINE_OCTETS = bytes(range(32, 127))
_AT_ONCE = 16384  # octets: copies of more cost many times as much for each, as they get memory of their own


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one worker's connections; "unlimited" is a very large number.

    request_line: octets of a request line without its end (past it: 414).
    fields: field lines in one head or trailer section (past it: 431).
    field_size: octets of one field line without its end (431).
    body: octets of a request's content (413).
    drain: octets of an unread content that are read and thrown away so that the connection can be used again.
    """

    request_line: int
    fields: int
    field_size: int
    body: int
    drain: int = 65536
    shortest: int = field(init=False)
    """A head of at most so many octets has no line over its limit."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "shortest", min(self.request_line, self.field_size))


def too_many_fields() -> ProtocolError:
    return ProtocolError(431, "too many field lines (RFC 6585 section 5)")


def content_too_large() -> ProtocolError:
    return ProtocolError(413, "content too large (RFC 9110 section 15.5.14)")


class Scanner:
    """Find the end of a section of lines and judge each line on the way; every octet is looked at once.

    A head's verdict must not depend on how its octets were cut into reads. So lines are judged in order, and in a line
    whatever comes first decides: the octet that no line may hold or the one past the limit.
    """

    __slots__ = ("_limits", "_line", "_seen", "_start")

    def __init__(self, limits: Limits, start: int, *, first_line: int = 0) -> None:
        """start: where the section begins in the buffer. first_line: 0 for a head, 1 for trailers (no request line)."""
        self._limits = limits
        self._line = first_line
        self._start = start
        self._seen = start

    def scan(self, buffer: bytes | bytearray) -> int:
        """Look at what is new in `buffer`; return where the section ends (past its empty line) or -1 while it has not.

        Raises `ProtocolError` for the first line that is too long, one too many, or holds what no line may hold.
        """
        if self._line:
            self._pass_good_lines(buffer)
        while True:
            end = buffer.find(b"\n", self._seen)
            if end < 0:
                if self._seen == self._start:
                    self._check_first(buffer)
                # A last CR may belong to a line end: it is looked at together with its successor.
                known = len(buffer) - buffer.endswith(b"\r")
                self._check_content(buffer, known)
                self._seen = max(self._seen, known)
                return -1
            self._check_first(buffer)
            is_line = buffer.startswith(b"\r\n", end - 1)
            is_last = is_line and end == self._start + 1
            self._check_content(buffer, end - 1 if is_line else end + 1)
            self._start = self._seen = end + 1
            if is_last:
                return end + 1
            if self._line > self._limits.fields:
                raise too_many_fields()
            self._line += 1
            if self._line == 1:
                self._pass_good_lines(buffer)

    def _pass_good_lines(self, buffer: bytes | bytearray) -> None:
        """Pass over field lines of which none is bad, many at once; what is doubtful is left for `scan` to judge."""
        if buffer.count(b"\n", self._seen) < 3:
            return  # not worth it
        end = buffer.find(b"\r\n\r\n", self._seen)
        if end < 0:
            end = buffer.rfind(b"\r\n", self._start)
        end += 2
        while self._start < end:
            stop = end
            if stop - self._start > _AT_ONCE:
                stop = buffer.rfind(b"\r\n", self._start, self._start + _AT_ONCE) + 2
            lines = bytes(buffer[self._start : stop])
            count = lines.count(b"\r\n")
            # As `count_lines` judges; of more than some lines this is faster.
            if not count or len(lines.translate(None, LINE_OCTETS)) != 2 * count or lines[0] in b" \t\r":
                return
            if self._line + count - 1 > self._limits.fields:
                return
            # Each line end is CR LF: to look for LF alone is faster.
            if b"\n " in lines or b"\n\t" in lines or max(map(len, lines.split(b"\n"))) > self._limits.field_size + 1:
                return
            self._line += count
            self._start = self._seen = stop

    def _limit(self) -> int:
        return self._limits.field_size if self._line else self._limits.request_line

    def _check_first(self, buffer: bytes | bytearray) -> None:
        """Refuse by a line's first octet what can become no request and no field, TLS for one, without waiting."""
        octet = bytes(buffer[self._start : self._start + 1])
        if self._line:
            if octet in (b" ", b"\t"):
                text = "folded field line, or a blank before the first (RFC 9112 sections 2.2 and 5.2)"
                raise ProtocolError(400, text)
        elif octet and not TOKEN.fullmatch(octet):
            raise ProtocolError(400, "malformed method (RFC 9110 section 9.1)")

    def _check_content(self, buffer: bytes | bytearray, stop: int) -> None:
        """Judge what is new of a line, of which `stop` is the end so far; a line end is no part of it."""
        limit = self._start + self._limit()
        octets = LINE_OCTETS if self._line else _REQUEST_LINE_OCTETS
        last = min(stop, limit)
        for at in range(self._seen, last, _AT_ONCE):
            if bytes(buffer[at : min(at + _AT_ONCE, last)]).translate(None, octets):
                raise ProtocolError(400, "bare CR, bare LF or another octet that no line holds (RFC 9112 section 2.2)")
        if stop <= limit:
            return
        if self._line:
            raise ProtocolError(431, "field line too long (RFC 6585 section 5)")
        if buffer.find(b" ", self._start, limit) < 0:  # not the URI is too long, which 414 would say
            raise ProtocolError(400, "method too long (RFC 9112 section 3)")
        raise ProtocolError(414, "request line too long (RFC 9112 section 3)")
