"""Signals as numbers that the loop reads."""

import contextlib
import os
import select
import signal
import threading

import pytest

from pyserve.server import signals
from pyserve.server.wakeup import Interrupted, Wakeup, blocked


@pytest.fixture
def wakeup():
    before = {number: signal.getsignal(number) for number in signals.HANDLED}
    wakeup = Wakeup()
    wakeup.install()
    yield wakeup
    wakeup.close()
    assert {number: signal.getsignal(number) for number in signals.HANDLED} == before
    assert signal.set_wakeup_fd(-1) == -1


def tell_us(number: signal.Signals) -> None:
    """Send it to this thread: other threads, which the test runner may have, have blocked nothing."""
    signal.pthread_kill(threading.get_ident(), number)


def readable(wakeup: Wakeup) -> bool:
    return bool(select.select([wakeup], [], [], 0)[0])


def test_numbers_arrive_in_order(wakeup):
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGTTIN, signal.SIGCHLD):
        tell_us(number)
    assert readable(wakeup)
    assert wakeup.read() == [signal.SIGHUP, signal.SIGTERM, signal.SIGTTIN, signal.SIGCHLD]
    assert wakeup.read() == []
    assert not readable(wakeup)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_stop_signal_interrupts_what_may_be_interrupted(wakeup, number):
    with pytest.raises(Interrupted), wakeup.interruptible():
        tell_us(number)
    assert wakeup.interrupted is number
    assert wakeup.stop_waits() is number
    assert wakeup.read() == [number]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_stop_signal_from_before_interrupts_it_at_once(wakeup, number):
    tell_us(signal.SIGHUP)
    tell_us(number)
    begun = []
    with pytest.raises(Interrupted), wakeup.interruptible():
        begun.append(True)
    assert not begun
    assert wakeup.interrupted is number
    assert wakeup.read() == [signal.SIGHUP, number]


def test_a_stop_signal_interrupts_nothing_else(wakeup):
    with wakeup.interruptible():
        pass
    tell_us(signal.SIGTERM)
    assert wakeup.interrupted is None
    assert wakeup.stop_waits() is signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGWINCH])
def test_other_signals_wait(wakeup, number):
    with wakeup.interruptible():
        tell_us(number)
    assert wakeup.interrupted is None
    assert wakeup.stop_waits() is None
    assert wakeup.read() == [number]


def test_an_interruption_that_somebody_swallowed_is_remembered(wakeup):
    with pytest.raises(Interrupted), wakeup.interruptible(), contextlib.suppress(BaseException):
        tell_us(signal.SIGTERM)


def test_what_the_life_before_has_not_read_is_read_in_the_next(wakeup):
    tell_us(signal.SIGTTIN)
    tell_us(signal.SIGTTIN)
    heir = Wakeup((os.dup(wakeup.ends[0]), os.dup(wakeup.ends[1])))
    try:
        assert heir.read() == [signal.SIGTTIN, signal.SIGTTIN]
    finally:
        heir.close()


def test_blocked_signals_come_afterwards(wakeup):
    with blocked():
        tell_us(signal.SIGHUP)
        assert wakeup.read() == []
    assert wakeup.read() == [signal.SIGHUP]


def test_a_signal_that_came_while_it_was_blocked_is_not_lost():
    """As at the beginning of a master's next life."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals.HANDLED)
    wakeup = Wakeup()
    try:
        tell_us(signal.SIGHUP)
        wakeup.install()
        assert wakeup.read() == [signal.SIGHUP]
    finally:
        wakeup.close()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_child_gets_signals_of_its_own(wakeup):
    """A signal for the child, sent as early as can be, must not reach the parent's socket."""
    with blocked():
        pid = os.fork()
        if pid == 0:
            tell_us(signal.SIGTERM)
            wakeup.leave_to_child()
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
    assert signal.SIGTERM not in wakeup.read()


def test_what_a_fresh_worker_ignores(wakeup):
    with blocked():
        pid = os.fork()
        if pid == 0:
            wakeup.leave_to_child()
            for number in signals.WORKER_IGNORES:
                tell_us(number)
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert wakeup.read() in ([], [signal.SIGCHLD])
