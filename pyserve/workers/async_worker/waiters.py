"""What awaits one and the same event of a connection."""

import asyncio


class Waiters:
    """Futures that `wake` completes together; each waiter has its own, as cancelling one must wake only its owner."""

    __slots__ = ("_futures", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._futures: list[asyncio.Future[None]] = []

    def wait(self) -> asyncio.Future[None]:
        """Something to await until the next `wake`; then look whether what was waited for has come."""
        # Those who gave up (wait_for in a loop) do not call back; without this they would gather.
        self._futures = [future for future in self._futures if not future.done()]
        future = self._loop.create_future()
        self._futures.append(future)
        return future

    def wake(self) -> None:
        """Complete all that wait."""
        if self._futures:
            futures, self._futures = self._futures, []
            for future in futures:
                if not future.done():
                    future.set_result(None)

    def __len__(self) -> int:
        """How many wait."""
        return sum(not future.done() for future in self._futures)
