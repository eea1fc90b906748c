"""gunicorn's own gunicornc, and a server that runs."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.server import ENDURANCE, Server, wait_for

Serve = Callable[..., Server]


def test_gunicornc(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "run" / "s.ctl"
    server = serve("plain_wsgi", "--workers", "1", "--control-socket", path, "--control-socket-mode", "0660")

    def run(command: str, *options: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "gunicorn.ctl.cli", "-s", str(path), "-c", command, *options]
        return subprocess.run(line, capture_output=True, text=True, timeout=ENDURANCE)

    def told(command: str) -> Any:
        return json.loads(run(command, "--json").stdout)

    shown = run("show all")
    assert shown.returncode == 0, shown.stderr
    assert f"PID: {server.pid}" in shown.stdout
    assert "WEB WORKERS (1)" in shown.stdout
    wrong = run("show nothing")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "Error: Invalid argument" in wrong.stderr
    assert "control_socket_mode: 432" in run("show config").stdout
    with server.client() as client:  # the second request: with the first one it was seen that the server is ready
        assert client.get("/").status_code == 200
    assert [worker["requests"] for worker in told("show workers")["workers"]] == [2]
    assert told("worker add 1") == {"added": 1, "previous": 1, "total": 2}
    wait_for(lambda: len(server.workers()) == 2, "two workers")
    assert told("reload") == {"status": "reloading"}
    server.says("Reload: all workers are new")
    assert told("show stats")["reloads"] == 1
    assert json.loads(run("shutdown").stdout) == {"status": "shutting_down", "mode": "graceful"}
    server.ends(0)
    assert not path.exists()
