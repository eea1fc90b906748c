"""HUP and USR2 with real processes: what may change from one life of the master to the next, and a second master beside
the first. With an application that is preloaded: test_arbiter.py. Under load: tests/lossless."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.servers import reserved_port
from tests.server.masters import Server, is_alive, wait_for


def hang_up(server: Server, **settings: Any) -> None:
    """HUP, with other settings than at the start."""
    (server.directory / "settings.json").write_text(json.dumps(settings))
    server.send(signal.SIGHUP)


def renewed(server: Server, times: int = 1) -> None:
    server.said("Reload: all workers are new", times)


def ask(port: int) -> int:
    """Who answers at a port."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        return int(client.recv(100).split()[0])


def number_in(path: Path) -> int:
    """The process number in a pid file; 0 while there is none."""
    try:
        return int(path.read_text())
    except FileNotFoundError:
        return 0


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


# HUP


def test_more_workers_and_fewer(server):
    server.start(workers=1)
    server.booted(1)
    hang_up(server, workers=3)
    renewed(server)
    server.answering(*server.booted(4)[1:])
    hang_up(server, workers=2)
    renewed(server, 2)
    server.answering(*server.booted(6)[4:])
    assert server.stop() == 0


def test_a_number_that_signals_have_changed_is_that_of_the_settings_again(server):
    """As with gunicorn."""
    server.start(workers=1)
    server.booted(1)
    server.send(signal.SIGTTIN)
    server.answering(*server.booted(2))
    server.send(signal.SIGHUP)
    renewed(server)
    server.answering(*server.booted(3)[2:])
    assert server.stop() == 0


def test_other_addresses(server):
    server.start(bind=["127.0.0.1:0", "unix:old.sock"])
    (old,) = server.booted(1)
    port = server.port()
    assert ask(port) == old
    hang_up(server, bind=["unix:new.sock", "127.0.0.1:0"])
    renewed(server)
    new = server.booted(2)[1]
    wait_for(lambda: not is_alive(old), "the end of the old worker")
    assert ask(port) == new
    assert (server.directory / "new.sock").exists()
    assert not (server.directory / "old.sock").exists()
    assert server.stop() == 0
    assert not (server.directory / "new.sock").exists()


def test_an_address_that_cannot_be_had(server, taken):
    server.start()
    (first,) = server.booted(1)
    port = server.port()
    hang_up(server, bind=["127.0.0.1:0", f"127.0.0.1:{taken}"])
    server.said(rf"\(exit code 1\), the old workers go on: Can't connect to 127.0.0.1:{taken}: Address already in use")
    assert ask(port) == first
    assert len(server.lines("Starting pyserve")) == 1
    assert server.stop() == 0


LATE_TAKER = """
import os, pathlib
if '"members"' in os.environ.get("_PYSERVE_LIFE", ""):
    import socket
    taker = socket.create_server(("127.0.0.1", int(pathlib.Path("port").read_text())))
"""


def test_an_address_that_was_taken_in_the_last_moment(server):
    """The trial had found it free."""
    (server.directory / "sitecustomize.py").write_text(LATE_TAKER)
    server.start()
    (first,) = server.booted(1)
    port = server.port()
    with reserved_port() as free:
        (server.directory / "port").write_text(str(free))
        hang_up(server, bind=["127.0.0.1:0", f"127.0.0.1:{free}"], workers=3)
        server.said(rf"Reload: Can't connect to 127.0.0.1:{free}: Address already in use; the old workers go on")
    assert ask(port) == first
    os.kill(first, signal.SIGKILL)
    second = server.booted(2)[1]
    assert ask(port) == second
    assert len(server.lines("Booting worker")) == 2
    server.send(signal.SIGTERM)
    assert server.process.wait(20) == 0


def test_another_pid_file(server):
    server.start(pidfile="one")
    server.booted(1)
    hang_up(server, pidfile="two")
    renewed(server)
    assert not (server.directory / "one").exists()
    assert number_in(server.directory / "two") == server.pid
    hang_up(server, pidfile="nothing/here")
    renewed(server, 2)
    server.said("Reload: Can't write the pid file .*/nothing/here")
    assert number_in(server.directory / "two") == server.pid
    assert server.stop() == 0
    assert not (server.directory / "two").exists()


