"""Who sits on a seat, and how long it waits for the next; whole histories are in test_supervisor.py."""

import pytest

from pyserve.server.seats import AT_ONCE, BACK_OFF_MOST, Member, Seat

HOLDER, HEIR, STRANGER = (Member(age, 0, age) for age in (1, 2, 3))


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


def test_each_failure_to_boot_doubles_the_pause() -> None:
    seat = Seat(0)
    for at, pause in enumerate([1, 2, 4, 8, 16, BACK_OFF_MOST, BACK_OFF_MOST], 100):
        seat.strike(at)
        assert seat.not_before == at + pause


def test_who_dies_as_soon_as_it_serves_is_followed_at_once_only_some_times() -> None:
    seat = Seat(0)
    for at, pause in enumerate([*[0] * AT_ONCE, 1, 2, 4, 8, 16, BACK_OFF_MOST], 100):
        seat.lost(at, lived=0.5)
        assert seat.not_before <= at + pause
        assert seat.not_before == (at + pause if pause else seat.not_before)


def test_who_has_served_for_a_while_is_always_followed_at_once() -> None:
    seat = Seat(0, failures=8, not_before=99.0)
    seat.lost(50.0, lived=1.0)
    assert (seat.failures, seat.not_before) == (8, 0.0)
    seat.lost(60.0, lived=10.0)
    assert seat.failures == 0


def test_the_pause_stays_the_longest_for_ever() -> None:
    seat = Seat(0, failures=10_000)
    seat.strike(0.0)
    assert seat.not_before == BACK_OFF_MOST
