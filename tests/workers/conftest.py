"""Fixtures of the workers' tests."""

import importlib
import logging
import pkgutil
from collections.abc import Iterator

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


@pytest.fixture
def loggers_restored() -> Iterator[None]:
    """What a test does to the loggers of both servers' names, and to the root logger, is undone."""
    names = ("", "gunicorn", "gunicorn.error", "gunicorn.access", "uvicorn", "uvicorn.error", "uvicorn.access")
    kept = []
    for name in names:
        logger = logging.getLogger(name)
        state = (logger.handlers[:], logger.filters[:], logger.level, logger.propagate, logger.disabled)
        kept.append((logger, state))
        if name:
            logger.handlers, logger.filters, logger.level, logger.propagate = [], [], 0, True
    logging.Logger.manager._clear_cache()  # type: ignore[attr-defined]
    yield
    for logger, state in kept:
        for handler in logger.handlers:
            if handler not in state[0]:
                handler.close()
        logger.handlers, logger.filters, logger.level, logger.propagate, logger.disabled = state
    logging.Logger.manager._clear_cache()  # type: ignore[attr-defined]
