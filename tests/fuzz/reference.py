"""A second opinion: what octets on a connection mean, read plainly from the grammar of RFC 9112.

Written for checking and for nothing else: it reads all octets at once, octet by octet where that is plainer, and knows
nothing of pyserve. Where a reading says what is wrong with a message it gives all the statuses that may answer it, as
the order in which mistakes are found is anybody's choice.

Where the RFC leaves a choice, this is the one taken:
    one empty line is passed over before a request line, a second one is refused                    (section 2.2)
    a target may hold any visible ASCII but "#"; its forms are told apart by method                 (section 3.2)
    "*" is a target of OPTIONS and of methods that no RFC of HTTP defines                           (section 3.2.4)
    an absolute-form names its host without userinfo, agrees with Host, and replaces it             (section 3.2.2)
    repeated Host, Content-Length or Transfer-Encoding is refused, also where all are alike         (section 6.3)
    `chunked` is the only transfer coding, and only in HTTP/1.1                                     (section 6.1)
    a length has up to 18 digits, a chunk-size up to 16, a chunk-size line up to 1024 octets, and all the extensions of
    one content up to 16384; a port has up to five digits
    a trailer that has to do with framing, routing or the connection is refused                     (section 6.5)
"""

import ipaddress
from dataclasses import dataclass, field, replace
from typing import Protocol

Fields = tuple[tuple[bytes, bytes], ...]

DIGIT = frozenset(b"0123456789")
HEXDIG = DIGIT | frozenset(b"ABCDEFabcdef")
ALPHA = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
VCHAR = frozenset(range(0x21, 0x7F))
BLANK = frozenset(b" \t")
IN_VALUE = VCHAR | BLANK | frozenset(range(0x80, 0x100))
TCHAR = frozenset(b"!#$%&'*+-.^_`|~") | DIGIT | ALPHA
UNRESERVED = ALPHA | DIGIT | frozenset(b"-._~")
SUB_DELIMS = frozenset(b"!$&'()*+,;=")
NOT_IN_TRAILERS = frozenset(
    b"connection content-length expect host keep-alive proxy-connection te trailer transfer-encoding upgrade".split()
)
OF_ONE_RESOURCE = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"TRACE", b"PRI")
ONCE = (b"host", b"content-length", b"transfer-encoding")


class Bounds(Protocol):
    """What a peer may send at most, in octets and in lines."""

    @property
    def request_line(self) -> int: ...
    @property
    def fields(self) -> int: ...
    @property
    def field_size(self) -> int: ...
    @property
    def body(self) -> int: ...


@dataclass(frozen=True)
class Request:
    """A request as an application has to see it. kept: whether the connection is used again after it."""

    method: str
    target: bytes
    version: str
    fields: Fields
    content: bytes
    kept: bool


@dataclass
class Reading:
    """What some octets come to.

    requests: those that are whole. faults: the statuses of which one answers what stands behind them; none where all
    is well so far. begun: the request whose content has not ended, with what has come of it. position: up to here the
    octets belong to what is understood. whole: up to here they belong to whole requests.
    """

    requests: list[Request] = field(default_factory=list)
    faults: frozenset[int] = frozenset()
    begun: Request | None = None
    position: int = 0
    whole: int = 0

    @property
    def closed(self) -> bool:
        return bool(self.faults) or bool(self.requests and not self.requests[-1].kept)


class _Wrong(Exception):
    """The message is refused; all statuses that may say so."""

    def __init__(self, *faults: int) -> None:
        super().__init__(faults)
        self.faults = frozenset(faults)


class _Unfinished(Exception):
    """The octets end before the message does."""


def read(octets: bytes, bounds: Bounds) -> Reading:
    """Read what a client has sent on one connection."""
    reading = Reading()
    try:
        while not reading.closed:
            _message(octets, bounds, reading)
    except _Unfinished:
        pass
    except _Wrong as wrong:
        reading.faults = wrong.faults
    return reading


def _message(octets: bytes, bounds: Bounds, reading: Reading) -> None:
    if octets.startswith(b"\r\n", reading.position):
        reading.position += 2
        reading.whole = reading.position
    end = octets.find(b"\r\n\r\n", reading.position)
    if end < 0:
        raise _Unfinished
    lines = octets[reading.position : end].split(b"\r\n")
    request = _head(lines, bounds)
    reading.begun = request
    reading.position = end + 4
    values = dict(request.fields)
    if b"transfer-encoding" in values:
        _chunked(octets, bounds, reading)
    else:
        _add(reading, octets, int(values.get(b"content-length", b"0")))
    reading.requests.append(reading.begun)
    reading.begun = None
    reading.whole = reading.position


