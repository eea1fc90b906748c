r"""What a line of the access log says: gunicorn's `access_log_format`, compiled once into one function.

Atoms, printed as gunicorn prints them:

    %(h)s  the client's address, `-` if unknown        %(s)s  status
    %(l)s  `-`                                         %(B)s  octets of content sent
    %(u)s  user name of Basic authentication           %(b)s  the same
    %(t)s  `[21/Nov/2026:10:00:00 +0000]`              %(f)s  Referer
    %(r)s  request line                                %(a)s  User-Agent
    %(m)s  method                                      %(T)s  duration, whole seconds
    %(U)s  path, percent-decoded, without the query    %(M)s  milliseconds
    %(q)s  query, as sent                              %(D)s  microseconds
    %(H)s  protocol, `HTTP/1.1`                        %(L)s  decimal seconds, `0.001234`
    %(p)s  process, `<123>`
    %({x}i)s  request field x    %({x}o)s  response field x    %({x}e)s  environ variable x

Names of fields and variables are met in any case. Of a repeated field, %(f)s and %(a)s show all values as one list,
`i` and `o` the last one. What is missing, and an atom that does not exist, is `-`. Flags and widths of Python's %
operator work.

Where it differs from gunicorn, which escapes only the quote and so lets a peer forge fields and lines:

* In every value the quote is `\"`, the backslash `\\`, and what is not printable ASCII `\xNN`; where the format holds
  a single quote, that is `\x27`. So a line is one line, and no value ends a quotation, a precision (`%(a).20s`) cutting
  an escape included. A format that begins with `{` is taken for JSON and gets JSON's escapes (`\u00NN`).
* A space in a user name is `\x20`, as that atom stands unquoted in the usual formats.
* The month is in English in every locale, and a status that was never sent is `-`.
* A format that could not be printed (`%h`, `%(a)d`) is refused at start and not reported with each request.
"""

import ast
import json
import os
import re
import time
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote_to_bytes

from pyserve.workers.logs.error_log import Escapes


class Answered(Protocol):
    """What a line tells of an exchange; see `pyserve.protocol.exchange.Exchange`."""

    @property
    def method(self) -> str: ...
    @property
    def target(self) -> bytes: ...
    @property
    def client(self) -> str: ...
    @property
    def path(self) -> bytes: ...
    @property
    def query(self) -> bytes: ...
    @property
    def version(self) -> str: ...
    @property
    def fields(self) -> Sequence[tuple[bytes, bytes]]: ...
    @property
    def index(self) -> Mapping[bytes, bytes]: ...
    @property
    def status(self) -> int: ...
    @property
    def response_fields(self) -> Sequence[tuple[bytes, bytes]]: ...
    @property
    def body_sent(self) -> int: ...


class Peer(Protocol):
    """What a line tells of a connection: the peer's address as text, empty on a unix socket.

    An attribute `environ`, where there is one that is not None, is the WSGI environ of the exchange, for %({x}e)s.
    """

    @property
    def remote(self) -> str: ...


Render = Callable[[Answered, Peer, float, float], bytes]


class _Kind(Enum):
    TEXT = "text"  # a peer or an application had a hand in it: to be escaped
    SAFE = "safe"  # text of our own
    NUMBER = "number"


class _Atom(NamedTuple):
    kind: _Kind
    source: str  # a str or int: an expression over the parameters of `render` and the names that `_namespace` gives


_NOTHING = _Atom(_Kind.SAFE, "'-'")

_REQUEST_LINE = "f'{exchange.method} {exchange.target.decode(\"latin-1\")} HTTP/{exchange.version}'"

_ATOMS = {
    "h": _Atom(_Kind.TEXT, "(exchange.client or connection.remote or '-')"),
    "u": _Atom(_Kind.SAFE, "('-' if b'authorization' not in exchange.index else user(exchange.index, spaces))"),
    "t": _Atom(_Kind.SAFE, "stamp(now)"),
    "r": _Atom(_Kind.TEXT, _REQUEST_LINE),
    "m": _Atom(_Kind.TEXT, "exchange.method"),
    "U": _Atom(_Kind.TEXT, "unquote(exchange.path).decode('latin-1')"),
    "q": _Atom(_Kind.TEXT, "exchange.query.decode('latin-1')"),
    "H": _Atom(_Kind.TEXT, "f'HTTP/{exchange.version}'"),
    "s": _Atom(_Kind.NUMBER, "exchange.status"),
    "B": _Atom(_Kind.NUMBER, "exchange.body_sent"),
    "b": _Atom(_Kind.NUMBER, "exchange.body_sent"),
    "f": _Atom(_Kind.TEXT, "exchange.index.get(b'referer', b'-').decode('latin-1')"),
    "a": _Atom(_Kind.TEXT, "exchange.index.get(b'user-agent', b'-').decode('latin-1')"),
    "T": _Atom(_Kind.NUMBER, "microseconds(seconds) // 1000000"),
    "M": _Atom(_Kind.NUMBER, "microseconds(seconds) // 1000"),
    "D": _Atom(_Kind.NUMBER, "microseconds(seconds)"),
    "L": _Atom(_Kind.SAFE, "'%d.%06d' % divmod(microseconds(seconds), 1000000)"),
    "p": _Atom(_Kind.SAFE, "f'<{getpid()}>'"),
}

