"""The kinds of value that have to do with proxies and header fields; see `kinds`."""

import ipaddress
import re

from pyserve.values.kinds import Kind, near, one_line

# token = 1*tchar (RFC 9110 section 5.6.2); a field's value is printable latin-1 (section 5.5)
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_SERVERS_OWN = frozenset(
    ("connection", "content-length", "date", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
)


def peers() -> Kind:
    """Addresses and networks of proxies, separated by commas; `*` for all, `unix` for who is known by no address: so a
    hop is called that came by a unix socket (`unix:` by nginx). Paths are names of such, too, as uvicorn takes them."""

    def parse(given: object) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_peer(text) for text in _words(given)))

    return Kind("addresses and networks such as 10.0.0.1,192.168.0.0/16, unix, or *", "ADDRESSES", parse)


def _peer(text: str) -> str:
    if text == "*" or text.startswith(("/", "unix:/", "unix:@")):
        return text
    if text in ("unix", "unix:"):
        return "unix"
    try:
        return str(ipaddress.ip_network(text) if "/" in text else ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f": {text!r} is neither; names are not resolved") from None
    raise ValueError(f": {text!r} has host bits set, {str(network)!r} perhaps")


def field_names() -> Kind:
    """Names of header fields, separated by commas, in any case; kept in upper case, as gunicorn has them."""

    def parse(given: object) -> tuple[str, ...]:
        names = tuple(name.upper() for name in _words(given))
        if not all(_TOKEN.fullmatch(name) for name in names):
            raise ValueError
        return names

    return Kind("names of header fields, separated by commas", "NAMES", parse)


def proxy_protocol() -> Kind:
    """Which versions of the PROXY protocol are read. The flag alone, and True, is auto (gunicorn's forms)."""
    words = {"off": "off", "v1": "v1", "v2": "v2", "auto": "auto"}
    switches = {"false": "off", "0": "off", "none": "off", "true": "auto", "1": "auto"}

    def parse(given: object) -> str:
        found = {**words, **switches}.get(str(given).strip().lower())
        if found is None:
            raise ValueError(near(str(given), words))
        return found

    return Kind("one of off, v1, v2, auto", "off|v1|v2|auto", parse, bare="auto")


def some_of(*names: str, alone: str) -> Kind:
    """Some of a few words, separated by commas. alone: one that goes without the others."""

    def parse(given: object) -> tuple[str, ...]:
        found = tuple(name.lower() for name in _words(given))
        for name in found:
            if name not in names:
                raise ValueError(near(name, names))
        if alone in found and len(set(found)) > 1:
            raise ValueError(f": {alone} goes without the others")
        return found

    return Kind(f"some of {', '.join(names)}", "NAMES", parse)


def field_values() -> Kind:
    """Header fields and one value each: `NAME=VALUE`, separated by commas, or a dictionary. Kept as `NAME=VALUE`, the
    name in upper case."""

    def parse(given: object) -> tuple[str, ...]:
        pairs = [f"{name}={value}" for name, value in given.items()] if isinstance(given, dict) else _words(given)
        return tuple(map(normal, pairs))

    def normal(pair: str) -> str:
        name, equals, value = pair.partition("=")
        if not (_TOKEN.fullmatch(name) and equals) or "," in value:
            raise ValueError
        return f"{name.upper()}={value.strip()}"

    return Kind("names and values of header fields such as X-FORWARDED-PROTO=https", "NAME=VALUE", parse)


def header() -> Kind:
    """Header fields of responses, `Name: value`; given several times for several."""

    def parse(given: object) -> tuple[str, ...]:
        if isinstance(given, str):
            given = [given] if given else []
        if not isinstance(given, list | tuple):
            raise ValueError
        return tuple(map(normal, given))

    def normal(field: object) -> str:
        # uvicorn's own form in Python is a pair
        name, colon, value = one_line(field).partition(":") if isinstance(field, str) else (*_pair(field),)
        name, value = name.strip(), value.strip()
        if not (colon and _TOKEN.fullmatch(name) and _VALUE.fullmatch(value)):
            raise ValueError
        if name.lower() in _SERVERS_OWN:
            raise ValueError(f": {name} is the server's own")
        return f"{name}: {value}"

    return Kind("a header field such as 'X-Frame-Options: DENY'", "NAME:VALUE", parse, repeats=True)


def _pair(field: object) -> tuple[str, str, str]:
    if isinstance(field, list | tuple) and len(field) == 2:
        return one_line(field[0]), ":", one_line(field[1])
    raise ValueError


def _words(given: object) -> list[str]:
    """What commas separate, or the members of a list; blanks around and empty ones do not count."""
    parts = [given] if isinstance(given, str) else given
    if not isinstance(parts, list | tuple):
        raise ValueError
    return [word for part in parts for text in one_line(part).split(",") if (word := text.strip())]
