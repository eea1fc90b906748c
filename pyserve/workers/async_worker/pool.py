"""The threads in which an async worker runs a WSGI application."""

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from time import monotonic
from typing import Any

from pyserve.workers.thread_worker.patience import STALLED

Job = Callable[[], None]

MOST_ASIDE = 1024
_KEPT = 4


def default_size() -> int:
    """As many threads as asyncio's own pool has: applications mostly wait."""
    return min(32, (os.cpu_count() or 1) + 4)


class Pool:
    """`size` threads that run jobs in the order they come. A thread is started when a job finds none that is free.

    A job that waits for its client says so (`step_aside`), and for as long does not count: up to `MOST_ASIDE` slow
    clients do not hold the threads of the others. Of the threads that this takes, few are kept afterwards. Past that
    bound somebody has to give way (`stalled`).
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._aside: dict[Any, float] = {}  # who waits for a client -> since when
        self._running = 0  # jobs submitted and not finished; only the submitting thread adds
        self._stopped = False

    def submit(self, job: Job) -> None:
        """Run `job` in a thread. Always to be called from the same thread; the job must not raise."""
        self._running += 1
        if self._running > self._threads:
            with self._lock:
                self._start()
        self._jobs.put(job)

    def done(self) -> None:
        """A job has ended; called from the thread that submits."""
        self._running -= 1

    def works(self) -> bool:
        """Whether a job does something else than waiting for its client, or is about to."""
        return self._running > len(self._aside)

    def step_aside(self, who: Any) -> None:
        """The calling job waits for its client. who: what `stalled` is to return for it."""
        with self._lock:
            self._aside[who] = monotonic()
            if self._running > self._threads:
                self._start()

    def step_back(self, who: Any) -> None:
        """The wait is over."""
        with self._lock:
            del self._aside[who]

    def stalled(self) -> Any:
        """Who has waited for longest, if for `STALLED` seconds, and a job waits because of them all; else None."""
        with self._lock:
            if self._running <= self._threads or len(self._aside) < MOST_ASIDE:
                return None
            who, since = next(iter(self._aside.items()))
            return who if monotonic() - since >= STALLED else None

    def stop(self) -> None:
        """Let the threads end once they have done what was submitted."""
        with self._lock:
            self._stopped = True
            for _ in range(self._threads):
                self._jobs.put(None)

    def _start(self) -> None:
        if self._threads < self.size + min(len(self._aside), MOST_ASIDE) and not self._stopped:
            # Daemons: a request that does not end must not keep the process from ending.
            thread = threading.Thread(target=self._run, name=f"wsgi-{self._threads}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system has no more
                if not self._threads:
                    raise
                return
            self._threads += 1

    def _run(self) -> None:
        while not self._is_surplus():
            job = self._jobs.get()
            if job is None:
                return
            job()
            del job  # with what it holds, while the thread waits for the next

    def _is_surplus(self) -> bool:
        """Whether the calling thread, which is about to wait for a job, is one too many."""
        if self._threads <= self.size + _KEPT:
            return False
        with self._lock:
            surplus = self._threads > self.size + _KEPT + len(self._aside) and not self._stopped
            self._threads -= surplus
        return surplus
