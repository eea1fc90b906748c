"""The async worker's process: one event loop, its listeners, the lifespan, and the way to the end.

    lifespan startup -> accept -> serve -> drain -> lifespan shutdown -> exit

Draining: no new connections but those that wait already, a last request on each, idle ones kept for `drain_idle`; what
is not done after `graceful_timeout` is cut off. A quick stop cuts everything off at once. The lifespan is shut down in
either case.

The loop's own turn writes the heartbeat: an application that blocks it for longer than `timeout` makes the worker
silent, and the master ends it. A thread beside it (`watcher`) says what it was doing.
"""

import asyncio
import select
import socket
import traceback
from collections.abc import Callable, Coroutine
from functools import partial
from time import monotonic, monotonic_ns, time
from typing import Any, NamedTuple, TypeVar, cast

from pyserve.workers.accepting import LAST_CALL, LAST_CALL_OF_ALL, SETTLE
from pyserve.workers.async_worker.acceptor import Acceptor, Factory
from pyserve.workers.async_worker.lane import Lane
from pyserve.workers.async_worker.lifespan import LifespanFailure, LifespanRunner
from pyserve.workers.async_worker.registry import Door, Registry
from pyserve.workers.async_worker.stream import Stream
from pyserve.workers.async_worker.watcher import Watcher
from pyserve.workers.crew import BootError, Crew, Phase
from pyserve.workers.proxies import greetings_of

_T = TypeVar("_T")
_Kind = TypeVar("_Kind", bound=Stream)

_TURNS = 4  # of the loop, within which a connection that was accepted is made, and one that was closed is lost


class Patience(NamedTuple):
    """Seconds for what is left at the end: cancelled requests, the lifespan's shutdown, and the application's tasks."""

    requests: float
    lifespan: float
    rest: float


# Together less than the master waits: five seconds past `graceful_timeout`, two after INT or QUIT.
_AT_THE_END = Patience(1.5, 2.0, 0.5)
_AT_ONCE = Patience(0.5, 0.8, 0.3)


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    """Make the event loop that `--loop` asks for: uvloop, or asyncio's where that is missing and not demanded."""
    if kind != "asyncio":
        try:
            import uvloop
        except ImportError:
            if kind == "uvloop":
                raise
        else:
            return uvloop.new_event_loop()
    return asyncio.new_event_loop()


def _registry(crew: Crew) -> type[Registry]:
    if not crew.settings.limit_concurrency:
        return Registry
    from pyserve.workers.async_worker.limited_stream import LimitedRegistry

    return LimitedRegistry


def _mix(*kinds: type[Stream]) -> Any:
    """One class made of several."""
    return type(kinds[-1].__name__, kinds, {"__slots__": ()})


