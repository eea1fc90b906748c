"""Trusted proxies: what they may say of a request's client, by interface and by setting, in either kind of worker."""

import contextlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from pyserve.protocol.proxy import ProxyHeader
from pyserve.settings import Settings
from pyserve.workers.proxies import Keys, forwarding_of, variables_of
from tests.workers import both, hands, serving
from tests.workers.both import Worker

WSGI_WAYS = ("sync", "threads", "async-wsgi")
FORWARDED = ("X-Forwarded-For: 6.6.6.6, 192.0.2.1", "X-Forwarded-Proto: https")
NOT_US = {"forwarded_allow_ips": ("10.0.0.0/8",)}


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [json.dumps([environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["SCRIPT_NAME"]]).encode()]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    client = scope["client"] and scope["client"][0]
    await send({"type": "http.response.start", "status": 200})
    body = json.dumps([client, scope["scheme"], scope["root_path"]]).encode()
    await send({"type": "http.response.body", "body": body})


def working(way: str, **settings: Any) -> contextlib.AbstractContextManager[Worker]:
    return both.working(way, (wsgi, asgi), **settings)


def seen(worker: Worker, *fields: str) -> Any:
    head, body = worker.connect().get("/a", *fields)
    return json.loads(body) if b" 200 " in head else int(head.split()[1])


@pytest.mark.parametrize("way", WSGI_WAYS)
def test_wsgi(way: str) -> None:
    with working(way) as worker:
        assert seen(worker, *FORWARDED, "SCRIPT_NAME: /a") == ["127.0.0.1", "https", "/a"]
        assert seen(worker) == ["127.0.0.1", "http", ""]
        assert seen(worker, "X-Forwarded-Proto: https", "X-Forwarded-Ssl: off") == 400
    with working(way, proxy_headers=True) as worker:
        assert seen(worker, *FORWARDED) == ["192.0.2.1", "https", ""]
    with working(way, proxy_headers=False) as worker:
        assert seen(worker, *FORWARDED, "SCRIPT_NAME: /a") == ["127.0.0.1", "http", ""]
    with working(way, proxy_headers=True, **NOT_US) as worker:
        assert seen(worker, *FORWARDED, "SCRIPT_NAME: /a") == ["127.0.0.1", "http", ""]
        assert seen(worker, "X-Forwarded-Proto: https", "X-Forwarded-Ssl: off") == ["127.0.0.1", "http", ""]


def test_asgi() -> None:
    with working("async", access_log_format="%(h)s") as worker:
        assert seen(worker, *FORWARDED, "X-Forwarded-Ssl: on") == ["192.0.2.1", "https", ""]
        assert seen(worker) == ["127.0.0.1", "http", ""]
        assert seen(worker, *FORWARDED, "X-Forwarded-Ssl: off") == 400
        assert seen(worker, *FORWARDED, "X-Forwarded-Proto: http") == 400
    for settings in ({"proxy_headers": False}, NOT_US):
        with working("async", **settings) as worker:
            assert seen(worker, *FORWARDED, "X-Forwarded-Ssl: off") == ["127.0.0.1", "http", ""]


def test_secure_scheme_headers_under_asgi_where_they_are_set() -> None:
    with working("async", secure_scheme_headers=("X-TLS=yes",)) as worker:
        assert seen(worker, "X-Tls: yes") == ["127.0.0.1", "https", ""]
        assert seen(worker, "X-Tls: yes", "X-Tls: no") == 400


@pytest.mark.parametrize("way", [*WSGI_WAYS, "async"])
def test_fields_that_the_proxies_do_not_set_are_the_clients(way: str) -> None:
    """A proxy that sets Forwarded alone passes on what its client writes into the others."""
    forged = ("X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Ssl: on")
    with working(way, proxy_headers=True, trusted_proxy_headers=("forwarded",)) as worker:
        assert seen(worker, *forged, "Forwarded: for=192.0.2.1;proto=http") == ["192.0.2.1", "http", ""]
        assert seen(worker, *forged) == ["127.0.0.1", "http", ""]
        assert seen(worker, "X-Forwarded-Ssl: off", "Forwarded: proto=https") == ["127.0.0.1", "https", ""]
    with working(way, proxy_headers=True, trusted_proxy_headers=("x-forwarded-for",)) as worker:
        assert seen(worker, *forged) == ["6.6.6.6", "http", ""]
        assert seen(worker, *forged, "X-Forwarded-Protocol: http") == ["6.6.6.6", "http", ""]
    named = {"trusted_proxy_headers": ("forwarded",), "secure_scheme_headers": ("X-TLS=yes",)}
    with working(way, proxy_headers=True, **named) as worker:
        assert seen(worker, "X-Tls: yes") == ["127.0.0.1", "https", ""]


def test_the_fields_of_a_trusted_proxy_that_may_have_an_underscore_under_asgi() -> None:
    with working("async", header_map="refuse") as worker:
        assert seen(worker, "SCRIPT_NAME: /a") == ["127.0.0.1", "http", ""]
        assert seen(worker, "REMOTE_USER: a") == 400
    with working("async", header_map="refuse", forwarder_headers=("*",)) as worker:
        assert seen(worker, "REMOTE_USER: a") == ["127.0.0.1", "http", ""]
    with working("async", header_map="refuse", **NOT_US) as worker:
        assert seen(worker, "SCRIPT_NAME: /a") == 400


def test_a_unix_sockets_peer_is_trusted() -> None:
    settings: dict[str, Any] = {"proxy_headers": True, "forwarded_allow_ips": ()}
    with serving.serving(asgi, "asgi", "unix", lifespan="off", **settings) as served:
        assert seen(served, *FORWARDED) == ["192.0.2.1", "https", ""]
    with serving.serving(wsgi, "wsgi", "unix", **settings) as served:
        assert seen(served, *FORWARDED) == ["192.0.2.1", "https", ""]
    with hands.serving(wsgi, kind="unix", **settings) as manned:
        assert seen(manned, *FORWARDED) == ["192.0.2.1", "https", ""]


@pytest.mark.parametrize("way", ["sync", "async"])
def test_the_access_log_names_the_client(way: str, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with working(way, accesslog=str(log), access_log_format="%(h)s", proxy_headers=True) as worker:
        client = worker.connect()
        client.get("/", *FORWARDED)
        client.get("/")
    assert log.read_text() == "192.0.2.1\n127.0.0.1\n"


def test_a_path_in_a_proxy_header_is_as_pep_3333_wants_text() -> None:
    told = variables_of(ProxyHeader("UNIX", "/c", "/\u65e5"))
    assert told["PROXY_ADDR"].encode("latin-1").decode() == "/\u65e5"


def test_nothing_is_kept_for_peers_that_are_not_trusted() -> None:
    settings = Settings(forwarded_allow_ips=("10.0.0.1",))
    keys = Keys(settings)
    assert keys.of("127.0.0.1") is keys.of("192.0.2.1") is not keys.of("10.0.0.1")
    assert keys.of("127.0.0.1").told == frozenset()
    assert Keys(Settings(proxy_headers=False)).of("127.0.0.1").told == frozenset()
    assert forwarding_of(Settings(proxy_headers=False), "asgi") is None
