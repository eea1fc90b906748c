"""A TCP port in front of a server that listens at a unix socket, for drivers that speak TCP only.

    python relay.py PORT SOCKET COMMAND...

Starts COMMAND, listens at 127.0.0.1:PORT once SOCKET takes connections, passes SIGTERM on, and ends with the command's
exit code. Each side's end of sending is passed on by itself, so that a half-closed connection stays one.
"""

import asyncio
import os
import signal
import subprocess
import sys

HOST = "127.0.0.1"
PATIENCE = 20.0  # seconds until the command must take connections
_AT_ONCE = 65536

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass octets on until the sender's end; a sender's reset becomes one of the receiver's connection."""
    while True:
        try:
            data = await reader.read(_AT_ONCE)
        except OSError:
            writer.transport.abort()
            return
        try:
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
        except OSError:
            return  # gone: what it had sent before is still passed on, by the other pump


async def _join(client: Stream, server: Stream) -> None:
    await asyncio.gather(_pump(client[0], server[1]), _pump(server[0], client[1]))
    for _, writer in (client, server):
        writer.close()  # what is written by now is still sent
        try:
            await writer.wait_closed()
        except OSError:
            pass


async def listen(port: int, path: str) -> asyncio.Server:
    """Join each connection to `port` with one of its own to the unix socket `path`."""

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await asyncio.open_unix_connection(path)
        except OSError:
            writer.transport.abort()
            return
        await _join((reader, writer), server)

    return await asyncio.start_server(accepted, HOST, port, backlog=1024)


async def _until_it_accepts(path: str, process: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(PATIENCE):
        while process.poll() is None:
            try:
                _, writer = await asyncio.open_unix_connection(path)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


async def _main(port: int, path: str, command: list[str]) -> int:
    process = subprocess.Popen(command)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, process.terminate)
    try:
        await _until_it_accepts(path, process)
        async with await listen(port, path):
            return await asyncio.to_thread(process.wait)
    finally:
        process.kill()
        if os.path.exists(path):
            os.unlink(path)


if __name__ == "__main__":
    sys.exit(asyncio.run(_main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])))
