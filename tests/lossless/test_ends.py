"""What one request, or one worker's sudden end, does to everybody else: nothing."""

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.clients import receive_all, send
from tests.integration.server import HOST, Server, wait_for
from tests.lossless.load import load
from tests.lossless.ways import WAYS

pytestmark = [WAYS, pytest.mark.timeout(300)]
Serve = Callable[..., Server]


def test_a_request_that_hangs(serve: Serve, app: str, options: tuple[str, ...], rounds: list[float]) -> None:
    """Its client is answered 504. A worker whose thread it holds is replaced, and loses nothing else."""
    server = serve(app, "--request-timeout", "3", *options)
    replaces = not app.endswith(":app")
    for pause in rounds[:4]:
        before = wait_for(lambda: len(found := server.workers()) == 2 and set(found), "two workers")
        with load((HOST, server.port), pause=pause) as result:
            with server.connect() as connection:
                send(connection, "GET /stuck HTTP/1.1\nHost: a\n\n")
                assert receive_all(connection).startswith(b"HTTP/1.1 504 ")
            if replaces:
                wait_for(lambda before=before: len(before & set(server.workers())) == 1, "the end of its worker")
            result.more(50)
        result.check()
        assert replaces or set(server.workers()) == before
    assert len(server.logged(r"Request took longer than 3 s: GET /stuck")) == len(rounds[:4])


def stands_still(pid: int) -> bool:
    """Whether SIGSTOP has reached all of its threads."""
    states = [stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) == {"T"}


def test_who_waits_to_be_accepted_while_a_worker_is_killed(
    serve: Serve, app: str, options: tuple[str, ...], rounds: list[float]
) -> None:
    """The queue is the kernel's and the master's, no worker's."""
    server = serve(app, *options)
    for _ in rounds[:3]:
        victim, other = wait_for(lambda: len(found := server.workers()) == 2 and found, "two workers")
        server.says("Booting worker with pid", 2)
        for pid in (victim, other):
            os.kill(pid, signal.SIGSTOP)
        wait_for(lambda victim=victim, other=other: stands_still(victim) and stands_still(other), "the stop of both")
        try:
            with contextlib.ExitStack() as stack:
                waiting = [stack.enter_context(server.connect()) for _ in range(6)]
                for connection in waiting:
                    send(connection, "GET / HTTP/1.1\nHost: a\nConnection: close\n\n")
                os.kill(victim, signal.SIGKILL)
                for connection in waiting:  # by the successor alone
                    assert receive_all(connection).startswith(b"HTTP/1.1 200 ")
                assert victim not in server.workers()
        finally:
            os.kill(other, signal.SIGCONT)
