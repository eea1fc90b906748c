"""Saying what holds a loop; the rest is tested with the worker (test_worker)."""

from time import monotonic_ns
from typing import Any

import pytest

from pyserve.workers.async_worker import watcher as watcher_module
from pyserve.workers.async_worker.watcher import Watcher
from pyserve.workers.scoreboard import Scoreboard
from tests.workers.serving import eventually


class Exchange:
    def __init__(self, method: str, target: bytes, arrived: float) -> None:
        self.method = method
        self.target = target
        self.arrived = arrived


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher_module, "_LOOK", 0.01)


def test_publishes_while_the_heartbeat_is_late_and_takes_it_back() -> None:
    slot = Scoreboard(1, 1).slot(0)
    exchanges: list[Any] = [Exchange("GET", b'/a"\n', 5.0)]
    slot.heartbeat = monotonic_ns() - 2_000_000_000
    watcher = Watcher(slot, lambda: exchanges)
    watcher.start()
    eventually(lambda: slot.published() == ('GET /a\\"\\x0a', 5_000_000_000))
    exchanges.append(Exchange("POST", b"/b", 6.0))
    eventually(lambda: (slot.published() or ("",))[0].endswith("(and 1 others)"))
    slot.heartbeat = monotonic_ns()
    eventually(lambda: slot.published() is None)
    watcher.stop()


def test_survives_a_loop_that_moves_on_meanwhile() -> None:
    slot = Scoreboard(1, 1).slot(0)
    slot.heartbeat = 1
    looks = 0

    def busy_with() -> list[Any]:
        nonlocal looks
        looks += 1
        if looks < 3:
            raise RuntimeError("Set changed size during iteration")
        return []

    watcher = Watcher(slot, busy_with)
    watcher.start()
    eventually(lambda: looks > 5)
    watcher.stop()
    assert slot.published() is None