# One conversion of Python's % operator; `*` and `%%` with flags are not among them.
_CONVERSION = re.compile(
    r"%(?:\((?P<name>[^()]*)\))?(?P<shape>[-+ #0]*[0-9]*)(?:\.(?P<precision>[0-9]*))?[hlL]?(?P<type>.?)", re.DOTALL
)
_NUMBER_TYPES = frozenset("diouxXeEfFgG")

_PRINTABLE = bytes(range(32, 127))


class _Template:
    """A format taken apart, as two f-strings: `plain` prints values as they are, `safe` prints them escaped.

    `fixed` is the format's own text.
    """

    def __init__(self, access_log_format: str) -> None:
        self.plain: list[ast.expr] = []
        self.safe: list[ast.expr] = []
        self.fixed = ""
        end = 0
        for match in _CONVERSION.finditer(access_log_format):
            self._literal(access_log_format[end : match.start()])
            end = match.end()
            if match[0] == "%%":
                self._literal("%")
            else:
                self._atom(match)
        self._literal(access_log_format[end:] + "\n")

    def _literal(self, text: str) -> None:
        self.fixed += text
        self.plain.append(ast.Constant(text))
        self.safe.append(ast.Constant(text))

    def _atom(self, match: re.Match[str]) -> None:
        name, shape, precision, kind = match.group("name", "shape", "precision", "type")
        if name is None:
            raise ValueError(f"{match[0]!r} is not an atom; they look like %(h)s, and %% is a percent sign")
        atom = _find_atom(name)
        if atom.kind is _Kind.NUMBER and kind in _NUMBER_TYPES:
            self._value(shape + ("" if precision is None else f".{precision}") + kind, atom.source, atom.source)
            return
        if kind != "s":
            raise ValueError(f"{match[0]!r} cannot be printed; write %({name})s")
        source = f"({atom.source} or '-')" if name == "s" else atom.source
        safe = f"escape({source})" if atom.kind is _Kind.TEXT else source
        if precision is not None:
            source, safe = f"str({source})[:{precision or 0}]", f"clip(str({safe}), {precision or 0})"
        self._value(shape + "s", source, safe)

    def _value(self, conversion: str, plain: str, safe: str) -> None:
        for pieces, source in ((self.plain, plain), (self.safe, safe)):
            expression = ast.parse(source if conversion == "s" else f"'%{conversion}' % ({source},)", mode="eval").body
            pieces.append(ast.FormattedValue(expression, conversion=-1))


def _find_atom(name: str) -> _Atom:
    if name in _ATOMS:
        return _ATOMS[name]
    match = re.fullmatch(r"\{(.*)\}([ioe])", name.lower(), re.DOTALL)
    if match is None:
        return _NOTHING
    name, kind = match.groups()
    if kind == "e":
        return _Atom(_Kind.TEXT, f"variable(exchange, connection, {name!r})")
    function = "request_field" if kind == "i" else "response_field"
    return _Atom(_Kind.TEXT, f"{function}(exchange, {name.encode('utf-8')!r})")


def escapes_for(access_log_format: str, also: str) -> Escapes:
    """What values are escaped with in a format; also: characters that end a quotation in it."""
    return _JsonEscapes(also) if access_log_format.lstrip().startswith("{") else Escapes(also)


def compile_format(access_log_format: str) -> Render:
    """Make the function (exchange, connection, seconds, now) -> line, line end included.

    seconds: the duration; now: seconds since the epoch. `ValueError` for a format that cannot be printed.

    Nearly always no value needs an escape, and one look at the whole line tells: of the octets that are not ordinary
    there are then exactly those of the format's own text. Only else is the line made again with each value escaped.
    """
    template = _Template(access_log_format)
    also = "'" if "'" in template.fixed else ""
    escapes = escapes_for(access_log_format, also)
    ordinary = _PRINTABLE.translate(None, b'"\\' + also.encode())

    def escape(value: str) -> str:
        if not value.encode("utf-8", "surrogatepass").translate(None, ordinary):
            return value
        return value.translate(escapes)

    names = _namespace(type(escapes)) | {
        "escape": escape,
        "ordinary": ordinary,
        "fixed": template.fixed.encode("utf-8").translate(None, ordinary),
    }
    module = _Filling(PLAIN=template.plain, SAFE=template.safe).visit(ast.parse(_RENDER))
    exec(compile(ast.fix_missing_locations(module), "<access log format>", "exec"), names)
    render: Render = names["render"]
    return render


