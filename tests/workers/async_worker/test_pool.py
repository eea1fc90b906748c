"""The threads of WSGI requests under the async worker."""

import threading
from functools import partial

import pytest

from pyserve.workers.async_worker.pool import Pool, default_size
from tests.workers.serving import PATIENCE, eventually


def test_threads_are_started_as_they_are_needed() -> None:
    pool = Pool(2)
    seen: list[str] = []
    done = threading.Semaphore(0)
    hold = threading.Event()

    def job() -> None:
        hold.wait(PATIENCE)
        seen.append(threading.current_thread().name)
        done.release()

    others = set(threading.enumerate())
    for started in (1, 2, 2):
        pool.submit(job)
        assert len(set(threading.enumerate()) - others) == started
    hold.set()
    for _ in range(3):
        assert done.acquire(timeout=PATIENCE)
        pool.done()
    assert set(seen) <= {"wsgi-0", "wsgi-1"}
    pool.submit(job)
    assert done.acquire(timeout=PATIENCE)
    pool.done()
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("wsgi-")]
    pool.stop()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_one_after_the_other_needs_one_thread() -> None:
    pool = Pool(4)
    names = set()
    for _ in range(5):
        done = threading.Event()

        def job(done: threading.Event = done) -> None:
            names.add(threading.current_thread().name)
            done.set()

        pool.submit(job)
        assert done.wait(PATIENCE)
        pool.done()
    pool.stop()
    assert names == {"wsgi-0"}


def test_default_size() -> None:
    assert 5 <= default_size() <= 32


def test_who_waits_for_a_client_does_not_count() -> None:
    pool = Pool(1)
    hold = threading.Event()
    done = threading.Semaphore(0)

    def waits() -> None:
        who = object()
        pool.step_aside(who)
        hold.wait(PATIENCE)
        pool.step_back(who)
        done.release()

    for _ in range(20):
        pool.submit(waits)
    pool.submit(done.release)
    assert done.acquire(timeout=PATIENCE)
    pool.done()
    hold.set()
    for _ in range(20):
        assert done.acquire(timeout=PATIENCE)
        pool.done()
    eventually(lambda: sum(thread.name.startswith("wsgi-") for thread in threading.enumerate()) <= 5)
    pool.submit(done.release)
    assert done.acquire(timeout=PATIENCE)
    pool.stop()
    eventually(lambda: not any(thread.name.startswith("wsgi-") for thread in threading.enumerate()))


def test_no_more_threads_than_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyserve.workers.async_worker.pool.MOST_ASIDE", 2)
    pool = Pool(1)
    hold = threading.Event()
    waiting = threading.Semaphore(0)

    def waits() -> None:
        who = object()
        pool.step_aside(who)
        waiting.release()
        hold.wait(PATIENCE)
        pool.step_back(who)

    for _ in range(5):
        pool.submit(waits)
    for _ in range(3):
        assert waiting.acquire(timeout=PATIENCE)
    assert not waiting.acquire(timeout=0.1)
    hold.set()
    for _ in range(2):
        assert waiting.acquire(timeout=PATIENCE)
    pool.stop()


def test_who_has_stalled_for_longest_gives_way_where_all_threads_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyserve.workers.async_worker.pool.MOST_ASIDE", 2)
    monkeypatch.setattr("pyserve.workers.async_worker.pool.STALLED", 0.0)
    pool = Pool(1)
    hold = threading.Event()
    waiting = threading.Semaphore(0)

    def waits(who: str) -> None:
        pool.step_aside(who)
        waiting.release()
        hold.wait(PATIENCE)
        pool.step_back(who)

    for who in ("first", "second", "third"):
        assert pool.stalled() is None
        pool.submit(partial(waits, who))
        assert waiting.acquire(timeout=PATIENCE)
    assert pool.stalled() is None  # nobody else is there
    pool.submit(waiting.release)
    assert pool.stalled() == "first"
    monkeypatch.setattr("pyserve.workers.async_worker.pool.STALLED", 1000.0)
    assert pool.stalled() is None
    hold.set()
    assert waiting.acquire(timeout=PATIENCE)
    pool.stop()
