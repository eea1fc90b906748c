"""Nothing is lost when a server changes while it is asked."""

import os
import signal
from collections.abc import Callable

import pytest

from tests.integration.server import HOST, Server, wait_for
from tests.lossless.load import load
from tests.lossless.ways import WAYS

pytestmark = [WAYS, pytest.mark.timeout(300)]
Serve = Callable[..., Server]


def has(server: Server, count: int) -> list[int]:
    """Wait until there are so many workers."""
    return wait_for(lambda: len(found := server.workers()) == count and found, f"{count} workers")


def test_reload(serve: Serve, app: str, options: tuple[str, ...], pauses: list[float]) -> None:
    server = serve(app, *options)
    old = has(server, 2)
    for number, pause in enumerate(pauses, 1):
        with load((HOST, server.port), pause=pause) as result:
            server.send(signal.SIGHUP)
            server.says("Reload: all workers are new", number)
            wait_for(lambda old=old: not set(old) & set(server.workers()), "the end of the old workers")
            result.more(50)
        result.check()
        old = has(server, 2)
        assert set(old) & set(result.workers)


def test_more_and_fewer_workers(serve: Serve, app: str, options: tuple[str, ...], pauses: list[float]) -> None:
    server = serve(app, *options)
    has(server, 2)
    for pause in pauses:
        with load((HOST, server.port), pause=pause) as result:
            for number, count in ((signal.SIGTTIN, 3), (signal.SIGTTOU, 2), (signal.SIGTTOU, 1), (signal.SIGTTIN, 2)):
                server.send(number)
                has(server, count)
            result.more(50)
        result.check()


def test_one_worker_is_told_to_end(serve: Serve, app: str, options: tuple[str, ...], pauses: list[float]) -> None:
    server = serve(app, *options)
    for pause in pauses:
        with load((HOST, server.port), pause=pause) as result:
            victim = has(server, 2)[0]
            os.kill(victim, signal.SIGTERM)
            wait_for(lambda victim=victim: victim not in server.workers(), "its end")
            result.more(50)
        result.check()


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_stop(serve: Serve, app: str, options: tuple[str, ...], pauses: list[float], unix: bool) -> None:
    """Whoever has a connection when the server begins to end is answered, however many come in that moment."""
    for pause in pauses:
        server = serve(app, *options)
        address = str(server.socket) if unix else (HOST, server.port)
        with (
            load(address, pause=pause, to_the_end=True) as result,
            load(address, pause=pause, requests=("once",), to_the_end=True) as strangers,
        ):
            result.more(20)
            server.stop()
        result.check()
        strangers.check()


def test_stop_that_is_announced(serve: Serve, app: str, options: tuple[str, ...], pauses: list[float]) -> None:
    """Connections are accepted until `--drain-delay` is over, and none is kept."""
    for pause in pauses[1:4]:
        server = serve(app, "--drain-delay", "4", *options)
        with load((HOST, server.port), pause=pause, to_the_end=True) as result:
            before = result.figures.told_to_close
            server.send(signal.SIGTERM)
            server.says("Stopping in 4 s")
            wait_for(lambda before=before: result.figures.told_to_close > before + 8, "clients that were told to close")
            server.connect().close()
            assert not server.logged("is gone|exiting")
            server.ends(0)
        result.check()
        assert result.figures.opened > 16
