"""The relay passes on octets, and each side's end by itself."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bench.servers import reserved_port
from tests.conformance import relay
from tests.conformance.serving import HOST

PATIENCE = 10.0  # seconds
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Talk = Callable[[Stream, Stream], Awaitable[None]]


def joined(directory: Path, talk: Talk) -> None:
    """Run `talk` with a client's and a server's end of one connection through the relay."""

    async def run(port: int) -> None:
        accepted: asyncio.Queue[Stream] = asyncio.Queue()
        path = str(directory / "s")
        server = await asyncio.start_unix_server(lambda *stream: accepted.put_nowait(stream), path)
        async with asyncio.timeout(PATIENCE), server, await relay.listen(port, path):
            client = await asyncio.open_connection(HOST, port)
            behind = await accepted.get()
            await talk(client, behind)
            client[1].close()
            behind[1].close()
            while len(asyncio.all_tasks()) > 1:  # the relay's own
                await asyncio.sleep(0.01)

    with reserved_port() as port:
        asyncio.run(run(port))


def test_a_half_closed_connection_stays_one(tmp_path: Path) -> None:
    async def talk(client: Stream, behind: Stream) -> None:
        client[1].write(b"asked")
        client[1].write_eof()
        assert await behind[0].read() == b"asked"
        behind[1].write(b"x" * 1_000_000)
        behind[1].close()
        assert len(await client[0].read()) == 1_000_000

    joined(tmp_path, talk)


async def _send_until_told(writer: asyncio.StreamWriter) -> None:
    """Send on to where nobody reads."""
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


def test_a_server_that_closes_is_seen_and_what_it_sent_is_read(tmp_path: Path) -> None:
    async def talk(client: Stream, behind: Stream) -> None:
        behind[1].write(b"no")
        behind[1].close()
        assert await client[0].read() == b"no"
        with pytest.raises(OSError):
            await _send_until_told(client[1])

    joined(tmp_path, talk)


def test_a_reset_arrives(tmp_path: Path) -> None:
    async def talk(client: Stream, behind: Stream) -> None:
        end: socket.socket = client[1].get_extra_info("socket")
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client[1].transport.abort()
        assert await behind[0].read() == b""

    joined(tmp_path, talk)
