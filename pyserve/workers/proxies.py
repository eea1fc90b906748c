"""What the settings say of proxies, in the form in which the gateways use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pyserve.protocol.forwarded import FOR, FORWARDED, HOST, PORT, PROTO, Forwarding, Trusted
from pyserve.protocol.wsgi import EnvironKeys
from pyserve.settings import DEFAULTS

if TYPE_CHECKING:
    from pyserve.settings import Settings

_FIELDS = {name.decode(): name for name in (FOR, PROTO, HOST, PORT, FORWARDED)}


def forwarding_of(settings: Settings, interface: Literal["wsgi", "asgi"]) -> Forwarding | None:
    """What is read of trusted proxies' requests, None for nothing.

    Unset, `--proxy-headers` means gunicorn's rule under WSGI, the scheme alone, and uvicorn's under ASGI, the client
    and the scheme.
    """
    if settings.proxy_headers is False:
        return None
    believed = settings.proxy_headers or interface == "asgi"
    by_secure_fields = interface == "wsgi" or settings.secure_scheme_headers != DEFAULTS.secure_scheme_headers
    return Forwarding(
        Trusted(settings.forwarded_allow_ips),
        [_FIELDS[name] for name in settings.trusted_proxy_headers] if believed else [],
        _pairs(settings.secure_scheme_headers) if by_secure_fields else {},
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
