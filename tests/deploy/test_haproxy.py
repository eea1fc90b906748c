"""HAProxy in front: docs/deploy/haproxy.cfg."""

import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import tls
from tests.deploy.proxies import haproxy, needs, through_a_websocket
from tests.integration.server import Server
from tests.lossless.load import load
from tests.lossless.ways import one_way

pytestmark = [needs("haproxy"), pytest.mark.timeout(120)]
Behind = Callable[..., Server]
CLIENT = "127.0.0.1"
NAME = {"sni_hostname": tls.HOST}
FORGED = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https"}
LARGE = b"0123456789abcdef" * 125_000


def ask(client: httpx.Client, url: str, body: Any = None) -> Any:
    response = client.request("GET" if body is None else "POST", url, headers=FORGED, content=body, extensions=NAME)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize(
    ("app", "options"),
    [("behind:wsgi", ()), ("behind:asgi", ())],
    ids=["wsgi", "asgi"],
)
def test_requests(behind: Behind, tmp_path: Path, app: str, options: tuple[str, ...]) -> None:
    # From an address of its own the client is not the proxy, and not trusted either.
    settings = ("--proxy-protocol", "--proxy-headers", *options)
    certificate = tls.write_certificate(tmp_path / "shop.pem", tls.HOST)
    server = behind(app, *settings)
    encrypted = behind(app, *settings, "--certfile", str(certificate), path=None)
    encrypted.says("Listening at", 1)
    transport = httpx.HTTPTransport(local_address="127.0.0.9", verify=tls.client_context())
    with (
        haproxy(server, tmp_path, certificate, encrypted) as proxy,
        httpx.Client(transport=transport, timeout=20) as client,
    ):
        for port, scheme in ((80, "http"), (8080, "http"), (8081, "http"), (443, "https"), (8443, "https")):
            url = proxy.url(port, scheme)
            seen = ask(client, url + "/x")
            assert (port, seen["client"], seen["scheme"]) == (port, "127.0.0.9", scheme)
            assert ask(client, url, LARGE)["octets"] == len(LARGE)
            assert ask(client, url, iter([LARGE[:100_000]] * 20))["octets"] == 2_000_000
        if app == "behind:asgi":
            for port in (80, 8080, 8081):
                with socket.create_connection(
                    (CLIENT, proxy.ports[port]), source_address=("127.0.0.9", 0)
                ) as connection:
                    assert through_a_websocket(connection, 12) == "ws 127.0.0.9"
    assert "DOWN" not in proxy.log()


@one_way("async")
def test_a_reload_is_no_bad_gateway(behind: Behind, tmp_path: Path, app: str, options: tuple[str, ...]) -> None:
    server = behind(app, "--proxy-protocol", *options)
    with haproxy(server, tmp_path, tls.write_certificate(tmp_path / "shop.pem", tls.HOST)) as proxy:
        with (
            load((CLIENT, proxy.ports[80]), pause=0.01) as http,
            load((CLIENT, proxy.ports[8081]), pause=0.01) as raw,
        ):
            server.send(signal.SIGHUP)
            server.says("Reload: all workers are new")
            for result in (http, raw):
                result.more(100)  # of the new workers, too: proxies keep connections to the old ones
        http.check()
        raw.check()
    assert "DOWN" not in proxy.log()
