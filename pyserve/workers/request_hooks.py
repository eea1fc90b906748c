"""The hooks around each request, `pre_request` and `post_request`, and what they are given: `req` and `resp`.

Only loaded when one of them is set; then `HookedCrew` takes the place of `Crew`, and the drivers ask `RequestHooks` for
the environ. The same `req` goes to both, so that what the first notes on it the second finds. `post_request` is called
when the response is complete, or never will be, for each request that got as far as `pre_request`.
"""

from __future__ import annotations

import io
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.status import REASONS
from pyserve.protocol.wsgi import Environ, EnvironKeys, make_environ
from pyserve.values.functions import takes
from pyserve.workers.crew import Crew, request_line

if TYPE_CHECKING:
    from pyserve.protocol.exchange import Exchange
    from pyserve.settings import Settings
    from pyserve.workers.application import Application
    from pyserve.workers.crew import AskingConnection
    from pyserve.workers.hooks import Worker
    from pyserve.workers.logs.access import AccessLog
    from pyserve.workers.worker import WorkerContext

_VERSIONS: Final = {"1.1": (1, 1), "1.0": (1, 0)}

PostRequest = Callable[["Worker", "Request", "Environ", "Response | None"], object]


class Request:
    """`req`, as gunicorn has it. What a hook changes of method, path, query and headers, the application sees.

    uri: the target as sent; path and query: its parts, still percent-encoded. version: (1, 1). headers: (NAME, value)
    in their order. remote_addr: (host, port) as text and number, "" for a unix socket.
    """

    def __init__(self, exchange: Exchange, remote_addr: tuple[str, int] | str, scheme: str) -> None:
        self._exchange = exchange
        self._body: io.BytesIO | None = None
        self.method = exchange.method
        self.uri = exchange.target.decode("latin-1")
        self.path = exchange.path.decode("latin-1")
        self.query = exchange.query.decode("latin-1")
        self.fragment = ""
        self.version = _VERSIONS.get(exchange.version, (1, 1))
        self.headers = [(name.decode("latin-1").upper(), value.decode("latin-1")) for name, value in exchange.fields]
        self.trailers: list[tuple[str, str]] = []
        self.remote_addr = self.peer_addr = remote_addr
        self.scheme = scheme
        self.proxy_protocol_info: dict[str, Any] | None = None

    @property
    def body(self) -> io.BytesIO:
        """What has arrived of the content, to look at: the application reads it all the same."""
        if self._body is None:
            self._body = io.BytesIO(bytes(self._exchange.body or b""))
        return self._body

    def should_close(self) -> bool:
        """Whether the connection ends with this request."""
        return not self._exchange.keep

    def write_back(self, headers: list[tuple[str, str]]) -> None:
        """Let the application see what a hook has changed. headers: those from before the hook."""
        exchange = self._exchange
        exchange.method = self.method
        exchange.path = self.path.encode("latin-1")
        exchange.query = self.query.encode("latin-1")
        if self.headers == headers:
            return
        exchange.fields = [(_octets(name).lower(), _octets(value)) for name, value in self.headers]
        index = exchange.index = {}
        for name, value in exchange.fields:
            joint = b"; " if name == b"cookie" else b", "
            index[name] = index[name] + joint + value if name in index else value


class Response:
    """`resp`, as gunicorn has it; of a request that was never answered `status` and `status_code` are None.

    status: "200 OK". headers: (name, value) of the application's. sent: octets of content.
    """

    def __init__(self, exchange: Exchange, req: Request) -> None:
        self.req = req
        self.version = "pyserve"
        self.status_code = exchange.status or None
        self.status = _status_line(exchange) if exchange.status else None
        self.headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in exchange.response_fields]
        self.headers_sent = bool(exchange.status)
        self.response_length = getattr(exchange, "declared", None)
        self.sent = exchange.body_sent
        self.chunked = bool(exchange.status) and self.response_length is None
        self.must_close = not exchange.keep

    def should_close(self) -> bool:
        """Whether the connection ends with this response."""
        return self.must_close


