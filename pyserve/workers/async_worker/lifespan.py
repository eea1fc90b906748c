"""The lifespan of an ASGI application under the async worker (ASGI lifespan 2.0)."""

import asyncio
import traceback
from typing import Any, Literal

from pyserve.protocol.asgi import Application, Lifespan, Phase
from pyserve.workers.logs.error_log import ErrorLog


class LifespanFailure(Exception):
    """The application must not be served; the text says why."""


class LifespanRunner:
    """Runs the application's lifespan as a task beside the requests (`protocol.asgi.LifespanDriver`).

    mode: "auto" serves an application that does not take part, "on" does not. state: what the application left for its
    requests; None when it takes no part.
    """

    def __init__(self, application: Application, mode: Literal["auto", "on"], log: ErrorLog) -> None:
        self._mode = mode
        self._log = log
        self._stop = asyncio.Event()
        self._progress = asyncio.Event()
        self._state: dict[str, Any] = {}
        self._lifespan = Lifespan(application, self._state, self)
        self._task: asyncio.Task[None] | None = None
        self._started = False

    @property
    def state(self) -> dict[str, Any] | None:
        return self._state if self._started else None

    @property
    def starting(self) -> bool:
        """Whether the application has not said yet how its startup went."""
        return not self._progress.is_set()

    async def shutdown(self) -> None:
        await self._stop.wait()

    def progressed(self) -> None:
        self._progress.set()

    async def start(self) -> None:
        """Wait until the application has started. Raises `LifespanFailure`."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="lifespan")
        await self._progress.wait()
        lifespan = self._lifespan
        if lifespan.phase is Phase.UNSUPPORTED:
            if self._mode == "on":
                self._log_error()
                raise LifespanFailure(f"the application does not support lifespan: {lifespan.reason}")
            self._log.debug("The application takes no part in lifespan: %s", lifespan.reason)
        elif lifespan.phase is Phase.FAILED:
            self._log_error()
            raise LifespanFailure(f"lifespan startup failed: {lifespan.reason or 'no reason given'}")
        else:
            self._started = True

    def shut_down(self) -> asyncio.Task[None] | None:
        """Ask the application to shut down; what to wait for, None when it never began."""
        self._stop.set()
        return self._task

    async def _run(self) -> None:
        try:
            await self._lifespan.run()
        except BaseException:
            pass  # `phase` tells; SystemExit and the like would end the loop
        if self._started and self._lifespan.phase is Phase.FAILED:
            self._log.error("The application's lifespan failed: %s", self._lifespan.reason or "no reason given")
            self._log_error()
        self._progress.set()

    def _log_error(self) -> None:
        error = self._lifespan.error
        if error is not None:
            self._log.error("Exception in lifespan\n%s", "".join(traceback.format_exception(error)))
