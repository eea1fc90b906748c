"""How the servers of these tests serve, and how they are asked."""

from pathlib import Path

import pytest

APPS = Path(__file__).with_name("apps")
_WAYS = {
    "sync": ("lossless_wsgi", ("--worker-class", "sync", "--threads", "4")),
    "async-wsgi": ("lossless_wsgi", ("--worker-class", "async", "--threads", "4")),
    "async": ("lossless_asgi:app", ()),
}

WAYS = pytest.mark.parametrize(
    ("app", "options"),
    [(app, ("--app-dir", str(APPS), "--workers", "2", *options)) for app, options in _WAYS.values()],
    ids=list(_WAYS),
)


def one_way(*names: str) -> pytest.MarkDecorator:
    """Only this one of them, or these."""
    chosen = [_WAYS[name] for name in names]
    found = [(app, ("--app-dir", str(APPS), "--workers", "2", *options)) for app, options in chosen]
    return pytest.mark.parametrize(("app", "options"), found, ids=names)


BUSY, PAUSING = 0.0, 0.02  # seconds between a response and the next request
