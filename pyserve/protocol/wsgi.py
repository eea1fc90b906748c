"""WSGI: the exchange as environ, start_response and wsgi.input, for a driver whose thread may wait (PEP 3333).

The driver makes one `Template` per listener, and for each exchange calls `make_environ` and `serve`. It gives `serve`
three things that wait: `flush`, `fill` and `span` (see `Driver`).
"""

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Protocol, cast
from urllib.parse import unquote_to_bytes

from pyserve.protocol.errors import ApplicationError, Disconnected, ProtocolError
from pyserve.protocol.exchange import Exchange, FileSpan, Receiving, Sending
from pyserve.protocol.fields import LONGEST_KNOWN, TEXT
from pyserve.protocol.forwarded import Forwarding, Origin, split_host
from pyserve.protocol.status import REASONS

Environ = dict[str, Any]
Application = Callable[..., Iterable[bytes]]
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

_KNOWN_AT_MOST = 1024
_LARGE = 16384  # octets of a block
_RECEIVED = Receiving.DONE
_SCRIPT_NAME = b"script_name"  # as a field


class Driver(Protocol):
    """What the gateway needs of its driver; each may raise `Disconnected`."""

    def flush(self) -> None:
        """Write what is in the wire's `out`; wait while the peer does not take it."""

    def fill(self) -> None:
        """Wait until more content has come or the request is over (`receiving` DONE or `error` set)."""

    def span(self, file: Any) -> FileSpan | None:
        """Open what is left of a file for sendfile, or None when it is no plain file."""


class EnvironKeys:
    """Field names of requests -> environ keys, "" for a field that is left out.

    known: the names that were met, as in `fields.RequestNames`; any other is handed to `learn`.

    `X_Foo` and `X-Foo` have the same key, so a peer could write a field that a proxy thinks it has removed. header_map
    says what becomes of names with an underscore: "drop" them, "refuse" the request, or take them ("dangerous").

    For the connections of trusted proxies there are keys of their own. forwarder: names with an underscore, in lower
    case, that such a proxy writes itself (`*`: any). forwarding: what else its requests say of their clients.
    """

    def __init__(
        self, header_map: str, forwarder: frozenset[bytes] = frozenset(), forwarding: Forwarding | None = None
    ) -> None:
        self.known = {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}
        self.header_map = header_map
        self.forwarder = forwarder
        self.forwarding = forwarding
        self.told = forwarder | (forwarding.names if forwarding is not None else frozenset())
        if b"*" in forwarder:
            self.told |= {_SCRIPT_NAME}

    def learn(self, name: bytes) -> str:
        """Make the key of a name, and know it from now on; `ProtocolError` 400 where header_map refuses it."""
        if name in self.known:
            return self.known[name]
        key = "HTTP_" + name.decode("ascii").replace("-", "_").upper()
        if b"_" in name and self.header_map != "dangerous" and self.forwarder.isdisjoint((name, b"*")):
            if self.header_map == "refuse":
                raise ProtocolError(400, "underscore in a field name (header_map refuse; PEP 3333)")
            key = ""
        if len(self.known) < _KNOWN_AT_MOST and len(name) <= LONGEST_KNOWN:
            self.known[name] = key
        return key


_PROTOCOLS = {"1.1": "HTTP/1.1", "1.0": "HTTP/1.0"}


def make_environ(exchange: Exchange, template: Environ, keys: EnvironKeys) -> Environ:
    """Build the environ (PEP 3333) from what all requests of a listener share.

    `wsgi.input` is set by `serve`. Raises `ProtocolError` where header_map refuses, or where a trusted proxy
    contradicts itself.
    """
    environ = template.copy()
    environ["REQUEST_METHOD"] = exchange.method
    environ["SERVER_PROTOCOL"] = _PROTOCOLS[exchange.version]
    environ["RAW_URI"] = environ["REQUEST_URI"] = exchange.target.decode("ascii")
    environ["QUERY_STRING"] = exchange.query.decode("ascii")
    path = exchange.path
    if 0x25 in path:  # "%"; for an octet as a number `in` is several times as fast
        path = unquote_to_bytes(path)
    environ["PATH_INFO"] = path.decode("latin-1")
    if environ["SCRIPT_NAME"]:
        _strip(environ, environ["SCRIPT_NAME"])
    known = keys.known
    for name, value in exchange.index.items():
        try:
            key = known[name]
        except KeyError:
            key = keys.learn(name)
        if key:
            environ[key] = value.decode("latin-1")
    if keys.header_map == "dangerous":
        _join_alike(environ, exchange, keys)
    if keys.told and not keys.told.isdisjoint(exchange.index):
        _forward(environ, exchange, keys)
    return environ