def test_another_bind_file(server):
    server.start(bind_file="one")
    server.booted(1)
    assert (server.directory / "one").read_text() == f"127.0.0.1:{server.port()}\n"
    hang_up(server, bind_file="two")
    renewed(server)
    assert not (server.directory / "one").exists()
    assert (server.directory / "two").exists()
    hang_up(server, bind_file="nothing/here")
    renewed(server, 2)
    server.said("Can't write the bind file .*/nothing/here")
    assert (server.directory / "two").exists()
    hang_up(server)
    renewed(server, 3)
    assert not (server.directory / "two").exists()
    assert server.stop() == 0


def test_another_number_of_threads(server):
    """The scoreboard is another one then."""
    server.start(workers=2)
    old = server.booted(2)
    server.answering(*old)
    hang_up(server, threads=5)
    renewed(server)
    wait_for(lambda: not any(map(is_alive, old)), "the end of the old workers")
    server.answering(*server.booted(4)[2:])
    assert server.stop() == 0


def test_settings_that_are_wrong(server):
    server.start()
    (first,) = server.booted(1)
    hang_up(server, workers_wanted=3)
    server.said(r"Reload: this would not start \(exit code 1\), the old workers go on: Traceback")
    server.said("unexpected keyword argument 'workers_wanted'")
    server.answering(first)
    assert server.stop() == 0


def test_a_command_that_ends_without_a_server(server):
    """As `python -` does when it is run a second time."""
    server.start()
    server.ready()
    (server.directory / "sitecustomize.py").write_text("import os; os._exit(0)")
    server.send(signal.SIGHUP)
    server.said(r"Reload: this would not start \(exit code 0\), the old workers go on: the command cannot be run")
    assert server.stop() == 0


def test_a_storm(server):
    server.start(workers=2)
    server.booted(2)
    for _ in range(20):
        server.send(signal.SIGHUP)
    renewed(server)

    def settled() -> bool:
        """A signal that came when the first reload was over begins another one."""
        return {int(server.ask()[0]) for _ in range(20)} <= set(server.booted(4)[-2:])

    wait_for(settled, "only the last two answer")
    assert server.stop() == 0


def test_hanging_up_a_server_that_stops_changes_nothing(server):
    server.start("linger", graceful_timeout=60.0)
    server.ready()
    server.send(signal.SIGTERM)
    server.said("Handling signal: term")
    server.send(signal.SIGHUP)
    server.said("Handling signal: hup")
    assert server.stop(signal.SIGINT) == 1
    assert "Hang up" not in server.log()


# Recycling


def test_a_worn_worker_serves_until_its_successor_does(server):
    server.start("wear")
    (first,) = server.booted(1)
    server.answering(first)
    server.mode("slow")
    server.touch("wear")
    server.booted(2)
    server.answering(first)
    server.touch("go")
    server.answering(server.booted(2)[1])
    assert server.stop() == 0


def test_a_successor_that_cannot_boot_is_tried_again(server):
    server.start("wear")
    (first,) = server.booted(1)
    server.answering(first)
    server.mode("fail 3")
    server.touch("wear")
    server.said("A successor could not boot, the old worker goes on; it will be tried again", 2)
    server.answering(first)
    server.mode("serve")
    server.said(rf"Worker \(pid:{first}\) is gone")
    assert server.stop() == 0


def test_a_worker_that_has_lived_for_long_enough(server):
    server.start(workers=2, max_worker_lifetime=0.5, loglevel="info")
    server.booted(6)
    server.said(r"Worker \(pid:\d+\) has reached its --max-worker-lifetime and will be replaced", 4)
    assert server.stop() == 0


def test_a_worker_that_has_grown(server):
    server.start("grow", max_worker_memory=80 * 1024 * 1024)
    (first,) = server.booted(1)
    server.answering(first)
    server.said("worker is known to be ready")
    server.touch("grow")
    server.said(rf"Worker \(pid:{first}\) has reached its --max-worker-memory and will be replaced")
    server.answering(server.booted(2)[1])
    assert server.stop() == 0


