"""WSGI: wsgi.input reads as a file does and ends where the content ends (PEP 3333)."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyserve.protocol.errors import Disconnected
from pyserve.protocol.wsgi import Input
from tests.protocol.wsgi_peer import ARRIVALS, CHUNKED, CONTENT, GET, LENGTH_9, Peer

# wsgi.input


Read = Callable[[Any], Any]
READS: list[tuple[str, Read]] = [
    ("read()", lambda file: file.read()),
    ("read(None)", lambda file: file.read(None)),
    ("read(-1) twice", lambda file: (file.read(-1), file.read(-1))),
    ("read(0)", lambda file: (file.read(0), file.read())),
    ("read(4)", lambda file: (file.read(4), file.read(4), file.read(4), file.read(4))),
    ("read(9)", lambda file: (file.read(9), file.read(1), file.read())),
    ("read(10)", lambda file: file.read(10)),
    ("read(1) until the end", lambda file: list(iter(lambda: file.read(1), b""))),
    ("readline()", lambda file: [file.readline() for _ in range(6)]),
    ("readline(None)", lambda file: [file.readline(None) for _ in range(6)]),
    ("readline(2)", lambda file: [file.readline(2) for _ in range(8)]),
    ("readline(3)", lambda file: [file.readline(3) for _ in range(6)]),
    ("readline(0)", lambda file: (file.readline(0), file.readline())),
    ("readline(100)", lambda file: [file.readline(100) for _ in range(5)]),
    ("readline and read", lambda file: (file.readline(), file.read(2), file.readline(), file.read())),
    ("readlines()", lambda file: file.readlines()),
    ("readlines(None)", lambda file: file.readlines(None)),
    ("readlines(0)", lambda file: file.readlines(0)),
    ("readlines(1)", lambda file: (file.readlines(1), file.readlines(4), file.readlines(), file.readlines())),
    ("readlines(6)", lambda file: file.readlines(6)),
    ("iteration", lambda file: list(file)),
    ("some iteration", lambda file: (next(iter(file)), next(iter(file)), file.read())),
]


@pytest.mark.parametrize("arrival", ARRIVALS.values(), ids=ARRIVALS)
@pytest.mark.parametrize("read", [r[1] for r in READS], ids=[r[0] for r in READS])
def test_input_reads_as_a_file_does(read: Read, arrival: list[bytes]) -> None:
    peer = Peer(*arrival)
    assert read(Input(peer.exchange, peer)) == read(io.BytesIO(CONTENT))


@given(st.lists(st.tuples(st.sampled_from(["read", "readline", "readlines"]), st.integers(-1, 12) | st.none())))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_input_reads_as_a_file_does_in_any_order(calls: list[tuple[str, int | None]]) -> None:
    for arrival in ARRIVALS.values():
        peer = Peer(*arrival)
        file, reference = Input(peer.exchange, peer), io.BytesIO(CONTENT)
        for name, size in calls:
            assert getattr(file, name)(size) == getattr(reference, name)(size), (name, size)


def test_input_waits_for_no_more_than_it_needs() -> None:
    peer = Peer(LENGTH_9 + b"ab\nc", b"d", b"\n", b"\nef")
    file = Input(peer.exchange, peer)
    assert file.readline() == b"ab\n"
    assert file.read(1) == b"c"
    assert len(peer.pieces) == 3
    assert file.read(1) == b"d"
    assert len(peer.pieces) == 2
    assert file.readline() == b"\n"
    assert len(peer.pieces) == 1


@pytest.mark.parametrize("octets", [GET, LENGTH_9.replace(b"9", b"0"), CHUNKED + b"0\r\n\r\n"])
def test_input_without_content(octets: bytes) -> None:
    peer = Peer(octets)
    file = Input(peer.exchange, peer)
    assert (file.read(), file.read(5), file.readline(), file.readlines(), list(file)) == (b"", b"", b"", [], [])


@pytest.mark.parametrize(
    ("octets", "bad"), [(LENGTH_9, None), (CHUNKED + b"9\r\n", None), (CHUNKED + b"4\r\n", b"\r\nx\r\n")]
)
@pytest.mark.parametrize("name", ["read", "readline", "readlines"])
def test_truncated_content_never_looks_whole(octets: bytes, bad: bytes | None, name: str) -> None:
    peer = Peer(octets, b"abcd", bad)
    with pytest.raises(Disconnected):
        getattr(Input(peer.exchange, peer), name)()
    peer = Peer(octets, b"abcd", bad)
    file = Input(peer.exchange, peer)
    assert file.read(4) == b"abcd"  # what has come may be read
    for _ in range(2):
        with pytest.raises(OSError):
            getattr(file, name)()
