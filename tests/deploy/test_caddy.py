"""Caddy in front: docs/deploy/Caddyfile."""

import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import tls
from tests.deploy.proxies import caddy, needs, through_a_websocket
from tests.integration.server import Server
from tests.lossless.load import load
from tests.lossless.ways import one_way

pytestmark = [needs("caddy"), pytest.mark.timeout(120)]
Behind = Callable[..., Server]
NAME = {"sni_hostname": tls.HOST}
LARGE = b"0123456789abcdef" * 125_000


@pytest.mark.parametrize(
    ("app", "options"), [("behind:wsgi", ("--proxy-headers",)), ("behind:asgi", ())], ids=["wsgi", "asgi"]
)
def test_requests(behind: Behind, tmp_path: Path, app: str, options: tuple[str, ...]) -> None:
    server = behind(app, *options)
    fields = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "Host": "shop.example"}
    certificate = tls.write_certificate(tmp_path / "shop.pem", tls.HOST)
    with (
        caddy(server, tmp_path, certificate) as proxy,
        httpx.Client(timeout=20, trust_env=False, headers=fields, verify=tls.client_context()) as client,
    ):

        def post(url: str, content: Any) -> Any:
            return client.post(url, content=content, extensions=NAME).json()["octets"]

        for port, scheme in ((80, "http"), (8080, "http"), (443, "https")):
            url = proxy.url(port, scheme)
            seen = client.get(url + "/a%20b", extensions=NAME).json()
            expected = {"client": "127.0.0.1", "scheme": scheme, "host": "shop.example", "path": "/a b"}
            assert seen.items() >= expected.items()
            assert post(url, LARGE) == len(LARGE)
            assert post(url, iter([LARGE[:100_000]] * 20)) == 2_000_000
        if app == "behind:asgi":
            with socket.create_connection(("127.0.0.1", proxy.ports[80])) as connection:
                assert through_a_websocket(connection, 12) == "ws 127.0.0.1"


@one_way("async-wsgi")
def test_a_reload_is_no_bad_gateway(behind: Behind, tmp_path: Path, app: str, options: tuple[str, ...]) -> None:
    server = behind(app, *options)
    with caddy(server, tmp_path, tls.write_certificate(tmp_path / "shop.pem", tls.HOST)) as proxy:
        with load(("127.0.0.1", proxy.ports[80]), pause=0.002) as result:
            server.send(signal.SIGHUP)
            server.says("Reload: all workers are new")
            result.more(100)  # of the new workers, too: proxies keep connections to the old ones
        result.check()
