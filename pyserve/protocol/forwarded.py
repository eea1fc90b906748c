"""What trusted proxies say of a request's client: X-Forwarded-*, Forwarded (RFC 7239), and fields that mean https.

A field proves nothing by itself: any client can write it. So the driver asks `Trusted` once per connection whether
its peer is a proxy of ours, and only then has a gateway look into the fields, with `Forwarding.read`.

    X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.0.0.7        <- each proxy writes at the right end whom it was asked by
                     forged   client       trusted proxy      peer: 127.0.0.1, trusted

They are read from the right. The first address that is not trusted is the client: whatever stands left of it was the
client's to write. Where all are trusted, the leftmost is the client (as uvicorn has it).

Which fields are read at all is for the server's owner to say, by the names that his proxies set: a proxy passes on
those that it does not know, and then they are the client's. By default these are X-Forwarded-For and -Proto.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.exchange import Exchange
from pyserve.protocol.fields import TOKEN
from pyserve.protocol.target import is_host

FOR, PROTO, HOST, PORT = b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port"
FORWARDED = b"forwarded"

Hop = tuple[str, int]  # (address as it was written, port or 0)

_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_KNOWN_AT_MOST = 4096  # addresses of which the verdict is kept
_LONGEST_ADDRESS = 64  # octets: nothing longer is an address, nor worth keeping

# forwarded-pair = token "=" ( token / quoted-string ); pairs are separated by ";", elements by "," (RFC 7239 section
# 4). Blanks around the separators and empty pairs are let pass, as lists have them (RFC 9110 section 5.6.1).
_TOKEN = TOKEN.pattern.decode("ascii")
# Possessive, as a client may have written thousands of blanks: each must be looked at once.
_PAIR = re.compile(rf'[ \t]*+(?:({_TOKEN})=(?:({_TOKEN})|"((?:[^"\\]|\\.)*+)"))?+[ \t]*+([;,]|\Z)')
_QUOTED_PAIR = re.compile(r"\\(.)")
# obfport = "_" 1*(ALPHA / DIGIT / "." / "_" / "-") (RFC 7239 section 6.2): a port that is kept secret
_SECRET_PORT = re.compile(r"_[A-Za-z0-9._-]+")


class Trusted:
    """The peers that are believed: addresses, networks, or `*` for all. A peer on a unix socket always is: whoever may
    open the socket's file was let in by its owner (gunicorn's rule). A hop further on that came by a unix socket has no
    address: it is believed where it is named as it is written, or by `unix` where that is nginx's `unix:`."""

    __slots__ = ("_addresses", "_all", "_known", "_networks", "_words")

    def __init__(self, names: Iterable[str]) -> None:
        """names: as of the setting."""
        self._all = False
        self._words: set[str] = set()
        self._addresses: set[ipaddress.IPv4Address | ipaddress.IPv6Address] = set()
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._known: dict[str, bool] = {"": True}
        for name in names:
            if name == "*":
                self._all = True
            elif name.startswith(("/", "unix")):
                self._words.add(name)
            elif "/" in name:
                self._networks.append(_network(name))
            elif (address := _address(name)) is not None:
                self._addresses.add(address)

    def __contains__(self, host: object) -> bool:
        """host: an address as text, "" for a unix socket's."""
        if self._all:
            return True
        known = self._known.get(host) if isinstance(host, str) else False
        return self._judge(str(host)) if known is None else known

    @property
    def everybody(self) -> bool:
        """Whether the client itself is believed, too."""
        return self._all

    def _judge(self, host: str) -> bool:
        address = _address(host)
        if address is None:
            return host in self._words
        verdict = address in self._addresses or any(address in network for network in self._networks)
        if len(self._known) >= _KNOWN_AT_MOST:
            self._known = {"": True}
        self._known[host] = verdict
        return verdict


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address; that of an IPv4 peer at a dual-stack listener (`::ffff:127.0.0.1`) is the IPv4 one."""
    if len(text) > _LONGEST_ADDRESS:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A network; one of IPv4 addresses written as IPv6 ones (`::ffff:10.0.0.0/104`) is the IPv4 one."""
    network = ipaddress.ip_network(text)
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        first = network.network_address.ipv4_mapped
        if first is not None:
            return ipaddress.IPv4Network((first, network.prefixlen - 96))
    return network


