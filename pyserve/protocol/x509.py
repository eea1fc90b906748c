"""What a certificate says of its subject: the hosts it is for, and names as text (RFC 5280, RFC 4514, RFC 6066).

Python's ssl module takes a certificate apart only where it has verified it: a peer's. A server that is to choose one of
its own by the name that a client asks for must look itself. No more of DER is read than leads there.
"""

from collections.abc import Iterator

_SEQUENCE = 0x30
_EXTENSIONS = 0xA3
_DNS_NAME = 0x82  # GeneralName [2] IA5String
_SUBJECT_ALT_NAME = bytes.fromhex("551d11")  # 2.5.29.17
_COMMON_NAME = bytes.fromhex("550403")  # 2.5.4.3

_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}

# What mod_ssl has a word of its own for where it names a single part, which is not that of RFC 4514 in a whole name.
_PARTS = _SHORT | {
    "title": "T",
    "initials": "I",
    "givenName": "G",
    "surname": "S",
    "description": "D",
    "emailAddress": "Email",
}

RelativeName = tuple[tuple[str, str], ...]
Name = tuple[RelativeName, ...]
"""A distinguished name as `ssl.SSLSocket.getpeercert` gives it."""


class NotDer(ValueError):
    """These octets are no certificate."""


def host_names(certificate: bytes) -> tuple[str, ...]:
    """The host names that a certificate in DER is for, in lower case: its dNSNames, or else its common name.

    (RFC 9525 section 6.3; the common name for what is older.) Raises `NotDer`.
    """
    try:
        (_, start, end), *_ = _elements(certificate, 0, len(certificate))
        (_, start, end), *_ = _elements(certificate, start, end)
        fields = list(_elements(certificate, start, end))
        names = [name for tag, *span in fields if tag == _EXTENSIONS for name in _alternatives(certificate, *span)]
        if not names:
            # version, which may be missing, serialNumber, signature, issuer, validity, subject
            sequences = [span for tag, *span in fields if tag == _SEQUENCE]
            names = list(_common_names(certificate, *sequences[3]))
    except (IndexError, ValueError) as error:
        raise NotDer("no certificate") from error
    return tuple(name.decode("latin-1").lower() for name in names)


def _elements(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(tag, start, end) of each element's content between two offsets (X.690 section 8.1)."""
    while start < end:
        tag, length = data[start], data[start + 1]
        start += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[start : start + size])
            start += size
        if start + length > end:
            raise NotDer("an element is longer than what it is in")
        yield tag, start, start + length
        start += length


def _alternatives(data: bytes, start: int, end: int) -> Iterator[bytes]:
    """The dNSNames among the extensions."""
    for _, outer, outer_end in _elements(data, start, end):
        for _, first, last in _elements(data, outer, outer_end):
            (_, *kind), *_, (_, value, value_end) = _elements(data, first, last)
            if data[kind[0] : kind[1]] != _SUBJECT_ALT_NAME:
                continue
            for _, names, names_end in _elements(data, value, value_end):
                for tag, name, name_end in _elements(data, names, names_end):
                    if tag == _DNS_NAME:
                        yield data[name:name_end]


def _common_names(data: bytes, start: int, end: int) -> Iterator[bytes]:
    for _, first, last in _elements(data, start, end):
        for _, kind, kind_end in _elements(data, first, last):
            (_, name, name_end), (_, value, value_end) = _elements(data, kind, kind_end)
            if data[name:name_end] == _COMMON_NAME:
                yield data[value:value_end]


def host_matches(wanted: str) -> tuple[str, ...]:
    """What a certificate for `wanted` may be listed under: the name itself, and with a wildcard as its first label."""
    name = wanted.lower().rstrip(".")
    _, dot, parent = name.partition(".")
    return (name, f"*.{parent}") if dot else (name,)


def distinguished_name(name: Name) -> str:
    """A name as text, the most particular part first: `CN=client,O=Example,C=DE` (RFC 4514)."""
    return ",".join("+".join(f"{_SHORT.get(kind, kind)}={_escape(value)}" for kind, value in rdn) for rdn in name[::-1])


def attributes(name: Name) -> Iterator[tuple[str, str]]:
    """(mod_ssl's name of the kind, value) of each part of a name, in its own order."""
    for rdn in name:
        for kind, value in rdn:
            yield _PARTS.get(kind, kind), value


def _escape(value: str) -> str:
    """RFC 4514 section 2.4. Controls as hexpair, too, as OpenSSL and mod_ssl have them: a name is one line."""
    text = "".join(
        f"\\{mark}" if mark in '"+,;<>\\' else f"\\{ord(mark):02X}" if mark < " " or mark == "\x7f" else mark
        for mark in value
    )
    if text[:1] in ("#", " "):
        text = "\\" + text
    if len(text) > 1 and text.endswith(" ") and not text.endswith("\\ "):
        text = text[:-1] + "\\ "
    return text
