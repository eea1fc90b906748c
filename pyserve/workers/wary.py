"""Requests that are written down before the application gets them: in a worker that follows one that died in a request
which nobody knows.

The note that outlives a worker (`witness`) is made every tenth of a second, as one for each request would cost all of
them something. So a request that ends its worker at once (a crash in a C library, the memory of one query) is not in
it. When a worker has died so, its successors pay that price for a while: the second death of the kind has a name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, Final

from pyserve.workers import witness

if TYPE_CHECKING:
    from pyserve.workers.crew import Crew

TIME: Final = 600
"""Seconds that a worker is wary."""


def make_wary(crew: Crew) -> None:
    """Wrap the application; before the worker takes it from the crew."""
    slot, until = crew.context.slot, monotonic_ns() + TIME * 1_000_000_000

    def note() -> None:
        now = monotonic_ns()
        if now < until:
            try:
                witness.write(slot, crew.in_progress(), now)
            except RuntimeError:
                pass  # another thread has changed what was looked at

    wrap = _asgi if crew.application.interface == "asgi" else _wsgi
    crew.application = replace(crew.application, callable=wrap(crew.application.callable, note))


def _wsgi(inner: Any, note: Callable[[], None]) -> Any:
    def application(environ: Any, start_response: Any) -> Any:
        note()
        return inner(environ, start_response)

    return application


def _asgi(inner: Any, note: Callable[[], None]) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            note()
        await inner(scope, receive, send)

    return application
