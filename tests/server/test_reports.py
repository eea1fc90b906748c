"""The lines that people grep for."""

import signal
import time

import pytest

from pyserve.server.children import Child
from pyserve.server.events import Kill, Linger, News, Reason
from pyserve.server.reports import Reports
from pyserve.workers import notes
from pyserve.workers.scoreboard import (
    BYTES_IN,
    BYTES_OUT,
    ERRORS,
    NOTES,
    REQUESTS,
    TIMEOUTS_BODY,
    TIMEOUTS_HEADER,
    TIMEOUTS_KEEPALIVE,
    TIMEOUTS_REQUEST,
    TIMEOUTS_WRITE,
    Scoreboard,
    Slot,
)
from tests.server.journal import Log


@pytest.fixture
def now(monkeypatch) -> int:
    """Nanoseconds; time stands still."""
    now = time.monotonic_ns()
    monkeypatch.setattr(time, "monotonic_ns", lambda: now)
    monkeypatch.setattr(time, "monotonic", lambda: now / 1e9)
    return now


EXITS = [
    (0, set(), "debug", "Worker (pid:42) is gone"),
    (1, set(), "error", "Worker (pid:42) exited with code 1."),
    (-9, set(), "error", "Worker (pid:42) was sent SIGKILL! Perhaps out of memory?"),
    (-9, {signal.SIGKILL}, "error", "Worker (pid:42) was sent SIGKILL!"),
    (-11, set(), "error", "Worker (pid:42) was sent SIGSEGV!"),
    (-15, {signal.SIGTERM}, "debug", "Worker (pid:42) is gone"),
    (-15, set(), "error", "Worker (pid:42) was sent SIGTERM!"),
    (-50, set(), "error", "Worker (pid:42) was sent signal 50!"),
]


@pytest.mark.parametrize(("code", "sent", "level", "text"), EXITS)
def test_exits(log, code, sent, level, text):
    Reports(log).exit(Child(1, 42, 0, 0, None, sent=sent), code, None)
    ((said_level, said),) = log.said
    assert said_level == level
    assert said.startswith(text)
    assert code == -9 or said == text


def test_a_worker_that_boots_and_boots(log):
    reports = Reports(log)
    reports.linger(Linger(1, 42, 10.1, False))
    reports.linger(Linger(1, 42, 70.9, True))
    assert log.said == [
        ("warning", "Worker (pid:42) is still booting after 10 s"),
        ("warning", "Worker (pid:42) is still booting after 70 s, the old worker serves on"),
    ]


def served(*targets: bytes, ago: float = 2) -> Slot:
    """The slot of a worker that was answering these."""
    slot = Scoreboard(1, 2).slot(0)
    slot.booted_at = 1
    for fd, target in enumerate(targets, 8):
        notes.note(slot.notes, notes.place_for(slot, fd), b"GET", target, time.monotonic() - ago + (fd - 8) / 1000)
    return slot


def test_the_requests_that_ended_with_a_worker(log, now):
    Reports(log).exit(Child(1, 42, 0, 0, None), -11, served(b"/slow"))
    assert log.said == [
        ("error", "Worker (pid:42) was sent SIGSEGV!"),
        ("error", "Requests that ended with worker (pid:42): 1 in progress: GET /slow for 2.0 s"),
    ]


def test_each_of_many_requests_is_named(log, now):
    Reports(log).exit(Child(1, 42, 0, 0, None), -9, served(*(b"/%d" % number for number in range(45))))
    lines = [text for _, text in log.said[1:]]
    assert [line.partition(": ")[2].partition(": ")[0] for line in lines] == [
        "45 in progress", "21 and on of 45", "41 and on of 45"
    ]  # fmt: skip
    assert [word for line in lines for word in line.split() if word[0] == "/"] == [f"/{n}" for n in range(45)]


def test_requests_that_have_had_no_place_are_not_forgotten(log, now):
    slot = served(b"/slow")
    notes.place_for(slot, NOTES)
    Reports(log).exit(Child(1, 42, 0, 0, None), -9, slot)
    assert log.said[-1] == ("warning", "Worker (pid:42): those on descriptors from 8192 on are not known")


def test_a_worker_that_died_without_a_request(log):
    Reports(log).exit(Child(1, 42, 0, 0, None), 3, served())
    assert log.said[-1] == ("info", "Worker (pid:42): no request ended with it")


