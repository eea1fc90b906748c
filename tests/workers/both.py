"""Either kind of worker behind one face, for tests of what both must do alike."""

import contextlib
import fcntl
import select
import struct
import termios
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import pytest

from tests.workers import hands, serving
from tests.workers.serving import PATIENCE, Client

WAYS = {
    "sync": {"threads": 1},
    "threads": {"threads": 4},
    "async": {},
    "async-wsgi": {"threads": 4},
}
BOTH = pytest.mark.parametrize("way", WAYS)


class Worker(Protocol):
    """What these tests ask of a running worker."""

    slot: Any

    @property
    def log(self) -> str: ...
    def connect(self) -> Client: ...


@contextlib.contextmanager
def working(way: str, applications: tuple[Any, Any] | None = None, **settings: Any) -> Iterator[Worker]:
    """Serve with a worker of the kind `way`. applications: WSGI and ASGI; the ones below if None."""
    settings = {**WAYS[way], **settings}
    of_wsgi, of_asgi = applications or (wsgi, asgi)
    if way in ("sync", "threads"):
        with hands.serving(of_wsgi, **settings) as manned:
            yield manned
    elif way == "async-wsgi":
        with serving.serving(of_wsgi, "wsgi", **settings) as served:
            yield served
    else:
        with serving.serving(of_asgi, "asgi", lifespan="off", **settings) as served:
            yield served


def timeouts(worker: Worker) -> tuple[int, ...]:
    """How many deadlines were missed: for a head, a body, the next request, the client's reading."""
    return tuple(map(sum, zip(*(thread.timeouts for thread in worker.slot.threads), strict=True)))


def fill(client: Client) -> None:
    """Send as much as the kernel takes for a worker that reads nothing for now."""
    client.socket.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while select.select([], [client.socket], [], 0.1)[1]:
            client.socket.send(BLOCK)
    client.socket.settimeout(PATIENCE)


def has_read(worker: Any) -> bool:
    """Whether a worker has taken all octets that its clients have sent."""
    if hasattr(worker, "deck"):
        sockets = [connection.socket for connection in tuple(worker.deck.table.open)]
    else:
        streams = tuple(worker.worker._registry.streams)
        sockets = [stream.transport.get_extra_info("socket") for stream in streams]
    waiting = (fcntl.ioctl(each.fileno(), termios.FIONREAD, bytes(4)) for each in sockets)
    return not any(struct.unpack("i", octets)[0] for octets in waiting)


# One application in both interfaces. By its path it reads all content ("/read", answered with how many octets it had),
# nothing, or sends: "/endless" blocks without end, "/huge" one that is larger than the kernel's buffers.

HUGE = 100_000_000
BLOCK = b"x" * 65536


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    start_response("200 OK", [])
    if path == "/read":
        return [b"%d" % len(environ["wsgi.input"].read())]
    if path == "/endless":
        return iter(lambda: BLOCK, b"")
    return [b"x" * HUGE if path == "/huge" else b"hello"]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    path = scope["path"]
    body = b"hello"
    if path == "/read":
        octets, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            octets += len(message["body"])
            more = message["more_body"]
        body = b"%d" % octets
    await send({"type": "http.response.start", "status": 200})
    while path == "/endless":
        await send({"type": "http.response.body", "body": BLOCK, "more_body": True})
    await send({"type": "http.response.body", "body": b"x" * HUGE if path == "/huge" else body})