class Origin(NamedTuple):
    """What the proxies say of a request; None for what they do not.

    client: (address, port or 0). scheme: "http" or "https". host: of the Host field that the client sent, valid.
    port: which the client has connected to.
    """

    client: Hop | None = None
    scheme: str | None = None
    host: bytes | None = None
    port: int | None = None


_NOTHING = Origin()


class Forwarding:
    """Which fields are read, and how far they are believed. One for all connections of a worker.

    names: fields of which a request must have one for there to be anything to read. trusted: whose peers' are.
    """

    __slots__ = ("_believed", "_decides", "_secure", "names", "trusted")

    def __init__(
        self, trusted: Trusted, believed: Iterable[bytes], secure: Mapping[bytes, bytes], *, decides: bool = True
    ) -> None:
        """believed: of the five names above. secure: field name in lower case -> the value that means https; any other
        value means http (gunicorn's `secure_scheme_headers`). decides: they come before X-Forwarded-Proto; else they
        may only not contradict it."""
        self.trusted = trusted
        self._believed = frozenset(believed)
        self._decides = decides
        self._secure = dict(secure)
        self.names = self._believed | frozenset(self._secure)

    def read(self, exchange: Exchange) -> Origin:
        """What the fields of a trusted peer's request say. `ProtocolError` 400 for what contradicts itself or is
        malformed where that leaves open who the client is."""
        index = exchange.index
        believed = self._believed
        origin = _NOTHING
        if FORWARDED in believed and FORWARDED in index:
            origin = self._forwarded(index[FORWARDED].decode("latin-1"))
        elif not believed.isdisjoint(index):
            origin = self._x_forwarded(index)
        if self._secure and not self._secure.keys().isdisjoint(index):
            if self._decides:
                origin = origin._replace(scheme=self._scheme(exchange))
            else:
                self._compare(exchange, origin.scheme)
        return origin

    def _scheme(self, exchange: Exchange) -> str | None:
        """The scheme by gunicorn's rule: all fields that mean one must agree."""
        secure = self._secure
        said = {value == secure[name] for name, value in exchange.fields if name in secure}
        if len(said) > 1:
            raise _contradictory()
        return "https" if said == {True} else "http"

    def _compare(self, exchange: Exchange, scheme: str | None) -> None:
        """The scheme was read by uvicorn's rule: what speaks against it is refused, as by gunicorn's. scheme: None
        where X-Forwarded-Proto names none."""
        secure = self._secure
        said = set() if scheme is None else {scheme == "https"}
        protos = set()
        for name, value in exchange.fields:
            if name == PROTO:
                protos.add(value.lower())
            elif name in secure:
                said.add(value == secure[name])
        if len(said) > 1 or len(protos) > 1:
            raise _contradictory()

    def _x_forwarded(self, index: Mapping[bytes, bytes]) -> Origin:
        hops = [parse_hop(text) for text in self._members(index, FOR)]
        at = self._client(hops)
        client = hops[at] if hops else None
        protos = self._members(index, PROTO)
        scheme = _SCHEMES.get(_of_hop(protos, at, len(hops)).lower())
        host = _of_hop(self._members(index, HOST), at, len(hops)).encode("latin-1") or None
        port = _of_hop(self._members(index, PORT), at, len(hops))
        return Origin(client, scheme, _checked_host(host), _checked_port(port) if port else None)

    def _members(self, index: Mapping[bytes, bytes], name: bytes) -> list[str]:
        """The members of a list field, without empty ones (RFC 9110 section 5.6.1); none where it is not believed."""
        value = index.get(name) if name in self._believed else None
        if not value:
            return []
        return [member for text in value.decode("latin-1").split(",") if (member := text.strip())]

    def _forwarded(self, value: str) -> Origin:
        elements = parse_forwarded(value)
        if not elements:
            return _NOTHING
        at = self._client([parse_hop(element.get("for") or "unknown") for element in elements])
        element = elements[at]
        client = parse_hop(element["for"]) if element.get("for") else None
        host = _checked_host(element.get("host", "").encode("latin-1") or None)
        return Origin(client, _SCHEMES.get(element.get("proto", "").lower()), host)

    def _client(self, hops: Sequence[Hop]) -> int:
        """Which of the hops is the client: the last one that is not trusted, or else the first."""
        if not self.trusted.everybody:
            for at in range(len(hops) - 1, -1, -1):
                if hops[at][0] not in self.trusted:
                    return at
        return 0


