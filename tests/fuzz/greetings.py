"""PROXY headers, good ones and nearly good ones, and what must hold whatever comes before a connection's first request.

Section numbers are those of HAProxy's doc/proxy-protocol.txt.
"""

import ipaddress
from random import Random

from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.proxy import ProxyHeader, ProxyReader
from tests.fuzz import grammar

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
MOST_HELD = 232  # octets: the longest header with addresses (section 2.2)

_ADDRESSES = ["203.0.113.9", "0.0.0.0", "255.255.255.255", "2001:db8::9", "::", "::ffff:1.2.3.4", "ff02::1"]
_NO_ADDRESSES = ["", "a", "1.2.3", "256.1.1.1", "fe80::1%eth0", "1.2.3.4:5", "[::1]", "\u0661.2.3.4"]
_PORTS = ["0", "80", "65535", "65536", "080", "-1", "", "+1", "8 0"]
_SIZES = {0: 0, 1: 12, 2: 36, 3: 216}


def draw(random: Random) -> bytes:
    """Octets that begin a connection: a header or nearly one, and a request, or part of one, behind it."""
    kind = random.randrange(8)
    if kind == 0:
        octets = random.randbytes(random.randrange(300))
    elif kind < 4:
        octets = _line(random)
    else:
        octets = _binary(random)
    if not random.randrange(3):
        octets = _damaged(random, octets)
    return octets + random.choice([b"", grammar.good_stream(random)])


def _line(random: Random) -> bytes:
    """Section 2.1."""
    addresses = _ADDRESSES if random.randrange(6) else _NO_ADDRESSES
    client, server = random.choice(addresses), random.choice(addresses)
    ports = [random.choice(_PORTS[: 3 if random.randrange(6) else None]) for _ in range(2)]
    family = random.choice(["TCP4", "TCP6", "UNKNOWN", "TCP6" if ":" in client else "TCP4"])
    words = ["PROXY", family, client, server, *ports]
    if not random.randrange(6):
        words = words[: random.randrange(1, 7)]
    return " ".join(words).encode() + random.choice([b"\r\n"] * 6 + [b"\n", b"\r", b"", b" \r\n"])


def _binary(random: Random) -> bytes:
    """Section 2.2."""
    family = random.choice([1, 2, 3, random.randrange(16)])
    transport = random.choice([1, 1, 1, random.randrange(16)])
    command = random.choice([0x21, 0x21, 0x21, 0x20, random.randrange(256)])
    size = _SIZES.get(family, 0)
    vectors = random.randbytes(random.choice([0, 0, 7, random.randrange(3000)]))
    length = size + len(vectors)
    if not random.randrange(6):
        length = random.choice([max(0, length - 1), length + 1, 0, 65535])
    return SIGNATURE + bytes([command, family << 4 | transport]) + length.to_bytes(2) + random.randbytes(size) + vectors


def _damaged(random: Random, octets: bytes) -> bytes:
    at = random.randrange(len(octets) + 1)
    return random.choice(
        [octets[:at], octets[:at] + random.randbytes(1) + octets[at + 1 :], octets[:at] + octets[at:] * 2]
    )


Outcome = tuple[ProxyHeader | None, bytes] | str | None


def check(random: Random) -> None:
    """The outcome is the same however the octets are cut, makes sense, and little is held on the way to it."""
    octets = draw(random)
    versions = random.choice([(1,), (2,), (1, 2)])
    whole = read([octets], versions)
    for pieces in (grammar.cut(random, octets), [octets[at : at + 1] for at in range(len(octets))]):
        found = read(pieces, versions)
        assert found == whole, (octets, versions, pieces)
    if isinstance(whole, str):
        assert whole.startswith("400 ")
    elif whole is not None:
        header, rest = whole
        assert octets.endswith(rest)
        assert header is not None or rest == octets
        _make_sense(header)


def read(pieces: list[bytes], versions: tuple[int, ...]) -> Outcome:
    """The header and what is behind it, the reason of a refusal, or None for what waits for more."""
    reader = ProxyReader(versions)
    for number, piece in enumerate(pieces):
        try:
            rest = reader.feed(piece)
        except ProtocolError as error:
            return f"{error.status} {error.text}"
        if rest is not None:
            return reader.header, rest + b"".join(pieces[number + 1 :])
        assert len(reader._held) <= MOST_HELD or len(pieces) == 1
    return None


def _make_sense(header: ProxyHeader | None) -> None:
    for place in (header.client, header.server) if header is not None else ():
        if isinstance(place, tuple):
            ipaddress.ip_address(place[0])
            assert 0 <= place[1] < 65536
        elif place is not None:
            place.encode()  # no surrogates
