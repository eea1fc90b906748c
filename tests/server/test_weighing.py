"""Which workers hold too much memory."""

import os

import pytest

from pyserve.server.weighing import Scales, resident

MIB = 1024 * 1024


class Log:
    def __init__(self) -> None:
        self.said: list[str] = []

    def warning(self, msg: str, *args: object) -> None:
        self.said.append(msg % args)


def scales(limit: int, *weights: int | None) -> tuple[Scales, Log]:
    """What weighs, one time after the other, what is given."""
    log = Log()
    given = iter(weights)
    return Scales(limit, log, lambda pid: next(given)), log  # type: ignore[arg-type]


def test_this_process_weighs_something() -> None:
    weight = resident(os.getpid())
    assert weight is not None
    assert 5 * MIB < weight < 5000 * MIB


@pytest.mark.parametrize("pid", [0, 2**22 + 1])
def test_a_process_that_is_not_there(pid: int) -> None:
    assert resident(pid) is None


def test_one_that_grows_over_the_limit() -> None:
    some, log = scales(100, 50, 100, 101, 99)
    assert [some.is_too_heavy(1, 42) for _ in range(4)] == [False, False, True, False]
    assert log.said == []


def test_one_that_is_over_the_limit_from_the_start_is_not_replaced_for_ever() -> None:
    some, log = scales(MIB, 2 * MIB, 3 * MIB, 2 * MIB)
    assert not some.is_too_heavy(1, 42)
    assert not some.is_too_heavy(1, 42)
    assert not some.is_too_heavy(2, 43)
    assert log.said == [
        "--max-worker-memory is 1.0 MiB, and a worker that begins to serve holds 2.0 MiB: none is replaced"
    ]


def test_each_worker_counts_for_itself() -> None:
    some, _ = scales(100, 50, 50, 150, 150)
    assert [some.is_too_heavy(age, 42) for age in (1, 2, 1, 2)] == [False, False, True, True]


def test_a_number_that_is_used_again() -> None:
    some, _ = scales(100, 50, 150, 150)
    some.is_too_heavy(1, 42)
    some.forget(1)
    assert [some.is_too_heavy(1, 42) for _ in range(2)] == [False, False]


def test_what_cannot_be_weighed_is_not_too_heavy() -> None:
    some, _ = scales(100, None)
    assert not some.is_too_heavy(1, 42)


def test_without_a_limit_nobody_is_weighed() -> None:
    assert not scales(0)[0].is_too_heavy(1, 42)
