"""Futures that one event completes."""

import asyncio

from pyserve.workers.async_worker.waiters import Waiters


def test_wake_completes_all_that_wait() -> None:
    async def main() -> None:
        waiters = Waiters(asyncio.get_running_loop())
        waiters.wake()  # nobody waits
        first, second = waiters.wait(), waiters.wait()
        assert len(waiters) == 2
        waiters.wake()
        await asyncio.gather(first, second)
        assert len(waiters) == 0

    asyncio.run(main())


def test_cancelling_one_leaves_the_others() -> None:
    async def main() -> None:
        waiters = Waiters(asyncio.get_running_loop())
        first, second = waiters.wait(), waiters.wait()
        first.cancel()
        assert len(waiters) == 1
        waiters.wake()
        await second

    asyncio.run(main())


def test_those_who_give_up_do_not_gather() -> None:
    async def main() -> None:
        waiters = Waiters(asyncio.get_running_loop())
        for _ in range(1000):
            waiters.wait().cancel()
        assert len(waiters._futures) == 1

    asyncio.run(main())
