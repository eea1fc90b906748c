"""The clients notice what a server does wrong, and count nothing else."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.integration.server import wait_for
from tests.lossless.load import Result, load

ANSWER = b"HTTP/1.1 200 OK\r\nX-Worker: 7\r\nContent-Length: 2\r\n\r\nok"
LAST = ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
Behave = Callable[[socket.socket, int], bool]


def answers(connection: socket.socket, number: int) -> bool:
    connection.sendall(ANSWER)
    return True


def says_close(connection: socket.socket, number: int) -> bool:
    connection.sendall(LAST if number % 2 else ANSWER)
    return not number % 2


def closes_in_a_pause(connection: socket.socket, number: int) -> bool:
    """The answer and the end go out together, so that the pause is not over before the end comes."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, number == 3)
    connection.sendall(ANSWER)
    return number < 3


def closes_instead(connection: socket.socket, number: int) -> bool:
    if number < 2:
        connection.sendall(ANSWER)
    return number < 2


def closes_in_the_middle(connection: socket.socket, number: int) -> bool:
    connection.sendall(ANSWER if number < 2 else ANSWER[:-1])
    return number < 2


def resets(connection: socket.socket, number: int) -> bool:
    if number == 2:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    return answers(connection, number)


def fails(connection: socket.socket, number: int) -> bool:
    connection.sendall(ANSWER if number < 2 else ANSWER.replace(b"200 OK", b"503 Busy"))
    return True


def says_too_much(connection: socket.socket, number: int) -> bool:
    connection.sendall(ANSWER if number < 2 else ANSWER + b"HTTP/1.1 408 Late\r\n\r\n")
    return True


def _talk(connection: socket.socket, behave: Behave) -> None:
    with connection, contextlib.suppress(ConnectionError):
        number = 0
        while connection.recv(65536):
            number += 1
            if not behave(connection, number):
                return


@contextlib.contextmanager
def serving(behave: Behave) -> Iterator[tuple[str, int]]:
    """A server that does to each request what it is told to. Requests of this test come in one piece."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threads.append(threading.Thread(target=_talk, args=(listener.accept()[0], behave)))
                threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield listener.getsockname()
    finally:
        listener.shutdown(socket.SHUT_RD)
        listener.close()
        acceptor.join()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("pause", [0, 0.01])
@pytest.mark.parametrize("behave", [answers, says_close, closes_in_a_pause])
def test_what_is_allowed_counts_as_nothing(behave: Behave, pause: float) -> None:
    """Without a pause a close in one cannot be told from a close instead of an answer."""
    if behave is closes_in_a_pause and not pause:
        return
    with serving(behave) as address, load(address, 2, pause, ("plain",)) as result:
        result.more(20)
    result.check()
    assert result.workers == {7: result.answered}
    assert not result.failed
    assert (result.figures.opened == 2) == (behave is answers)
    assert bool(result.figures.told_to_close) == (behave is says_close)
    assert bool(result.figures.closed) == (behave is closes_in_a_pause)


@pytest.mark.parametrize(
    ("behave", "kind"),
    [
        (closes_instead, "unanswered"),
        (closes_in_the_middle, "truncated"),
        (resets, "reset"),
        (fails, "wrong"),
        (says_too_much, "wrong"),
    ],
)
def test_what_is_lost_is_counted(behave: Behave, kind: str) -> None:
    with serving(behave) as address, load(address, 2, 0.01, ("plain",)) as result:
        wait_for(lambda: result.failed.get(kind, 0) > 1, f"what is {kind}")
    assert set(result.failed) == {kind}, result.failures
    assert all((failure.request, failure.worker) == ("plain", 7) for failure in result.failures)
    with pytest.raises(AssertionError, match=kind):
        result.check()
    result.check(lambda failure: failure.kind == kind)


def test_a_connection_that_is_refused_is_lost_or_the_end() -> None:
    def ends(to_the_end: bool) -> Result:
        with contextlib.ExitStack() as stack:
            with serving(says_close) as address:
                result = stack.enter_context(load(address, 2, 0.01, ("plain",), to_the_end))
            if to_the_end:
                result.ended()
            else:
                wait_for(lambda: "refused" in result.failed, "a refusal")
        return result

    # What waits to be accepted when a listener is closed is reset: this server does not care.
    ends(to_the_end=True).check(lambda failure: failure.kind == "reset")
    with pytest.raises(AssertionError, match="refused"):
        ends(to_the_end=False).check()
