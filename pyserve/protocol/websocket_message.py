"""A message of which the last frame has not come whole (RFC 6455 sections 5.4 and 8.1)."""

from codecs import IncrementalDecoder, getincrementaldecoder

from pyserve.protocol.deflate import Deflate
from pyserve.protocol.websocket_frames import Code, Failure

_decoder = getincrementaldecoder("utf-8")


class PartialMessage:
    """Gathers what comes. However small the fragments are, memory is what they hold.

    size: octets so far. deflated: whether they are inflated on their way.
    """

    __slots__ = ("_decoder", "_deflate", "_is_text", "_max_size", "_octets", "size")

    def __init__(self, is_text: bool, deflate: Deflate | None, max_size: int) -> None:
        self.size = 0
        self._is_text = is_text
        self._deflate = deflate
        self._max_size = max_size
        self._octets: bytearray | None = None
        self._decoder: IncrementalDecoder | None = None

    @property
    def deflated(self) -> bool:
        return self._deflate is not None

    def add(self, payload: bytes | bytearray) -> None:
        """Take a part that is not the last. Raises `Failure`."""
        if self._deflate is not None:
            payload = self._deflate.inflate(payload, self._max_size - self.size)
        self.size += len(payload)
        if self._octets is None:
            self._octets = bytearray()
            self._decoder = _decoder() if self._is_text else None
        if self._decoder is not None:
            # Only to know: characters would take up to four times the memory until the last of them is here.
            _decode(self._decoder, payload)
        self._octets += payload

    def end(self, payload: bytes | bytearray) -> str | bytes:
        """Take the last part; return the message. Raises `Failure`."""
        if self._deflate is not None:
            payload = self._deflate.inflate(payload, self._max_size - self.size)
            payload += self._deflate.end(self._max_size - self.size - len(payload))
        if self._octets is not None:
            self._octets += payload
            payload = self._octets
        return as_text(payload) if self._is_text else bytes(payload)


def as_text(payload: bytes | bytearray) -> str:
    """A whole text. Raises `Failure` for what is not UTF-8 (section 8.1)."""
    try:
        return str(payload, "utf-8")
    except UnicodeDecodeError:
        raise _not_text() from None


def _decode(decoder: IncrementalDecoder, payload: bytes | bytearray) -> None:
    try:
        decoder.decode(payload)
    except UnicodeDecodeError:
        raise _not_text() from None
    begun = decoder.getstate()[0]  # of a character
    if begun[:1] == b"\xed" and begun[1:] >= b"\xa0":  # of a surrogate, which Python waits to see whole
        raise _not_text()


def _not_text() -> Failure:
    return Failure(Code.INVALID_DATA, "text that is not UTF-8 (RFC 6455 section 8.1)")
