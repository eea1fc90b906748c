"""What is said, and answered, when a request has taken longer than `--request-timeout`.

The time runs from the moment when the application is called, or would be if a thread were free, to the end of its
response: a stream counts as a whole, and so does a client that makes the application wait. What becomes of the request
depends on how far it has come:

    nothing has been sent     the client is answered 504, whatever the application does later
    the response has begun    it is broken off, so that nobody takes it for a whole one

An async task is cancelled. A thread cannot be: its stack is logged, and the worker asks to be replaced, which goes on
serving until then, and ends without waiting for the thread.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from typing import TYPE_CHECKING, Any, Final

from pyserve.protocol.errors import ProtocolError
from pyserve.workers.crew import request_line
from pyserve.workers.scoreboard import TIMEOUTS_REQUEST

if TYPE_CHECKING:
    from pyserve.protocol.exchange import Exchange
    from pyserve.workers.crew import Crew

UNHEEDED: Final = 2.0
"""Seconds after which a task that goes on although it was cancelled is told of."""


def too_long() -> ProtocolError:
    """What the client is answered."""
    return ProtocolError(504, "the application took too long (RFC 9110 section 15.6.5)")


def answer_for(exchange: Exchange, crew: Crew) -> bytes:
    """The whole response, made without touching the exchange's wire, which a thread may have; the exchange is set for
    the access log."""
    error = too_long()
    with_content = exchange.method != "HEAD"
    exchange.status = error.status
    exchange.body_sent = len(error.text) + 1 if with_content else 0
    return crew.config.refusal(error, with_content=with_content)


def log_overdue(crew: Crew, exchange: Exchange, words: memoryview[int], stack: str) -> None:
    """Count and tell it. words: the counters of the calling thread. stack: where the application is."""
    words[TIMEOUTS_REQUEST] += 1
    limit = crew.settings.request_timeout
    crew.log.error("Request took longer than %g s: %s\n%s", limit, request_line(exchange), stack.rstrip())


def stack_of_thread(ident: int) -> str:
    """Where a thread is, as a traceback has it."""
    frame = sys._current_frames().get(ident)
    return "".join(traceback.format_stack(frame)) if frame is not None else "  its thread has ended"


def stack_of_task(task: asyncio.Future[Any] | None) -> str:
    """Where a task waits: the frames of the coroutines that await each other, the innermost last."""
    lines: list[str] = []
    waits = task.get_coro() if isinstance(task, asyncio.Task) else None
    while waits is not None:
        frame = getattr(waits, "cr_frame", None) or getattr(waits, "gi_frame", None)
        if frame is not None:
            lines += traceback.format_stack(frame, limit=1)
        waits = getattr(waits, "cr_await", None) or getattr(waits, "gi_yieldfrom", None)
    return "".join(lines) or "  it waits for nothing"
