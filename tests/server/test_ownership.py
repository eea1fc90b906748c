"""Files that the master makes for workers with fewer rights."""

import os
import stat

import pytest

from pyserve.server.ownership import Owner, give_logs
from pyserve.settings import Settings

UID, GID = 12345, 54321
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def owner_of(path):
    status = os.lstat(path)
    return status.st_uid, status.st_gid


def test_nothing_is_made_without_a_user(tmp_path):
    give_logs(Settings(accesslog=str(tmp_path / "access"), errorlog=str(tmp_path / "error")))
    assert os.listdir(tmp_path) == []


@as_root
def test_logs_are_made_and_given_away(tmp_path):
    access, error = tmp_path / "access", tmp_path / "error"
    error.write_text("from before\n")
    give_logs(Settings(accesslog=str(access), errorlog=str(error), user=UID, group=GID))
    assert owner_of(access) == owner_of(error) == (UID, GID)
    assert error.read_text() == "from before\n"
    assert stat.S_IMODE(os.stat(access).st_mode) & 0o111 == 0


@as_root
def test_only_what_was_asked_for_changes(tmp_path):
    access = tmp_path / "access"
    give_logs(Settings(accesslog=str(access), group=GID))
    assert owner_of(access) == (0, GID)


@as_root
def test_nothing_is_given_away_through_a_link(tmp_path):
    """Who may write in the directory must not get root's files by it."""
    treasure = tmp_path / "treasure"
    treasure.touch()
    (tmp_path / "symbolic").symlink_to(treasure)
    os.link(treasure, tmp_path / "hard")
    for name in ("symbolic", "hard"):
        give_logs(Settings(accesslog=str(tmp_path / name), user=UID))
    assert owner_of(treasure) == (0, 0)


def test_what_is_no_file_of_ours_is_left_alone(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    before = owner_of("/dev/null")
    settings = Settings(accesslog=str(tmp_path / "pipe"), errorlog="/dev/null", user=os.getuid())
    give_logs(settings)
    give_logs(Settings(accesslog="-", errorlog=str(tmp_path / "no" / "error"), user=os.getuid()))
    assert owner_of("/dev/null") == before
    assert os.listdir(tmp_path) == ["pipe"]


@as_root
def test_owner(tmp_path):
    path = tmp_path / "file"
    path.touch()
    Owner().take(str(path))
    assert owner_of(path) == (0, 0)
    Owner.of_workers(Settings(user=UID)).take(str(path))
    assert owner_of(path) == (UID, 0)


@as_root
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"user": UID}, (UID, 0)),
        ({"unix_socket_owner": f"{UID}:{GID}"}, (UID, GID)),
        ({"unix_socket_owner": f":{GID}"}, (0, GID)),
        ({"user": 1, "group": 1, "unix_socket_owner": str(UID)}, (UID, 1)),
    ],
)
def test_owner_of_sockets(tmp_path, settings, expected):
    path = tmp_path / "file"
    path.touch()
    Owner.of_sockets(Settings(**settings)).take(str(path))
    assert owner_of(path) == expected
