"""What a worker says through its pipe, and how its process runs and ends."""

import os
import time
from types import SimpleNamespace

import pytest

from pyserve.server import children
from pyserve.server.children import Child
from pyserve.server.events import BootFailed, Ready, Retiring
from pyserve.workers.scoreboard import Scoreboard
from tests.server.journal import Log


@pytest.fixture
def pipe():
    reader, writer = children.pipe()
    child = Child(7, 4242, 0, 0, reader)
    yield child, writer
    child.close()
    try:
        os.close(writer)
    except OSError:
        pass


TOLD = [
    ([b"R"], [Ready(7)], None),
    ([b"R", b"D"], [Ready(7), Retiring(7)], None),
    ([b"RD"], [Ready(7), Retiring(7)], None),
    ([b"F\x04no module"], [BootFailed(7, 4)], "no module"),
    ([b"F", b"\x03", b"RDF\x00"], [BootFailed(7, 3)], "RDF\x00"),
    ([b"F\x03"], [BootFailed(7, 3)], ""),
    ([b"F\x03\xc3", b"\xbc, \xff"], [BootFailed(7, 3)], "\u00fc, \ufffd"),
    ([b"F"], [], None),
    ([b"x\nR"], [Ready(7)], None),
    ([], [], None),
]


@pytest.mark.parametrize(("parts", "events", "reason"), TOLD)
def test_what_it_says(pipe, parts, events, reason):
    child, writer = pipe
    heard = []
    for part in parts:
        os.write(writer, part)
        heard += child.read()
    assert heard == events
    assert child.reason() == reason
    assert child.fd is not None


@pytest.mark.parametrize(("parts", "events", "reason"), TOLD)
def test_what_it_says_octet_by_octet(pipe, parts, events, reason):
    child, writer = pipe
    heard = []
    for octet in b"".join(parts):
        os.write(writer, bytes([octet]))
        heard += child.read()
    assert heard == events
    assert child.reason() == reason


def test_the_end_of_the_pipe(pipe):
    child, writer = pipe
    os.write(writer, b"R")
    os.close(writer)
    assert child.read() == [Ready(7)]
    assert child.fd is None
    assert child.read() == []


def context(writer: int, ready: bool):
    slot = Scoreboard(1, 1).slot(0)
    slot.booted_at = 1 if ready else 0
    return SimpleNamespace(slot=slot, ready_fd=writer, log=Log())


def test_work_gives_the_workers_code(pipe):
    _, writer = pipe
    assert children.work(lambda context: 4, context(writer, ready=False)) == 4


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("unexpected"), "RuntimeError: unexpected"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (SystemExit("no licence"), "SystemExit: no licence"),
        (SystemExit(0), "SystemExit: 0"),
    ],
)
def test_an_exception_while_it_boots_is_a_boot_failure(pipe, error, reason):
    child, writer = pipe

    def entry(context):
        raise error

    assert children.work(entry, context(writer, ready=False)) == 3
    assert child.read() == [BootFailed(7, 3)]
    assert reason in child.reason()


def test_an_exception_later_is_logged(pipe):
    child, writer = pipe

    def entry(context):
        raise RuntimeError("unexpected")

    born_with = context(writer, ready=True)
    assert children.work(entry, born_with) == 1
    assert child.read() == []
    assert "RuntimeError: unexpected" in born_with.log.lines[0]


@pytest.mark.parametrize("code", [0, 1, 4])
def test_the_end_runs_what_the_application_registered_and_flushes(code):
    """In a process of its own: `end` does not return."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        import atexit

        atexit._clear()
        atexit.register(os.write, writer, b"last words")
        children.end(code, Log())
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == code
    assert os.read(reader, 100) == b"last words"
    os.close(reader)


def test_the_end_does_not_wait_for_the_applications_threads():
    pid = os.fork()
    if pid == 0:
        import atexit
        import threading

        atexit._clear()
        threading.Thread(target=time.sleep, args=(60,)).start()
        children.end(5, Log())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
