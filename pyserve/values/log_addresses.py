"""Addresses of what takes logs and metrics: syslog and statsd."""

import socket

# gunicorn's, by the names that `logging.handlers.SysLogHandler` has for them, too
FACILITIES = (
    *("auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "security", "syslog", "user", "uucp"),
    *(f"local{number}" for number in range(8)),
)

_SYSLOG_PORT = 514
_STATSD_PORT = 8125


def parse_syslog_address(address: str) -> tuple[int | None, str | tuple[str, int]]:
    """Take a syslog's address apart: udp://host:port, tcp://host:port, unix://path, behind a path #dgram or #stream.

    Returns the kind of socket, None for whichever the path takes, and where to connect. `ValueError` for what is none.
    """
    scheme, separator, rest = address.partition("://")
    if scheme == "unix" and separator:
        path, _, kind = rest.partition("#")
        kinds = {"": None, "dgram": socket.SOCK_DGRAM, "stream": socket.SOCK_STREAM}
        if not path or kind not in kinds:
            raise ValueError
        return kinds[kind], path
    if scheme not in ("udp", "tcp") or not separator:
        raise ValueError
    host, port = _host_and_port(rest, _SYSLOG_PORT)
    return socket.SOCK_DGRAM if scheme == "udp" else socket.SOCK_STREAM, (host or "localhost", port)


def parse_statsd_address(address: str) -> str | tuple[str, int]:
    """Take statsd's address apart: host:port or host, also with udp:// in front, or unix://path. `ValueError` for
    others."""
    if address.startswith(("unix://", "unix:/")):
        path = address.removeprefix("unix:").removeprefix("//")
        if not path:
            raise ValueError
        return path
    host, port = _host_and_port(address.removeprefix("udp://"), _STATSD_PORT)
    if not host or not port:
        raise ValueError
    return host, port


def _host_and_port(text: str, default: int) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = text, str(default)
    if not port.isascii() or not port.isdigit() or int(port) > 65535 or "/" in host:
        raise ValueError
    if host.count(":") > 1 and not (host.startswith("[") and host.endswith("]")):
        raise ValueError
    return host.strip("[]").lower(), int(port)
