"""What a dead worker has left behind."""

from types import SimpleNamespace

from pyserve.workers import witness
from pyserve.workers.scoreboard import NOTE_WORDS, REQUESTS, Scoreboard, Slot


def a_slot() -> Slot:
    return Scoreboard(2, 2).slot(1)


def a_request(target: bytes, arrived: float) -> SimpleNamespace:
    return SimpleNamespace(method="GET", target=target, arrived=arrived)


def test_nothing_was_noted() -> None:
    assert witness.read(a_slot()) is None


def test_a_note() -> None:
    slot = a_slot()
    slot.thread(0).words[REQUESTS] = 7
    witness.write(slot, [a_request(b"/one", 1.5), a_request(b"/two\x1b", 2.0)], 3_000_000_000)
    note = witness.read(slot)
    assert note == witness.Note(3_000_000_000, 2, 7, ((1_500_000_000, "GET /one"), (2_000_000_000, "GET /two\\x1b")))


def test_the_last_note_counts() -> None:
    slot = a_slot()
    witness.write(slot, [a_request(b"/one", 1.5)], 1)
    witness.write(slot, [], 2)
    assert witness.read(slot) == witness.Note(2, 0, 0)


def test_many_long_requests_are_counted_and_some_are_named() -> None:
    slot = a_slot()
    witness.write(slot, [a_request(b"/" + b"x" * 8000, n) for n in range(1000)], 5)
    note = witness.read(slot)
    assert note is not None
    assert note.count == 1000
    assert [began for began, _ in note.named] == [n * 1_000_000_000 for n in range(10)]
    assert all(100 < len(request) < 200 for _, request in note.named)
    assert Scoreboard(1, 1).slot(0).note.nbytes == NOTE_WORDS * 8


def test_a_note_that_was_not_completed_is_none() -> None:
    slot = a_slot()
    witness.write(slot, [a_request(b"/one", 1.5)], 1)
    slot.note[0] |= 1
    assert witness.read(slot) is None
    witness.write(slot, [], 2)
    assert witness.read(slot) == witness.Note(2, 0, 0)


def test_the_next_worker_begins_without_one() -> None:
    slot = a_slot()
    witness.write(slot, [a_request(b"/one", 1.5)], 1)
    slot.clear(3)
    assert witness.read(slot) is None
