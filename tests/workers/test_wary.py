"""Requests that are written down before the application gets them."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pyserve.workers import wary, witness
from pyserve.workers.application import Application
from pyserve.workers.scoreboard import Scoreboard, Slot


def a_crew(callable: Any, interface: Any) -> Any:
    request = SimpleNamespace(method="GET", target=b"/poison", arrived=1.0)
    context = SimpleNamespace(slot=Scoreboard(1, 1).slot(0))
    application = Application(callable, interface, "main:app")
    crew: Any = SimpleNamespace(context=context, application=application, in_progress=lambda: [request])
    wary.make_wary(crew)
    return crew


def named(slot: Slot) -> list[str]:
    note = witness.read(slot)
    return [] if note is None else [request for _, request in note.named]


def test_wsgi() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        assert (environ, start_response) == (1, 2)
        return named(crew.context.slot)

    crew = a_crew(app, "wsgi")
    assert crew.application.callable(1, 2) == ["GET /poison"]


@pytest.mark.parametrize(("kind", "found"), [("http", ["GET /poison"]), ("lifespan", [])])
def test_asgi(kind: str, found: list[str]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (receive, send) == (1, 2)
        assert named(crew.context.slot) == found
        called.append(scope["type"])

    called: list[str] = []
    crew = a_crew(app, "asgi")
    asyncio.run(crew.application.callable({"type": kind}, 1, 2))
    assert called == [kind]


def test_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wary, "TIME", 0)
    crew = a_crew(lambda environ, start_response: named(crew.context.slot), "wsgi")
    assert crew.application.callable(1, 2) == []


def test_what_cannot_be_looked_at_is_no_error() -> None:
    def changed() -> Any:
        raise RuntimeError("dictionary changed size during iteration")

    crew = a_crew(lambda environ, start_response: named(crew.context.slot), "wsgi")
    crew.in_progress = changed
    assert crew.application.callable(1, 2) == []
