"""The scoreboard: numbers and records that cross a fork."""

import os
import signal
import threading
import time

import pytest

from pyserve.workers import scoreboard
from pyserve.workers.scoreboard import Scoreboard, State, room


def in_child(work) -> int:
    """Run `work` in a forked process and give its exit code."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_new_board_is_empty():
    board = Scoreboard(3, 2)
    assert len(board) == 3
    for slot in board.slots():
        assert slot.state is State.EMPTY
        assert slot.words.tolist() == [0] * 16
        assert slot.requests() == 0
        assert slot.published() is None


def test_every_number_has_a_place_of_its_own():
    board = Scoreboard(3, 2)
    views = [slot.words for slot in board.slots()]
    views += [thread.words for slot in board.slots() for thread in slot.threads]
    for number, words in enumerate(views):
        for at in range(len(words)):
            words[at] = number * 100 + at
    for number, words in enumerate(views):
        assert words.tolist() == [number * 100 + at for at in range(len(words))]


def test_text_does_not_touch_the_neighbours():
    board = Scoreboard(3, 1)
    board.slot(1).publish("x" * 10_000, 7)
    assert board.slot(1).published() == ("x" * scoreboard.TEXT_OCTETS, 7)
    assert board.slot(1).thread(0).words.tolist() == [0] * 16
    assert board.slot(2).words.tolist() == [0] * 16
    assert board.slot(0).published() is None


def test_thread_slots_are_aligned_to_cache_lines():
    assert len(Scoreboard(1, 4).slot(0).thread(3).words) * scoreboard.WORD % 64 == 0


def test_what_a_child_writes_the_parent_reads():
    board = Scoreboard(2, 3)

    def work() -> None:
        slot = board.slot(1)
        slot.pid = os.getpid()
        slot.state = State.READY
        slot.heartbeat = 2**63
        slot.booted_at = 5
        slot.connections = 12
        slot.in_flight = 3
        for index in range(3):
            words = slot.thread(index).words
            words[scoreboard.REQUESTS] += index + 1
            words[scoreboard.BYTES_IN] += 10
            words[scoreboard.BYTES_OUT] += 20
            words[scoreboard.ERRORS] += 1
            words[scoreboard.TIMEOUTS_BODY] += 4
        slot.publish("GET /sl\u00f6w", 77)

    assert in_child(work) == 0
    slot = board.slot(1)
    assert slot.pid not in (0, os.getpid())
    assert (slot.state, slot.heartbeat, slot.booted_at) == (State.READY, 2**63, 5)
    assert (slot.connections, slot.in_flight, slot.requests()) == (12, 3, 6)
    assert [thread.requests for thread in slot.threads] == [1, 2, 3]
    thread = slot.thread(2)
    assert (thread.bytes_in, thread.bytes_out, thread.errors) == (10, 20, 1)
    assert thread.timeouts == (0, 4, 0, 0)
    assert slot.published() == ("GET /sl\u00f6w", 77)
    assert board.slot(0).state is State.EMPTY


def test_publish_withdraw_publish():
    slot = Scoreboard(1, 1).slot(0)
    slot.withdraw()
    assert slot.published() is None
    slot.publish("first, long", 1)
    slot.publish("second", 2)
    assert slot.published() == ("second", 2)
    slot.withdraw()
    assert slot.published() is None


def test_text_that_is_no_unicode_can_be_published():
    slot = Scoreboard(1, 1).slot(0)
    slot.publish("GET /\udcff", 1)
    assert slot.published() == ("GET /\\udcff", 1)


def test_a_text_cut_inside_a_character_can_be_read():
    slot = Scoreboard(1, 1).slot(0)
    slot.publish("x" + "\u20ac" * 1000, 1)
    text, _ = slot.published() or ("", 0)
    assert text.startswith("x\u20ac\u20ac")


def test_a_record_left_half_written_reads_as_nothing_and_the_next_owner_writes_again():
    slot = Scoreboard(1, 1).slot(0)
    slot.publish("whole", 1)
    slot.words[scoreboard._SEQUENCE] += 1  # as if killed in the middle of publish()
    assert slot.published() is None
    slot.publish("whole again", 2)
    assert slot.published() == ("whole again", 2)


def test_a_reader_never_sees_a_mixture():
    board = Scoreboard(1, 1)
    slot = board.slot(0)
    pid = os.fork()
    if pid == 0:
        texts = [letter * length for letter, length in (("a", 900), ("b", 30), ("c", 400))]
        while True:
            for number, text in enumerate(texts, 1):
                slot.publish(text, number)
    try:
        seen = set()
        end = time.monotonic() + 10
        while len(seen) < 3 and time.monotonic() < end:
            record = slot.published()
            if record is not None:
                text, number = record
                assert text == "abc"[number - 1] * (900, 30, 400)[number - 1]
                seen.add(number)
        assert seen == {1, 2, 3}
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_threads_counting_in_their_own_sub_slots_lose_nothing():
    slot = Scoreboard(1, 4).slot(0)

    def count(index: int) -> None:
        words = slot.thread(index).words
        for _ in range(20_000):
            words[scoreboard.REQUESTS] += 1

    threads = [threading.Thread(target=count, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert slot.requests() == 80_000


def test_clear_forgets_the_last_owner():
    slot = Scoreboard(1, 2).slot(0)
    slot.pid, slot.state, slot.connections = 1, State.READY, 4
    slot.thread(1).words[scoreboard.REQUESTS] = 9
    slot.publish("busy", 3)
    slot.clear(age=7, state=State.BOOTING)
    assert (slot.pid, slot.age, slot.state, slot.connections) == (0, 7, State.BOOTING, 0)
    assert slot.requests() == 0
    assert slot.published() is None


def test_means_count_only_workers_that_serve():
    board = Scoreboard(5, 1)
    assert board.mean_connections() == board.mean_in_flight() == 0.0
    for index, (state, connections, in_flight) in enumerate(
        [(State.READY, 4, 1), (State.DRAINING, 100, 50), (State.READY, 8, 0), (State.BOOTING, 0, 0)]
    ):
        slot = board.slot(index)
        slot.state, slot.connections, slot.in_flight = state, connections, in_flight
    assert board.ready() == 2
    assert board.mean_connections() == 6.0
    assert board.mean_in_flight() == 0.5


def test_a_board_can_be_attached_to_again():
    board = Scoreboard(4, 2)
    if board.fd is None:
        pytest.skip("the system has no memfd_create")
    board.slot(3).publish("busy", 9)
    again = Scoreboard.attach(board.fd)
    assert (len(again), again.threads) == (4, 2)
    assert again.slot(3).published() == ("busy", 9)
    again.slot(3).withdraw()
    assert board.slot(3).published() is None


def test_a_board_of_another_layout_is_refused():
    board = Scoreboard(2, 2)
    if board.fd is None:
        pytest.skip("the system has no memfd_create")
    board._words[scoreboard._LAYOUT] += 1
    with pytest.raises(ValueError, match="this version"):
        Scoreboard.attach(board.fd)


@pytest.mark.parametrize(("workers", "slots"), [(1, 9), (2, 10), (8, 16), (40, 80)])
def test_there_is_room_for_workers_added_later(workers, slots):
    assert room(workers) == slots
