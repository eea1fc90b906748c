"""Records to syslog, and a syslog that is not there or stands still."""

import logging
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyserve.workers.logs import syslog
from pyserve.workers.logs.syslog import SyslogHandler, formatter


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new attempt to connect need not wait."""
    monkeypatch.setattr(syslog, "_PAUSE", 0.0)


@pytest.fixture
def unix(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "log"))
        sock.settimeout(10)
        yield sock


def handler(address: str, facility: str = "user") -> SyslogHandler:
    made = SyslogHandler(address, facility)
    made.setFormatter(formatter("my.app", "error"))
    return made


def say(handler: SyslogHandler, text: str, level: int = logging.INFO) -> None:
    handler.handle(logging.LogRecord("gunicorn.error", level, "", 0, text, (), None))


@pytest.mark.parametrize("kind", ["", "#dgram"])
def test_a_unix_datagram(unix: socket.socket, kind: str) -> None:
    log = handler(f"unix://{unix.getsockname()}{kind}", "local7")
    say(log, "text", logging.ERROR)
    # facility 23 and severity 3 (RFC 5424 section 6.2.1)
    assert unix.recv(1000) == b"<%d>gunicorn.my.app.error: [%d] text\0" % (23 * 8 + 3, os.getpid())
    log.close()


def test_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10)
        log = handler(f"udp://127.0.0.1:{sock.getsockname()[1]}")
        say(log, "text")
        assert re.fullmatch(rb"<14>gunicorn\.my\.app\.error: \[\d+\] text\0", sock.recv(1000))
        log.close()


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_a_stream_begins_anew(tmp_path: Path, unix: bool) -> None:
    family = socket.AF_UNIX if unix else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind(str(tmp_path / "stream") if unix else ("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(10)
        name = listener.getsockname()
        log = handler(f"unix://{name}" if unix else f"tcp://127.0.0.1:{name[1]}")
        for number in range(2):
            say(log, f"first {number}")
            peer, _ = listener.accept()
            peer.settimeout(10)
            say(log, f"second {number}")
            got = b""
            while got.count(b"\0") < 2:
                got += peer.recv(1000)
            assert [part.rpartition(b"] ")[2] for part in got.split(b"\0")[:2]] == [
                b"first %d" % number,
                b"second %d" % number,
            ]
            peer.close()
            while log._socket is not None:
                say(log, "to nobody")
        log.close()


@pytest.mark.parametrize(
    "address", ["unix:///nowhere/log", "unix:///nowhere/log#stream", "tcp://127.0.0.1:1", "udp://127.0.0.1:1"]
)
def test_a_syslog_that_is_not_there(address: str) -> None:
    log = handler(address)
    for _ in range(3):
        say(log, "lost")
    log.close()


def test_one_that_comes_late(tmp_path: Path) -> None:
    path = tmp_path / "late"
    log = handler(f"unix://{path}")
    say(log, "lost")
    assert log.lost == 1
    for _ in range(2):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(str(path))
            sock.settimeout(10)
            say(log, "maybe")  # to the one before, which has gone
            say(log, "there")
            assert sock.recv(1000).endswith((b"maybe\0", b"there\0"))
        path.unlink()
    log.close()


def test_one_that_stands_still_makes_nobody_wait(tmp_path: Path) -> None:
    path = tmp_path / "still"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        log = handler(f"unix://{path}#stream")
        for _ in range(2000):
            say(log, "x" * 1000)
        assert log.lost > 1000
        assert len(log._waiting) <= syslog._KEPT
        log.close()


def test_a_name_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **more: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    for scheme in ("udp", "tcp"):
        log = handler(f"{scheme}://log.invalid:514")
        say(log, "lost")
        assert log.lost == 1


def test_a_child_has_a_stream_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "stream"))
        listener.listen()
        log = handler(f"unix://{tmp_path}/stream#stream")
        say(log, "one")
        mine = log._socket
        monkeypatch.setattr(os, "getpid", lambda: 1)
        say(log, "two")
        assert log._socket not in (None, mine)
        log.close()
