"""Fixtures of the tests that put real proxies in front."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.conftest import serve as serve
from tests.integration.server import Server

APPS = Path(__file__).with_name("apps")


@pytest.fixture
def behind(serve: Callable[..., Server]) -> Callable[..., Server]:
    """Start a server of an application in `apps`, as docs/deploy says: `behind("behind:wsgi", *options)`."""

    def start(app: str, *options: str, **more: object) -> Server:
        return serve(app, "--app-dir", str(APPS), "--keep-alive", "150", *options, **more)

    return start
