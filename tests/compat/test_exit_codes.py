"""With what gunicorn and pyserve end: codes that entry points, units and orchestrators look at.

Where they differ it is said in docs/migrating.md.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pyserve.server import cli
from tests.compat.gunicorn_peer import gunicorn
from tests.compat.surroundings import arrange
from tests.integration.server import ENDURANCE, PATIENCE, environment

MODULES = {
    "shop.py": "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'ok']\n",
    "broken.py": "1 / 0\n",
    "syntax.py": "bind = \n",
    "bad.py": 'workers = "x"\n',
    "raises.py": "1 / 0\n",
    "exits.py": "import sys; sys.exit(9)\n",
    "hook.py": "def post_fork(server, worker):\n    1 / 0\n",
    "start.py": "def on_starting(server):\n    1 / 0\n",
    "away.py": "async def app(scope, receive, send):\n    await receive()\n"
    "    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})\n",
}

# (command line, gunicorn's code, ours): without a server
COMMANDS: list[tuple[str, int, int]] = [
    ("--version", 0, 0),
    ("-v", 0, 0),
    ("--help", 0, 0),
    ("-h", 0, 0),
    ("--check-config shop:app", 0, 0),
    ("--print-config shop:app", 0, 0),
    ("--check-config broken:app", 1, 1),
    ("--check-config nowhere:app", 1, 1),
    ("--check-config -c syntax.py shop:app", 1, 1),
    ("--check-config", 1, 1),
    ("", 1, 2),  # a wrong command line
    ("--nowhere shop:app", 2, 2),
    ("-w x shop:app", 2, 2),
    ("-w", 2, 2),
    ("--user nobody-at-all shop:app", 1, 2),  # all values that are wrong there are 2
    ("--header-map perhaps shop:app", 1, 2),
    ("--chdir nowhere shop:app", 1, 2),
    ("-c nowhere.py shop:app", 1, 1),
    ("-c syntax.py shop:app", 1, 1),
    ("-c bad.py shop:app", 1, 1),
    ("-c raises.py shop:app", 1, 1),
    ("-c exits.py shop:app", 9, 9),
]

# With a server that does not start.
STARTS: list[tuple[str, int, int]] = [
    ("shop:nowhere", 4, 4),
    ("nowhere:app", 3, 4),  # the application could not be loaded
    ("--preload broken:app", 1, 4),
    ("-c hook.py shop:app", 3, 3),
    ("-c start.py shop:app", 1, 1),
    ("-k asgi away:app", 3, 3),
    ("--access-logfile nowhere/log shop:app", 1, 1),
    ("--error-logfile nowhere/log shop:app", 1, 1),
    ("--pid nowhere/pid shop:app", 1, 1),
]
STOPS = ["TERM", "INT", "QUIT"]


@pytest.mark.parametrize(("line", "theirs", "ours"), COMMANDS)
def test_commands(line: str, theirs: int, ours: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrange(tmp_path, monkeypatch)
    for name, text in MODULES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    loaded = set(sys.modules)
    with pytest.raises(SystemExit) as ended:
        gunicorn(line.split(), {}, monkeypatch).run()
    assert ended.value.code == theirs
    for name in set(sys.modules) - loaded:
        if f"{name}.py" in MODULES:
            del sys.modules[name]
    try:
        code: object = cli.main(line.split())
    except SystemExit as error:
        code = error.code
    assert code == ours


@pytest.mark.timeout(2 * ENDURANCE)
def test_starts_and_stops(tmp_path: Path) -> None:
    """Four at a time, so it is one test."""
    for name, text in MODULES.items():
        (tmp_path / name).write_text(text)
    servers = {"gunicorn": "--no-control-socket", "pyserve": ""}
    expected = {case: (theirs, ours) for case, theirs, ours in STARTS} | dict.fromkeys(STOPS, (0, 0))

    def code(number: int, server: str, case: str) -> int:
        at = tmp_path / f"{number}.sock"
        line = "shop:app" if case in STOPS else case
        command = [sys.executable, "-m", server, "-b", f"unix:{at}", *servers[server].split(), *line.split()]
        with subprocess.Popen(command, cwd=tmp_path, env=environment({}), stderr=subprocess.DEVNULL) as process:
            if case in STOPS:
                serves(at, process)
                process.send_signal(getattr(signal, f"SIG{case}"))
            return process.wait(ENDURANCE)

    with ThreadPoolExecutor(4) as pool:
        found = {
            case: [pool.submit(code, 2 * number + index, server, case) for index, server in enumerate(servers)]
            for number, case in enumerate(expected)
        }
        assert {case: tuple(code.result() for code in codes) for case, codes in found.items()} == expected


def serves(path: Path, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            if client.connect_ex(os.fspath(path)) == 0:
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert client.recv(12) == b"HTTP/1.1 200"
                return
        time.sleep(0.02)
    raise AssertionError("it does not serve")
