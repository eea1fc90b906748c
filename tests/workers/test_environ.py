import os
import socket
import sys
from pathlib import Path

import pytest

from pyserve.workers.environ import Surroundings, Templates, error_stream
from pyserve.workers.logs.error_log import ErrorLog

SURROUNDINGS = Surroundings("/mount", sys.stderr, True, False)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_connection(host: str) -> None:
    with (
        socket.create_server((host, 0)) as listener,
        socket.create_connection(("127.0.0.1", listener.getsockname()[1])) as client,
    ):
        connection, address = listener.accept()
        with connection:
            template = Templates(listener, SURROUNDINGS).make(connection, address)
        assert template["SERVER_NAME"] == "127.0.0.1"
        assert template["SERVER_PORT"] == str(listener.getsockname()[1])
        assert (template["REMOTE_ADDR"], template["REMOTE_PORT"]) == ("127.0.0.1", str(client.getsockname()[1]))
        assert template["SCRIPT_NAME"] == "/mount"
        assert template["wsgi.multithread"] is True
        assert template["wsgi.multiprocess"] is template["wsgi.run_once"] is False


def test_a_unix_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        client.connect(str(tmp_path / "socket"))
        connection, address = listener.accept()
        with connection:
            template = Templates(listener, SURROUNDINGS).make(connection, address)
    assert (template["REMOTE_ADDR"], template["REMOTE_PORT"]) == ("", "")
    assert (template["SERVER_NAME"], template["SERVER_PORT"]) == ("localhost", "80")  # neither may be empty (PEP 3333)


def test_errors_go_where_the_log_goes(tmp_path: Path) -> None:
    log = ErrorLog(str(tmp_path / "log"))
    stream = error_stream(log)
    print("caf\N{LATIN SMALL LETTER E WITH ACUTE}", file=stream)
    stream.writelines(["two", " words\n"])
    stream.flush()
    assert (tmp_path / "log").read_bytes() == b"caf\xc3\xa9\ntwo words\n"
    os.rename(tmp_path / "log", tmp_path / "old")
    log.reopen()
    print("after", file=stream)
    assert (tmp_path / "log").read_text() == "after\n"
    stream.close()
    log.error("still open")
    log.close()


def test_errors_on_stderr() -> None:
    assert error_stream(ErrorLog()) is sys.stderr
