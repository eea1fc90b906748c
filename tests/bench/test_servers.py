import os
import tempfile

import pytest

from bench.servers import HOST, Server, cores, exchange, pyserve, running

STUB = Server("stub", "pytest", "http.server", "{port} --bind 127.0.0.1")


def test_a_server_runs_until_it_is_left() -> None:
    with tempfile.NamedTemporaryFile() as output:
        with running(STUB, output, cores()[0]) as run:
            assert os.sched_getaffinity(run.pid) == {cores()[0]}
            request = f"HEAD / HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode()
            assert exchange(run.port, request).startswith(b"HTTP/1.0 200 ")
        with pytest.raises(ProcessLookupError):
            os.kill(run.pid, 0)
        with pytest.raises(ConnectionRefusedError):
            exchange(run.port, request)


def test_one_that_does_not_start_says_why() -> None:
    wrong = Server("wrong", "pytest", "http.server", "{port} --no-such-option")
    with (
        tempfile.NamedTemporaryFile() as output,
        pytest.raises(RuntimeError, match="--no-such-option"),
        running(wrong, output),
    ):
        pass


def test_what_is_not_installed_has_no_version() -> None:
    assert Server("x", "no-such-distribution", "x", "").version() is None
    assert pyserve("pyserve", "").version()
