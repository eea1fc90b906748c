import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyserve.protocol.exchange import Data
from pyserve.workers.thread_worker.outflow import send_some
from pyserve.workers.thread_worker.sendfile import open_rest


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    listener = socket.create_server(("127.0.0.1", 0))
    peer = socket.create_connection(listener.getsockname())
    ours, _ = listener.accept()
    listener.close()
    ours.setblocking(False)
    yield ours, peer
    ours.close()
    peer.close()


def test_nothing_is_lost_or_mixed_up(pair: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    """Pieces of all sizes and files, to a peer that reads in its own time."""
    ours, peer = pair
    chance = random.Random(0)
    out: list[Data] = []
    expected = bytearray()
    for number in range(300):
        data = chance.randbytes(chance.choice([1, 10, 1000, 100_000]))
        expected += data
        if number % 50 == 7:
            path = tmp_path / str(number)
            path.write_bytes(data)
            with path.open("rb") as file:
                span = open_rest(file)
                assert span is not None
                out.append(span)
        else:
            out.append(data)
    received = bytearray()

    def read() -> None:
        while part := peer.recv(chance.randrange(1, 50_000)):
            received.extend(part)

    reader = threading.Thread(target=read)
    reader.start()
    offset = total = 0
    while out:
        try:
            offset, sent = send_some(ours, out, offset)
        except BlockingIOError:
            continue
        total += sent
    assert total == len(expected)
    ours.shutdown(socket.SHUT_WR)
    reader.join()
    assert received == expected


def test_a_peer_that_takes_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    out: list[Data] = [b"x" * 50_000_000]
    offset = 0
    sent = 1
    while sent:
        try:
            offset, sent = send_some(pair[0], out, offset)
        except BlockingIOError:
            break
    assert 0 < offset < 50_000_000
    assert len(out) == 1
