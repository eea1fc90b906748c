"""The frames of a WebSocket: masks, heads and close codes (RFC 6455 sections 5.2, 5.3, 5.5 and 7.4)."""

from enum import IntEnum
from typing import Final

from pyserve.protocol.errors import ApplicationError


class Opcode(IntEnum):
    """What a frame is (section 5.2); any other number is reserved."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Code(IntEnum):
    """Why a connection closes, as far as the server itself says or hears it (section 7.4.1 and the IANA registry)."""

    NORMAL = 1000
    PROTOCOL_ERROR = 1002
    NONE_GIVEN = 1005  # never sent
    ABNORMAL = 1006  # never sent
    INVALID_DATA = 1007
    TOO_BIG = 1009
    SERVER_ERROR = 1011
    SERVICE_RESTART = 1012


class Failure(Exception):
    """The peer broke RFC 6455 or passed a limit: the connection fails with this code (section 7.1.7).

    text: why, short enough for a close frame; it never holds the peer's input.
    """

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


FIN: Final = 0x80
COMPRESSED: Final = 0x40
"""RSV1, which RFC 7692 gives a meaning."""

_LONGEST_REASON = 123  # octets: with the code, what a control frame may hold (section 5.5)
_SHORT = 512  # octets, up to which one number is faster than four strides
_XOR = [bytes(octet ^ key for octet in range(256)) for key in range(256)]


def unmask(payload: bytes | bytearray, mask: bytes) -> bytes | bytearray:
    """Undo the masking of a payload that begins with the mask's first octet (section 5.3)."""
    size = len(payload)
    if size <= _SHORT:
        key = int.from_bytes(mask * (size >> 2) + mask[: size & 3], "little")
        return (int.from_bytes(payload, "little") ^ key).to_bytes(size, "little")
    # Python has no loop over octets that is fast but translate: one for each octet of the mask, 1 ns an octet.
    plain = bytearray(payload)
    for at, key in enumerate(mask):
        plain[at::4] = plain[at::4].translate(_XOR[key])
    return plain


def frame_head(opcode: int, size: int, flags: int = FIN) -> bytes:
    """The head of a frame of the server's, which masks nothing (section 5.1)."""
    if size < 126:
        return bytes((flags | opcode, size))
    if size < 65536:
        return b"%c~%b" % (flags | opcode, size.to_bytes(2))
    return b"%c\x7f%b" % (flags | opcode, size.to_bytes(8))


def extended_length(kind: int, octets: bytes | bytearray) -> int:
    """A payload length that does not fit into 7 bits: as short as can be, and below 2**63 (section 5.2)."""
    size = int.from_bytes(octets)
    if size < (126 if kind == 126 else 65536) or size >> 63:
        raise Failure(Code.PROTOCOL_ERROR, "invalid payload length (RFC 6455 section 5.2)")
    return size


def is_valid_code(code: int) -> bool:
    """Whether a close frame may have this code (section 7.4): registered, or of a library's or an application's own."""
    return 3000 <= code <= 4999 or (1000 <= code <= 1014 and code not in (1004, 1005, 1006))


def read_close(payload: bytes | bytearray) -> tuple[int, str]:
    """The code and the reason of a close frame (section 5.5.1)."""
    if not payload:
        return Code.NONE_GIVEN, ""
    code = int.from_bytes(payload[:2])
    if len(payload) < 2 or not is_valid_code(code):
        raise Failure(Code.PROTOCOL_ERROR, "invalid close code (RFC 6455 section 7.4)")
    try:
        return code, str(payload[2:], "utf-8")
    except UnicodeDecodeError:
        raise Failure(Code.INVALID_DATA, "the reason is not UTF-8 (RFC 6455 section 5.5.1)") from None


def write_close(code: int, reason: str) -> bytes:
    """The payload of a close frame; a reason that is too long is cut. Raises `ApplicationError`."""
    if code == Code.NONE_GIVEN:
        return b""
    if not is_valid_code(code):
        raise ApplicationError(f"{code!r} is no code to close with (RFC 6455 section 7.4)")
    cut = reason.encode("utf-8", "replace")[:_LONGEST_REASON].decode("utf-8", "ignore")
    return code.to_bytes(2) + cut.encode("utf-8")
