"""What tests of changes under load share."""

import os

import pytest

from tests.integration.conftest import serve
from tests.lossless.ways import BUSY, PAUSING

__all__ = ["serve"]


@pytest.fixture
def pauses() -> list[float]:
    """Of the clients in each round: a change is tried under busy clients and under such that pause, by turns; `make
    lossless` has ten rounds."""
    return [BUSY, PAUSING] * (int(os.environ.get("LOSSLESS_ROUNDS", "2")) // 2)


@pytest.fixture
def rounds(pauses: list[float]) -> list[float]:
    """The same for changes that take long: one in the suite, else as many."""
    return pauses if len(pauses) > 2 else pauses[:1]
