"""Who a worker is: rights given up for good, groups as gunicorn has them, titles."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from pyserve.settings import Settings
from pyserve.workers.identity import name_of, set_title

SOME_UID, SOME_GID = 12345, 54321  # of nobody that the system knows
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

SCRIPT = """
import os, sys
os.setgroups({groups})
from pyserve.settings import Settings, SettingsError
from pyserve.workers.identity import give_up_rights
try:
    give_up_rights(Settings({settings}))
except SettingsError as error:
    sys.exit(f"{{error.exit_code}} {{error}}")
print(*os.getresuid(), *os.getresgid(), sorted(os.getgroups()))
"""


def become(settings: str, groups: tuple[int, ...] = (0, 7)) -> str:
    """What a process is after it has given up its rights: real, effective and saved ids, and groups."""
    script = SCRIPT.format(settings=settings, groups=list(groups))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=20)
    return done.stdout.strip() or done.stderr.strip()


@as_root
@pytest.mark.parametrize(
    ("settings", "uid", "gid", "groups"),
    [
        ("", 0, 0, [0, 7]),
        ("user=0", 0, 0, [0, 7]),
        (f"user={SOME_UID}, group={SOME_GID}", SOME_UID, SOME_GID, [7]),
        (f"user={SOME_UID}", SOME_UID, 0, [0, 7]),
        (f"group={SOME_GID}", 0, SOME_GID, [0, 7]),
        (f"user={SOME_UID}, group={SOME_GID}, initgroups=True", SOME_UID, SOME_GID, [7]),
    ],
)
def test_rights_are_given_up_for_good(settings, uid, gid, groups):
    assert become(settings) == f"{uid} {uid} {uid} {gid} {gid} {gid} {groups}"


@as_root
def test_initgroups():
    """The groups that the system's list has for the user, and nobody else's."""
    entry = next((entry for entry in pwd.getpwall() if entry.pw_uid), None)
    if entry is None:
        pytest.skip("root is alone here")
    expected = sorted(set(os.getgrouplist(entry.pw_name, SOME_GID)))
    got = become(f"user={entry.pw_uid}, group={SOME_GID}, initgroups=True")
    assert got == f"{entry.pw_uid} " * 3 + f"{SOME_GID} " * 3 + str(expected)


def test_who_may_not():
    """As a user without rights: its own number is fine, another one is one line that names the settings."""
    script = """
import os
from pyserve.settings import Settings, SettingsError
from pyserve.workers.identity import give_up_rights
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(54321); os.setuid(12345)
give_up_rights(Settings(user=os.getuid(), group=os.getgid(), initgroups=True))
for settings in (Settings(user=os.getuid() + 1), Settings(user=os.getuid(), group=os.getgid() + 1)):
    try:
        give_up_rights(settings)
    except SettingsError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=20)
    one, two = done.stdout.splitlines()
    assert one.startswith("--user ")
    assert ": Operation not permitted, started as user " in one
    assert " and --group " in two


def test_the_name_in_titles():
    assert name_of(Settings(app="shop:app")) == "shop:app"
    assert name_of(Settings(app="shop:app", default_proc_name="d")) == "d"
    assert name_of(Settings(app="shop:app", default_proc_name="d", proc_name="n")) == "n"
    assert name_of(Settings(app=test_the_name_in_titles)) == "app"


def test_titles():
    pytest.importorskip("setproctitle")
    script = (
        "import os; os.environ['A'] = 'b' * 5000; from pyserve.settings import Settings;"
        "from pyserve.workers.identity import set_title;"
        "assert set_title(Settings(proc_name='shop'), 'worker');"
        "print(open('/proc/self/cmdline').read().rstrip(chr(0)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout.strip() == "pyserve: worker [shop]"


def test_without_setproctitle(monkeypatch):
    monkeypatch.setitem(sys.modules, "setproctitle", None)
    before = Path("/proc/self/cmdline").read_bytes()
    assert not set_title(Settings(proc_name="shop"), "master")
    assert Path("/proc/self/cmdline").read_bytes() == before
