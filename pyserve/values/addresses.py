"""Where a server listens, written as one text: `host:port`, `[::1]:port`, `unix:/path`, `unix:@name` or `fd://3`."""

import ipaddress
import re
from dataclasses import dataclass

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
_ANY = "0.0.0.0"  # what gunicorn does for an address without host
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_.])?", re.ASCII)
_LONGEST_PATH = 107  # sun_path has 108 octets with the final NUL, unix(7)


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """host: a name or an address, IPv6 without brackets. port: 0 lets the kernel choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """path: of the socket file, absolute or relative to the working directory; `@name` for a name without a file."""

    path: str

    @property
    def is_abstract(self) -> bool:
        """Whether it is a name of the kernel's and no file: it goes with the last socket that has it (Linux)."""
        return self.path.startswith("@")

    @property
    def name(self) -> str:
        """What the kernel is told."""
        return "\0" + self.path[1:] if self.is_abstract else self.path

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class InheritedAddress:
    """fd: a descriptor that this process was started with and that listens already."""

    fd: int

    def __str__(self) -> str:
        return f"fd://{self.fd}"


Address = TcpAddress | UnixAddress | InheritedAddress


def parse_address(text: str) -> Address:
    """Read one address. ValueError with a hint (", … perhaps" or empty) for what is none.

    Forms as gunicorn has them: a missing host is 0.0.0.0, a missing port 8000, `tcp://` may stand before.
    """
    text = text.strip()
    if text.startswith("unix:"):
        return _unix(text.removeprefix("unix:"))
    if text.startswith("fd://"):
        return InheritedAddress(_number(text.removeprefix("fd://"), "fd://3"))
    if text.startswith(("http://", "https://")):
        raise ValueError(f", {text.partition('://')[2].rstrip('/')!r} perhaps")
    return _tcp(text.removeprefix("tcp://"))


def _unix(path: str) -> UnixAddress:
    if path.startswith("//"):  # unix:///run/x.sock, and unix://x.sock for a relative one
        path = path[2:]
    if path in ("", "@") or "\0" in path:
        raise ValueError(", 'unix:/run/pyserve.sock' perhaps")
    if len(path.encode("utf-8", "surrogateescape")) > _LONGEST_PATH:
        raise ValueError(f" (the path may have {_LONGEST_PATH} bytes at most)")
    return UnixAddress(path)


def _tcp(text: str) -> TcpAddress:
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")) or not _is_ipv6(host):
            raise ValueError(", '[::1]:8000' perhaps")
        return TcpAddress(host.lower(), _port(rest[1:]) if rest else DEFAULT_PORT)
    if text.count(":") > 1:
        raise ValueError(f", '[{text}]:8000' perhaps" if _is_ipv6(text) else "")
    host, colon, port = text.partition(":")
    if not colon and host.isdecimal():
        raise ValueError(f", ':{host}' perhaps")
    if not text or (host and not _HOST.fullmatch(host)):
        raise ValueError
    return TcpAddress(host.lower() or _ANY, _port(port) if colon else DEFAULT_PORT)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _port(text: str) -> int:
    port = _number(text, "127.0.0.1:8000")
    if port > 65535:
        raise ValueError(" with a port from 0 to 65535")
    return port


def _number(text: str, example: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise ValueError(f", {example!r} perhaps")
    return int(text)