_RENDER = """
def render(exchange, connection, seconds, now):
    line = PLAIN.encode('utf-8', 'surrogatepass')
    if line.translate(None, ordinary) == fixed:
        return line
    return SAFE.encode('utf-8')
"""


class _Filling(ast.NodeTransformer):
    """Puts f-strings in the places of names. Python's % operator would do, and takes half as long again."""

    def __init__(self, **pieces: list[ast.expr]) -> None:
        self._pieces = pieces

    def visit_Name(self, node: ast.Name) -> ast.expr:
        pieces = self._pieces.get(node.id)
        return node if pieces is None else ast.JoinedStr(pieces)


def _namespace(escapes: type[Escapes]) -> dict[str, Any]:
    """What the expressions of atoms refer to."""
    return {
        "clip": _clip,
        "getpid": os.getpid,
        "microseconds": lambda seconds: int(seconds * 1000000 + 0.5),
        "request_field": _request_field,
        "response_field": _response_field,
        "spaces": escapes("' "),
        "stamp": _Clock().stamp,
        "unquote": unquote_to_bytes,
        "user": _user,
        "variable": _variable,
    }


class _JsonEscapes(Escapes):
    """The same in JSON (RFC 8259 section 7), which has no `\\x`."""

    def _octet(self, octet: int) -> str:
        return f"\\u{octet:04x}"

    def __missing__(self, point: int) -> str:
        return chr(point) if point < 128 else json.dumps(chr(point))[1:-1]


class _Clock:
    """Text for %(t)s, made once a second."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = (-1, "")  # replaced as one, as threads share it

    def stamp(self, now: float) -> str:
        second, text = self._last
        if int(now) != second:
            second = int(now)
            local = time.localtime(second)
            text = time.strftime(f"[%d/{_MONTHS[local.tm_mon - 1]}/%Y:%H:%M:%S %z]", local)
            self._last = (second, text)
        return text


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# As many whole characters of an escaped text as there are: a lone backslash would escape the quote that follows.
_WHOLE = re.compile(r"""(?:[^\\]|\\["\\]|\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\U[0-9a-f]{8})*""")


def _clip(text: str, length: int) -> str:
    match = _WHOLE.match(text[:length])
    return match[0] if match else ""


def _user(index: Mapping[bytes, bytes], escapes: Escapes) -> str:
    """Return the user name of Basic credentials (RFC 7617), escaped; `-` for other schemes and what cannot be read."""
    scheme, _, credentials = index[b"authorization"].partition(b" ")
    if scheme.lower() != b"basic":
        return "-"
    try:
        user = b64decode(credentials.strip()).split(b":", 1)[0]
        user.decode("utf-8")
    except ValueError:
        return "-"
    return user.decode("latin-1").translate(escapes) or "-"


def _request_field(exchange: Answered, name: bytes) -> str:
    index = exchange.index
    if len(index) == len(exchange.fields):
        return index.get(name, b"-").decode("latin-1")
    return _last(exchange.fields, name)


def _response_field(exchange: Answered, name: bytes) -> str:
    # before there is a status there are no fields
    return _last(exchange.response_fields, name) if exchange.status else "-"


def _last(fields: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    found = b"-"
    for key, value in fields:
        if key.lower() == name:
            found = value
    return found.decode("latin-1")


def _variable(exchange: Answered, connection: Peer, name: str) -> str:
    """Return an environ variable (`name` in lower case); without an environ, what one would hold of the request."""
    environ: Mapping[str, object] | None = getattr(connection, "environ", None)
    if environ is None:
        environ = _environ(exchange, connection)
    value: object = environ.get(name.upper())
    if value is None:
        value = next((environ[key] for key in environ if key.lower() == name), "-")
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _environ(exchange: Answered, connection: Peer) -> dict[str, object]:
    environ: dict[str, object] = {
        "HTTP_" + name.decode("latin-1").upper().replace("-", "_"): value for name, value in exchange.index.items()
    }
    environ["PATH_INFO"] = unquote_to_bytes(exchange.path)
    environ["QUERY_STRING"] = exchange.query
    environ["RAW_URI"] = environ["REQUEST_URI"] = exchange.target
    environ["REMOTE_ADDR"] = connection.remote
    environ["REQUEST_METHOD"] = exchange.method
    environ["SERVER_PROTOCOL"] = f"HTTP/{exchange.version}"
    return environ
