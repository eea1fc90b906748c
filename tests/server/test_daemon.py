"""Detaching from the terminal, and how the process that stays behind learns of success and failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PATIENCE = 20.0

SCRIPT = """
import os, sys, time
from pathlib import Path
from pyserve.server.daemon import detach
print("before", flush=True)
sys.stdout.write("kept in the buffer")
detached = detach()
here = Path({here!r})
print("after", flush=True)
{act}
(here / "told").write_text(" ".join(map(str, (
    os.getpid(), os.getsid(0), os.getppid(), oct(os.umask(0)),
    *(os.readlink(f"/proc/self/fd/{{fd}}") for fd in (0, 1, 2)), sorted(map(int, os.listdir("/proc/self/fd")))[:4],
))))
os.rename(here / "told", here / "done")
"""


def run(here: Path, act: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run it with `act` after the detachment: how the command ended, and what the process that went on has found."""
    script = SCRIPT.format(here=str(here), act=act)
    with open(here / "out", "w") as out:
        done = subprocess.run(
            [sys.executable, "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            timeout=PATIENCE,
            check=False,
        )
    return done, (here / "done").read_text().split() if (here / "done").exists() else []


WAIT = "\nwhile not (here / 'go').exists(): time.sleep(0.01)\n"


@pytest.mark.parametrize(("keep", "where"), [(False, "/dev/null"), (True, "out")])
def test_success(tmp_path, keep, where):
    """The command ends as soon as it is told so; what goes on has a session of its own and lets go of the output."""
    done, _ = run(tmp_path, f"detached.succeed(keep_output={keep}){WAIT}")
    assert done.returncode == 0
    assert (tmp_path / "out").read_text() == "before\nkept in the bufferafter\n"
    (tmp_path / "go").touch()
    while not (tmp_path / "done").exists():
        os.sched_yield()
    pid, session, parent, umask, *streams = (tmp_path / "done").read_text().split(" ", 7)
    assert session not in (pid, str(os.getsid(0)))
    assert parent != str(os.getpid())
    assert umask == "0o22"
    assert streams[0] == "/dev/null"
    assert all(stream.endswith(where) for stream in streams[1:3])
    assert streams[3].startswith("[0, 1, 2, 3]")  # 3 is that of the directory that is read


def test_failure(tmp_path):
    done, _ = run(tmp_path, "detached.fail(4); detached.fail(5); os._exit(4)")
    assert done.returncode == 4


def test_a_death_without_a_word(tmp_path):
    done, _ = run(tmp_path, "os.kill(os.getpid(), 9)")
    assert done.returncode == 255


def test_failure_after_success_is_only_the_servers(tmp_path):
    done, _ = run(tmp_path, "detached.succeed(keep_output=True); detached.fail(1); os._exit(1)")
    assert done.returncode == 0


def test_a_terminal_is_not_kept(tmp_path):
    """Even with --enable-stdio-inheritance: it will be gone when its user logs out."""
    primary, secondary = os.openpty()
    script = SCRIPT.format(here=str(tmp_path), act="detached.succeed(keep_output=True)")
    with open(tmp_path / "err", "w") as err:
        done = subprocess.run(
            [sys.executable, "-c", script], stdin=secondary, stdout=secondary, stderr=err, timeout=PATIENCE, check=False
        )
    assert done.returncode == 0
    while not (tmp_path / "done").exists():
        os.sched_yield()
    streams = (tmp_path / "done").read_text().split(" ", 7)[4:7]
    assert streams == ["/dev/null", "/dev/null", str(tmp_path / "err")]
    os.close(secondary)
    os.close(primary)