def _forward(environ: Environ, exchange: Exchange, keys: EnvironKeys) -> None:
    """Write what a trusted proxy says over what the connection says."""
    index = exchange.index
    for name in keys.forwarder:
        if name in index:  # and not `X-Foo`, which has the same key and may be the client's
            environ[keys.learn(name)] = index[name].decode("latin-1")
    if _SCRIPT_NAME in keys.told and _SCRIPT_NAME in index:
        # Of a repeated field the nearest proxy's: the last line.
        script_name = [value for name, value in exchange.fields if name == _SCRIPT_NAME][-1].decode("latin-1")
        environ["SCRIPT_NAME"] = script_name.rstrip("/")
        environ["PATH_INFO"] = unquote_to_bytes(exchange.path).decode("latin-1")
        _strip(environ, environ["SCRIPT_NAME"])
    forwarding = keys.forwarding
    if forwarding is not None and not forwarding.names.isdisjoint(index):
        _set_origin(environ, exchange, forwarding.read(exchange))


def _set_origin(environ: Environ, exchange: Exchange, origin: Origin) -> None:
    if origin.client is not None:
        host, port = origin.client
        environ["REMOTE_ADDR"] = exchange.client = host
        environ["REMOTE_PORT"] = str(port) if port else ""
    if origin.scheme is not None:
        environ["wsgi.url_scheme"] = origin.scheme
    if origin.host is not None:
        environ["HTTP_HOST"] = origin.host.decode("latin-1")
        name, port_of_host = split_host(origin.host)
        environ["SERVER_NAME"] = name
        environ["SERVER_PORT"] = str(port_of_host or (443 if environ["wsgi.url_scheme"] == "https" else 80))
    if origin.port is not None:
        environ["SERVER_PORT"] = str(origin.port)


def _join_alike(environ: Environ, exchange: Exchange, keys: EnvironKeys) -> None:
    """Join fields of one key and different names, `X_Foo` and `X-Foo`, as repeated ones are."""
    joined: dict[str, str] = {}
    for name, value in exchange.index.items():
        text = value.decode("latin-1")
        key = keys.learn(name)
        joined[key] = f"{joined[key]}, {text}" if key in joined else text
    environ.update(joined)


def _strip(environ: Environ, script_name: str) -> None:
    """Take the mount point off the path; a proxy in front may have done so already."""
    path = environ["PATH_INFO"]
    if path == script_name or path.startswith(script_name + "/"):
        environ["PATH_INFO"] = path[len(script_name) :]


class Input:
    """`wsgi.input`: the content, ending where the request's ends, whether a length or chunks say so.

    Reads wait for what has not arrived. They raise `Disconnected` (an OSError) when the rest will never come: a
    truncated content never looks like a whole one.
    """

    __slots__ = ("_driver", "_exchange")

    def __init__(self, exchange: Exchange, driver: Driver) -> None:
        self._exchange = exchange
        self._driver = driver

    def read(self, size: int | None = -1) -> bytes:
        """Read `size` bytes, fewer only at the end; all for None or a negative size."""
        exchange = self._exchange
        if size is None or size < 0:
            while self._more():
                pass
            return exchange.take()
        while exchange.buffered < size and self._more():
            pass
        return exchange.take(size)

    def readline(self, size: int | None = -1) -> bytes:
        """Read up to and with the next line feed, at most `size` bytes if that is not None or negative."""
        exchange = self._exchange
        searched = 0
        most = None if size is None or size < 0 else size  # what is behind must not be searched again and again
        while True:
            end = exchange.body.find(b"\n", searched, most) + 1 if exchange.body else 0
            searched = exchange.buffered
            if most is not None and most <= searched and not end:
                return exchange.take(most)
            if end:
                return exchange.take(end)
            if not self._more():
                return exchange.take()

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """Read lines to the end, or until they hold `hint` bytes if that is positive."""
        lines = []
        total = 0
        for line in self:
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint <= total:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def _more(self) -> bool:
        """Wait for more; return False at the end."""
        exchange = self._exchange
        if exchange.error is not None:
            raise Disconnected(exchange.error.text)
        if exchange.receiving is Receiving.DONE:
            return False
        self._driver.fill()
        return True