@pytest.mark.parametrize(("code", "sent", "booted"), [(0, set(), 1), (-15, {signal.SIGTERM}, 1), (4, set(), 0)])
def test_a_worker_that_was_told_to_go_or_has_never_served_ended_no_request(log, code, sent, booted):
    slot = served(b"/")
    slot.booted_at = booted
    Reports(log).exit(Child(1, 42, 0, 0, None, sent=sent), code, slot)
    assert "Requests that ended" not in str(log.said)


def test_what_a_worker_has_counted(log):
    slot = Scoreboard(1, 2).slot(0)
    order = (REQUESTS, ERRORS, BYTES_IN, BYTES_OUT)
    deadlines = (TIMEOUTS_HEADER, TIMEOUTS_BODY, TIMEOUTS_KEEPALIVE, TIMEOUTS_WRITE, TIMEOUTS_REQUEST)
    for thread in slot.threads:
        for value, index in enumerate((*order, *deadlines), 1):
            thread.words[index] += value
    Reports(log).served(Child(1, 42, 0, 0, None), slot)
    assert log.said == [
        (
            "debug",
            "Worker (pid:42) served 2 requests, errors: 4, bytes in: 6, out: 8, "
            "timeouts: header 10, body 12, keep-alive 14, write 16, request 18",
        )
    ]


def test_a_reason_that_all_share_is_told_once(log):
    reports = Reports(log)
    for pid in (1, 2):
        reports.exit(Child(pid, pid, 0, 0, None, failure=bytearray(b"\x04no module")), 4, None)
    reports.exit(Child(3, 3, 0, 0, None, failure=bytearray(b"\x03something else")), 3, None)
    assert [text for _, text in log.said] == [
        "Worker (pid:1) could not boot: no module",
        "Worker (pid:1) exited with code 4.",
        "Worker (pid:2) exited with code 4.",
        "Worker (pid:3) could not boot: something else",
        "Worker (pid:3) exited with code 3.",
    ]


def test_a_reason_is_told_again_when_things_have_changed(log):
    reports = Reports(log)
    for _ in range(2):
        reports.exit(Child(1, 1, 0, 0, None, failure=bytearray(b"\x04no module")), 4, None)
        reports.forget()
    assert [text for _, text in log.said].count("Worker (pid:1) could not boot: no module") == 2


def test_a_reason_that_the_master_cut_short_is_not_told(log):
    child = Child(1, 1, 0, 0, None, failure=bytearray(b"\x04no mod"), sent={signal.SIGTERM})
    Reports(log).exit(child, -signal.SIGTERM, None)
    assert log.said == [("debug", "Worker (pid:1) is gone")]


def abort(log: Log, slot) -> str:
    Reports(log).kill(Kill(1, 42, signal.SIGABRT, Reason.SILENT), slot)
    ((level, text),) = log.said
    assert level == "critical"
    return text


def test_timeout_with_the_request_that_the_watcher_saw(log, now):
    slot = Scoreboard(1, 1).slot(0)
    slot.publish("GET /slow", now - 31_200_000_000)
    assert abort(log, slot) == "WORKER TIMEOUT (pid:42): GET /slow for 31.2 s"


def test_timeout_with_a_request_that_held_the_interpreter(log, now):
    """The watcher had no chance to publish."""
    assert abort(log, served(b"/slow", ago=31.2)) == "WORKER TIMEOUT (pid:42): GET /slow for 31.2 s"


def test_timeout_with_requests_of_which_one_held_the_interpreter(log, now):
    text = abort(log, served(b"/slow", b"/other", ago=31.2))
    assert text == "WORKER TIMEOUT (pid:42): GET /slow for 31.2 s (and 1 others)"


@pytest.mark.parametrize("slot", [None, Scoreboard(1, 1).slot(0)])
def test_timeout_of_a_worker_that_told_nothing(log, slot):
    assert abort(log, slot) == "WORKER TIMEOUT (pid:42)"


@pytest.mark.parametrize(
    ("order", "level", "text"),
    [
        (Kill(1, 42, signal.SIGKILL, Reason.LATE), "warning", "Worker (pid:42) did not end in time: SIGKILL"),
        (Kill(1, 42, signal.SIGKILL, Reason.SILENT), "warning", "Worker (pid:42) did not end by SIGABRT: SIGKILL"),
        (Kill(1, 42, signal.SIGTERM, Reason.STOP), "debug", "Worker (pid:42): SIGTERM, the server stops"),
    ],
)
def test_other_signals(log, order, level, text):
    Reports(log).kill(order, None)
    assert log.said == [(level, text)]


@pytest.mark.parametrize("news", News)
def test_there_is_a_line_for_all_news(log, news):
    Reports(log).news(news)
    ((level, text),) = log.said
    assert text
    assert level == ("info" if news is News.RELOAD_DONE else "warning")
