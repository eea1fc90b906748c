"""The PROXY protocol, by the sections of proxy-protocol.txt: whole, octet by octet and with what is behind it."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.proxy import ProxyHeader, ProxyReader

SIGNATURE = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LONG6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"


def v2(command: int, family: int, rest: bytes = b"", length: int | None = None) -> bytes:
    size = len(rest) if length is None else length
    return SIGNATURE + struct.pack(">BBH", command, family, size) + rest


def v1(text: str) -> bytes:
    return f"PROXY {text}\r\n".encode("latin-1")


INET = bytes((203, 0, 113, 9, 198, 51, 100, 1)) + struct.pack(">HH", 56324, 443)
INET6 = bytes.fromhex("20010db800000000000000000000000920010db8000000000000000000000001") + struct.pack(">HH", 1, 65535)
UNIX = b"/run/client".ljust(108, b"\0") + b"\0abstract".ljust(108, b"\0")
NOOP = b"\x04\x00\x05hello"

CLIENT4, SERVER4 = ("203.0.113.9", 56324), ("198.51.100.1", 443)
TCP4 = ProxyHeader("TCP4", CLIENT4, SERVER4)
TCP6 = ProxyHeader("TCP6", ("2001:db8::9", 1), ("2001:db8::1", 65535))
UNKNOWN = ProxyHeader("UNKNOWN")
LOCAL = ProxyHeader("LOCAL")

# (octets, header): sections 2.1 and 2.2
WELL_FORMED: list[tuple[bytes, ProxyHeader]] = [
    (v1("TCP4 203.0.113.9 198.51.100.1 56324 443"), TCP4),
    (v1("TCP4 255.255.255.255 0.0.0.0 0 65535"), ProxyHeader("TCP4", ("255.255.255.255", 0), ("0.0.0.0", 65535))),
    (v1("TCP6 2001:db8::9 2001:db8::1 1 65535"), TCP6),
    (v1("TCP6 ::ffff:1.2.3.4 ::1 1 2"), ProxyHeader("TCP6", ("::ffff:1.2.3.4", 1), ("::1", 2))),
    (v1(f"TCP6 {LONG6} {LONG6} 65535 65535"), ProxyHeader("TCP6", (LONG6, 65535), (LONG6, 65535))),
    (v1("UNKNOWN"), UNKNOWN),
    (v1("UNKNOWN \xff anything \0 at all"), UNKNOWN),
    (v1(f"UNKNOWN {LONG6} {LONG6} 65535 65535"), UNKNOWN),  # the longest: 107 octets
    (v2(0x21, 0x11, INET), TCP4),
    (v2(0x21, 0x21, INET6), TCP6),
    (v2(0x21, 0x31, UNIX), ProxyHeader("UNIX", "/run/client", "\0abstract")),
    (v2(0x21, 0x31, bytes(216)), ProxyHeader("UNIX", "", "")),
    (
        v2(0x21, 0x31, b"/\xff".ljust(108, b"\0") + "/\u00e9".encode().ljust(108, b"\0")),
        ProxyHeader("UNIX", "/\\xff", "/\u00e9"),
    ),
    (v2(0x21, 0x31, b"x" * 216), ProxyHeader("UNIX", "x" * 108, "x" * 108)),
    (v2(0x21, 0x11, INET + NOOP), TCP4),
    (v2(0x21, 0x11, INET + NOOP * 100), TCP4),
    (v2(0x21, 0x11, INET + b"\xff\xff\xff"), TCP4),  # a vector that claims more than there is: not looked at
    (v2(0x21, 0x21, INET6 + bytes(65535 - 36)), TCP6),
    (v2(0x20, 0x00), LOCAL),
    (v2(0x20, 0x11, INET), LOCAL),
    (v2(0x20, 0xFF, NOOP), LOCAL),  # its family is ignored
    (v2(0x21, 0x00), UNKNOWN),
    (v2(0x21, 0x00, NOOP), UNKNOWN),
    (v2(0x21, 0x01), UNKNOWN),
    (v2(0x21, 0x10, INET), UNKNOWN),
    (v2(0x21, 0x12, INET), UNKNOWN),  # a datagram on a stream
    (v2(0x21, 0x22, INET6), UNKNOWN),
    (v2(0x21, 0x32, UNIX), UNKNOWN),
]
IDS = [octets[:40].decode("latin-1").encode("unicode_escape").decode() for octets, _ in WELL_FORMED]

# (octets, at which octet it must be known at the latest)
MALFORMED: list[tuple[bytes, int | None]] = [
    (v1("TCP4 203.0.113.9 198.51.100.1 56324"), None),
    (v1("TCP4 203.0.113.9 198.51.100.1 56324 443 1"), None),
    (v1("TCP4 203.0.113.9 198.51.100.1  56324 443"), None),
    (v1("TCP4 203.0.113.9 198.51.100.1 56324 443 "), None),
    (v1(" TCP4 203.0.113.9 198.51.100.1 56324 443"), None),
    (v1("TCP4 203.0.113.09 198.51.100.1 56324 443"), None),
    (v1("TCP4 203.0.113.256 198.51.100.1 56324 443"), None),
    (v1("TCP4 203.0.113 198.51.100.1 56324 443"), None),
    (v1("TCP4 ::1 ::1 1 2"), None),
    (v1("TCP4 203.0.113.9 ::1 1 2"), None),
    (v1("TCP6 1.2.3.4 1.2.3.4 1 2"), None),
    (v1("TCP6 :::1 ::1 1 2"), None),
    (v1("TCP6 fe80::1%eth0 ::1 1 2"), None),
    (v1("TCP6 [::1] ::1 1 2"), None),
    (v1("TCP4 1.2.3.4 1.2.3.4 65536 2"), None),
    (v1("TCP4 1.2.3.4 1.2.3.4 01 2"), None),
    (v1("TCP4 1.2.3.4 1.2.3.4 +1 2"), None),
    (v1("TCP4 1.2.3.4 1.2.3.4 \xb2 2"), None),
    (v1("TCP4 1.2.3.4 1.2.3.4 1 -2"), None),
    (v1("TCP4\t1.2.3.4 1.2.3.4 1 2"), None),
    (v1("tcp4 1.2.3.4 1.2.3.4 1 2"), None),
    (v1("UDP4 1.2.3.4 1.2.3.4 1 2"), None),
    (v1("UNIX"), None),
    (v1("UNKNOWNX"), None),
    (v1(""), None),
    (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", None),
    (b"PROXY UNKNOWN\rx\r\n", None),
    (b"PROXY / HTTP/1.1\r\n", None),
    (v1("UNKNOWN ".ljust(100, "x")), 107),  # 108 octets
    (b"PROXY UNKNOWN " + b"x" * 1000, 107),
    (v2(0x11, 0x11, INET), 16),
    (v2(0x31, 0x11, INET), 16),
    (v2(0x01, 0x11, INET), 16),
    (v2(0x22, 0x11, INET), 16),
    (v2(0x2F, 0x11, INET), 16),
    (v2(0x21, 0x41, UNIX), 16),
    (v2(0x21, 0xF1, UNIX), 16),
    (v2(0x21, 0x13, INET), 16),
    (v2(0x21, 0x11, INET[:-1]), 16),
    (v2(0x21, 0x11), 16),
    (v2(0x21, 0x21, INET), 16),
    (v2(0x21, 0x31, UNIX[:-1]), 16),
]

NONE = [GET, b"\r\n" + GET, b"\x16\x03\x01", b"PROXYING / HTTP/1.1\r\n", b"proxy TCP4", b"PUT / HTTP/1.1",
        b"\r\n\r\n\0\r\nQUIT\r", b"P\r\n", b"\0"]  # fmt: skip


def read(pieces: list[bytes], versions: tuple[int, ...] = (1, 2)) -> tuple[ProxyReader, bytes]:
    """Feed the pieces; what is behind the header, with the pieces that follow."""
    reader = ProxyReader(versions)
    for number, piece in enumerate(pieces):
        rest = reader.feed(piece)
        if rest is not None:
            return reader, rest + b"".join(pieces[number + 1 :])
    raise AssertionError("it waits for more")


def octets_of(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@pytest.mark.parametrize(("octets", "header"), WELL_FORMED, ids=IDS)
@pytest.mark.parametrize("tail", [b"", GET, b"PROXY UNKNOWN\r\n"])
def test_well_formed(octets: bytes, header: ProxyHeader, tail: bytes) -> None:
    reader, rest = read([octets + tail])
    assert (reader.header, rest) == (header, tail)
    if len(octets) < 1000:
        reader, rest = read([*octets_of(octets), tail])
        assert (reader.header, rest) == (header, tail)
        for at in range(1, len(octets)):
            reader, rest = read([octets[:at], octets[at:] + tail])
            assert (reader.header, rest) == (header, tail)


@pytest.mark.parametrize(("octets", "header"), WELL_FORMED, ids=IDS)
def test_nothing_is_decided_before_the_last_octet(octets: bytes, header: ProxyHeader) -> None:
    reader = ProxyReader((1, 2))
    assert reader.feed(octets[:-1]) is None
    assert reader.feed(octets[-1:]) == b""
    assert reader.header == header


@pytest.mark.parametrize(("octets", "known_at"), MALFORMED)
def test_malformed(octets: bytes, known_at: int | None) -> None:
    with pytest.raises(ProtocolError, match="PROXY protocol, section 2"):
        read([octets])
    reader = ProxyReader((1, 2))
    for number, octet in enumerate(octets_of(octets), 1):
        try:
            assert reader.feed(octet) is None
        except ProtocolError:
            assert number == (known_at or len(octets))
            return
    raise AssertionError("not noticed")


@pytest.mark.parametrize("octets", NONE)
def test_no_header(octets: bytes) -> None:
    for pieces in ([octets], octets_of(octets), [octets[:1], octets[1:]]):
        reader, rest = read(pieces)
        assert (reader.header, rest) == (None, octets)


def test_a_version_that_is_not_asked_for_is_no_header() -> None:
    for octets, versions in ((v1("UNKNOWN"), (2,)), (v2(0x20, 0), (1,)), (v1("UNKNOWN"), ()), (v2(0x20, 0), ())):
        for pieces in ([octets], octets_of(octets)):
            reader, rest = read(pieces, versions)
            assert (reader.header, rest) == (None, octets)


def test_little_is_held_whatever_is_announced() -> None:
    reader = ProxyReader((2,))
    assert reader.feed(v2(0x21, 0x31, UNIX, length=65535)) is None
    for _ in range(65535 - 216 - 1):
        assert reader.feed(b"x") is None
        assert len(reader._held) <= 232
    assert reader.feed(b"xGET") == b"GET"
    assert reader.header is not None


@settings(deadline=None, derandomize=True)
@given(st.binary(max_size=300), st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21", v1("UNKNOWN")[:-2]]))
def test_the_outcome_does_not_depend_on_how_octets_are_cut(data: bytes, prefix: bytes) -> None:
    octets = prefix + data
    assert _outcome([octets]) == _outcome(octets_of(octets))


def _outcome(pieces: list[bytes]) -> object:
    reader = ProxyReader((1, 2))
    rest = b""
    decided = False
    for piece in pieces:
        if decided:
            rest += piece
            continue
        try:
            found = reader.feed(piece)
        except ProtocolError as error:
            return error.text
        if found is not None:
            rest, decided = found, True
    return decided, reader.header, rest
