"""The files in docs/deploy say what pyserve and systemd understand."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from pyserve.server import command
from pyserve.server.sources import resolve
from pyserve.settings import Settings

DEPLOY = Path(__file__).parent.parent / "docs" / "deploy"


def commands() -> list[tuple[str, list[str]]]:
    """(file, arguments) of every command that starts pyserve."""
    found = []
    for path in sorted(DEPLOY.iterdir()):
        text = path.read_text()
        found += [(path.name, shlex.split(line)) for line in re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)]
        found += [(path.name, shlex.split(line)) for line in re.findall(r"^#     (pyserve .*)$", text, re.MULTILINE)]
        found += [
            (path.name, json.loads(line))
            for line in re.findall(r'^ *(?:command|entrypoint): (\[.*"pyserve".*\])$', text, re.MULTILINE)
        ]
    return found


@pytest.mark.parametrize(("file", "arguments"), commands())
def test_commands(file: str, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dotenv")
    monkeypatch.chdir(tmp_path)
    Path(".env").touch()
    program, *rest = arguments
    assert Path(program).name == "pyserve"
    settings = resolve(command.parse(rest), {}).settings
    assert settings.app == "shop:app"
    assert settings != Settings(app="shop:app")


def test_there_is_one_in_each_file() -> None:
    platforms = {"shop.service", "compose.yaml", "kubernetes.yaml"}
    proxies = {"nginx.conf", "nginx-stream.conf", "haproxy.cfg", "Caddyfile"}
    assert {file for file, _ in commands()} >= platforms | proxies


def test_compose_replaces_the_entry_point_of_the_image() -> None:
    """The Dockerfile's is pyserve itself: a command would be its arguments."""
    assert 'ENTRYPOINT ["pyserve"]' in (DEPLOY.parent.parent / "Dockerfile").read_text()
    assert "command:" not in (DEPLOY / "compose.yaml").read_text()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_units(tmp_path: Path) -> None:
    """As systemd reads them, with a program that is there."""
    for name in ("shop.service", "shop.socket"):
        text = (DEPLOY / name).read_text()
        assert "/srv/shop/venv/bin/pyserve" in text or name == "shop.socket"
        text = text.replace("/srv/shop/venv/bin/pyserve", "/bin/true").replace("WorkingDirectory=/srv/shop\n", "")
        (tmp_path / name).write_text(text)
    units = [str(tmp_path / name) for name in ("shop.service", "shop.socket")]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, timeout=30, check=False
    )
    assert "shop" not in done.stderr, done.stderr
