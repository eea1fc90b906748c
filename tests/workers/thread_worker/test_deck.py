"""What the connections and threads of one worker share, and what is made of the settings for it."""

from typing import Any

import pytest

from tests.workers.hands import serving
from tests.workers.serving import eventually, request


def hello(environ: dict[str, Any], start: Any) -> list[bytes]:
    start("200 OK", [("Content-Length", "5")])
    return [b"hello"]


@pytest.mark.parametrize(
    ("log", "format", "keeps"),
    [(True, "%(h)s %({REMOTE_ADDR}e)s", True), (True, "%(h)s", False), (False, "%({REMOTE_ADDR}e)s", False)],
)
def test_environs_are_kept_for_a_log_that_asks_for_them(tmp_path: Any, log: bool, format: str, keeps: bool) -> None:
    file = str(tmp_path / "access") if log else None
    with serving(hello, accesslog=file, access_log_format=format) as served:
        assert served.deck.keeps_environ is keeps


def test_settings_reach_what_is_shared() -> None:
    with serving(hello, keepalive=7.0, header_timeout=0.0, body_buffer_size=10, header_map="refuse") as served:
        deck = served.deck
        assert deck.deadlines.idle == 7.0
        assert deck.deadlines.head == float("inf")
        assert deck.application is hello


def test_one_table_for_all_threads() -> None:
    with serving(hello, 4) as served:
        clients = [served.connect() for _ in range(8)]
        for client in clients:
            client.send(request())
        for client in clients:
            assert client.response()[1] == b"hello"
        eventually(lambda: len(served.deck.table.parked) == 8)
        assert len(served.deck.table.open) == 8
        assert not served.deck.stopping
    assert served.deck.stopping
    assert not served.deck.table.open
