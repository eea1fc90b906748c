"""A peer's credit: spent by waiting, given back by octets."""

from math import inf

import pytest

from pyserve.workers.pace import Pace, regain

NOW = 1000.0


@pytest.mark.parametrize(
    ("since", "octets", "rate", "expected"),
    [
        (NOW - 10, 0, 0, NOW - 10),
        (NOW - 10, 1, 0, NOW),  # without a rate any octet is enough
        (NOW - 10, 0, 100, NOW - 10),
        (NOW - 10, 200, 100, NOW - 8),
        (NOW - 10, 1000, 100, NOW),
        (NOW - 10, 9999999, 100, NOW),  # nobody saves more than the whole credit
    ],
)
def test_what_octets_give_back(since: float, octets: int, rate: int, expected: float) -> None:
    assert regain(since, octets, NOW, rate) == expected


def test_one_octet_now_and_then_does_not_help() -> None:
    pace = Pace(10.0, 100, 1, 0)
    now = NOW
    octets = 0
    while pace.begin(now) > now:
        now += 2
        octets += 1
        pace.end(octets, now)
    assert now == NOW + 12


def test_as_fast_as_the_rate_is_fast_enough() -> None:
    pace = Pace(10.0, 100, 1, 0)
    for second in range(1000):
        assert pace.begin(NOW + second) == NOW + second + 10
        pace.end(100 * (second + 1), NOW + second + 1)


def test_between_waits_time_costs_nothing() -> None:
    pace = Pace(10.0, 100, 1, 0)
    now = NOW
    for _ in range(4):
        assert pace.begin(now) > now
        pace.end(0, now + 2)
        now += 500
    assert pace.begin(now) == now + 2
    pace.end(0, now + 1)
    pace.end(0, now + 300)  # it had ended
    assert pace.begin(now) == now + 1


def test_octets_that_came_between_waits_count() -> None:
    pace = Pace(10.0, 100, 1, 5000)
    pace.begin(NOW)
    pace.end(5000, NOW + 8)
    pace.begin(NOW + 20)
    pace.end(5600, NOW + 20)
    assert pace.begin(NOW + 20) == NOW + 28


def test_without_a_timeout() -> None:
    pace = Pace(inf, 0, 1, 0)
    assert pace.begin(NOW) == inf
    pace.end(1, NOW + 100)
    assert pace.begin(NOW + 100) == pace.until == inf


def test_looks() -> None:
    pace = Pace(2.0, 100, 1, 0)
    assert [pace.look(0, NOW + second, True) for second in range(4)] == [False, False, False, True]
    assert not pace.look(0, NOW + 4, False)
    pace = Pace(2.0, 100, 1, 0)
    assert [pace.look(0, NOW + second, second % 2 == 0) for second in range(6)] == [False] * 6
    assert pace.look(0, NOW + 6, True) is True
