"""What asyncio's transports leave out at the end of a connection.

Their `close` and `abort` only close the descriptor. The application's child processes may hold it, too, and then the
peer would be told nothing.
"""

import asyncio
import select
import socket
import struct

_WITHOUT_TIME = struct.pack("ii", 1, 0)


def shut_down(transport: asyncio.Transport) -> None:
    """End the connection for all who hold its descriptor."""
    _shut_down(transport, socket.SHUT_RDWR)


def half_close(transport: asyncio.Transport) -> None:
    """Send FIN once all is written. The transport would do it too, but on uvloop in a later turn of the loop.

    Over TLS there is something to be said before.
    """
    if transport.get_write_buffer_size() or transport.get_extra_info("tls") is not None:
        transport.write_eof()
    else:
        _shut_down(transport, socket.SHUT_WR)


def peer_has_closed(transport: asyncio.Transport) -> bool:
    """Whether the peer has sent FIN or a reset, also behind octets that have not been read."""
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
    return bool(poll.poll(0))


def _shut_down(transport: asyncio.Transport, how: int) -> None:
    connection = transport.get_extra_info("socket")
    # The object that uvloop gives has no shutdown().
    holder = socket.socket(connection.family, connection.type, connection.proto, connection.fileno())
    try:
        holder.shutdown(how)
    except OSError:
        pass  # the peer was faster
    finally:
        holder.detach()


def forget(transport: asyncio.Transport) -> None:
    """Let the close that follows send RST, which no peer can take for a regular end; a unix socket has none."""
    connection = transport.get_extra_info("socket")
    if connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _WITHOUT_TIME)
