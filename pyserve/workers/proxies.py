"""What the settings say of proxies, in the form in which the gateways use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pyserve.protocol.forwarded import FOR, FORWARDED, HOST, PORT, PROTO, Forwarding, Trusted
from pyserve.protocol.proxy import Place, ProxyHeader, ProxyReader
from pyserve.protocol.wsgi import EnvironKeys
from pyserve.settings import DEFAULTS

if TYPE_CHECKING:
    from pyserve.settings import Settings

_NOBODY = "unknown"  # no address, and no name that the setting takes
_FIELDS = {name.decode(): name for name in (FOR, PROTO, HOST, PORT, FORWARDED)}


def forwarding_of(settings: Settings, interface: Literal["wsgi", "asgi"]) -> Forwarding | None:
    """What is read of trusted proxies' requests, None for nothing.

    Unset, `--proxy-headers` means gunicorn's rule under WSGI, the scheme alone, and uvicorn's under ASGI, the client
    and the scheme. Scheme headers that contradict each other are refused in both. Where proxies are said to set other
    fields than X-Forwarded-Proto, that one and its likes are their clients' words.
    """
    if settings.proxy_headers is False:
        return None
    by_gunicorns_rule = interface == "wsgi" and not settings.proxy_headers
    believed = [] if by_gunicorns_rule else [_FIELDS[name] for name in settings.trusted_proxy_headers]
    is_set = settings.secure_scheme_headers != DEFAULTS.secure_scheme_headers
    are_read = by_gunicorns_rule or PROTO in believed or is_set
    return Forwarding(
        Trusted(settings.forwarded_allow_ips),
        believed,
        _pairs(settings.secure_scheme_headers) if are_read else {},
        decides=interface == "wsgi" or is_set,
    )


def _pairs(fields: tuple[str, ...]) -> dict[bytes, bytes]:
    pairs = (field.partition("=") for field in fields)
    return {name.lower().encode(): value.encode("latin-1", "replace") for name, _, value in pairs}


class Keys:
    """The environ keys of one worker's connections: those of anybody's, and those of trusted proxies'."""

    __slots__ = ("_anybody", "_forwarding", "_proxies")

    def __init__(self, settings: Settings) -> None:
        self._anybody = self._proxies = EnvironKeys(settings.header_map)
        self._forwarding = forwarding_of(settings, "wsgi")
        if self._forwarding is not None:
            forwarder = frozenset(name.lower().encode() for name in settings.forwarder_headers)
            self._proxies = EnvironKeys(settings.header_map, forwarder, self._forwarding)

    def of(self, remote: str) -> EnvironKeys:
        """Those for the connection of a peer. remote: its address, "" on a unix socket."""
        trusts = self._forwarding is not None and remote in self._forwarding.trusted
        return self._proxies if trusts else self._anybody


class Greetings:
    """Who may begin a connection with a PROXY header, and of which version."""

    __slots__ = ("_trusted", "_versions")

    def __init__(self, settings: Settings) -> None:
        self._trusted = Trusted(settings.proxy_allow_ips)
        self._versions = {"v1": (1,), "v2": (2,), "auto": (1, 2)}[settings.proxy_protocol]

    def reader(self, remote: str) -> ProxyReader | None:
        """What reads the header of a peer's connection, None where he may not send one."""
        return ProxyReader(self._versions) if remote in self._trusted else None


def greetings_of(settings: Settings) -> Greetings | None:
    """None where no PROXY header is read."""
    return None if settings.proxy_protocol == "off" else Greetings(settings)


def remote_of(place: Any) -> str:
    """An address as text, "" for that of a unix socket."""
    return str(place[0]) if isinstance(place, tuple) else ""


def variables_of(header: ProxyHeader) -> dict[str, str]:
    """What a PROXY header adds to an environ, by gunicorn's names: the protocol, and the proxy's end."""
    variables = {"PROXY_PROTOCOL": header.protocol}
    server: Place | None = header.server
    if isinstance(server, tuple):
        variables |= {"PROXY_ADDR": server[0], "PROXY_PORT": str(server[1])}
    elif server is not None:
        variables |= {"PROXY_ADDR": server.encode().decode("latin-1"), "PROXY_PORT": ""}  # as PEP 3333 wants text
    return variables


def believed_as(header: ProxyHeader, remote: str) -> str:
    """Whose fields are believed or not behind a PROXY header, as `Trusted` takes it. remote: of the connection, or of
    the client where the header names his address.

    Requests behind a LOCAL header are the proxy's own. Those of a client whom the proxy does not know, or who has come
    to it by a unix socket, are nobody's: neither the proxy's trust is theirs, nor that of who may open our own socket.
    """
    if header.protocol == "LOCAL" or isinstance(header.client, tuple):
        return remote
    return _NOBODY
