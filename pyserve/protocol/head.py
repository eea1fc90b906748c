"""The head of a request: request line, field lines, and the framing they declare (RFC 9112 sections 3, 5 and 6).

The parser library takes the fields apart and refuses malformed lines; what was wrong is then said in our own words by
`diagnose`, so that both libraries lead to the same answer. A head that is large, or did not come in one piece, has
been judged line by line as well (`Scanner`), so that limits are exact.
"""

import re

from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.exchange import UPGRADE, Exchange
from pyserve.protocol.fields import LONGEST_KNOWN, TOKEN, Fields, options
from pyserve.protocol.limits import Limits, Scanner, content_too_large
from pyserve.protocol.parsers import Parser
from pyserve.protocol.target import is_host, split_target

# HTTP-version = "HTTP/" DIGIT "." DIGIT, case-sensitive (RFC 9112 section 2.3)
_VERSIONS = {b"HTTP/1.1": "1.1", b"HTTP/1.0": "1.0"}
_ANY_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
# field-line = field-name ":" OWS field-value OWS (RFC 9112 section 5)
_FIELD_LINE = re.compile(rb"(" + TOKEN.pattern + rb"):(.*)")
# Content-Length = 1*DIGIT (RFC 9110 section 8.6); 18 digits stay below 2**63
_LENGTH = re.compile(rb"[0-9]{1,18}")
# Fields of which a second one is an attack or a mistake (RFC 9112 sections 3.2, 6.1 and 6.3)
_ONCE = frozenset((b"host", b"content-length", b"transfer-encoding"))

# The request line of nearly all requests: origin-form, which starts with a slash (RFC 9112 section 3.2.1). Any other is
# looked at part by part.
_ORIGIN_FORM = re.compile(rb"(" + TOKEN.pattern + rb") ((/[!-\"$->@-~]*)(?:\?([!-\"$-~]*))?) HTTP/1\.([01])\r\n").match

# Method tokens and hosts that have been found valid; bounded, as a peer may invent any number of them.
_KNOWN_AT_MOST = 256
_LONGEST_HOST = 262  # octets: a name of the DNS with a port (RFC 1035 section 2.3.4)
_methods: dict[bytes, str] = {}
_hosts: set[bytes | None] = set()
_EMPTY = b""


def read_head(head: bytes, parse: Parser, limits: Limits, exchange: Exchange) -> None:
    """Read one complete head, its empty line included, into the request side of `exchange`.

    Raises `ProtocolError`, or `Malformed` when the parser library refuses `head` or it is more than one head: what is
    wrong with it then says `diagnose`.
    """
    fields = parse(head)
    if len(head) > limits.shortest or len(fields) > limits.fields:
        Scanner(limits, 0).scan(head)
    method = authority = None
    match = _ORIGIN_FORM(head)
    if match is not None:
        token, target, path, query, minor = match.groups(_EMPTY)
        method = _methods.get(token)
        version = "1.1" if minor == b"1" else "1.0"
    if method is None:
        method, target, version = _request_line(_first_line(head, limits))
        path, query, authority = split_target(method, target)
    index = dict(fields)
    if len(index) != len(fields):
        index = _join(fields)
    exchange.method, exchange.target, exchange.version = method, target, version
    exchange.path, exchange.query = path, query
    exchange.fields, exchange.index = fields, index
    host = index.get(b"host")
    if host not in _hosts or authority is not None:
        _check_host(host, version, authority)
        if authority is not None:
            _set_host(fields, index, authority)
    if b"content-length" in index or b"transfer-encoding" in index:
        exchange.length = _framing(index, version, limits)
    else:
        exchange.length = 0
    if b"connection" in index:
        exchange.keep = _keeps(index[b"connection"], version)
        if b"upgrade" in index and _asks_for_websocket(exchange):
            exchange.length = UPGRADE
    else:
        exchange.keep = version == "1.1"
    if method == "CONNECT":  # what follows is not HTTP for a server that is not asked again
        exchange.keep = False
    exchange.expects = b"expect" in index and _expects(index[b"expect"], version)


def _first_line(head: bytes, limits: Limits) -> bytes:
    """Up to the first line end and no further: the parts of a request line must not be looked for in the fields."""
    line = head[: head.find(b"\r\n")]
    if 0x0A in line:  # llhttp takes one without a version (HTTP/0.9), which may end in a bare LF
        raise diagnose(head, limits)
    return line


def _request_line(line: bytes) -> tuple[str, bytes, str]:
    """request-line = method SP request-target SP HTTP-version (RFC 9112 section 3)."""
    if not line.isascii() or b"\t" in line:
        raise ProtocolError(400, "octet not allowed in a request line (RFC 9112 section 3)")
    try:
        token, target, protocol = line.split(b" ")
    except ValueError:
        raise ProtocolError(400, "malformed request line (RFC 9112 section 3)") from None
    method = _methods.get(token) or _learn_method(token)
    version = _VERSIONS.get(protocol)
    if version is None:
        if _ANY_VERSION.fullmatch(protocol):
            raise ProtocolError(505, "this server speaks HTTP/1.0 and HTTP/1.1 (RFC 9110 section 15.6.6)")
        raise ProtocolError(400, "malformed HTTP version (RFC 9112 section 2.3)")
    return method, target, version


def _learn_method(token: bytes) -> str:
    """method = token (RFC 9110 section 9.1), case-sensitive and open to new ones."""
    if not TOKEN.fullmatch(token):
        raise ProtocolError(400, "malformed method (RFC 9110 section 9.1)")
    method = token.decode("ascii")
    if method == "CONNECT":  # which has a form of target of its own
        return method
    if len(_methods) < _KNOWN_AT_MOST and len(token) <= LONGEST_KNOWN:
        _methods[token] = method
    return method