class AsyncWorker:
    """Serves until it is told to stop. loop: the event loop, made but not yet running."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._log = crew.log
        self._settings = crew.settings
        self._slot = crew.context.slot
        self.loop = new_loop(crew.settings.loop)
        self._changed = asyncio.Event()  # the crew's phase, a connection's end or a task's
        self._registry = _registry(crew)(self.loop, crew, self._changed.set)
        self._lifespan: LifespanRunner | None = None
        self._stop_pool: Callable[[], None] | None = None

    def run(self) -> int:
        """Serve; return the exit code of the process."""
        loop, crew = self.loop, self._crew
        asyncio.set_event_loop(loop)
        loop.set_exception_handler(self._report)
        watcher = Watcher(self._slot, self._registry.busy_with, crew.pulse)
        watcher.start()
        try:
            crew.handle_signals(self._wake)
            crew.initialised()
            code = self._complete(self._serve())
            self._complete(self._clean_up())
            return code
        finally:
            watcher.stop()
            asyncio.set_event_loop(None)
            loop.close()

    def _complete(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run the loop until the coroutine has ended, whatever the application's own tasks and callbacks raise."""
        task = self.loop.create_task(coroutine)
        while True:
            try:
                return self.loop.run_until_complete(task)
            except (SystemExit, KeyboardInterrupt) as error:
                if task.done():
                    raise
                self._log.error("The application raised %r outside of a request; the worker goes on", error)

    async def _serve(self) -> int:
        """From startup to shutdown; return the exit code."""
        crew = self._crew
        self.loop.add_reader(crew.context.master_fd, self._master_died)
        self._tick()
        try:
            await self._start_lifespan()
        except LifespanFailure as failure:
            raise BootError(str(failure)) from None
        code = await self._accept() if crew.phase is Phase.RUNNING else 0
        await self._stop_lifespan()
        return code

    async def _accept(self) -> int:
        """From the first connection to the last; return 1 if some were cut off, else 0."""
        crew = self._crew
        lane = self._registry.lane = Lane(self.loop) if hasattr(select, "epoll") else None
        acceptor = self._registry.acceptor = self._acceptor()
        crew.choose_access_log()
        await acceptor.open()
        crew.ready()
        self._scan()
        while crew.phase is Phase.RUNNING:
            await self._change()
        if crew.phase is Phase.DRAINING:
            await self._drain(acceptor)
        acceptor.close()
        late = crew.phase is Phase.DRAINING and self._busy()
        if late:
            limit = crew.settings.graceful_timeout
            self._log.warning("Requests did not finish within %g s and are cut off", limit)
        await self._cut()
        if lane is not None:
            lane.close()
        return int(late)

    # The beginning

    async def _start_lifespan(self) -> None:
        mode = self._settings.lifespan
        if mode == "off" or self._crew.application.interface != "asgi":
            return
        self._lifespan = LifespanRunner(self._crew.application.callable, mode, self._log)
        starting = self.loop.create_task(self._lifespan.start())
        while not starting.done():
            await self._ended_or_changed(starting)
            if self._crew.phase is not Phase.RUNNING:
                starting.cancel()
                return
        starting.result()
        self._registry.state = self._lifespan.state

    def _acceptor(self) -> Acceptor:
        settings = self._settings
        make = self._wsgi_doors if self._crew.application.interface == "wsgi" else self._asgi_doors
        doors = [(listener, self._greeted(self._encrypted(factory))) for listener, factory in make()]
        return Acceptor(doors, settings.backlog, self._crew.connections, self._registry, self._log.warning)

    def _encrypted(self, factory: Factory) -> Factory:
        """The factory, or with TLS one that puts it behind."""
        certificates = self._crew.certificates
        if certificates is None:
            return factory
        from pyserve.workers.async_worker.tls_link import TlsLink

        make = cast(Callable[[], Stream], factory)
        return partial(TlsLink, certificates, make, strict=not self._settings.suppress_ragged_eofs)

    def _greeted(self, factory: Factory) -> Factory:
        """The factory, or one that reads a PROXY header first."""
        greetings = greetings_of(self._settings)
        if greetings is None:
            return factory
        from pyserve.workers.async_worker.proxy_link import ProxyLink

        return partial(ProxyLink, greetings, cast(Callable[[], Stream], factory))

    # Only what the application needs is loaded.

    def _asgi_doors(self) -> list[tuple[socket.socket, Factory]]:
        from pyserve.workers.async_worker.asgi_stream import AsgiStream

        kind = AsgiStream
        if self._crew.request_hooks is not None:
            from pyserve.workers.async_worker.hooked_stream import HookedAsgiStream as kind
        if self._settings.request_timeout:
            from pyserve.workers.async_worker.timed_stream import TimedAsgiStream

            kind = _mix(TimedAsgiStream, kind)
        registry = self._registry
        listeners = self._crew.context.listeners
        kind = self._limited(kind)
        if self._settings.ws != "none":
            from pyserve.workers.async_worker.websocket_stream import equip

            equip(registry, kind)
        return [(listener, partial(kind, registry, Door(listener))) for listener in listeners]

    def _wsgi_doors(self) -> list[tuple[socket.socket, Factory]]:
        from pyserve.workers.async_worker.wsgi_stream import Hall, WsgiStream
        from pyserve.workers.environ import Surroundings, Templates, error_stream

        registry = self._registry
        settings = self._settings
        hall = Hall(settings, self._crew.request_hooks)
        self._stop_pool = hall.pool.stop
        if registry.lane is not None:
            registry.lane.threads_work = hall.pool.works
        multiprocess = self._crew.context.multiprocess
        surroundings = Surroundings(settings.root_path, error_stream(self._log), hall.pool.size > 1, multiprocess)
        kind = WsgiStream
        if settings.request_timeout:
            from pyserve.workers.async_worker.timed_stream import TimedCall
            from pyserve.workers.async_worker.timed_stream import TimedWsgiStream as kind

            hall.call = TimedCall
        kind = self._limited(kind)
        return [
            (listener, partial(kind, registry, Door(listener), hall, Templates(listener, surroundings)))
            for listener in self._crew.context.listeners
        ]

    def _limited(self, kind: type[_Kind]) -> type[_Kind]:
        """The class of streams, or with `--limit-concurrency` one made of it."""
        if not self._settings.limit_concurrency:
            return kind
        from pyserve.workers.async_worker.limited_stream import LimitedStream

        return cast(type[_Kind], _mix(LimitedStream, kind))

    # The end

    async def _drain(self, acceptor: Acceptor) -> None:
        """Finish what has begun; return when nothing is left, or when no more time is."""
        crew = self._crew
        self._registry.deadlines.retire(crew.drained_since, crew.drain_idle)
        if crew.is_last:
            acceptor.last_call()
        self._last_accepts(acceptor)
        if self._registry.websockets is not None:
            self._registry.websockets.retire()
        self.loop.call_later(crew.stream_grace, self._disconnect_streams)
        while crew.phase is Phase.DRAINING and not (acceptor.closed and await self._drained()):
            if crew.grace_over:
                return
            await self._change(self._drains_until)

    def _disconnect_streams(self) -> None:
        """Streams have had their time: the application is to end them, also those that begin later."""
        if self._crew.phase is Phase.DRAINING:
            for stream in self._registry.streams:
                stream.take_leave()
            self.loop.call_later(self._crew.pulse, self._disconnect_streams)

    def _last_accepts(self, acceptor: Acceptor) -> None:
        """Stop accepting once nobody waits: where no other worker has the listener, whoever waits would be reset."""
        waited = monotonic() - self._crew.drained_since
        alone = self._crew.is_last
        waits = acceptor.unmade or acceptor.waiting() or (alone and waited < SETTLE)
        if waits and waited < (LAST_CALL_OF_ALL if alone else LAST_CALL):
            self.loop.call_later(0.01, self._last_accepts, acceptor)
        else:
            acceptor.close()
            self._changed.set()

    async def _drained(self) -> bool:
        """Whether nothing is left, also no connection that the loop has accepted and not made yet."""
        registry = self._registry
        for _ in range(_TURNS):
            if registry.streams or registry.tasks:
                return False
            await asyncio.sleep(0)
        return not registry.streams and not registry.tasks

    def _busy(self) -> bool:
        """Whether more is left than idle connections, which nobody misses."""
        registry = self._registry
        return bool(registry.tasks) or any(stream.busy for stream in registry.streams)

    async def _cut(self) -> None:
        """End what still runs: connections at once, tasks as fast as they take a cancellation."""
        registry = self._registry
        if registry.acceptor is not None and registry.acceptor.unmade:
            await self._turns()
        for stream in tuple(registry.streams):
            stream.cut_off()
        for exchange in registry.tasks:
            exchange.gone = True  # a task that is due may meet its cancellation before the transport tells its loss
        tasks = tuple(registry.tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=self._patience.requests)
            if pending:
                self._log.error("%d requests did not end when they were cancelled", len(pending))
        await self._turns()
        if registry.streams:  # accepted in the last moment, and made since
            for stream in tuple(registry.streams):
                stream.transport.abort()
            await self._turns()

    async def _turns(self) -> None:
        """Let the loop make what it has accepted, and lose what was closed."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    async def _stop_lifespan(self) -> None:
        """Let the application shut down, within what is left of `graceful_timeout`; quickly if it comes to that. One
        that is still starting need not get ready for that first."""
        lifespan = self._lifespan
        task = lifespan.shut_down() if lifespan is not None else None
        if lifespan is not None and task is not None and lifespan.starting:
            task.cancel()
            await asyncio.wait((task,), timeout=self._patience.rest)
            return
        begun = monotonic()
        while task is not None and not task.done():
            until: float | None = begun + self._patience.lifespan
            if self._crew.phase is Phase.DRAINING:
                until = self._drains_until and max(self._drains_until, begun + self._patience.lifespan)
            if until is not None and monotonic() >= until:
                self._log.error("Lifespan shutdown took longer than %.1f s and was cancelled", until - begun)
                task.cancel()
                await asyncio.wait((task,), timeout=self._patience.rest)
                return
            await self._ended_or_changed(task, until)

    async def _clean_up(self) -> None:
        """Cancel what the application has left running, and let its asynchronous generators finish."""
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest, timeout=self._patience.rest)
        generators = self.loop.create_task(self.loop.shutdown_asyncgens())
        await asyncio.wait((generators,), timeout=self._patience.rest)
        if self._stop_pool is not None:
            self._stop_pool()

    @property
    def _patience(self) -> Patience:
        return _AT_ONCE if self._crew.phase is Phase.QUITTING else _AT_THE_END

    @property
    def _drains_until(self) -> float | None:
        limit = self._settings.graceful_timeout
        return self._crew.drained_since + limit if limit else None

    def _master_died(self) -> None:
        self.loop.remove_reader(self._crew.context.master_fd)
        self._crew.master_died()

    def _wake(self) -> None:
        """The crew's phase has changed; called from any thread or signal handler."""
        try:
            self.loop.call_soon_threadsafe(self._changed.set)
        except RuntimeError:
            pass  # the loop is closed: nobody is left to be woken

    # The clock

    def _tick(self) -> None:
        """Just after each second has changed, and oftener for a short `timeout`: the heartbeat and the Date field."""
        self._slot.heartbeat = monotonic_ns()
        self._crew.tick(time())
        self.loop.call_later(min(1.001 - time() % 1, self._crew.pulse), self._tick)

    def _scan(self) -> None:
        registry = self._registry
        pause = registry.deadlines.step
        try:
            pause = registry.check(monotonic())
        finally:
            self.loop.call_later(pause, self._scan)

    async def _change(self, until: float | None = None) -> None:
        """Wait until something has ended or the phase has changed, at most until a time of the monotonic clock."""
        try:
            async with asyncio.timeout(None if until is None else until - monotonic()):
                await self._changed.wait()
        except TimeoutError:
            pass
        self._changed.clear()

    async def _ended_or_changed(self, task: asyncio.Task[None], until: float | None = None) -> None:
        """Wait as `_change` does, or until a task has ended."""
        change = self.loop.create_task(self._change(until))
        await asyncio.wait((task, change), return_when=asyncio.FIRST_COMPLETED)
        change.cancel()

    def _report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what the loop could not tell anybody else, such as the exception of a task that nobody awaits."""
        error = context.get("exception")
        if error is None:
            self._log.error("%s", context["message"])
        else:
            self._log.error("%s\n%s", context["message"], "".join(traceback.format_exception(error)).rstrip())
