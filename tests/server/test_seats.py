"""Who sits on a seat, and how long it waits for the next; whole histories are in test_supervisor.py."""

import pytest

from pyserve.server.seats import BACK_OFF_MOST, Member, Seat

HOLDER, HEIR, STRANGER = (Member(age, 0, age, 1) for age in (1, 2, 3))


@pytest.mark.parametrize(
    ("leaver", "holder", "heir"),
    [
        (HEIR, HOLDER, None),
        (HOLDER, HEIR, None),  # the heir takes its place, though it still boots
        (STRANGER, HOLDER, HEIR),
    ],
)
def test_leaving(leaver: Member, holder: Member | None, heir: Member | None) -> None:
    seat = Seat(0, HOLDER, HEIR)
    seat.leave(leaver)
    assert (seat.holder, seat.heir) == (holder, heir)


def test_an_empty_seat_after_the_last_has_left() -> None:
    seat = Seat(0, HOLDER)
    seat.leave(HOLDER)
    assert (seat.holder, seat.heir) == (None, None)


@pytest.mark.parametrize(
    ("booted", "pauses"),
    [
        (False, [1, 2, 4, 8, 16, BACK_OFF_MOST, BACK_OFF_MOST]),
        (True, [0, 1, 2, 4, 8, 16, BACK_OFF_MOST]),
    ],
)
def test_each_strike_doubles_the_pause(booted: bool, pauses: list[float]) -> None:
    seat = Seat(0)
    for at, pause in enumerate(pauses, 100):
        seat.strike(at, booted=booted)
        assert seat.not_before == at + pause


def test_the_pause_stays_the_longest_for_ever() -> None:
    seat = Seat(0, failures=10_000)
    seat.strike(0.0, booted=False)
    assert seat.not_before == BACK_OFF_MOST