def _contradictory() -> ProtocolError:
    return ProtocolError(400, "contradictory scheme headers (secure_scheme_headers)")


def _of_hop(members: Sequence[str], at: int, hops: int) -> str:
    """What a list field says of the hop `at`. Proxies that append to it leave as many members as hops; else nobody can
    tell whose is whose, and the last one is the nearest proxy's word."""
    if not members:
        return ""
    return members[at] if len(members) == hops else members[-1]


def parse_hop(text: str) -> Hop:
    """Take one member of X-Forwarded-For, or a node of RFC 7239 section 6, apart: (address, port or 0).

    `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`; anything else is as written.
    """
    host, port = text, ""
    if text.startswith("["):
        inside, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            return text, 0
        host, port = inside, rest[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not host:
        return text, 0
    if not port or _SECRET_PORT.fullmatch(port):
        return host, 0
    number = _port(port)
    return (text, 0) if number is None else (host, number)


def parse_forwarded(value: str) -> list[dict[str, str]]:
    """The elements of a Forwarded field, each parameter name in lower case -> value (RFC 7239 section 4).

    `ProtocolError` 400 where it is malformed: the proxies' elements cannot be told from the client's then.
    """
    elements: list[dict[str, str]] = []
    element: dict[str, str] = {}
    position = 0
    while True:
        match = _PAIR.match(value, position)
        if match is None:
            raise ProtocolError(400, "malformed Forwarded (RFC 7239 section 4)")
        name, token, quoted, end = match.groups()
        if name is not None:
            if name.lower() in element:
                raise ProtocolError(400, "a parameter of Forwarded twice in one element (RFC 7239 section 4)")
            element[name.lower()] = token if token is not None else _QUOTED_PAIR.sub(r"\1", quoted)
        if end != ";" and element:
            elements.append(element)
            element = {}
        if not end:
            return elements
        position = match.end()


def _checked_host(host: bytes | None) -> bytes | None:
    # An empty name is no use to whom it is told, and a SERVER_NAME is none (PEP 3333).
    if host is not None and (not is_host(host) or host.startswith(b":")):
        raise ProtocolError(400, "invalid host from a proxy (RFC 9110 section 7.2)")
    return host


def _checked_port(text: str) -> int:
    port = _port(text)
    if port is None:
        raise ProtocolError(400, "invalid X-Forwarded-Port")
    return port


def _port(text: str) -> int | None:
    """port = 1*5DIGIT (RFC 7239 section 6.2), within 16 bits."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        return None
    return number if (number := int(text)) < 65536 else None


def split_host(host: bytes) -> tuple[str, int | None]:
    """(name, port) of a valid Host field; the port is None where it has none. An IPv6 address keeps its brackets."""
    text = host.decode("latin-1")
    name, colon, port = text.rpartition(":")
    if not colon or "]" in port:
        return text, None
    return name, int(port) if port else None
