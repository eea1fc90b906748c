"""Nothing is lost when a second master takes over from the first (USR2), or gives back to it."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.server import HOST, Server, is_alive, wait_for
from tests.lossless.load import Result, load
from tests.lossless.ways import WAYS

pytestmark = [WAYS, pytest.mark.timeout(300)]
Serve = Callable[..., Server]


def number_in(path: Path) -> int:
    """The process number in a pid file; 0 while there is none."""
    try:
        return int(path.read_text())
    except FileNotFoundError:
        return 0


def children(pid: int) -> set[int]:
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return set()
    return {int(child) for child in found if is_alive(int(child))}


@contextlib.contextmanager
def clients(server: Server, pause: float) -> Iterator[Result]:
    """Such that keep their connections, and strangers, who are counted here. Nobody may be disappointed."""
    with (
        load((HOST, server.port), pause=pause) as result,
        load((HOST, server.port), clients=4, pause=0.02, requests=("once",)) as strangers,
    ):
        yield strangers
        result.more(50)
    result.check()
    strangers.check()


def second(pidfile: Path, master: int, result: Result) -> int:
    """Start a second master, and wait until two workers of it answer."""
    os.kill(master, signal.SIGUSR2)
    new = wait_for(lambda: number_in(Path(f"{pidfile}.2")), "a second master")
    assert new != master
    wait_for(lambda: len(children(new) & set(result.workers)) == 2, "answers of its workers")
    return new


def test_upgrade(serve: Serve, app: str, options: tuple[str, ...], rounds: list[float]) -> None:
    server = serve(app, "--pid", "pid", *options)
    pidfile = server.directory / "pid"
    master = server.pid
    for pause in rounds:
        with clients(server, pause) as result:
            new = second(pidfile, master, result)
            os.kill(master, signal.SIGWINCH)
            wait_for(lambda old=master, new=new: children(old) == {new}, "the end of the old workers")
            os.kill(master, signal.SIGQUIT)
            wait_for(lambda new=new: number_in(pidfile) == new, "one master")
            result.more(20)
        assert not Path(f"{pidfile}.2").exists()
        assert server.socket.exists()
        master = new
    os.kill(master, signal.SIGTERM)
    server.ends(0)
    assert not pidfile.exists()
    assert not server.socket.exists()


def test_the_way_back(serve: Serve, app: str, options: tuple[str, ...], rounds: list[float]) -> None:
    server = serve(app, "--pid", "pid", *options)
    pidfile = server.directory / "pid"
    for pause in rounds[:4]:
        with clients(server, pause) as result:
            new = second(pidfile, server.pid, result)
            server.send(signal.SIGWINCH)
            wait_for(lambda new=new: children(server.pid) == {new}, "the end of the old workers")
            server.send(signal.SIGHUP)
            wait_for(
                lambda new=new, result=result: len((children(server.pid) - {new}) & set(result.workers)) == 2,
                "answers of the first master's workers",
            )
            os.kill(new, signal.SIGTERM)
            wait_for(lambda new=new: not is_alive(new), "its end")
            result.more(20)
        assert not Path(f"{pidfile}.2").exists()
        assert number_in(pidfile) == server.pid
        assert server.socket.exists()
