"""The matrix: how each kind of application is served. Every server listens at TCP and at a unix socket."""

from dataclasses import dataclass

import pytest

_WSGI = {
    "sync": "--worker-class sync",
    "threads": "--worker-class sync --threads 4",
    "async": "--worker-class async --threads 4",
}
_ASGI = {"uvloop": "--loop uvloop", "asyncio": "--loop asyncio"}
_PARSERS = ("httptools", "h11")


@dataclass(frozen=True)
class Point:
    """One way of serving. concurrent: whether a second request is served while a first one waits."""

    name: str
    interface: str
    options: tuple[str, ...]

    @property
    def concurrent(self) -> bool:
        return self.name != "sync"

    @property
    def plain(self) -> str:
        """The plain application of the interface."""
        return "plain_wsgi" if self.interface == "wsgi" else "plain_asgi:app"


def _matrix(interface: str, ways: dict[str, str], parsers: tuple[str, ...] = _PARSERS) -> list[object]:
    return [
        pytest.param(Point(name, interface, (*options.split(), "--http", parser)), id=f"{interface}-{name}-{parser}")
        for name, options in ways.items()
        for parser in parsers
    ]


WSGI = _matrix("wsgi", _WSGI)
ASGI = _matrix("asgi", _ASGI)
WSGI_BRIEF = _matrix("wsgi", _WSGI, ("httptools",))
ASGI_BRIEF = _matrix("asgi", _ASGI, ("httptools",))
