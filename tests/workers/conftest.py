"""Fixtures of the workers' tests."""

import importlib
import pkgutil

import pytest

import pyserve.workers
from pyserve.workers.deadlines import Deadlines
from tests.workers.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Of one worker, started after this."""
    clock = Clock()
    monkeypatch.setattr(Deadlines, "step", property(clock.look))
    for module in pkgutil.walk_packages(pyserve.workers.__path__, "pyserve.workers."):
        loaded = importlib.import_module(module.name)
        if hasattr(loaded, "monotonic"):
            monkeypatch.setattr(loaded, "monotonic", clock)
    return clock
