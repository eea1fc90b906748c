"""nginx in front: docs/deploy/nginx.conf."""

import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import tls
from tests.deploy.proxies import needs, nginx, through_a_websocket
from tests.integration.server import Server
from tests.lossless.load import load
from tests.lossless.ways import one_way

pytestmark = [needs("nginx"), pytest.mark.timeout(120)]
Behind = Callable[..., Server]
CLIENT = "127.0.0.1"
NAME = {"sni_hostname": tls.HOST}
LARGE = b"0123456789abcdef" * 125_000  # past any buffer of nginx's


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    path = tls.write_certificate(tmp_path_factory.mktemp("tls") / "shop.pem", tls.HOST)
    return path, path


@pytest.fixture
def get() -> Iterator[Callable[..., Any]]:
    with httpx.Client(timeout=20, trust_env=False, verify=tls.client_context()) as client:

        def ask(url: str, fields: dict[str, str] | None = None, body: Any = None) -> Any:
            response = client.request(
                "GET" if body is None else "POST", url, headers=fields, content=body, extensions=NAME
            )
            assert response.status_code == 200, response.text
            return response.json()

        yield ask


@pytest.mark.parametrize(
    ("app", "options"),
    [("behind:wsgi", ()), ("behind:wsgi", ("--proxy-headers", "-k", "async")), ("behind:asgi", ())],
    ids=["wsgi", "wsgi, proxy headers", "asgi"],
)
def test_requests(
    behind: Behind, get: Any, tmp_path: Path, certificate: tuple[Path, Path], app: str, options: tuple[str, ...]
) -> None:
    server = behind(app, *options)
    with nginx(server, tmp_path, certificate) as proxy:
        forged = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "Forwarded": "for=6.6.6.6"}
        seen = get(proxy.url() + "/a%20b?c", {**forged, "Host": "shop.example"})
        tcp = {"client": CLIENT, "scheme": "http", "host": "shop.example", "mount": "", "path": "/a b", "octets": 0}
        assert seen.items() >= tcp.items()
        if not options:  # connections are kept on that side, too
            assert get(proxy.url())["port"] == seen["port"]
        assert get(proxy.url(8080) + "/x").items() >= {"scheme": "http", "path": "/x"}.items()
        encrypted = get(proxy.url(443, "https") + "/x", forged)
        assert encrypted["scheme"] == "https"
        # A unix socket's peer has no address; with X-Forwarded-For the client has.
        assert encrypted["client"] == ("" if app == "behind:wsgi" and not options else CLIENT)


@pytest.mark.parametrize("app", ["behind:wsgi", "behind:asgi"])
def test_uploads(behind: Behind, get: Any, tmp_path: Path, certificate: tuple[Path, Path], app: str) -> None:
    server = behind(app, "--body-buffer-size", "64k")
    with nginx(server, tmp_path, certificate) as proxy:
        for url in (proxy.url() + "/", proxy.url() + "/uploads/", proxy.url(8080) + "/", proxy.url(443, "https") + "/"):
            assert get(url, body=LARGE)["octets"] == len(LARGE)
            assert get(url, body=iter([LARGE[:100_000]] * 20))["octets"] == 2_000_000  # in chunks


def test_a_prefix_that_nginx_takes_off(
    behind: Behind, get: Any, tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    for app in ("behind:flask_app", "behind:fast"):
        directory = tmp_path / app.partition(":")[2]
        directory.mkdir()
        server = behind(app, "--root-path", "/shop")
        with nginx(server, directory, certificate) as proxy:
            assert get(f"{proxy.url()}/shop/items") == {"url": f"{proxy.url()}/shop/items"}
            assert get(f"{proxy.url(443, 'https')}/items")["url"].startswith("https://")


def test_a_prefix_that_stays_on(behind: Behind, get: Any, tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    for app, options in (("behind:flask_app", ("--root-path", "/kept")), ("behind:fast_kept", ())):
        directory = tmp_path / app.partition(":")[2]
        directory.mkdir()
        server = behind(app, *options)
        with nginx(server, directory, certificate) as proxy:
            assert get(f"{proxy.url()}/kept/items") == {"url": f"{proxy.url()}/kept/items"}


def test_websockets(behind: Behind, tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    server = behind("behind:asgi")
    with nginx(server, tmp_path, certificate) as proxy:
        for port in (80, 8080):
            with socket.create_connection((CLIENT, proxy.ports[port])) as connection:
                assert through_a_websocket(connection, 12) == "ws 127.0.0.1"
        with (
            socket.create_connection((CLIENT, proxy.ports[443])) as connection,
            tls.client_context().wrap_socket(connection, server_hostname=tls.HOST) as encrypted,
        ):
            assert through_a_websocket(encrypted, 13) == "wss 127.0.0.1"


@one_way("sync")
def test_a_reload_is_no_bad_gateway(
    behind: Behind, tmp_path: Path, certificate: tuple[Path, Path], app: str, options: tuple[str, ...]
) -> None:
    server = behind(app, *options)
    with nginx(server, tmp_path, certificate) as proxy:
        with load((CLIENT, proxy.ports[80]), pause=0.01) as tcp, load((CLIENT, proxy.ports[8080]), pause=0.01) as unix:
            server.send(signal.SIGHUP)
            server.says("Reload: all workers are new")
            for result in (tcp, unix):
                result.more(100)  # of the new workers, too: proxies keep connections to the old ones
        tcp.check()
        unix.check()
        assert " error " not in proxy.log()
