"""Compression of WebSocket messages: permessage-deflate (RFC 7692).

What a message is inflated to is bounded while it is inflated: 64 kB can become 64 MB.
"""

import re
import zlib
from typing import Final, NamedTuple

from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.fields import TOKEN
from pyserve.protocol.websocket_frames import Code, Failure

# A window of 4 KiB and little memory beside it, as uvicorn and websockets have it: 32 KiB for what a connection sends
# and 4 for what it receives, in place of 256 and 32, and messages become hardly larger.
_WINDOW = 12
_MEMORY = 5
_WORTH = 64  # octets: what is shorter costs more time than it saves

_TAIL = b"\0\0\xff\xff"  # of an empty block, which ends each message and is not sent (section 7.2.1)

# extension-param = token [ "=" (token | quoted-string) ] (RFC 6455 section 9.1); unquoted, the value is a token again
_TOKEN = TOKEN.pattern.decode("ascii")
_PARAMETER = re.compile(rf'[ \t]*({_TOKEN})[ \t]*(?:=[ \t]*(?:({_TOKEN})|"({_TOKEN})"))?[ \t]*')
# 8 to 15, of a window's base-2 logarithm, without leading zeros (section 7.1.2.1)
_BITS = {str(bits): bits for bits in range(8, 16)}

NAME: Final = "permessage-deflate"


class Agreement(NamedTuple):
    """The parameters that hold for a connection (section 7.1).

    server, client: whose messages, with the window's base-2 logarithm. …_forgets: each message starts anew.
    """

    server_window: int = 15
    client_window: int = 15
    server_forgets: bool = False
    client_forgets: bool = False


def read_extensions(value: bytes) -> list[tuple[str, list[tuple[str, str | None]]]]:
    """The offers of a Sec-WebSocket-Extensions field in their order: (name, [(parameter, value or None)]).

    Raises `ProtocolError` 400 for what RFC 6455 section 9.1 has no place for.
    """
    offers = []
    for text in value.decode("latin-1").split(","):
        if not text.strip(" \t"):
            continue
        parameters: list[tuple[str, str | None]] = []
        for part in text.split(";"):
            match = _PARAMETER.fullmatch(part)
            if match is None:
                raise ProtocolError(400, "malformed Sec-WebSocket-Extensions (RFC 6455 section 9.1)")
            parameters.append((match[1], match[2] if match[3] is None else match[3]))
        (name, none), *rest = parameters
        if none is not None:
            raise ProtocolError(400, "malformed Sec-WebSocket-Extensions (RFC 6455 section 9.1)")
        offers.append((name, rest))
    return offers


def negotiate(value: bytes) -> tuple[Agreement, bytes] | None:
    """Choose among the offers of a field: what is agreed to, and how to say so; None where no offer can be met.

    An offer that has an unknown, a repeated or an invalid parameter is passed over (RFC 7692 section 7).
    """
    for name, parameters in read_extensions(value):
        known = dict(parameters)
        if name == NAME and len(known) == len(parameters):
            agreement = _agree(known)
            if agreement is not None:
                return agreement, _response(agreement, limits_client="client_max_window_bits" in known)
    return None


def _agree(offer: dict[str, str | None]) -> Agreement | None:
    server_window = client_window = _WINDOW
    for name, value in offer.items():
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                return None
        elif name == "server_max_window_bits" and value in _BITS:
            server_window = min(_BITS[value], _WINDOW)
            if server_window == 8:
                return None  # zlib has no such window
        elif name == "client_max_window_bits" and (value is None or value in _BITS):
            client_window = min(_BITS.get(value or "", _WINDOW), _WINDOW)
        else:
            return None
    if "client_max_window_bits" not in offer:
        client_window = 15  # it may not be told (section 7.1.2.2)
    forgets = ("server_no_context_takeover" in offer, "client_no_context_takeover" in offer)
    return Agreement(server_window, client_window, *forgets)


def _response(agreement: Agreement, *, limits_client: bool) -> bytes:
    said = [NAME, f"server_max_window_bits={agreement.server_window}"]
    if limits_client:
        said.append(f"client_max_window_bits={agreement.client_window}")
    if agreement.server_forgets:
        said.append("server_no_context_takeover")
    if agreement.client_forgets:
        said.append("client_no_context_takeover")
    return "; ".join(said).encode("ascii")


class Deflate:
    """Both directions of one connection. Their memory is taken when they are first used."""

    __slots__ = ("_agreement", "_deflater", "_ended", "_inflater")

    def __init__(self, agreement: Agreement) -> None:
        self._agreement = agreement
        self._inflater: zlib._Decompress | None = None
        self._deflater: zlib._Compress | None = None
        self._ended = False  # this message has had a last block

    def inflate(self, data: bytes | bytearray, at_most: int) -> bytes:
        """Inflate a part of a message. Raises `Failure`, also for more than `at_most` octets."""
        inflated = self._inflate(data, at_most)
        inflater = self._inflater
        if inflater is not None and inflater.eof:
            # A last block (BFINAL), which others may follow (section 7.2.3.4), but not again and again.
            if self._ended:
                raise Failure(Code.INVALID_DATA, "more than one last block in a message (RFC 7692 section 7.2.3)")
            self._ended = True
            self._inflater = None
            inflated += self.inflate(inflater.unused_data, at_most - len(inflated))
        return inflated

    def _inflate(self, data: bytes | bytearray, at_most: int) -> bytes:
        inflater = self._inflater
        if inflater is None:
            # zlib inflates what was made with a smaller window as well, but has none of 8.
            inflater = self._inflater = zlib.decompressobj(-max(9, self._agreement.client_window))
        try:
            inflated = inflater.decompress(data, at_most + 1)  # 0 would be without a limit
        except zlib.error:
            raise Failure(Code.INVALID_DATA, "not deflated (RFC 7692 section 7.2.2)") from None
        if len(inflated) > at_most:
            raise Failure(Code.TOO_BIG, "the message is too big")
        return inflated

    def end(self, at_most: int) -> bytes:
        """The rest of a message of which all has come."""
        rest = self.inflate(_TAIL, at_most)
        self._ended = False
        if self._agreement.client_forgets:
            self._inflater = None
        return rest

    def deflate(self, data: bytes) -> bytes | None:
        """Compress a whole message (section 7.2.1); None where that is not worth it."""
        if len(data) < _WORTH:
            return None
        deflater = self._deflater
        if deflater is None:
            window = -self._agreement.server_window
            deflater = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, window, _MEMORY)
            if not self._agreement.server_forgets:
                self._deflater = deflater
        return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
