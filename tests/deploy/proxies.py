"""Starts the proxies of docs/deploy from the very files there, with other ports, paths and rights."""

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from bench.servers import reserved_port
from tests.integration.server import HOST, PATIENCE, Server, wait_for

DEPLOY = Path(__file__).resolve().parents[2] / "docs" / "deploy"
SOCKET = "/run/pyserve/pyserve.sock"
TCP = "127.0.0.1:8000"


class Proxy:
    """A running proxy. ports: by the number in its configuration."""

    def __init__(self, ports: Mapping[int, int], log: Path) -> None:
        self.ports = ports
        self._log = log

    def url(self, port: int = 80, scheme: str = "http") -> str:
        return f"{scheme}://{HOST}:{self.ports[port]}"

    def log(self) -> str:
        """What it has printed."""
        return self._log.read_text()


def through_a_websocket(connection: socket.socket, size: int) -> str:
    """Open a WebSocket and read a message of so many octets."""
    connection.settimeout(PATIENCE)
    connection.sendall(
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"
    )
    received = b""
    while len(received.partition(b"\r\n\r\n")[2]) < size + 2:
        data = connection.recv(65536)
        assert data, received
        received += data
    assert received.startswith(b"HTTP/1.1 101 ")
    return received[-size:].decode()


def needs(program: str) -> pytest.MarkDecorator:
    """Skips where the proxy is not installed."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


@contextlib.contextmanager
def running(
    name: str,
    directory: Path,
    listens: Mapping[str, tuple[str, int]],
    replaced: Mapping[str, str],
    command: Callable[[Path], list[str]],
) -> Iterator[Proxy]:
    """Run a proxy with the file `name` of docs/deploy.

    listens: how the file says that it listens -> the same with `{}` for the port, and the port there. replaced:
    other texts of it. command: how it is started with a file. All must be in the file.
    """
    text = (DEPLOY / name).read_text()
    with contextlib.ExitStack() as stack:
        ports = {port: stack.enter_context(reserved_port()) for _, port in listens.values()}
        address = {old: new.format(ports[port]) for old, (new, port) in listens.items()}
        for old, new in {**address, **replaced}.items():
            assert old in text, f"{old!r} is not in {name}"
            text = text.replace(old, new)
        file = directory / name
        file.write_text(text)
        log = directory / f"{name}.log"
        with open(log, "wb") as output:
            process = subprocess.Popen(
                command(file), cwd=directory, stdout=output, stderr=output, env=_environment(directory)
            )
        try:
            wait_for(lambda: _all_listen(process, ports, log), f"{name} listens")
            yield Proxy(ports, log)
        finally:
            process.terminate()
            process.wait(20)


def _environment(directory: Path) -> dict[str, str]:
    # Caddy writes into these.
    home = str(directory / "home")
    return {**os.environ, "HOME": home, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home}


def _all_listen(process: "subprocess.Popen[bytes]", ports: Mapping[int, int], log: Path) -> bool:
    assert process.poll() is None, f"it has ended:\n{log.read_text()}"
    for port in ports.values():
        try:
            socket.create_connection((HOST, port), 1).close()
        except OSError:
            return False
    return True


def nginx(server: Server, directory: Path, certificate: tuple[Path, Path]) -> contextlib.AbstractContextManager[Proxy]:
    """nginx in front of a server; certificate: the paths of a certificate and its key."""
    user = "user root;" if os.geteuid() == 0 else ""
    scratch = "".join(
        f"{kind}_temp_path scratch/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "scratch").mkdir()
    return running(
        "nginx.conf",
        directory,
        {
            "listen 80;": ("listen 127.0.0.1:{};", 80),
            "listen 8080;": ("listen 127.0.0.1:{};", 8080),
            "listen 443 ssl;": ("listen 127.0.0.1:{} ssl;", 443),
        },
        {
            "user www-data;": user,
            "pid /run/nginx.pid;": "pid nginx.pid;",
            "http {": f"http {{ access_log off; {scratch}",
            TCP: f"{HOST}:{server.port}",
            SOCKET: str(server.socket),
            "/etc/ssl/certs/shop.pem": str(certificate[0]),
            "/etc/ssl/private/shop.key": str(certificate[1]),
        },
        lambda file: ["nginx", "-p", str(directory), "-e", "stderr", "-c", str(file), "-g", "daemon off;"],
    )


def nginx_stream(server: Server, encrypted: Server, directory: Path) -> contextlib.AbstractContextManager[Proxy]:
    """nginx that passes on octets to a server; encrypted: one that does TLS."""
    return running(
        "nginx-stream.conf",
        directory,
        {
            "listen 443;": ("listen 127.0.0.1:{};", 443),
            "listen 8080;": ("listen 127.0.0.1:{};", 8080),
        },
        {
            "user www-data;": "user root;" if os.geteuid() == 0 else "",
            "pid /run/nginx.pid;": "pid nginx.pid;",
            "127.0.0.1:8443;": f"{HOST}:{encrypted.port};",
            "unix:/run/pyserve/pyserve.sock;": f"unix:{server.socket};",
        },
        lambda file: ["nginx", "-p", str(directory), "-e", "stderr", "-c", str(file), "-g", "daemon off;"],
    )


def haproxy(
    server: Server, directory: Path, certificate: Path, encrypted: Server | None = None
) -> contextlib.AbstractContextManager[Proxy]:
    """HAProxy in front of a server; certificate: the path of one with its key. encrypted: a server that does TLS."""
    return running(
        "haproxy.cfg",
        directory,
        {
            "bind :80\n": ("bind 127.0.0.1:{}\n", 80),
            "bind :8080\n": ("bind 127.0.0.1:{}\n", 8080),
            "bind :8081\n": ("bind 127.0.0.1:{}\n", 8081),
            "bind :8443 ssl": ("bind 127.0.0.1:{} ssl", 8443),
            "bind :443\n": ("bind 127.0.0.1:{}\n", 443),
        },
        {
            TCP: f"{HOST}:{server.port}",
            "127.0.0.1:8001": f"{HOST}:{server.port}",
            "127.0.0.1:8443": f"{HOST}:{(encrypted or server).port}",
            SOCKET: str(server.socket),
            "/etc/ssl/private/shop.pem": str(certificate),
        },
        lambda file: ["haproxy", "-db", "-f", str(file)],
    )


def caddy(server: Server, directory: Path, certificate: Path) -> contextlib.AbstractContextManager[Proxy]:
    """Caddy in front of a server; certificate: the path of one with its key."""
    options = "{\n\tadmin off\n\tauto_https off\n}\n"
    return running(
        "Caddyfile",
        directory,
        {
            "\n:80 {": ("\nhttp://:{} {{\n\tbind 127.0.0.1", 80),
            "\n:8080 {": ("\nhttp://:{} {{\n\tbind 127.0.0.1", 8080),
            "\n:443 {": ("\nhttps://:{} {{\n\tbind 127.0.0.1", 443),
        },
        {
            "# Caddy in front": f"{options}# Caddy in front",
            TCP: f"{HOST}:{server.port}",
            SOCKET: str(server.socket),
            "/etc/ssl/certs/shop.pem": str(certificate),
            "/etc/ssl/private/shop.key": str(certificate),
        },
        lambda file: ["caddy", "run", "--adapter", "caddyfile", "--config", str(file)],
    )