def _add(reading: Reading, octets: bytes, size: int) -> None:
    """Take `size` octets of content."""
    assert reading.begun
    piece = octets[reading.position : reading.position + size]
    reading.begun = replace(reading.begun, content=reading.begun.content + piece)
    reading.position += len(piece)
    if len(piece) < size:
        raise _Unfinished


# The head (sections 3, 5 and 6)


def _head(lines: list[bytes], bounds: Bounds) -> Request:
    """request-line *( field-line CRLF ), each without its CRLF."""
    faults: set[int] = set()
    if len(lines[0]) > bounds.request_line:
        faults.add(414 if b" " in lines[0][: bounds.request_line] else 400)
    if len(lines) - 1 > bounds.fields or any(len(line) > bounds.field_size for line in lines[1:]):
        faults.add(431)
    method, target, version, authority = _request_line(lines[0], faults)
    fields = []
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not _consists(name, TCHAR) or not set(value) <= IN_VALUE:
            faults.add(400)
        fields.append((name.lower(), value.strip(b" \t")))
    values: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        values.setdefault(name, []).append(value)
    if any(len(values.get(name, ())) > 1 for name in ONCE):
        faults.add(400)
    _check_host(values, version, authority, faults)
    _check_framing(values, version, bounds, faults)
    if version == "1.1" and not set(_options(values, b"expect")) <= {b"100-continue"}:
        faults.add(417)
    if faults:
        raise _Wrong(*faults)
    if authority is not None:
        fields = [(name, authority if name == b"host" else value) for name, value in fields]
        if b"host" not in values:
            fields.append((b"host", authority))
    options = _options(values, b"connection")
    kept = b"close" not in options and (version == "1.1" or b"keep-alive" in options) and method != "CONNECT"
    return Request(method, target, version, tuple(fields), b"", kept)


def _options(values: dict[bytes, list[bytes]], name: bytes) -> list[bytes]:
    """The members of a list, without empty ones (RFC 9110 section 5.6.1)."""
    members = [member.strip(b" \t").lower() for value in values.get(name, ()) for member in value.split(b",")]
    return [member for member in members if member]


def _consists(octets: bytes, alphabet: frozenset[int]) -> bool:
    return bool(octets) and set(octets) <= alphabet


def _request_line(line: bytes, faults: set[int]) -> tuple[str, bytes, str, bytes | None]:
    """method SP request-target SP HTTP-version -> those three, and the authority that an absolute-form names."""
    parts = line.split(b" ")
    if len(parts) != 3 or not _consists(parts[0], TCHAR) or not _consists(parts[1], VCHAR - {ord("#")}):
        faults.add(400)
        parts = [*parts, b"", b"", b""]
    method, target, version = parts[:3]
    name, digits = version[:5], version[5:]
    if name != b"HTTP/" or len(digits) != 3 or digits[0] not in DIGIT or digits[1:2] != b"." or digits[2] not in DIGIT:
        faults.add(400)
    elif digits not in (b"1.0", b"1.1"):
        faults.add(505)
    authority = None if 400 in faults else _authority(method, target, faults)
    return method.decode("latin-1"), target, digits.decode("latin-1"), authority


def _authority(method: bytes, target: bytes, faults: set[int]) -> bytes | None:
    """Check the form of a target (section 3.2); return the authority of an absolute-form."""
    if method == b"CONNECT":
        host, port = _host_and_port(target)
        if not host or not port:
            faults.add(400)
    elif target.startswith(b"/") or (target == b"*" and method not in OF_ONE_RESOURCE):
        pass
    else:
        scheme, separator, rest = target.partition(b"://")
        authority = rest
        for mark in b"/?":
            authority = authority.partition(bytes([mark]))[0]
        if scheme.lower() in (b"http", b"https") and separator and _host_and_port(authority)[0]:
            return authority
        faults.add(400)
    return None


def _host_and_port(octets: bytes) -> tuple[bytes | None, bytes | None]:
    """uri-host [ ":" port ] -> both, None for a port that is not there and for a host that is none."""
    if octets.startswith(b"["):
        host, bracket, rest = octets.partition(b"]")
        good = bool(bracket) and _is_address(host[1:])
    else:
        host, colon, port = octets.partition(b":")
        rest = colon + port
        good = _is_name(host)
    if rest == b"":
        return (host if good else None), None
    port = rest[1:]
    if rest[:1] != b":" or not set(port) <= DIGIT or len(port) > 5:
        good = False
    return (host if good else None), port


def _is_address(octets: bytes) -> bool:
    """IPv6address / IPvFuture (RFC 3986 section 3.2.2)."""
    if octets[:1] in (b"v", b"V"):
        version, point, address = octets[1:].partition(b".")
        return bool(point) and _consists(version, HEXDIG) and _consists(address, UNRESERVED | SUB_DELIMS | {ord(":")})
    if not set(octets) <= HEXDIG | {ord(":"), ord(".")}:
        return False
    try:
        ipaddress.IPv6Address(octets.decode("ascii"))
    except ValueError:
        return False
    return True


