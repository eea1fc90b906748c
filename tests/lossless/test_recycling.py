"""Nothing is lost when workers are replaced because they have served for long enough, or die."""

import os
import signal
from collections.abc import Callable

import pytest

from tests.integration.server import HOST, Server, wait_for
from tests.lossless.clients import Failure
from tests.lossless.load import load
from tests.lossless.ways import WAYS

pytestmark = [WAYS, pytest.mark.timeout(300)]
Serve = Callable[..., Server]

REASONS = {
    "requests": ("--max-requests", "30", "--max-requests-jitter", "30"),
    "lifetime": ("--max-worker-lifetime", "0.5", "--max-worker-lifetime-jitter", "0.5"),
}


@pytest.mark.parametrize("reason", REASONS)
def test_recycling(serve: Serve, app: str, options: tuple[str, ...], rounds: list[float], reason: str) -> None:
    server = serve(app, *REASONS[reason], *options)
    for pause in rounds if reason == "requests" else rounds[:4]:
        with load((HOST, server.port), pause=pause) as result:
            wait_for(lambda result=result: len(result.workers) >= 5, "answers of five workers")
        result.check()
    if reason == "requests":
        server.says("Autorestarting worker after current request", 3)


def test_a_worker_is_killed(serve: Serve, app: str, options: tuple[str, ...], rounds: list[float]) -> None:
    """Only what was asked on its own connections is lost, and it is followed at once."""
    server = serve(app, *options)
    for pause in rounds:
        with load((HOST, server.port), pause=pause) as result:
            result.more(50)
            wait_for(lambda: len(server.workers()) == 2, "two workers")
            victim = next(pid for pid in server.workers() if pid in result.workers)
            os.kill(victim, signal.SIGKILL)
            wait_for(lambda victim=victim: len({*server.workers()} - {victim}) == 2, "another")
            result.more(50)

        def was_its(failure: Failure, victim: int = victim) -> bool:
            return failure.worker in (0, victim) and failure.kind in ("reset", "unanswered", "truncated")

        result.check(was_its)
        server.says(rf"Worker \(pid:{victim}\) was sent SIGKILL! Perhaps out of memory\?")
