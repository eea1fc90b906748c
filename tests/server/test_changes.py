"""Which files have changed, by looking and by being told."""

import logging
import os
import time
from pathlib import Path

import pytest

from pyserve.server.changes import Choice, Files, Notified, Searched

PATIENCE = 20.0


def write(path: Path, text: str = "") -> str:
    """Write a file that differs from what was there, however coarse the clock is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    if path.stat().st_mtime_ns == before:
        os.utime(path, ns=(before + 1, before + 1))
    return str(path)


@pytest.mark.parametrize(
    ("path", "includes", "excludes", "expected"),
    [
        ("main.py", (), (), True),
        ("pkg/deep/module.py", (), (), True),
        ("page.html", (), (), False),
        ("page.html", ("*.html",), (), True),
        ("pkg/page.html", ("pkg/*.html",), (), True),
        ("other/page.html", ("pkg/*.html",), (), False),
        ("main.py", (), ("*.py",), False),
        ("test_a.py", (), ("test_*.py",), False),
        ("main.py", (), ("test_*.py",), True),
        (".hidden.py", (), (), False),
        (".env", ("*",), (), False),
        (".env", (".env",), (), True),
        ("main.pyc", (), (), False),
        (".venv/lib/a.py", (), (), False),
        ("node_modules/a.py", (), (), False),
        ("lib/site-packages/a.py", (), (), False),
        ("__pycache__/a.py", (), (), False),
    ],
)
def test_what_counts(tmp_path, path, includes, excludes, expected):
    choice = Choice([str(tmp_path)], includes, excludes)
    assert choice.accepts(str(tmp_path / path)) is expected
    assert choice.covers(str(tmp_path / path)) is expected


def test_an_excluded_directory(tmp_path):
    choice = Choice([str(tmp_path)], (), [str(tmp_path / "generated")])
    assert not choice.accepts(str(tmp_path / "generated" / "deep" / "a.py"))
    assert choice.refuses(str(tmp_path / "generated" / "a.so"))
    assert choice.accepts(str(tmp_path / "generated.py"))


def test_what_is_elsewhere_is_not_covered(tmp_path):
    choice = Choice([str(tmp_path / "src")])
    assert not choice.covers(str(tmp_path / "src2" / "a.py"))
    assert not choice.covers(str(tmp_path / "src"))


# Single files


def test_files(tmp_path):
    files = Files(Choice([]), [str(tmp_path / "extra"), str(tmp_path / "**" / "*.html")])
    module = write(tmp_path / "module.py")
    files.add(module)
    files.add(module)
    assert files.changed() == set()
    write(tmp_path / "module.py", "new")
    assert files.changed() == {module}
    assert files.changed() == set()
    extra = write(tmp_path / "extra")
    page = write(tmp_path / "deep" / "page.html")
    assert files.changed() == {extra, page}
    os.unlink(module)
    write(tmp_path / "deep" / "page.html", "new")
    assert files.changed() == {module, page}
    assert files.changed() == set()


def test_what_is_watched_with_its_directory_is_not_looked_at_twice(tmp_path):
    files = Files(Choice([str(tmp_path)], (), ["ignored.*"]))
    seen = [write(tmp_path / name) for name in ("module.py", "ignored.so", "extension.so")]
    for path in seen:
        files.add(path)
    for path in seen:
        write(Path(path), "new")
    assert files.changed() == {seen[2]}


def test_a_link_is_followed(tmp_path):
    """As Kubernetes mounts what it has configured: the link changes, or what it leads to."""
    one, two = (write(tmp_path / name / "a.py") for name in "12")
    link = tmp_path / "link.py"
    link.symlink_to(one)
    files = Files(Choice([]))
    files.add(str(link))
    (tmp_path / "new").symlink_to(two)
    os.replace(tmp_path / "new", link)
    assert files.changed() == {str(link)}


# Directories


def change_all(root: Path) -> set[str]:
    """Make, change and remove files that count, and touch some that do not; those that count."""
    made = write(root / "pkg" / "new.py")
    changed = write(root / "main.py", "new")
    os.unlink(root / "old.py")
    write(root / "notes.txt", "new")
    write(root / "node_modules" / "a.py", "new")
    write(root / "env" / "lib.py", "new")
    return {made, changed, str(root / "old.py")}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in ("main.py", "old.py", "notes.txt", "node_modules/a.py", "env/lib.py", "env/pyvenv.cfg", "pkg/a.py"):
        write(root / name)
    (root / "loop").symlink_to(root)
    return root


def test_a_directory_that_is_not_there(root):
    assert Searched(Choice(["/no/such"])).changed() == set()


def test_searched_tells_each_change_once(root):
    watched = Searched(Choice([str(root)]))
    expected = change_all(root)
    assert watched.changed() == expected
    assert watched.changed() == set()


def test_notified(root):
    pytest.importorskip("watchfiles")
    watched = Notified(Choice([str(root)]), 0.05)
    assert not logging.getLogger("watchfiles.main").isEnabledFor(logging.INFO), "each would be told in a user's log"
    expected = change_all(root) | {str(root / "env" / "lib.py")}  # one more than needed, of an environment
    found: set[str] = set()
    end = time.monotonic() + PATIENCE
    while not expected <= found and time.monotonic() < end:
        found |= watched.changed()
    assert found == expected