def _join(fields: Fields) -> dict[bytes, bytes]:
    """Map each name to its value, the values of a repeated field as one list (RFC 9110 section 5.3)."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        if name not in values:
            values[name] = [value]
        elif name in _ONCE:
            raise ProtocolError(400, f"more than one {name.decode().title()} (RFC 9112 sections 3.2 and 6)")
        else:
            values[name].append(value)
    # At once: value by value, the octets copied would grow with the square of the fields.
    return {name: (b"; " if name == b"cookie" else b", ").join(each) for name, each in values.items()}


def _check_host(host: bytes | None, version: str, authority: bytes | None) -> None:
    """One valid Host, in agreement with an authority in the target (RFC 9112 section 3.2)."""
    if host is None:
        if version == "1.1":
            raise ProtocolError(400, "no Host (RFC 9112 section 3.2)")
        return
    if not is_host(host):
        raise ProtocolError(400, "invalid Host (RFC 9110 section 7.2)")
    if authority is not None and authority.lower() != host.lower():
        # A client must send the two alike (section 3.2). What a proxy before us made of them is not known, so the
        # difference itself is refused.
        raise ProtocolError(400, "Host differs from the target's authority (RFC 9112 section 3.2.2)")
    if len(_hosts) < _KNOWN_AT_MOST and len(host) <= _LONGEST_HOST:
        _hosts.add(host)


def _set_host(fields: Fields, index: dict[bytes, bytes], authority: bytes) -> None:
    """The target's authority replaces Host (RFC 9112 section 3.2.2); an HTTP/1.0 message may have no other."""
    index[b"host"] = authority
    for number, (name, _) in enumerate(fields):
        if name == b"host":
            fields[number] = name, authority
            return
    fields.append((b"host", authority))


def _framing(index: dict[bytes, bytes], version: str, limits: Limits) -> int | None:
    """Return the octets of the content, None when it is chunked (RFC 9112 section 6.3)."""
    length = index.get(b"content-length")
    coding = index.get(b"transfer-encoding")
    if coding is not None:
        _check_coding(coding, version, length)
        return None
    if length is None:
        return 0
    if not _LENGTH.fullmatch(length):
        raise ProtocolError(400, "invalid Content-Length (RFC 9110 section 8.6)")
    size = int(length)
    if size > limits.body:
        raise content_too_large()
    return size


def _check_coding(coding: bytes, version: str, length: bytes | None) -> None:
    """Only a single `chunked` is understood, and what lets two readers disagree is refused (RFC 9112 section 6.1)."""
    if length is not None:
        raise ProtocolError(400, "both Content-Length and Transfer-Encoding (RFC 9112 section 6.3)")
    if version != "1.1":
        raise ProtocolError(400, "Transfer-Encoding in an HTTP/1.0 message (RFC 9112 section 6.1)")
    if coding.lower() == b"chunked":
        return
    codings = options(coding)
    if codings[-1:] != [b"chunked"] or codings.count(b"chunked") > 1 or coding.strip(b" \t,").lower() == b"chunked":
        raise ProtocolError(400, "chunked must be the one and last transfer coding (RFC 9112 section 6.3)")
    raise ProtocolError(501, "transfer coding not implemented (RFC 9112 section 6.1)")


def _keeps(connection: bytes, version: str) -> bool:
    """Tell whether the connection may be used again, as far as the request goes (RFC 9112 section 9.3)."""
    chosen = options(connection)
    return b"close" not in chosen and (version == "1.1" or b"keep-alive" in chosen)


def _asks_for_websocket(exchange: Exchange) -> bool:
    """Tell whether a request would go on with WebSocket (RFC 6455 section 4.2.1).

    Without a key and a version it is nothing of RFC 6455's: an older protocol, or a test of what servers do. Such an
    Upgrade is ignored, as RFC 9110 section 7.8 allows.
    """
    if exchange.method != "GET" or exchange.version != "1.1" or exchange.length != 0:
        return False  # its content would have to be read before the protocol changes (RFC 9110 section 7.8)
    index = exchange.index
    if b"sec-websocket-key" not in index and b"sec-websocket-version" not in index:
        return False
    return b"websocket" in options(index[b"upgrade"]) and b"upgrade" in options(index[b"connection"])


def _expects(expectation: bytes, version: str) -> bool:
    """Tell whether the peer waits for 100 (RFC 9110 section 10.1.1); an HTTP/1.0 one is not listened to."""
    if version != "1.1":
        return False
    expected = options(expectation)
    if expected.count(b"100-continue") != len(expected):
        raise ProtocolError(417, "only 100-continue can be expected (RFC 9110 section 10.1.1)")
    return bool(expected)


def diagnose(head: bytes, limits: Limits) -> ProtocolError:
    """Say what is wrong with a head that the parser library refused, in the order in which it would be found."""
    try:
        Scanner(limits, 0).scan(head)
        method, target, version = _request_line(head[: head.find(b"\r\n")])
        _, _, authority = split_target(method, target)
        fields: Fields = []
        for line in head.split(b"\r\n")[1:-2]:
            match = _FIELD_LINE.fullmatch(line)
            if match is None:
                return ProtocolError(400, "malformed field line (RFC 9112 section 5)")
            fields.append((match[1].lower(), match[2].strip(b" \t")))
        index = _join(fields)
        _check_host(index.get(b"host"), version, authority)
        _framing(index, version, limits)
    except ProtocolError as error:
        return error
    return ProtocolError(400, "malformed head (RFC 9112 section 2)")
