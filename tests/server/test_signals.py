"""The table of signals, and the page made from it."""

import signal
from pathlib import Path

import pytest

from pyserve.server import signals
from pyserve.server.events import Dismiss, Fewer, Manner, More, Reload, Reopen, Stop, Upgrade

PAGE = Path(__file__).resolve().parents[2] / "docs" / "signals.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == signals.document(), "python -m pyserve.server.signals > docs/signals.md"


def test_no_signal_stands_in_the_table_twice():
    assert len(signals.BY_NUMBER) == len(signals.TABLE)


@pytest.mark.parametrize(
    ("number", "event"),
    [
        (signal.SIGTERM, Stop(Manner.GRACEFUL)),
        (signal.SIGINT, Stop(Manner.QUICK)),
        (signal.SIGQUIT, Stop(Manner.QUICK)),
        (signal.SIGHUP, Reload()),
        (signal.SIGTTIN, More()),
        (signal.SIGTTOU, Fewer()),
        (signal.SIGUSR1, Reopen()),
        (signal.SIGUSR2, Upgrade()),
        (signal.SIGCHLD, None),
        (signal.SIGWINCH, Dismiss()),
    ],
)
def test_what_the_master_makes_of_it(number, event):
    assert number in signals.HANDLED
    assert signals.BY_NUMBER[number].event == event


def test_a_fresh_worker_has_no_handler_of_the_master_left():
    assert set(signals.HANDLED) <= set(signals.WORKER_IGNORES) | set(signals.WORKER_DEFAULTS)
    assert not set(signals.WORKER_IGNORES) & set(signals.WORKER_DEFAULTS)


def test_what_gunicorn_calls_it():
    assert signals.short_name(signal.SIGTERM) == "term"
