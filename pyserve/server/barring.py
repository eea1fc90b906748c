"""How listeners are closed without a connection being lost.

A connection that the kernel has made and nobody has accepted is reset when its listener is closed, though the client
has been told that it is connected. To accept until nobody waits, and then to close, leaves a moment in between, and on
a busy server somebody comes in that moment. So first the door is barred: a filter on the listener drops what would
begin a connection (SYN), and nothing else. Then the workers accept who is inside, and then they close. Who knocks
meanwhile hears nothing, knocks again after a second, as TCP does, and is refused, or let in by whoever listens there by
then.

What remains: a client whose round trip is longer than workers wait (`accepting.SETTLE`) may be told of its connection
before the bar and reach the server after the close. Unix sockets need no bar: nobody finds them once their file is
gone. Those without a file, and sockets that another process holds as well, are not barred.
"""

from __future__ import annotations

import array
import socket
import struct
import sys
from contextlib import suppress
from typing import Final

_ATTACH_FILTER: Final = 26  # SO_ATTACH_FILTER of Linux, which Python does not name
_FLAGS: Final = 13  # where they are in a TCP header (RFC 9293 section 3.1)
_SYN, _ACK = 0x02, 0x10

# Classic BPF (code, jump if true, jump if false, operand); a filter of a TCP socket sees segments from their header on.
_LINES: Final = (
    (0x30, 0, 0, _FLAGS),  # load the octet
    (0x54, 0, 0, _SYN | _ACK),  # and
    (0x15, 0, 1, _SYN),  # equal?
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # take
)
_PROGRAM: Final = array.array("B", b"".join(struct.pack("=HBBI", *line) for line in _LINES))


def bar(listener: socket.socket) -> None:
    """Let nobody begin to connect to a TCP listener from now on, in whatever process; there is no way back.

    Where the system knows no such filter nothing happens.
    """
    if sys.platform == "linux" and listener.family in (socket.AF_INET, socket.AF_INET6):
        program = struct.pack("HP", len(_LINES), _PROGRAM.buffer_info()[0])
        with suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)
