"""The properties, a bounded number of times and always in the same way; `make fuzz` tries them for longer.

What `make fuzz` has found so far stands as cases in tests/protocol: the table of messages, hosts in test_target.py,
response fields in test_exchange.py.
"""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.properties import PROPERTIES, Property


@pytest.mark.parametrize("holds", PROPERTIES.values(), ids=PROPERTIES)
def test_by_hypothesis(holds: Property) -> None:
    """Hypothesis makes the choices, so that it can shrink what it finds."""

    @given(st.randoms(use_true_random=False))
    @settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def tried(random: Random) -> None:
        holds(random)

    tried()


@pytest.mark.parametrize("holds", PROPERTIES.values(), ids=PROPERTIES)
def test_by_seeds(holds: Property) -> None:
    for seed in range(500):
        holds(Random(seed))
