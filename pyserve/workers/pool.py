"""The threads in which an async worker runs a WSGI application."""

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

Job = Callable[[], None]


def default_size() -> int:
    """As many threads as asyncio's own pool has: applications mostly wait."""
    return min(32, (os.cpu_count() or 1) + 4)


class Pool:
    """`size` threads that run jobs in the order they come. A thread is started when a job finds none that is free."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._running = 0  # jobs submitted and not finished; only the submitting thread adds

    def submit(self, job: Job) -> None:
        """Run `job` in a thread. Always to be called from the same thread; the job must not raise."""
        self._running += 1
        if self._running > len(self._threads) < self.size:
            # Daemons: a request that does not end must not keep the process from ending.
            thread = threading.Thread(target=self._run, name=f"wsgi-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put(job)

    def done(self) -> None:
        """A job has ended; called from the thread that submits."""
        self._running -= 1

    def stop(self) -> None:
        """Let the threads end once they have done what was submitted."""
        for _ in self._threads:
            self._jobs.put(None)

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            job()
            del job  # with what it holds, while the thread waits for the next