# USR2


@pytest.fixture
def pair(server: Server) -> tuple[Server, int, Path]:
    """A server with a second master, the number of that, and the pid file."""
    server.start(workers=1, pidfile="pid", bind_file="binds", bind=["127.0.0.1:0", "unix:s.sock"])
    server.booted(1)
    server.send(signal.SIGUSR2)
    second = Path(f"{server.directory}/pid.2")
    pid = wait_for(lambda: number_in(second), "a second master")
    server.said("worker is known to be ready", 2)
    return server, pid, server.directory / "pid"


def end(pid: int, number: signal.Signals = signal.SIGTERM) -> None:
    os.kill(pid, number)
    wait_for(lambda: not is_alive(pid), f"the end of {pid}")


def test_a_second_master_takes_over(pair):
    server, new, pidfile = pair
    old, late = server.booted(2)
    server.answering(old, late)
    server.send(signal.SIGUSR2)
    server.said("USR2 signal ignored. Child exists.")
    os.kill(new, signal.SIGUSR2)
    server.said("USR2 signal ignored. Parent exists.")
    server.send(signal.SIGWINCH)
    server.said("graceful stop of workers")
    server.answering(late)
    assert server.stop(signal.SIGQUIT) == 0
    wait_for(lambda: number_in(pidfile) == new, "one pid file")
    server.said("Master has been promoted.")
    server.answering(late)
    assert (server.directory / "s.sock").exists()
    wait_for(lambda: not Path(f"{pidfile}.2").exists(), "the end of its own pid file")
    end(new)
    assert not pidfile.exists()
    assert not (server.directory / "s.sock").exists()


def test_the_way_back(pair):
    server, new, pidfile = pair
    server.send(signal.SIGWINCH)
    server.answering(server.booted(2)[1])
    server.send(signal.SIGHUP)
    third = server.booted(3)[2]
    server.answering(server.booted(2)[1], third)
    os.kill(new, signal.SIGQUIT)
    server.said(rf"The new master \(pid:{new}\) has ended with code 0")
    server.answering(third)
    assert (server.directory / "s.sock").exists()
    assert number_in(pidfile) == server.pid
    assert not Path(f"{pidfile}.2").exists()
    wait_for((server.directory / "binds").exists, "the bind file")
    server.send(signal.SIGWINCH)
    server.said("SIGWINCH ignored: no other master serves")
    assert server.stop() == 0


def test_both_hang_up(pair):
    """A next life knows of the other master."""
    server, new, pidfile = pair
    server.send(signal.SIGHUP)
    renewed(server)
    os.kill(new, signal.SIGHUP)
    renewed(server, 2)
    assert number_in(Path(f"{pidfile}.2")) == new
    server.send(signal.SIGUSR2)
    server.said("USR2 signal ignored. Child exists.")
    assert server.stop() == 0
    wait_for(lambda: number_in(pidfile) == new, "one pid file")
    assert (server.directory / "s.sock").exists()
    end(new)
    assert not (server.directory / "s.sock").exists()


def test_the_first_master_is_killed(pair):
    server, new, pidfile = pair
    server.send(signal.SIGKILL)
    assert server.end() == -signal.SIGKILL
    wait_for(lambda: number_in(pidfile) == new, "one pid file")
    server.answering(server.booted(2)[1])
    end(new)


def test_a_second_master_that_does_not_start(server):
    server.start(bind=["127.0.0.1:0", "unix:s.sock"])
    (first,) = server.booted(1)
    (server.directory / "settings.json").write_text(json.dumps({"bind": ["unix:/dev/null", "unix:s.sock"]}))
    server.send(signal.SIGUSR2)
    server.said(r"The new master \(pid:\d+\) has ended with code 1")
    server.answering(first)
    assert (server.directory / "s.sock").exists()
    (server.directory / "settings.json").unlink()
    server.mode("fail 3")
    server.send(signal.SIGUSR2)
    server.said(r"The new master \(pid:\d+\) has ended with code 3")
    server.answering(first)
    assert (server.directory / "s.sock").exists()
    server.send(signal.SIGTERM)
    assert server.process.wait(20) == 0
