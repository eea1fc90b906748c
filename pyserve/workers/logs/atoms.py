"""What a record of the access log holds where it goes through `logging`: gunicorn's atoms, in a dict.

`record.msg` is the access log's format and `record.args` the atoms, so filters read `record.args["U"]`, formatters
print what they want, and `record.getMessage()` is the line. Names are those of `access_format`; text is escaped as
there, so that a line is one line whoever prints it. Beside the short names there is each field of the request and the
response (`{x-one}i`, `{content-type}o`) and each environ variable (`{request_method}e`).
"""

import os
import time
from base64 import b64decode
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

from pyserve.protocol.status import REASONS
from pyserve.workers.logs.access_format import Answered, Peer, escapes_for
from pyserve.workers.logs.error_log import Escapes


class SafeAtoms(dict[str, Any]):
    """Atoms whose text is escaped; one that does not exist is `-`, and names in braces are met in any case."""

    escapes = Escapes()
    quotes = '"\\'

    def __init__(self, atoms: Mapping[str, Any]) -> None:
        super().__init__(atoms)
        quotes, escapes = self.quotes, self.escapes
        for name, value in atoms.items():
            if isinstance(value, str) and not (value.isascii() and value.isprintable() and _is_free(value, quotes)):
                self[name] = value.translate(escapes)
        user = self["u"]
        if isinstance(user, str) and " " in user:
            self["u"] = user.replace(" ", "\\x20")  # it stands unquoted in the usual formats

    def __getitem__(self, name: str) -> Any:
        return self.get(name.lower() if name.startswith("{") else name, "-")


def _is_free(value: str, quotes: str) -> bool:
    return not any(quote in value for quote in quotes)


def safe_atoms_for(access_log_format: str) -> type[SafeAtoms]:
    """The class whose escapes suit a format: one with single quotes has them escaped, JSON has escapes of its own."""
    also = "'" if "'" in access_log_format else ""
    return type("Atoms", (SafeAtoms,), {"escapes": escapes_for(access_log_format, also), "quotes": '"\\' + also})


class LoggedResponse(Protocol):
    """What atoms need of a response. status: `200 OK`, as text or octets, or the number."""

    @property
    def status(self) -> Any: ...
    @property
    def sent(self) -> Any: ...
    @property
    def headers(self) -> Any: ...


class Request:
    """A request as loggers written for gunicorn see it. headers: (NAME, value), the name in upper case."""

    __slots__ = ("headers", "method", "path", "query", "uri", "version")

    def __init__(self, exchange: Answered) -> None:
        self.method = exchange.method
        self.uri = exchange.target.decode("latin-1")
        self.path = exchange.path.decode("latin-1")
        self.query = exchange.query.decode("latin-1")
        self.version = (1, int(exchange.version[2:] or 0))
        self.headers = [(name.decode("latin-1").upper(), value.decode("latin-1")) for name, value in exchange.fields]


class Response:
    """A response as loggers written for gunicorn see it. status: `200 OK`, `-` of one that was never given."""

    __slots__ = ("headers", "sent", "status", "status_code")

    def __init__(self, exchange: Answered) -> None:
        code = self.status_code = exchange.status
        self.status = f"{code} {REASONS[code].decode() if code in REASONS else ''}".rstrip() if code else "-"
        self.sent = exchange.body_sent
        fields = exchange.response_fields if code else ()
        self.headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]

    @property
    def response_length(self) -> int:
        """Octets of content that were sent."""
        return self.sent


def environ_of(exchange: Answered, connection: Peer) -> Mapping[str, Any]:
    """The exchange's environ, or what one would hold of the request."""
    environ: Mapping[str, Any] | None = getattr(connection, "environ", None)
    if environ is not None:
        return environ
    made = {
        "HTTP_" + name.decode("latin-1").upper().replace("-", "_"): value.decode("latin-1")
        for name, value in exchange.index.items()
    }
    made["PATH_INFO"] = unquote_to_bytes(exchange.path).decode("latin-1")
    made["QUERY_STRING"] = exchange.query.decode("latin-1")
    made["RAW_URI"] = made["REQUEST_URI"] = exchange.target.decode("latin-1")
    made["REMOTE_ADDR"] = exchange.client or connection.remote
    made["REQUEST_METHOD"] = exchange.method
    made["SERVER_PROTOCOL"] = f"HTTP/{exchange.version}"
    return made


def atoms(response: LoggedResponse, request: Any, environ: Mapping[str, Any], duration: timedelta) -> dict[str, Any]:
    """Make the atoms.

    request: something with `headers`, or the headers themselves: pairs, or a mapping.
    """
    status = response.status
    if isinstance(status, bytes):
        status = status.decode("latin-1")
    if isinstance(status, str):
        status = status.split(None, 1)[0]
    microseconds = duration // timedelta(microseconds=1)
    sent = getattr(response, "sent", None)
    method, uri = environ.get("REQUEST_METHOD"), environ.get("RAW_URI")
    found = {
        "h": environ.get("REMOTE_ADDR") or "-",
        "l": "-",
        "u": user_of(environ.get("HTTP_AUTHORIZATION", "")),
        "t": time.strftime("[%d/%b/%Y:%H:%M:%S %z]"),
        "r": f"{method} {uri} {environ.get('SERVER_PROTOCOL')}",
        "s": str(status),
        "m": method,
        "U": environ.get("PATH_INFO"),
        "q": environ.get("QUERY_STRING"),
        "H": environ.get("SERVER_PROTOCOL"),
        "b": "-" if sent is None else str(sent),
        "B": sent,
        "f": environ.get("HTTP_REFERER", "-"),
        "a": environ.get("HTTP_USER_AGENT", "-"),
        "T": microseconds // 1000000,
        "D": microseconds,
        "M": microseconds // 1000,
        "L": f"{microseconds // 1000000}.{microseconds % 1000000:06d}",
        "p": f"<{os.getpid()}>",
    }
    found |= {f"{{{name.lower()}}}i": value for name, value in _pairs(getattr(request, "headers", request))}
    found |= {f"{{{name.lower()}}}o": value for name, value in _pairs(response.headers)}
    found |= {f"{{{name.lower()}}}e": value for name, value in environ.items()}
    return found


def _pairs(headers: Any) -> Iterable[tuple[str, Any]]:
    pairs: Iterable[tuple[str, Any]] = headers.items() if hasattr(headers, "items") else headers
    return pairs


def user_of(authorization: str) -> str:
    """The user name of Basic credentials (RFC 7617); `-` for other schemes and what cannot be read."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "-"
    try:
        return b64decode(credentials.strip()).split(b":", 1)[0].decode("utf-8") or "-"
    except ValueError:
        return "-"
