"""permessage-deflate (RFC 7692)."""

import zlib

import pytest

from pyserve.protocol.deflate import Agreement, Deflate, negotiate, read_extensions
from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.websocket_frames import Code, Failure

NAME = "permessage-deflate"
WINDOW = f"{NAME}; server_max_window_bits=12"
# (name, section of RFC 7692, offers, what is answered)
OFFERS = [
    ("a bare offer", "7.1", NAME, WINDOW),
    ("what browsers offer", "7.1.2.2", f"{NAME}; client_max_window_bits", f"{WINDOW}; client_max_window_bits=12"),
    ("a window for the client", "7.1.2.2", f"{NAME}; client_max_window_bits=9", f"{WINDOW}; client_max_window_bits=9"),
    ("a large one", "7.1.2.2", f"{NAME};client_max_window_bits=15", f"{WINDOW}; client_max_window_bits=12"),
    ("a quoted one", "7.1", f'{NAME}; client_max_window_bits="8"', f"{WINDOW}; client_max_window_bits=8"),
    ("a window for the server", "7.1.2.1", f"{NAME}; server_max_window_bits=10", f"{NAME}; server_max_window_bits=10"),
    ("one that zlib has not", "7.1.2.1", f"{NAME}; server_max_window_bits=8", None),
    ("nobody remembers", "7.1.1", f"{NAME}; client_no_context_takeover; server_no_context_takeover",
     f"{WINDOW}; server_no_context_takeover; client_no_context_takeover"),
    ("the second offer", "5.1", f"{NAME}; server_max_window_bits=8, {NAME}", WINDOW),
    ("among others", "5.1", f"x-webkit-deflate-frame, , {NAME}, a; b=c", WINDOW),
    ("another extension", "5.1", "permessage-bzip2", None),
    ("no offer", "5.1", "", None),
    ("an unknown parameter", "7", f"{NAME}; level=9", None),
    ("a parameter twice", "7", f"{NAME}; client_max_window_bits; client_max_window_bits=10", None),
    ("a value where none belongs", "7.1.1.1", f"{NAME}; server_no_context_takeover=1", None),
    ("no value where one belongs", "7.1.2.1", f"{NAME}; server_max_window_bits", None),
    ("a window that is too small", "7.1.2.1", f"{NAME}; server_max_window_bits=7", None),
    ("one that is too large", "7.1.2.2", f"{NAME}; client_max_window_bits=16", None),
    ("a leading zero", "7.1.2.2", f"{NAME}; client_max_window_bits=09", None),
]  # fmt: skip


@pytest.mark.parametrize(("offer", "answer"), [pytest.param(*row[2:], id=f"{row[1]} {row[0]}") for row in OFFERS])
def test_negotiation(offer: str, answer: str | None) -> None:
    found = negotiate(offer.encode())
    assert (found[1].decode() if found else None) == answer


@pytest.mark.parametrize(
    "value", [";", "a b", "a;", "a; b=", "a=b", 'a; b="c', 'a; b=""', "a; b=c=d", "ä", 'a; b="\xff"']
)
def test_section_9_1_of_rfc_6455_what_is_malformed(value: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_extensions(value.encode("latin-1"))
    assert caught.value.status == 400


def client(window: int = 15) -> "zlib._Compress":
    return zlib.compressobj(9, zlib.DEFLATED, -window)


def deflated(data: bytes, deflater: "zlib._Compress | None" = None) -> bytes:
    deflater = deflater or client()
    return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflated(deflate: Deflate, data: bytes, at_most: int = 1000) -> bytes:
    """A whole message."""
    head = deflate.inflate(data, at_most)
    return head + deflate.end(at_most - len(head))


EXAMPLES = [
    ("7.2.3.1 one block", "f248cdc9c90700"),
    ("7.2.3.3 a block without compression", "000500faff48656c6c6f00"),
    ("7.2.3.4 a last block", "f348cdc9c9070000"),
    ("7.2.3.5 two blocks", "f248050000 00ffffcac9c90700"),
]


@pytest.mark.parametrize("octets", [pytest.param(octets, id=name) for name, octets in EXAMPLES])
@pytest.mark.parametrize("step", [1, 3, 100])
def test_examples_of_the_rfc(octets: str, step: int) -> None:
    deflate, data = Deflate(Agreement()), bytes.fromhex(octets)
    found = b"".join(deflate.inflate(data[at : at + step], 1000) for at in range(0, len(data), step))
    assert found + deflate.end(1000) == b"Hello"


def test_section_7_1_1_what_is_remembered() -> None:
    deflate, deflater = Deflate(Agreement()), client()
    assert [inflated(deflate, deflated(b"Hello" * 9, deflater)) for _ in range(3)] == [b"Hello" * 9] * 3
    forgetful = Deflate(Agreement(client_forgets=True))
    assert [inflated(forgetful, deflated(b"Hello" * 9)) for _ in range(3)] == [b"Hello" * 9] * 3
    first, second = (deflated(b"0123456789abcdef" * 4, deflater) for deflater in [client()] * 2)
    inflated(forgetful, first)
    with pytest.raises(Failure):
        inflated(forgetful, second)


@pytest.mark.parametrize("forgets", [False, True])
@pytest.mark.parametrize("window", [9, 12, 15])
def test_what_the_server_sends(window: int, forgets: bool) -> None:
    deflate = Deflate(Agreement(server_window=window, server_forgets=forgets))
    inflater = zlib.decompressobj(-window)
    message = bytes(range(100, 200))
    sizes = []
    for _ in range(2):
        data = deflate.deflate(message)
        assert data is not None
        assert inflater.decompress(data + b"\0\0\xff\xff") == message
        sizes.append(len(data))
        inflater = zlib.decompressobj(-window) if forgets else inflater
    assert (sizes[0] == sizes[1]) is forgets
    assert deflate.deflate(b"short") is None


@pytest.mark.parametrize("client_window", [8, 9])
def test_a_client_with_a_small_window(client_window: int) -> None:
    deflate = Deflate(Agreement(client_window=client_window))
    message = bytes(range(250)) * 4
    assert inflated(deflate, deflated(message, client(9))) == message


@pytest.mark.parametrize("spare", [0, 1])
def test_a_limit_is_exact(spare: int) -> None:
    deflate, data = Deflate(Agreement()), deflated(b"a" * 1000)
    if spare:
        assert inflated(deflate, data, 1000) == b"a" * 1000
    else:
        with pytest.raises(Failure) as caught:
            inflated(deflate, data, 999)
        assert caught.value.code is Code.TOO_BIG


def test_a_bomb_is_not_inflated() -> None:
    data = deflated(b"\0" * (8 << 20))
    with pytest.raises(Failure) as caught:
        Deflate(Agreement()).inflate(data, 1 << 16)
    assert caught.value.code is Code.TOO_BIG


@pytest.mark.parametrize("octets", ["ff", "07", "f348cdc9c90700f348cdc9c90700f348cdc9c90700"])
def test_what_is_not_deflated(octets: str) -> None:
    with pytest.raises(Failure) as caught:
        inflated(Deflate(Agreement()), bytes.fromhex(octets))
    assert caught.value.code is Code.INVALID_DATA


def test_blocks_may_follow_the_last_one() -> None:
    deflater = client()
    last = deflater.compress(b"Hel") + deflater.flush()
    assert inflated(Deflate(Agreement()), last + deflated(b"lo")) == b"Hello"
