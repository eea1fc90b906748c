r"""The PROXY protocol, versions 1 and 2: who the client is, told by a proxy at the very beginning of a connection.

Section numbers are those of HAProxy's doc/proxy-protocol.txt. The header stands before TLS and before HTTP, so a driver
hands everything that arrives to a `ProxyReader` first, until that gives back what stood behind the header.

    version 1   PROXY TCP4 203.0.113.9 198.51.100.1 56324 443\r\n                           (section 2.1)
    version 2   signature, version and command, family, length, addresses, vectors          (section 2.2)

Who may send one is the driver's to know: only then is there a reader. A connection without a header is what it is, as
with gunicorn: a proxy's own health checks are often plain. That opens nothing, as whoever may send a header may write
into it what he likes, and those behind him cannot keep it from being sent.

No more is held than the longest header with addresses, 232 octets: vectors (TLV) are counted past. All is decided with
the last octet that matters and not one earlier or later, however the octets are cut.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple

from pyserve.protocol.errors import ProtocolError

Place = tuple[str, int] | str  # (address, port), or the path of a unix socket, which may be empty

_NAME = b"PROXY "
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LONGEST_LINE = 107  # octets, CR LF included (section 2.1)
_FIXED = 16  # octets before the addresses (section 2.2)
_ADDRESSES = {0x0: 0, 0x1: 12, 0x2: 36, 0x3: 216}  # octets of both addresses, by family (section 2.2)
_PORT = re.compile(r"0|[1-9][0-9]{0,4}")


class ProxyHeader(NamedTuple):
    """What a header says.

    protocol: TCP4, TCP6, UNIX, LOCAL (the proxy itself, as for a health check), or UNKNOWN. client, server: the ends of
    the connection that the proxy has accepted; None where they are not told, and then those of this one count.
    """

    protocol: str
    client: Place | None = None
    server: Place | None = None


class ProxyReader:
    """Reads the header of one connection. header: what was found, None where there is none."""

    __slots__ = ("_held", "_skip", "_versions", "header")

    def __init__(self, versions: Iterable[int]) -> None:
        """versions: 1, 2 or both; a header of another version is none."""
        self._versions = tuple(versions)
        self._held = b""
        self._skip = 0  # octets of vectors that are still to come
        self.header: ProxyHeader | None = None

    def feed(self, data: bytes) -> bytes | None:
        """Take octets; return those that do not belong to the header once it is known where it ends, else None.

        Where there is no header, these are all octets so far. `ProtocolError` for a header that is malformed: the
        connection is to be closed without an answer (section 2.1).
        """
        if self._skip:
            return self._skip_vectors(data)
        held = self._held + data
        if 2 in self._versions and held.startswith(_SIGNATURE[: len(held)]):
            self._held = held
            return self._binary(held) if len(held) >= _FIXED else None
        if 1 in self._versions and held.startswith(_NAME[: len(held)]):
            self._held = held
            return self._line(held)
        self._held = b""
        return held

    def _line(self, held: bytes) -> bytes | None:
        """Section 2.1."""
        end = held.find(b"\n", 0, _LONGEST_LINE)
        if end < 0:
            if len(held) >= _LONGEST_LINE:
                raise _malformed("a line that is too long", "2.1")
            return None
        line = held[:end]
        if not line.endswith(b"\r") or b"\r" in line[:-1]:
            raise _malformed("CR or LF other than at the end of the line", "2.1")
        self.header = _read_line(line[:-1])
        return held[end + 1 :]

    def _binary(self, held: bytes) -> bytes | None:
        """Section 2.2."""
        version, command = held[12] >> 4, held[12] & 15
        family, transport = held[13] >> 4, held[13] & 15
        length = int.from_bytes(held[14:16])
        if version != 2 or command > 1:
            raise _malformed("an unknown version or command", "2.2")
        size = 0
        if command:
            if family not in _ADDRESSES or transport > 2:
                raise _malformed("an unknown family or transport", "2.2")
            size = _ADDRESSES[family]
            if length < size:
                raise _malformed("addresses cut short", "2.2")
        if len(held) < _FIXED + size:
            return None
        addresses = held[_FIXED : _FIXED + size]
        if not command:
            self.header = ProxyHeader("LOCAL")
        elif transport == 1:  # STREAM; another is not what this connection carries, so that its ends are not told
            self.header = _addresses(family, addresses)
        else:
            self.header = ProxyHeader("UNKNOWN")
        self._held = b""
        self._skip = length - size
        return self._skip_vectors(held[_FIXED + size :])

    def _skip_vectors(self, data: bytes) -> bytes | None:
        if self._skip > len(data):
            self._skip -= len(data)
            return None
        data, self._skip = data[self._skip :], 0
        return data


def _read_line(line: bytes) -> ProxyHeader:
    """What stands between `PROXY ` and CR LF (section 2.1)."""
    words = line.decode("latin-1").split(" ")[1:]
    if words[0] == "UNKNOWN":
        return ProxyHeader("UNKNOWN")
    if words[0] not in ("TCP4", "TCP6") or len(words) != 5:
        raise _malformed("a line of another form", "2.1")
    protocol, client, server, *ports = words
    kind = ipaddress.IPv4Address if protocol == "TCP4" else ipaddress.IPv6Address
    for address in (client, server):
        try:
            kind(address)
        except ValueError:
            raise _malformed("what is no address", "2.1") from None
        if "%" in address:  # a zone (RFC 4007), which means nothing on another machine
            raise _malformed("what is no address", "2.1")
    if not all(_PORT.fullmatch(port) and int(port) < 65536 for port in ports):
        raise _malformed("what is no port", "2.1")
    return ProxyHeader(protocol, (client, int(ports[0])), (server, int(ports[1])))


def _addresses(family: int, octets: bytes) -> ProxyHeader:
    """The ends of a stream (section 2.2)."""
    if family == 0:
        return ProxyHeader("UNKNOWN")
    if family == 3:
        return ProxyHeader("UNIX", _path(octets[:108]), _path(octets[108:]))
    size = (len(octets) - 4) // 2
    kind = ipaddress.IPv4Address if family == 1 else ipaddress.IPv6Address
    client, server = str(kind(octets[:size])), str(kind(octets[size : 2 * size]))
    ports = int.from_bytes(octets[-4:-2]), int.from_bytes(octets[-2:])
    return ProxyHeader("TCP4" if family == 1 else "TCP6", (client, ports[0]), (server, ports[1]))


def _path(octets: bytes) -> str:
    """sun_path: up to the first NUL; an abstract name begins with one. Applications are to be able to print it."""
    name, _, _ = octets[1:].partition(b"\0")
    first = octets[:1] if octets[0] or name else b""
    return (first + name).decode("utf-8", "backslashreplace")


def _malformed(what: str, section: str) -> ProtocolError:
    return ProtocolError(400, f"{what} in a PROXY header (PROXY protocol, section {section})")