class FileWrapper:
    """`wsgi.file_wrapper`: sent by sendfile where the file is a plain one, else in blocks (PEP 3333).

    It is its own iterator, as wsgiref's is: what wraps `iter()` of it, such as werkzeug's ranges, finds `close` there.
    """

    def __init__(self, filelike: Any, block_size: int = 65536) -> None:
        self.filelike = filelike
        self.block_size = block_size
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        block: bytes = self.filelike.read(self.block_size)
        if not block:
            raise StopIteration
        return block


# Status text -> (code, reason); applications use few.
_statuses: dict[str, tuple[int, bytes | None]] = {}


def _parse_status(status: str) -> tuple[int, bytes | None]:
    """Take "200 OK" apart; bounded memory of what has been met."""
    if not isinstance(status, str):
        raise ApplicationError(f"status must be str, not {type(status).__name__} (PEP 3333)")
    code, _, reason = status.partition(" ")
    if not (len(code) == 3 and code.isascii() and code.isdigit()):
        raise ApplicationError(f"status {status!r} is not three digits, a space and a reason (PEP 3333)")
    try:
        phrase = reason.encode("latin-1")
    except UnicodeEncodeError:
        raise ApplicationError(f"status {status!r} is not latin-1 (PEP 3333)") from None
    parsed = int(code), None if phrase == REASONS.get(int(code)) else phrase
    if len(_statuses) < _KNOWN_AT_MOST:
        _statuses[status] = parsed
    return parsed


class _Call:
    """One call of the application: its start_response and write, and the sending of what it returns."""

    __slots__ = ("_driver", "_exchange")

    def __init__(self, exchange: Exchange, driver: Driver) -> None:
        self._exchange = exchange
        self._driver = driver

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: _ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """Set status and headers; return `write`. With exc_info a head that has not left is replaced (PEP 3333)."""
        exchange = self._exchange
        if exc_info is not None:
            try:
                if exchange.sending is not Sending.HEAD and exc_info[1] is not None:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # no cycle through the traceback
        elif exchange.status:
            raise ApplicationError("start_response called again without exc_info (PEP 3333)")
        code, reason = _statuses.get(status) or _parse_status(status)
        exchange.send_head(code, reason, headers, TEXT)
        return self.write

    def write(self, data: bytes) -> None:
        """Send a block at once; the imperative way of PEP 3333."""
        if data:
            self._exchange.send_body(_octets(data), True)
            self._driver.flush()

    def send(self, result: Iterable[bytes]) -> None:
        """Send what the application returned: whole where it is at hand, else block by block without delay."""
        exchange = self._exchange
        if isinstance(result, list | tuple):
            self._send_whole([_octets(block) for block in result])
            return
        if isinstance(result, FileWrapper):
            span = self._driver.span(result.filelike)
            if span is not None:
                exchange.send_body(span, False)
                return
        for block in result:
            if block:
                exchange.send_body(_octets(block), True)
                self._driver.flush()
                if exchange.complaint or not exchange.has_content:
                    break
        exchange.send_body(b"", False)

    def _send_whole(self, blocks: list[bytes]) -> None:
        """Send content that is all at hand; large blocks as they are: a copy would cost more than it saves."""
        exchange = self._exchange
        size = sum(map(len, blocks))
        if len(blocks) > 1 and size >= _LARGE * len(blocks):
            exchange.announce(size)
            for block in blocks:
                if block:
                    exchange.send_body(block, True)
            exchange.send_body(b"", False)
        else:
            exchange.send_body(b"".join(blocks), False)


# `wsgi.input` of all requests without content: it has no state that one could leave to the next.
_NO_INPUT = Input(Exchange(cast(Any, None)), cast(Any, None))


def _octets(block: bytes) -> bytes:
    if not isinstance(block, bytes):
        raise ApplicationError(f"the body must be bytes, not {type(block).__name__} (PEP 3333)")
    return block


def serve(application: Application, environ: Environ, exchange: Exchange, driver: Driver) -> None:
    """Call the application and send its response; `close()` of what it returned is called exactly once.

    What remains in the wire's `out` at the end is the driver's to write. The application's exceptions pass through.
    """
    has_content = exchange.body is not None or exchange.receiving is not _RECEIVED
    environ["wsgi.input"] = Input(exchange, driver) if has_content else _NO_INPUT
    call = _Call(exchange, driver)
    result = application(environ, call.start_response)
    if type(result) is list and len(result) == 1 and type(data := result[0]) is bytes:
        exchange.send_body(data, False)  # as `send` would, and a list has nothing to close
        return
    try:
        call.send(result)
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()
