"""Either kind of worker behind one face, for tests of what both must do alike."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import pytest

from tests.workers import hands, serving
from tests.workers.serving import Client

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
