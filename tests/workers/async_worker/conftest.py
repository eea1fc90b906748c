"""Fixtures of the async worker's tests."""

import pytest

from tests.workers.serving import LOOPS


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    """The event loop that a worker is to have: the test is run with each."""
    return str(request.param)
