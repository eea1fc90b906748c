"""`--reload`: a change restarts the workers, whatever they do; what cannot be loaded waits for the next change."""

import contextlib
import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.integration.server import Server, wait_for

Serve = Callable[..., Server]

WSGI = """
import importlib, time, part
def app(environ, start_response):
    if environ["PATH_INFO"] == "/late":
        importlib.import_module("late")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return stream() if environ["PATH_INFO"] == "/stream" else [part.version.encode()]
def stream():
    while True:
        yield b"data: x\\n\\n"
        time.sleep(0.05)
"""
ASGI = """
import asyncio, part
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while scope["path"] == "/stream":
        await send({"type": "http.response.body", "body": b"data: x\\n\\n", "more_body": True})
        await asyncio.sleep(0.05)
    await send({"type": "http.response.body", "body": part.version.encode()})
"""


class Project:
    """An application of two modules."""

    def __init__(self, root: Path, main: str = WSGI) -> None:
        self.root = root
        (root / "main.py").write_text(main)
        self.version("1")

    def part(self, text: str) -> None:
        """Write it as editors do: a new file in the place of the old one."""
        (self.root / "part.new").write_text(text)
        os.replace(self.root / "part.new", self.root / "part.py")

    def version(self, text: str) -> None:
        self.part(f"version = {text!r}\n")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "project").mkdir()
    return Project(tmp_path / "project")


@pytest.fixture
def develop(serve: Serve, project: Project) -> Callable[..., Server]:
    """Start it with --reload, and wait until changes are seen."""

    def start(*options: str, **more: object) -> Server:
        given = ("--app-dir", str(project.root), "--reload", "--reload-delay", "0.1", *options)
        server = serve("main:app", *given, **more)
        server.says("Watching for changes in ")
        return server

    return start


def answers(server: Server, text: str) -> None:
    """Wait until every one of several connections is answered with it."""

    def seen() -> bool:
        try:
            with httpx.Client(base_url=server.url, timeout=20, verify=False, trust_env=False) as client:
                return {client.get("/").text for _ in range(3)} == {text}
        except httpx.TransportError:
            return False

    wait_for(seen, f"the answer {text!r}; the log:\n{server.log()}")


@pytest.mark.parametrize("engine", ["poll", "inotify"])
@pytest.mark.parametrize("main", [WSGI, ASGI], ids=["wsgi", "asgi"])
def test_changes(develop: Callable[..., Server], project: Project, engine: str, main: str) -> None:
    """Also with a stream under way: nobody waits for --graceful-timeout."""
    if engine == "inotify":
        pytest.importorskip("watchfiles")
    (project.root / "main.py").write_text(main)
    server = develop("--reload-engine", engine, "--workers", "2")
    with server.client() as client, client.stream("GET", "/stream") as response:
        chunks = response.iter_raw()
        assert next(chunks).startswith(b"data: ")
        project.version("2")
        answers(server, "2")
        with pytest.raises(httpx.TransportError):  # cut off in the middle, or reset
            list(itertools.islice(chunks, 200))  # which is more than ten seconds
    project.version("3")
    answers(server, "3")
    server.says(r"Worker reloading: \S+/part\.py modified", 2)  # a worker that was slow to start has read "3" before
    # One that takes longer for its end than a quick stop allows is killed, and were a failure of the stop that follows.
    wait_for(lambda: len(server.workers()) == 3, "the end of the old workers; two, and the reloader, are left")
    assert server.logged("Reloader is on. Use in development only!")


BROKEN = [
    ("version = (", "SyntaxError"),
    ("import no_such_module_anywhere", "ModuleNotFoundError"),
    ("raise RuntimeError('at import')", "RuntimeError"),
    ("import sys; sys.exit(7)", "SystemExit"),
]


def test_what_cannot_be_loaded_waits_for_the_next_change(develop: Callable[..., Server], project: Project) -> None:
    server = develop("--workers", "2", errors=("SyntaxError", "ModuleNotFoundError", "RuntimeError", "SystemExit"))
    for times, (text, error) in enumerate(BROKEN, 1):
        project.part(text)
        server.says("The application does not start: waiting for a change of its files", times)
        assert server.logged(rf'  File "{project.root}/part\.py", line 1')
        assert server.logged(f"^{error}")
    project.version("2")
    answers(server, "2")


def test_an_application_that_is_broken_from_the_start(serve: Serve, project: Project) -> None:
    project.part("version = (")
    given = ("--app-dir", str(project.root), "--reload", "--reload-delay", "0.1", "--reload-engine", "poll")
    server = serve("main:app", *given, path=None, errors=("SyntaxError",))
    server.says("The application does not start: waiting for a change")
    server.says("Watching for changes in ")
    project.version("2")
    answers(server, "2")


def test_other_files(develop: Callable[..., Server], project: Project, tmp_path: Path) -> None:
    """Extra files, patterns, other directories, and modules that come from elsewhere and later."""
    elsewhere, library = tmp_path / "elsewhere", tmp_path / "library"
    elsewhere.mkdir()
    library.mkdir()
    late = library / "late.py"
    late.touch()
    server = develop(
        *("--reload-extra-file", str(elsewhere / "extra"), "--reload-extra-file", str(elsewhere / "**" / "*.html")),
        *("--reload-dir", str(project.root), "--reload-include", "*.toml", "--reload-exclude", "test_*.py"),
        *("--pythonpath", str(library), "--reload-engine", "poll"),
    )
    (project.root / "test_main.py").touch()  # were it seen, it would be named with or before the next one
    expected = []
    for path in (elsewhere / "extra", elsewhere / "page.html", project.root / "settings.toml"):
        path.touch()
        expected.append(str(path))
        server.says("Worker reloading: ", len(expected))

    def noticed() -> bool:
        """Again and again: the old worker may have been asked, and one tells once a second what it has imported."""
        with contextlib.suppress(httpx.TransportError), server.client() as client:
            client.get("/late")
        late.write_text(late.read_text() + "\n")
        return len(server.logged("Worker reloading: ")) > len(expected)

    wait_for(noticed, "a change of a module that was imported late")
    found = [line[1] for line in server.logged("Worker reloading: (.*) modified")]
    assert found[:4] == [*expected, str(late)]


def test_with_preload_and_hangup(develop: Callable[..., Server], project: Project) -> None:
    server = develop("--preload")
    assert server.logged("--preload has no effect with --reload")
    server.send(signal.SIGHUP)
    server.says("Reload: all workers are new")
    server.says("Watching for changes in ", 2)
    project.version("2")
    answers(server, "2")


def test_ctrl_c(develop: Callable[..., Server]) -> None:
    """The terminal sends it to all, and none has more to say about it than without --reload."""
    server = develop()
    os.killpg(server.pid, signal.SIGINT)
    server.ends(0)
    assert not server.logged("reloader has ended")