def _is_name(octets: bytes) -> bool:
    """reg-name, which an IPv4address is as well, and which may be empty (RFC 3986 section 3.2.2)."""
    while octets:
        if octets[0] in UNRESERVED | SUB_DELIMS:
            octets = octets[1:]
        elif octets[0] == ord("%") and len(octets) > 2 and octets[1] in HEXDIG and octets[2] in HEXDIG:
            octets = octets[3:]
        else:
            return False
    return True


def _check_host(values: dict[bytes, list[bytes]], version: str, authority: bytes | None, faults: set[int]) -> None:
    hosts = values.get(b"host", [])
    if (version == "1.1" and not hosts) or any(_host_and_port(host)[0] is None for host in hosts):
        faults.add(400)
    if authority is not None and any(host.lower() != authority.lower() for host in hosts):
        faults.add(400)


def _check_framing(values: dict[bytes, list[bytes]], version: str, bounds: Bounds, faults: set[int]) -> None:
    """Message body length (section 6.3)."""
    lengths = values.get(b"content-length", [])
    codings = values.get(b"transfer-encoding", [])
    for length in lengths:
        if not _consists(length, DIGIT) or len(length) > 18:
            faults.add(400)
        elif int(length) > bounds.body:
            faults.add(413)
    if codings and (lengths or version != "1.1"):
        faults.add(400)
    for coding in codings:
        if coding.lower() != b"chunked":
            faults.update((400, 501))


# The chunked coding (section 7.1)


def _chunked(octets: bytes, bounds: Bounds, reading: Reading) -> None:
    assert reading.begun
    extensions = 0
    while True:
        end = octets.find(b"\r\n", reading.position)
        if end < 0:
            raise _Unfinished
        line = octets[reading.position : end]
        size = _prefix(line, HEXDIG)
        extensions += len(line) - size
        if not 0 < size <= 16 or len(line) + 2 > 1024 or extensions > 16384 or not _is_extensions(line[size:]):
            raise _Wrong(400)
        left = int(line[:size], 16)
        if len(reading.begun.content) + left > bounds.body:
            raise _Wrong(413)
        reading.position = end + 2
        if left == 0:
            break
        _add(reading, octets, left)
        after = octets[reading.position : reading.position + 2]
        if after != b"\r\n":
            raise _Unfinished if after in (b"", b"\r") else _Wrong(400)
        reading.position += 2
    _trailers(octets, bounds, reading)


def _prefix(octets: bytes, alphabet: frozenset[int]) -> int:
    """How many octets at the beginning are of the alphabet."""
    count = 0
    while count < len(octets) and octets[count] in alphabet:
        count += 1
    return count


def _is_extensions(rest: bytes) -> bool:
    """chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ) (section 7.1.1)."""
    while rest:
        rest = rest.lstrip(b" \t")
        if not rest.startswith(b";"):
            return False
        rest = rest[1:].lstrip(b" \t")
        name = _prefix(rest, TCHAR)
        if not name:
            return False
        rest = rest[name:]
        if rest.lstrip(b" \t").startswith(b"="):
            rest = rest.lstrip(b" \t")[1:].lstrip(b" \t")
            value = _quoted(rest) if rest.startswith(b'"') else _prefix(rest, TCHAR)
            if not value:
                return False
            rest = rest[value:]
    return True


def _quoted(octets: bytes) -> int:
    """How many octets at the beginning are a quoted-string (RFC 9110 section 5.6.4); 0 where there is none."""
    at = 1
    while at < len(octets):
        if octets[at] == ord('"'):
            return at + 1
        if octets[at] == ord("\\"):
            at += 1
        if octets[at : at + 1] == b"" or octets[at] not in IN_VALUE:
            return 0
        at += 1
    return 0


def _trailers(octets: bytes, bounds: Bounds, reading: Reading) -> None:
    """trailer-section CRLF (section 7.1.2)."""
    if octets.startswith(b"\r\n", reading.position):
        reading.position += 2
        return
    end = octets.find(b"\r\n\r\n", reading.position)
    if end < 0:
        raise _Unfinished
    faults = set()
    lines = octets[reading.position : end].split(b"\r\n")
    if len(lines) > bounds.fields or any(len(line) > bounds.field_size for line in lines):
        faults.add(431)
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _consists(name, TCHAR) or not set(value) <= IN_VALUE or name.lower() in NOT_IN_TRAILERS:
            faults.add(400)
    if faults:
        raise _Wrong(*faults)
    reading.position = end + 4
