"""Caddy in front: docs/deploy/Caddyfile."""

import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.deploy.proxies import caddy, needs
from tests.integration.server import Server
from tests.lossless.load import load
from tests.lossless.ways import one_way

pytestmark = [needs("caddy"), pytest.mark.timeout(120)]
Behind = Callable[..., Server]
LARGE = b"0123456789abcdef" * 125_000


@pytest.mark.parametrize(
    ("app", "options"), [("behind:wsgi", ("--proxy-headers",)), ("behind:asgi", ())], ids=["wsgi", "asgi"]
)
def test_requests(behind: Behind, tmp_path: Path, app: str, options: tuple[str, ...]) -> None:
    server = behind(app, *options)
    fields = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "Host": "shop.example"}
    with caddy(server, tmp_path) as proxy, httpx.Client(timeout=20, trust_env=False, headers=fields) as client:
        for port in (80, 8080):
            seen = client.get(proxy.url(port) + "/a%20b").json()
            expected = {"client": "127.0.0.1", "scheme": "http", "host": "shop.example", "path": "/a b"}
            assert seen.items() >= expected.items()
            assert client.post(proxy.url(port), content=LARGE).json()["octets"] == len(LARGE)
            assert client.post(proxy.url(port), content=iter([LARGE[:100_000]] * 20)).json()["octets"] == 2_000_000


@one_way("async-wsgi")
def test_a_reload_is_no_bad_gateway(behind: Behind, tmp_path: Path, app: str, options: tuple[str, ...]) -> None:
    server = behind(app, *options)
    with caddy(server, tmp_path) as proxy:
        with load(("127.0.0.1", proxy.ports[80]), pause=0.002) as result:
            server.send(signal.SIGHUP)
            server.says("Reload: all workers are new")
            result.more(100)  # of the new workers, too: proxies keep connections to the old ones
        result.check()
