"""The path of `--ready-path`: answered in the application's place, for who wants to know whether to send requests here.

A load balancer or an orchestrator asks again and again; the first 503 comes when a stop has begun, so while
`--drain-delay` lasts. The other workers know of it as well, whichever of them is asked.

At the limit of `--limit-concurrency` it is answered all the same (`gate`). To be full for a moment is no reason to be
taken out of service: what the others would get instead fills them, too. And who asks for a sign of life at this path
would have the server restarted under the very load that it sheds.

Under `--root-path` the path may be told with that before it or without: a probe asks the server itself, others ask
through the proxy.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyserve.protocol.exchange import Exchange
    from pyserve.settings import Settings
    from pyserve.workers.crew import Crew

_READY = (200, "200 OK", b"ready\n")
_STOPPING = (503, "503 Service Unavailable", b"stopping\n")
_TYPE = "text/plain"


def answer_checks(crew: Crew) -> None:
    """Wrap the application; before the worker takes it from the crew."""
    wrap = _asgi if crew.application.interface == "asgi" else _wsgi

    def state() -> tuple[int, str, bytes]:
        return _state(crew)

    crew.application = replace(crew.application, callable=wrap(crew.application.callable, _paths(crew.settings), state))


def is_check(exchange: Exchange, crew: Crew) -> bool:
    """Whether a request asks for that path."""
    settings = crew.settings
    if not settings.ready_path:
        return False
    path = unquote_to_bytes(exchange.path)
    return any(full.encode() in (path, settings.root_path.encode() + path) for full in _paths(settings))


def _paths(settings: Settings) -> tuple[str, str]:
    """What an application would be told of a request for it, in whole."""
    return settings.ready_path, settings.root_path + settings.ready_path


def answer(exchange: Exchange, crew: Crew) -> None:
    """Answer a check without the application."""
    status, _, content = _state(crew)
    exchange.send_head(status, None, [(b"Content-Type", _TYPE.encode())])
    exchange.send_body(content, False)


def _state(crew: Crew) -> tuple[int, str, bytes]:
    return _STOPPING if crew.stopping else _READY


def _wsgi(inner: Any, paths: tuple[str, str], state: Callable[[], tuple[int, str, bytes]]) -> Any:
    def application(environ: Any, start_response: Any) -> Any:
        if environ["SCRIPT_NAME"] + environ["PATH_INFO"] not in paths:
            return inner(environ, start_response)
        _, status, content = state()
        start_response(status, [("Content-Type", _TYPE), ("Content-Length", str(len(content)))])
        return [content]

    return application


def _asgi(inner: Any, paths: tuple[str, str], state: Callable[[], tuple[int, str, bytes]]) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] not in paths:
            await inner(scope, receive, send)
            return
        status, _, content = state()
        fields = [(b"content-type", _TYPE.encode()), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": content})

    return application
