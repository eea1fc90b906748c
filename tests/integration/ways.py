"""The ways of serving for tests that start a server each: every kind of worker, the default parser."""

import pytest

WAYS = pytest.mark.parametrize(
    ("app", "options"),
    [
        ("plain_wsgi", ("--worker-class", "sync")),
        ("plain_wsgi", ("--worker-class", "sync", "--threads", "4")),
        ("plain_wsgi", ("--worker-class", "async", "--threads", "4")),
        ("plain_asgi:app", ()),
        ("plain_asgi:app", ("--loop", "asyncio")),
    ],
    ids=["sync", "threads", "async-wsgi", "async", "asyncio"],
)
BOTH = pytest.mark.parametrize("app", ["plain_wsgi", "plain_asgi:app"])
