"""ASGI: the lifespan (spec 2.0)."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pyserve.protocol.asgi import Lifespan, Phase
from pyserve.protocol.errors import ApplicationError
from tests.protocol.asgi_peer import Running, Waiting, start

# lifespan


class Worker:
    """A driver of a lifespan."""

    def __init__(self, application: Callable[..., Any]) -> None:
        self.phases: list[Phase] = []
        self.state: dict[str, Any] = {}
        self.lifespan = Lifespan(application, self.state, self)
        self.running = Running(self.lifespan.run())

    def shutdown(self) -> Awaitable[None]:
        return Waiting("shutdown")

    def progressed(self) -> None:
        self.phases.append(self.lifespan.phase)

    @property
    def outcome(self) -> tuple[list[Phase], str]:
        return self.phases, self.lifespan.reason


def messages(*types: str, receive_first: bool = True) -> Callable[..., Any]:
    """An application that answers each message it receives with the next of these, in order."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        for kind in types:
            await receive()
            await send({"type": f"lifespan.{kind}", "message": "why"})

    return application


def test_a_lifespan() -> None:
    seen: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope))
        scope["state"]["db"] = "open"
        seen.append(await receive())
        await send({"type": "lifespan.startup.complete"})
        seen.append(await receive())
        scope["state"]["db"] = "closed"
        await send({"type": "lifespan.shutdown.complete"})

    worker = Worker(application)
    assert worker.running.waits_for == "shutdown"
    assert worker.phases == [Phase.STARTED]
    assert worker.state == {"db": "open"}
    worker.running.go_on()
    assert worker.running.done
    assert worker.outcome == ([Phase.STARTED, Phase.STOPPED], "")
    assert worker.state == {"db": "closed"}
    assert seen == [
        {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": worker.state},
        {"type": "lifespan.startup"},
        {"type": "lifespan.shutdown"},
    ]


def test_startup_fails() -> None:
    worker = Worker(messages("startup.failed"))
    assert worker.outcome == ([Phase.FAILED], "why")
    assert worker.lifespan.error is None


def test_startup_fails_and_the_application_raises_too() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await messages("startup.failed")(scope, receive, send)
        raise ValueError

    assert Worker(application).outcome == ([Phase.FAILED], "why")


def test_shutdown_fails() -> None:
    worker = Worker(messages("startup.complete", "shutdown.failed"))
    worker.running.go_on()
    assert worker.outcome == ([Phase.STARTED, Phase.FAILED], "why")


def test_an_application_without_lifespan_raises() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"

    worker = Worker(application)
    assert worker.phases == [Phase.UNSUPPORTED]
    assert isinstance(worker.lifespan.error, AssertionError)


def test_an_application_without_lifespan_raises_at_receive() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        raise ValueError(message["type"])

    worker = Worker(application)
    assert worker.outcome == ([Phase.UNSUPPORTED], "ValueError('lifespan.startup')")


def test_an_application_without_lifespan_returns() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        return

    worker = Worker(application)
    assert worker.phases == [Phase.UNSUPPORTED]
    assert worker.lifespan.error is None
    assert worker.lifespan.reason


def test_an_application_that_takes_everything_for_a_request_has_no_lifespan() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send(start())

    worker = Worker(application)
    assert isinstance(worker.lifespan.error, ApplicationError)
    assert worker.phases == [Phase.UNSUPPORTED]


def test_an_application_that_breaks_after_startup() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await messages("startup.complete")(scope, receive, send)
        raise ValueError("mine")

    worker = Worker(application)
    assert worker.outcome == ([Phase.STARTED, Phase.FAILED], "ValueError('mine')")


def test_an_application_that_returns_after_startup_is_done() -> None:
    assert Worker(messages("startup.complete")).phases == [Phase.STARTED, Phase.STOPPED]


def test_an_application_that_raises_after_shutdown_has_stopped_all_the_same() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await messages("startup.complete", "shutdown.complete")(scope, receive, send)
        raise ValueError

    worker = Worker(application)
    worker.running.go_on()
    assert worker.outcome == ([Phase.STARTED, Phase.STOPPED], "")


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_what_is_no_exception_passes_through(error: BaseException) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise error

    with pytest.raises(type(error)):
        Worker(application)


@pytest.mark.parametrize(
    "types",
    [
        ["shutdown.complete"],
        ["startup.complete", "startup.complete"],
        ["other"],
    ],
)
def test_lifespan_messages_out_of_order(types: list[str]) -> None:
    worker = Worker(messages(*types))
    if not worker.running.done:
        worker.running.go_on()
    assert isinstance(worker.lifespan.error, ApplicationError)
    assert worker.phases[-1] in (Phase.FAILED, Phase.UNSUPPORTED)
