"""A door that is barred: nobody begins to connect, who is connected stays."""

import contextlib
import select
import socket
from collections.abc import Iterator

import pytest

from pyserve.server.barring import bar

ADDRESSES = pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])


@contextlib.contextmanager
def knocking(family: int, address: tuple[str, int]) -> Iterator[socket.socket]:
    """A client that wants to connect and does not wait for it."""
    with socket.socket(family) as client:
        client.setblocking(False)
        client.connect_ex(address)
        yield client


def connected(client: socket.socket, seconds: float) -> bool:
    _, writable, _ = select.select([], [client], [], seconds)
    return bool(writable) and not client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


@ADDRESSES
def test_who_is_connected_is_accepted_and_nobody_else(family: int, host: str) -> None:
    with socket.create_server((host, 0), family=family) as listener:
        listener.setblocking(False)
        address = listener.getsockname()[:2]
        clients = [socket.create_connection(address) for _ in range(3)]
        bar(listener)
        with knocking(family, address) as late:
            for client in clients:
                accepted, _ = listener.accept()
                with client, accepted:
                    client.sendall(b"asked")
                    assert accepted.recv(9) == b"asked"
                    accepted.sendall(b"answered")
                    assert client.recv(9) == b"answered"
            with pytest.raises(BlockingIOError):
                listener.accept()
            assert not connected(late, 0.2)


def test_who_knocks_in_vain_is_let_in_by_a_successor() -> None:
    """TCP knocks again after a second."""
    with contextlib.ExitStack() as stack:
        old = stack.enter_context(socket.create_server(("127.0.0.1", 0), reuse_port=True))
        address = old.getsockname()
        bar(old)
        client = stack.enter_context(knocking(socket.AF_INET, address))
        old.close()
        stack.enter_context(socket.create_server(address, reuse_port=True))
        assert connected(client, 10)


def test_what_is_no_tcp_listener_is_left_alone(tmp_path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        bar(listener)
        client.connect(str(tmp_path / "socket"))
