"""nginx that passes on octets: docs/deploy/nginx-stream.conf."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests import tls
from tests.deploy.proxies import needs, nginx_stream
from tests.integration.server import Server

MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
pytestmark = [
    needs("nginx"),
    pytest.mark.skipif(not MODULE.exists(), reason="nginx has no module for streams"),
    pytest.mark.timeout(120),
]
NAME = {"sni_hostname": tls.HOST}
FORGED = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https"}
LARGE = b"0123456789abcdef" * 125_000


@pytest.mark.parametrize("app", ["behind:wsgi", "behind:asgi"])
def test_requests(behind: Callable[..., Server], tmp_path: Path, app: str) -> None:
    certificate = tls.write_certificate(tmp_path / "shop.pem", tls.HOST)
    settings = ("--proxy-protocol", "--proxy-headers")
    server = behind(app, *settings)
    encrypted = behind(app, *settings, "--certfile", str(certificate), path=None)
    encrypted.says("Listening at", 1)
    # From an address of its own the client is not the proxy, and not trusted either.
    transport = httpx.HTTPTransport(local_address="127.0.0.9", verify=tls.client_context())
    with (
        nginx_stream(server, encrypted, tmp_path) as proxy,
        httpx.Client(transport=transport, timeout=20, headers=FORGED) as client,
    ):
        for port, scheme in ((8080, "http"), (443, "https")):
            url = proxy.url(port, scheme)
            seen = client.get(url + "/x", extensions=NAME).json()
            assert (seen["client"], seen["scheme"]) == ("127.0.0.9", scheme)
            assert client.post(url, content=LARGE, extensions=NAME).json()["octets"] == len(LARGE)
