"""The ways of serving for tests that start a server each: every kind of worker, the default parser."""

import pytest

_WAYS = {
    "sync": ("plain_wsgi", ("--worker-class", "sync")),
    "threads": ("plain_wsgi", ("--worker-class", "sync", "--threads", "4")),
    "async-wsgi": ("plain_wsgi", ("--worker-class", "async", "--threads", "4")),
    "async": ("plain_asgi:app", ()),
    "asyncio": ("plain_asgi:app", ("--loop", "asyncio")),
}


def _ways(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("app", "options"), [_WAYS[name] for name in names], ids=names)


WAYS = _ways(*_WAYS)
FEW = _ways("sync", "threads", "async")
WSGI_WAYS = _ways("sync", "threads", "async-wsgi")
BOTH = pytest.mark.parametrize("app", ["plain_wsgi", "plain_asgi:app"])