class RequestHooks:
    """Calls the two hooks. For any thread; a request is one thread's at a time."""

    def __init__(self, settings: Settings, worker: Worker) -> None:
        self._before = settings.pre_request
        self._after = None if settings.post_request is None else of_four(settings.post_request)
        self._worker = worker
        self._keys = EnvironKeys(settings.header_map)
        self._root_path = settings.root_path
        self._open: dict[Exchange, tuple[Request, Environ | None]] = {}

    def make_environ(self, exchange: Exchange, template: Environ, keys: EnvironKeys) -> Environ:
        """For WSGI: the first hook, then the environ, in the place of `protocol.wsgi.make_environ`.

        Raises `ProtocolError`, also where the hook has raised.
        """
        host, port = template["REMOTE_ADDR"], template["REMOTE_PORT"]
        request = Request(exchange, (host, int(port)) if port else host, template["wsgi.url_scheme"])
        if "PROXY_PROTOCOL" in template:
            request.proxy_protocol_info = _of_proxy(template)
        self._begin(exchange, request)
        environ = make_environ(exchange, template, keys)
        request.scheme = environ["wsgi.url_scheme"]  # a trusted proxy may have said it
        self._open[exchange] = request, environ
        return environ

    def begin(self, exchange: Exchange, client: tuple[str, int] | None, scheme: str) -> None:
        """For ASGI: the first hook. Raises `ProtocolError` where it has raised."""
        request = Request(exchange, client or "", scheme)
        self._begin(exchange, request)
        self._open[exchange] = request, None

    def _begin(self, exchange: Exchange, request: Request) -> None:
        before = self._before
        if before is None:
            return
        headers = request.headers.copy()
        try:
            before(self._worker, request)
            request.write_back(headers)
        except (Exception, SystemExit) as error:
            trace = traceback.format_exc().rstrip()
            self._worker.log.error("Exception in pre_request hook: %s\n%s", request_line(exchange), trace)
            self._call_after(request, {}, None)
            raise ProtocolError(500, "the pre_request hook failed") from error

    def over(self, exchange: Exchange) -> None:
        """The exchange has ended: the second hook, if the first was called."""
        request, environ = self._open.pop(exchange, (None, None))
        if request is None or self._after is None:
            return
        self._call_after(request, environ or self._environ(exchange, request), Response(exchange, request))

    def _call_after(self, request: Request, environ: Environ, response: Response | None) -> None:
        if self._after is None:
            return
        try:
            self._after(self._worker, request, environ, response)
        except SystemExit:  # a way to have the worker replaced
            self._worker.alive = False
        except Exception:
            self._worker.log.exception("Exception in post_request hook")

    def _environ(self, exchange: Exchange, request: Request) -> Environ:
        """What an ASGI application's request would be as WSGI."""
        remote = request.remote_addr
        host, port = remote if isinstance(remote, tuple) else (remote, "")
        template = {
            "REMOTE_ADDR": host,
            "REMOTE_PORT": str(port),
            "SCRIPT_NAME": self._root_path,
            "wsgi.url_scheme": request.scheme,
        }
        try:
            return make_environ(exchange, template, self._keys)
        except ProtocolError:
            return template


def _of_proxy(template: Environ) -> dict[str, Any]:
    """What a PROXY header has told, by gunicorn's names."""
    return {
        "proxy_protocol": template["PROXY_PROTOCOL"],
        "client_addr": template["REMOTE_ADDR"],
        "client_port": int(template["REMOTE_PORT"] or 0),
        "proxy_addr": template.get("PROXY_ADDR"),
        "proxy_port": int(template.get("PROXY_PORT") or 0),
    }


class HookedCrew(Crew):
    """A crew whose worker has a hook around its requests."""

    def __init__(
        self, context: WorkerContext, application: Application, access: AccessLog | None, requests: RequestHooks
    ) -> None:
        super().__init__(context, application, access)
        self.request_hooks = requests

    def log_exchange(self, exchange: Exchange, connection: AskingConnection, words: memoryview[int]) -> None:
        super().log_exchange(exchange, connection, words)
        assert self.request_hooks is not None
        self.request_hooks.over(exchange)


def of_four(hook: Callable[..., object]) -> PostRequest:
    """A `post_request` hook as a function of four arguments; it may take less (gunicorn: 2, 3 or 4)."""
    if takes(hook, 4):
        return hook
    if takes(hook, 3):
        return lambda worker, req, environ, resp: hook(worker, req, environ)
    return lambda worker, req, environ, resp: hook(worker, req)


def _status_line(exchange: Exchange) -> str:
    reason = getattr(exchange, "reason", None) or REASONS.get(exchange.status, b"Unknown")
    return f"{exchange.status} {reason.decode('latin-1')}"


def _octets(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode("latin-1")
