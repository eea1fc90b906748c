"""Load on a server while something is done to it, and what has become of the requests.

with load(server.address, clients=8, pause=0.02) as result:
    server.send(signal.SIGHUP)
    result.more(100)
result.check()
"""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.integration.server import wait_for
from tests.lossless.clients import PATIENCE, REQUESTS, Failure, Figures

_ROOT = Path(__file__).resolve().parents[2]
_END = 2 * PATIENCE


class Result:
    """What clients count. It changes while they run, and is complete when the `with` has ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._figures = Figures()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def answered(self) -> int:
        """How many requests were answered."""
        return sum(self._figures.answered.values())

    @property
    def workers(self) -> dict[int, int]:
        """How many requests were answered by which process."""
        return {int(worker): number for worker, number in self._figures.answered.items()}

    @property
    def failed(self) -> dict[str, int]:
        """How many requests failed, by kind (`Failure`)."""
        return self._figures.failed

    @property
    def failures(self) -> list[Failure]:
        """The first hundred of them."""
        return self._figures.failures

    @property
    def figures(self) -> Figures:
        """Everything."""
        return self._figures

    def more(self, count: int) -> None:
        """Wait until so many more requests are answered."""
        wanted = self.answered + count
        wait_for(lambda: self.answered >= wanted, f"{count} more answers; there are {self._figures}")

    def ended(self) -> None:
        """Wait until all clients have ended, as they do with `to_the_end` once the server listens no more."""
        assert self._process.wait(_END) == 0
        self._reader.join()

    def check(self, but: Callable[[Failure], bool] = lambda failure: False) -> None:
        """Fail if any request was lost, but such as `but` allows."""
        lost = [failure for failure in self.failures if not but(failure)]
        assert self.answered, "no request was answered"
        assert not lost, "\n".join([f"{self.answered} answered, failed: {self.failed}", *map(str, lost)])

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            figures = Figures(**json.loads(line))
            figures.failures = [Failure(**failure) for failure in figures.failures]  # type: ignore[arg-type]
            self._figures = figures


@contextlib.contextmanager
def load(
    address: tuple[str, int] | str,
    clients: int = 8,
    pause: float = 0.02,
    requests: tuple[str, ...] = tuple(REQUESTS),
    to_the_end: bool = False,
    tls: bool = False,
) -> Iterator[Result]:
    """Clients that ask in a process of their own; every one of them has been answered when this begins.

    address: host and port, or the path of a unix socket. pause: seconds between a response and the next request.
    requests: what is asked for by turns; "once" wishes the close itself, so that all connections are new. to_the_end:
    the first connection that is refused ends a client, and is no failure. tls: over TLS.
    """
    where = address if isinstance(address, str) else f"{address[0]}:{address[1]}"
    options = ["--clients", str(clients), "--pause", str(pause), *(["--to-the-end"] if to_the_end else [])]
    options += ["--tls"] if tls else []
    command = [sys.executable, "-m", "tests.lossless.clients", where, *options, "--requests", *requests]
    process = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    result = Result(process)
    try:
        result.more(clients)
        yield result
        process.stdin.close()
        result.ended()
    finally:
        process.kill()
        process.wait()
        result._reader.join()
        process.stdin.close()
        process.stdout.close()
