"""The ends that asyncio's transports leave out, while somebody else holds the connection's descriptor, too."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from pyserve.workers.async_worker.parting import forget, half_close, shut_down
from pyserve.workers.async_worker.worker import new_loop
from tests.workers.serving import PATIENCE

Test = Callable[[asyncio.Transport, socket.socket], Awaitable[None]]


def connected(kind: str, test: Test, family: int = socket.AF_INET) -> None:
    """Run `test` with a transport and its peer; a copy of the transport's descriptor stays open, as in a child."""

    async def main() -> None:
        if family == socket.AF_UNIX:
            ours, peer = socket.socketpair()
        else:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                peer = socket.create_connection(listener.getsockname())
                ours, _ = listener.accept()
        with peer, ours.dup():
            peer.settimeout(PATIENCE)
            ours.setblocking(False)
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
            await test(transport, peer)
            transport.abort()
            await asyncio.sleep(0)

    loop = new_loop(kind)
    try:
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


def test_shut_down_ends_it_for_all_who_hold_it(loop: str) -> None:
    async def test(transport: asyncio.Transport, peer: socket.socket) -> None:
        shut_down(transport)
        assert peer.recv(1) == b""
        shut_down(transport)  # again, which is no error

    connected(loop, test)


def test_half_close_sends_fin_at_once(loop: str) -> None:
    async def test(transport: asyncio.Transport, peer: socket.socket) -> None:
        transport.write(b"all")
        half_close(transport)
        assert peer.recv(10) == b"all"
        assert peer.recv(10) == b""  # without a turn of the loop
        peer.sendall(b"heard")

    connected(loop, test)


def test_half_close_comes_after_what_waits(loop: str) -> None:
    size = 20_000_000

    def take(peer: socket.socket) -> int:
        return sum(iter(lambda: len(peer.recv(1 << 20)), 0))

    async def test(transport: asyncio.Transport, peer: socket.socket) -> None:
        transport.write(b"x" * size)
        half_close(transport)
        assert await asyncio.to_thread(take, peer) == size

    connected(loop, test)


def test_forget_makes_the_end_a_reset(loop: str) -> None:
    async def reset() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            peer = socket.create_connection(listener.getsockname(), timeout=PATIENCE)
            ours, _ = listener.accept()
        ours.setblocking(False)
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
        forget(transport)
        transport.abort()
        with peer, pytest.raises(ConnectionResetError):
            await asyncio.to_thread(peer.recv, 1)

    its_loop = new_loop(loop)
    its_loop.run_until_complete(reset())
    its_loop.run_until_complete(its_loop.shutdown_default_executor())
    its_loop.close()


def test_a_unix_socket_has_no_reset(loop: str) -> None:
    async def test(transport: asyncio.Transport, peer: socket.socket) -> None:
        forget(transport)
        shut_down(transport)
        assert peer.recv(1) == b""

    connected(loop, test, socket.AF_UNIX)
