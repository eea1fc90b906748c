"""Field names and values (RFC 9110 section 5), in both directions.

Names go through bounded tables: a name met before costs one look-up, a new one is checked against the grammar once. The
tables hold names, never values or messages, and stop growing at a bound, so that a peer cannot fill memory with them.
"""

import re
from enum import IntEnum
from typing import Any, NamedTuple

from pyserve.protocol.errors import ApplicationError, ProtocolError

# (lower-case name, value) in the order they came
Fields = list[tuple[bytes, bytes]]

# token = 1*tchar (RFC 9110 section 5.6.2)
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TCHARS = bytes(octet for octet in range(128) if TOKEN.fullmatch(bytes([octet])))

# What a line may consist of: HTAB, SP, VCHAR, obs-text (RFC 9110 section 5.5).
LINE_OCTETS = bytes([9, *range(32, 127), *range(128, 256)])
# Each of these to a dot; CR, LF and any other control to LF. For octets to be left out `translate` would make a table
# in each call.
_BREAKS = bytes(0x2E if octet in LINE_OCTETS else 0x0A for octet in range(256))

_KNOWN_AT_MOST = 1024  # names in one table; ordinary traffic knows about a hundred
LONGEST_KNOWN = 64  # octets of a name or method that a table takes: the others' memory is the connection's


def count_lines(octets: bytes) -> int:
    """Count whole lines; -1 when there is a control character but HTAB, or CR or LF other than as CR LF.

    This one rule stops request smuggling by bare CR or LF on the way in and response splitting on the way out
    (RFC 9112 sections 2.2 and 11.1).
    """
    count = octets.count(b"\r\n")
    # Every CR LF makes two breaks; anything more is an octet that no line holds.
    return count if octets.translate(_BREAKS).count(b"\n") == 2 * count else -1


def are_lines(octets: bytes, count: int) -> bool:
    """Tell whether octets into which we have put `count` CR LF are as many lines: the same rule, in half the time."""
    return octets.translate(_BREAKS).count(b"\n") == 2 * count


class RequestNames:
    """Field names of requests: as one was sent -> the same in lower case.

    known: the names that were met, for the hot path: a plain `dict` is looked up twice as fast as one with a
    `__missing__`. A name that is not in it is handed to `learn`.
    """

    __slots__ = ("known",)

    def __init__(self) -> None:
        self.known: dict[bytes, bytes] = {}

    def learn(self, name: bytes) -> bytes:
        """Check a name, and know it from now on; `ProtocolError` 400 for what is no token."""
        if not name or name.translate(None, _TCHARS):  # TOKEN, in half the time: a head may have thousands of names
            raise ProtocolError(400, "invalid field name (RFC 9110 section 5.1)")
        lower = name.lower()
        if len(self.known) < _KNOWN_AT_MOST and len(name) <= LONGEST_KNOWN:
            self.known[name] = lower
        return lower


class Meaning(IntEnum):
    """What a response field means to the server; NONE for all that merely passes through. Values are bits of a set."""

    NONE = 0
    LENGTH = 1
    DATE = 2
    SERVER = 4
    CONNECTION = 8
    HOP = 16  # hop-by-hop, the server's own business (RFC 9110 section 7.6.1)


_MEANINGS = {
    b"content-length": Meaning.LENGTH,
    b"connection": Meaning.CONNECTION,
    b"keep-alive": Meaning.HOP,
    b"proxy-connection": Meaning.HOP,
    b"te": Meaning.HOP,
    b"transfer-encoding": Meaning.HOP,
    b"upgrade": Meaning.HOP,
    b"date": Meaning.DATE,
    b"server": Meaning.SERVER,
}


class ResponseNames:
    """Field names of responses, of type `kind` -> their meaning, as a number.

    known: the names that were met, as in `RequestNames`.
    """

    __slots__ = ("kind", "known")

    def __init__(self, kind: type[bytes] | type[str]) -> None:
        self.kind = kind
        self.known: dict[Any, int] = {}

    def learn(self, name: bytes | str) -> int:
        """Check a name, and know it from now on; `ApplicationError` for what is no token."""
        if not isinstance(name, self.kind):
            kind = type(name).__name__
            raise ApplicationError(f"a response field name must be {self.kind.__name__}, not {kind}")
        octets = name.encode("latin-1", "replace") if isinstance(name, str) else name
        if not TOKEN.fullmatch(octets):
            raise ApplicationError(f"invalid response field name {name!r} (RFC 9110 section 5.1)")
        meaning = int(_MEANINGS.get(octets.lower(), Meaning.NONE))
        if len(self.known) < _KNOWN_AT_MOST:
            self.known[name] = meaning
        return meaning


class Form(NamedTuple):
    """What an application's field lines are made of: octets (ASGI) or str in latin-1 (PEP 3333)."""

    names: ResponseNames
    colon: Any
    end: Any
    nothing: Any


request_names = RequestNames()
response_names = ResponseNames(bytes)
OCTETS = Form(response_names, b": ", b"\r\n", b"")
TEXT = Form(ResponseNames(str), ": ", "\r\n", "")


def options(value: bytes) -> list[bytes]:
    """Split a list field such as Connection into lower-case members without empty ones (RFC 9110 section 5.6.1)."""
    return [option for item in value.split(b",") if (option := item.strip(b" \t").lower())]
