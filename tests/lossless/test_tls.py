"""Nothing is lost over TLS either: each connection has a handshake to be waited for, and an end that is announced."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import tls
from tests.integration.server import HOST, Server, wait_for
from tests.lossless.load import load
from tests.lossless.ways import one_way

pytestmark = [one_way("sync", "async"), pytest.mark.timeout(300)]
Serve = Callable[..., Server]


@pytest.fixture
def servers(serve: Serve, tmp_path: Path, app: str, options: tuple[str, ...]) -> Iterator[Server]:
    """One after the other."""
    certificate = tls.write_certificate(tmp_path / "server.pem")

    def start() -> Iterator[Server]:
        while True:
            server = serve(app, "--certfile", str(certificate), *options, path=None)
            server.says("Booting worker", 2)
            yield server

    return start()


def test_reload(servers: Iterator[Server], rounds: list[float]) -> None:
    server = next(servers)
    for number, pause in enumerate(rounds, 1):
        old = server.workers()
        with load((HOST, server.port), pause=pause, tls=True) as result:
            server.send(signal.SIGHUP)
            server.says("Reload: all workers are new", number)
            wait_for(lambda old=old: not set(old) & set(server.workers()), "the end of the old workers")
            result.more(50)
        result.check()


def test_stop(servers: Iterator[Server], rounds: list[float]) -> None:
    for pause, server in zip(rounds, servers, strict=False):
        with (
            load((HOST, server.port), pause=pause, to_the_end=True, tls=True) as result,
            load((HOST, server.port), pause=pause, requests=("once",), to_the_end=True, tls=True) as strangers,
        ):
            result.more(20)
            server.stop()
        result.check()
        strangers.check()
