"""What a worker is answering, as its reader finds it; the ways of requests are in the tests of the workers."""

import struct

import pytest

from pyserve.workers import notes
from pyserve.workers.scoreboard import NOTE_OCTETS, NOTES, Scoreboard, Slot


def a_slot() -> Slot:
    return Scoreboard(2, 2).slot(1)


def write(slot: Slot, fd: int, target: bytes, *, began: float = 1.5, method: str = "GET") -> int:
    place = notes.place_for(slot, fd)
    notes.note(slot.notes, place, notes.METHODS[method], target, began)
    return place


def test_nothing_was_noted() -> None:
    slot = a_slot()
    assert notes.read(slot) == []
    notes.place_for(slot, 5)
    assert notes.read(slot) == []


def test_the_oldest_comes_first() -> None:
    slot = a_slot()
    write(slot, 7, b"/two", began=2.5)
    write(slot, 300, b"/one")
    assert notes.read(slot) == [(1.5, "GET /one"), (2.5, "GET /two")]


def test_what_is_over_is_wiped_by_one_octet() -> None:
    slot = a_slot()
    slot.notes[write(slot, 7, b"/two")] = 0
    assert notes.read(slot) == []


def test_a_new_connection_begins_without_one() -> None:
    slot = a_slot()
    write(slot, 7, b"/two")
    notes.place_for(slot, 7)
    assert notes.read(slot) == []


def test_a_shorter_target_leaves_nothing_of_a_longer_one() -> None:
    slot = a_slot()
    place = write(slot, 7, b"/" + b"x" * 90, method="PROPFIND")
    notes.note(slot.notes, place, b"GET", b"/", 1.5)
    assert notes.read(slot) == [(1.5, "GET /")]


@pytest.mark.parametrize("method", ["GET", "PROPFIND", "BREW"])
def test_methods(method: str) -> None:
    slot = a_slot()
    write(slot, 7, b"/", method=method)
    assert notes.read(slot) == [(1.5, f"{method} /")]
    assert "BREW" not in notes.METHODS


def test_what_is_long_is_cut() -> None:
    slot = a_slot()
    write(slot, 7, b"/" + b"x" * 8000, method="M" * 50)
    assert notes.read(slot) == [(1.5, "M" * 16 + " /" + "x" * 103 + "...")]


def test_what_a_log_cannot_show_is_escaped() -> None:
    slot = a_slot()
    write(slot, 7, b"/\x1b[1m\n\0\xff\x00")
    assert notes.read(slot) == [(1.5, r"GET /\x1b[1m\x0a\x00\xff")]


@pytest.mark.parametrize("written", [0, 1, 3, 16, 17, 20, NOTE_OCTETS - 8])
def test_a_note_that_was_not_completed_is_none(written: int) -> None:
    slot = a_slot()
    place = notes.place_for(slot, 7)
    slot.notes[place : place + written] = struct.pack("@16s104sd", b"GET", b"/one", 1.5)[:written]
    assert notes.read(slot) == []


def test_many_have_a_place_and_others_do_no_harm() -> None:
    slot = a_slot()
    assert notes.is_all(slot)
    write(slot, NOTES - 1, b"/last")
    assert notes.is_all(slot)
    for fd in (NOTES, NOTES + 1, 10 * NOTES, -1):
        write(slot, fd, b"/else")
    assert notes.read(slot) == [(1.5, "GET /last")]
    assert not notes.is_all(slot)


def test_the_next_worker_begins_without_any() -> None:
    slot = a_slot()
    write(slot, 7, b"/one")
    write(slot, NOTES, b"/else")
    slot.clear(3)
    assert notes.read(slot) == []
    assert notes.is_all(slot)
    assert not any(slot.notes)


def test_neighbours_on_the_board_do_not_touch() -> None:
    board = Scoreboard(3, 2)
    write(board.slot(1), NOTES, b"/else")
    write(board.slot(1), 0, b"/first")
    board.slot(0).clear()
    board.slot(2).clear()
    assert [len(notes.read(slot)) for slot in board.slots()] == [0, 1, 0]
    assert not notes.is_all(board.slot(1))
    assert not any(board.slot(1).totals())
