"""What holds for all tests."""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# The same examples each time, however long a busy machine takes for one: `make fuzz` is for others.
settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

# Modules of a folder that tests in others use, too: before any of them is imported.
pytest.register_assert_rewrite("tests.integration.server", "tests.lossless.load")


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
