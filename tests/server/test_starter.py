"""Who has started the server: process 1 of a container that keeps signals to itself, and what follows from it."""

import os

import pytest

from pyserve.server.starter import deaf_shell, remarks
from pyserve.settings import Settings

DEAF = "0000000000010002"  # what dash handles while it waits for a command
HANDLES_TERM = "0000000000014002"


def proc(path, cmdline: tuple[str, ...], caught: str = DEAF):
    (path / "1").mkdir()
    (path / "1" / "cmdline").write_bytes(b"".join(part.encode() + b"\0" for part in cmdline))
    (path / "1" / "status").write_text(f"Name:\tx\nSigIgn:\t0000000000000000\nSigCgt:\t{caught}\n")
    return path


@pytest.mark.parametrize(
    ("cmdline", "caught", "expected"),
    [
        (("/bin/sh", "-c", "prepare; pyserve app"), DEAF, "sh"),
        (("bash", "/entrypoint.sh"), DEAF, "bash"),
        (("/bin/busybox", "sh", "-c", "pyserve app; true"), DEAF, "busybox"),
        (("/bin/sh", "-c", "trap 'kill $!' TERM; pyserve app & wait"), HANDLES_TERM, None),
        (("bash",), DEAF, None),
        (("/sbin/tini", "--", "pyserve", "app"), DEAF, None),
        (("/usr/bin/python3", "-m", "pyserve", "app"), DEAF, None),
    ],
)
def test_process_1(tmp_path, cmdline, caught, expected):
    assert deaf_shell(proc(tmp_path, cmdline, caught)) == expected


def test_without_proc(tmp_path):
    assert deaf_shell(tmp_path) is None


def test_remarks(monkeypatch, tmp_path):
    monkeypatch.setattr("pyserve.server.starter._PROC", proc(tmp_path, ("sh", "-c", "pyserve; true")))
    assert list(remarks(Settings(), titled=False)) == []
    assert "setproctitle" in next(remarks(Settings(proc_name="a"), titled=False))
    assert list(remarks(Settings(proc_name="a"), titled=True)) == []
    monkeypatch.setattr(os, "getppid", lambda: 1)
    (line,) = remarks(Settings(), titled=True)
    assert line.startswith("Process 1 is sh, which keeps SIGTERM to itself")
    assert "\n" not in line
    monkeypatch.undo()
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert list(remarks(Settings(daemon=True), titled=True)) == [
        "--daemon has no effect on process 1: the container would end with it"
    ]
