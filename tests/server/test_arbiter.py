"""The arbiter with real processes and real signals, and workers that only pretend (fake_master.py)."""

import contextlib
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from pyserve.server import signals
from tests.server.masters import Server, is_alive, wait_for


@pytest.mark.parametrize(
    ("number", "name", "told"),
    [
        (signal.SIGTERM, "term", "SIGTERM"),
        (signal.SIGINT, "int", "SIGQUIT"),
        (signal.SIGQUIT, "quit", "SIGQUIT"),
    ],
)
def test_start_serve_stop(server, number, name, told):
    server.start(workers=2)
    pids = server.booted(2)
    server.said("worker is known to be ready", 2)
    server.answering(*pids)
    assert server.stop(number) == 0
    log = server.log()
    server.said(rf"Listening at: http://127.0.0.1:\d+ \({server.pid}\)")
    server.said(r"\[INFO\] Starting pyserve \d")
    server.said(rf"\[INFO\] Handling signal: {name}$")
    assert log.count(f"worker was told {told}") == 2
    assert log.rstrip().endswith("Shutting down: Master")
    assert not any(is_alive(pid) for pid in pids)


def test_a_worker_that_is_killed_is_followed(server):
    server.start()
    (first,) = server.booted(1)
    server.answering(first)
    os.kill(first, signal.SIGKILL)
    server.said(rf"Worker \(pid:{first}\) was sent SIGKILL! Perhaps out of memory\?")
    second = server.booted(2)[1]
    server.answering(second)
    assert server.stop() == 0


def test_a_worker_that_is_told_to_go_is_followed(server):
    server.start()
    (first,) = server.booted(1)
    server.answering(first)
    os.kill(first, signal.SIGTERM)
    server.answering(server.booted(2)[1])
    assert server.stop() == 0


@pytest.mark.parametrize(("mode", "code"), [("fail 4", 4), ("fail 3", 3), ("raise", 3), ("exit", 3)])
def test_workers_that_cannot_boot_end_the_server(server, mode, code):
    server.start(mode, workers=3)
    assert server.end() == code
    log = server.log()
    assert f"No worker can boot: giving up with exit code {code}" in log
    reason = "App failed to load." if code == 4 else "Worker failed to boot."
    assert re.search(rf"\[ERROR\] Shutting down: Master\n.*\[ERROR\] Reason: {reason}\n$", log)
    reason = {"raise": "RuntimeError: unexpected", "exit": "SystemExit: told to"}.get(mode, "\u00fcbrigens")
    assert log.count(reason) == 1, "a reason that all share is told once"
    assert log.count("Booting worker") <= 3


def test_an_exception_out_of_a_worker_is_told(server):
    server.start("broken")
    server.said(r"\[ERROR\] Exception in worker process: Traceback")
    server.said("RuntimeError: unexpected")
    server.said(r"exited with code 1")
    server.mode("serve")
    wait_for(lambda: server.ask(), "it serves")
    assert server.stop() == 0


def test_unexplained_deaths_at_boot_end_the_server(server):
    server.start("unknown")
    assert server.end() == 3
    assert server.log().count("Booting worker") == 3
    server.said(r"Worker \(pid:\d+\) exited with code 99")


def test_workers_that_die_after_booting_are_no_fork_storm(server):
    server.start("die 5")
    server.booted(2)
    time.sleep(1.5)  # what must not happen has no condition to wait for
    assert len(server.booted(2)) <= 8
    server.mode("serve")
    server.booted(3)
    wait_for(lambda: server.ask()[1] == "0", "it serves")
    assert server.stop() == 0


def test_a_silent_worker_is_aborted_and_killed(server):
    server.start("stuck", timeout=2.0)
    (first,) = server.booted(1)
    server.mode("serve")
    told = server.said(rf"\[CRITICAL\] WORKER TIMEOUT \(pid:{first}\): GET /stuck for (\d+\.\d) s")
    assert float(told[1]) >= 2.0
    server.said(rf"Worker \(pid:{first}\) did not end by SIGABRT: SIGKILL")
    server.said(rf"Worker \(pid:{first}\) was sent SIGKILL!$")
    server.answering(server.booted(2)[1])
    assert server.stop() == 0


def test_more_and_fewer(server):
    server.start()
    server.answering(*server.booted(1))
    server.send(signal.SIGTTIN)
    pids = server.booted(2)
    server.said("Handling signal: ttin")
    server.said("worker is known to be ready", 2)
    server.answering(*pids)
    server.send(signal.SIGTTOU)
    server.said(rf"Worker \(pid:{pids[1]}\) is gone")
    server.answering(pids[0])
    server.send(signal.SIGTTOU)
    server.said("One worker is the least")
    assert server.stop() == 0


def test_reload_is_rolling_and_refuses_nobody(server):
    server.start(workers=2)
    old = server.booted(2)
    server.answering(*old)
    server.send(signal.SIGHUP)
    wait_for(lambda: server.ask() and server.lines("Reload: all workers are new"), "the reload")
    new = server.booted(4)[2:]
    server.answering(*new)
    wait_for(lambda: not any(map(is_alive, old)), "the old ones are gone")
    assert server.stop() == 0


def test_a_reload_whose_first_worker_fails_keeps_the_old_ones(server):
    server.start(workers=2)
    old = server.booted(2)
    server.answering(*old)
    server.mode("fail 4")
    server.send(signal.SIGHUP)
    server.said("Reload: a new worker could not boot, the old ones go on")
    server.said("could not boot: the reason")
    server.answering(*old)
    assert len(server.booted(3)) == 3
    server.mode("serve")
    server.send(signal.SIGHUP)
    server.said("Reload: all workers are new")
    assert server.stop() == 0


def test_a_retiring_worker_is_followed_while_it_finishes(server):
    server.start("retire")
    (first,) = server.booted(1)
    server.answering(first)
    server.touch("retire")
    second = server.booted(2)[1]
    assert is_alive(first)
    server.answering(second)
    server.touch("retired")
    server.said(rf"Worker \(pid:{first}\) is gone")
    assert server.stop() == 0


def test_log_files_are_reopened_by_all(server):
    server.start(workers=2)
    server.answering(*server.booted(2))
    server.log_path.rename(server.directory / "log.1")
    server.send(signal.SIGUSR1)
    server.said("worker reopens", 2)
    assert server.stop() == 0
    assert "Shutting down: Master" in server.log()


def test_a_worker_that_does_not_stop_is_cut(server):
    server.start("linger", graceful_timeout=0.2)
    first = server.ready()
    assert server.stop() == 1
    server.said(rf"Worker \(pid:{first}\) did not end in time: SIGKILL")


def test_a_second_signal_is_quick(server):
    server.start("linger", graceful_timeout=60.0)
    first = server.ready()
    server.send(signal.SIGTERM)
    server.said("Handling signal: term")
    assert server.stop(signal.SIGINT) == 1
    server.said(rf"Worker \(pid:{first}\) did not end in time: SIGKILL")


def test_stop_while_a_worker_boots(server):
    server.start("slow")
    server.booted(1)
    assert server.stop() == 0


def test_waitpid_is_the_truth_when_a_grandchild_holds_the_pipe(server):
    server.start("grandchild")
    first = server.booted(1)[0]
    server.mode("serve")
    server.said(rf"Worker \(pid:{first}\) exited with code 7")
    assert int(server.ask()[0]) != first
    server.touch("go")
    assert server.stop() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl")
def test_orphans_are_waited_for(server, monkeypatch):
    """As process 1 of a container the master gets the processes whose parents have died."""
    monkeypatch.setenv("FAKE_SUBREAPER", "1")
    server.start("grandchild")
    first = server.booted(1)[0]
    server.mode("serve")
    server.said(rf"Worker \(pid:{first}\) exited with code 7")
    server.touch("go")
    stranger = int(server.said(r"Reaped process (\d+), which is no worker")[1])
    assert not is_alive(stranger)
    assert server.stop() == 0


def test_workers_notice_that_the_master_died(server):
    server.start(workers=2)
    pids = server.booted(2)
    server.answering(*pids)
    server.send(signal.SIGKILL)
    wait_for(lambda: len(server.lines("worker is an orphan")) == 2, "they notice")
    wait_for(lambda: not any(map(is_alive, pids)), "they end")


def test_a_pid_file_is_kept_and_removed(server):
    path = server.directory / "pid"
    server.start(pidfile="pid")
    server.booted(1)
    assert path.read_text() == f"{server.pid}\n"
    assert server.stop() == 0
    assert not path.exists()


def test_a_pid_file_of_a_running_server(server):
    path = server.directory / "pid"
    path.write_text(f"{os.getpid()}\n")
    server.start(pidfile="pid")
    assert server.end() == 1
    server.said(rf"\[ERROR\] Already running on PID {os.getpid()}")
    assert path.read_text() == f"{os.getpid()}\n"


def test_an_address_that_cannot_be_had(server):
    (server.directory / "x.sock").touch()
    server.start(bind=["unix:x.sock"])
    assert server.end() == 1
    server.said(r"\[ERROR\] Can't connect to unix:x.sock: the file exists and is no socket")


def test_stop_while_an_address_is_waited_for(server):
    with socket.create_server(("127.0.0.1", 0)) as other:
        server.start(bind=[f"127.0.0.1:{other.getsockname()[1]}"])
        server.said("Retrying in 1 second")
        assert server.stop() == 0
    server.said("Handling signal: term, while starting")


def test_a_unix_socket_is_removed_when_the_stop_begins(server):
    server.start("linger", bind=["unix:s.sock", "127.0.0.1:0"], graceful_timeout=60.0)
    path = server.directory / "s.sock"
    server.said(r"Listening at: unix:.*/s.sock,http")
    server.ready()
    assert path.exists()
    server.send(signal.SIGTERM)
    wait_for(lambda: not path.exists(), "the file is gone")
    assert server.stop(signal.SIGQUIT) == 1


def test_each_seat_has_its_own_socket_with_reuse_port(server):
    server.start(workers=2, reuse_port=True)
    pids = sorted(server.booted(2))  # in the order of their seats
    server.answering(*pids)
    inodes = [listening_inodes(pid, server.port()) for pid in pids]
    assert [len(found) for found in inodes] == [1, 1]
    assert not inodes[0] & inodes[1]
    assert listening_inodes(server.pid, server.port()) == inodes[0] | inodes[1]
    os.kill(pids[0], signal.SIGKILL)
    third = server.booted(3)[2]
    server.answering(pids[1], third)
    assert listening_inodes(third, server.port()) == inodes[0], "the successor inherits the socket"
    server.send(signal.SIGTTOU)
    fourth = server.booted(4)[3]
    wait_for(lambda: not is_alive(pids[1]) and not is_alive(third), "the last worker takes over both sockets")
    server.answering(fourth)
    assert listening_inodes(fourth, server.port()) == inodes[0] | inodes[1]
    assert server.stop() == 0


def listening_inodes(pid: int, port: int) -> set[str]:
    """Of the sockets that listen at the port and that the process has open."""
    listening = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
            listening.add(f"socket:[{fields[9]}]")
    return listening & links(pid)


def links(pid: int) -> set[str]:
    """What the descriptors of a process are; the last connection may be closed meanwhile."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(entry))
    return found


def test_a_worker_holds_no_descriptor_of_the_master(server):
    server.start(workers=3)
    pids = server.booted(3)
    server.answering(*pids)

    def pipes(pid: int) -> set[str]:
        return {link for link in links(pid) if link.startswith("pipe:")}

    own = [pipes(pid) for pid in pids]
    assert len(own[0] & own[1] & own[2]) == 1, "the pipe that ends with the master"
    assert not any(link.startswith("anon_inode:[eventpoll]") for link in links(pids[2]))
    for first, second in ((0, 1), (1, 2), (0, 2)):
        assert len(own[first] & own[second]) == 1, "no pipe of another worker"
    assert server.stop() == 0


def test_the_soft_limit_of_descriptors_is_raised(server):
    server.start()
    (first,) = server.booted(1)
    limits = Path(f"/proc/{first}/limits").read_text()
    soft, hard = re.search(r"Max open files\s+(\S+)\s+(\S+)", limits).groups()
    assert soft == hard
    assert server.stop() == 0


# --preload

APPLICATION = """
class app:
    version = {version!r}
    def __init__(self, environ, start_response): ...
"""


def write_application(server: Server, text: str) -> None:
    (server.directory / "app.py").write_text(text)


def test_preload_loads_in_the_master(server):
    write_application(server, APPLICATION.format(version="one"))
    server.start(preload_app=True, workers=2)
    server.booted(2)
    assert server.ask()[3] == "one"
    server.said("Using worker: sync")
    assert server.stop() == 0


def test_preload_of_a_broken_application(server):
    write_application(server, "import nothing_like_this")
    server.start(preload_app=True)
    assert server.end() == 4
    log = server.log()
    assert "nothing_like_this" in log
    assert "app.py" in log
    assert "Booting worker" not in log


def test_stop_while_the_application_is_preloaded(server):
    """As process 1 a master without a handler would be deaf, and whoever stops it would wait and kill."""
    write_application(
        server,
        "import pathlib, time\npathlib.Path('loading').touch()\ntry:\n time.sleep(60)\nexcept BaseException: raise",
    )
    server.start(preload_app=True)
    wait_for((server.directory / "loading").exists, "the import")
    assert server.stop() == 0
    server.said("Handling signal: term, while starting")


def test_preload_reload(server):
    """The master executes itself: same process, same socket, all workers new, nobody refused."""
    write_application(server, APPLICATION.format(version="one"))
    server.start(preload_app=True, workers=2, pidfile="pid")
    old = server.booted(2)
    port = server.port()
    assert server.ask()[3] == "one"
    for round_ in ("two", "three"):
        write_application(server, APPLICATION.format(version=f"{round_}, longer"))
        done = len(server.lines("Reload: all workers are new"))
        server.send(signal.SIGHUP)
        wait_for(lambda d=done: server.ask() and len(server.lines("Reload: all workers are new")) > d, "the reload")
        assert server.port() == port
        wait_for(lambda pids=old: not any(map(is_alive, pids)), "the old workers are gone")
        old = server.booted(2)[-2:]
        assert server.ask()[3] == f"{round_},"
        server.answering(*old)
        assert (server.directory / "pid").read_text() == f"{server.pid}\n"
    assert server.stop() == 0
    assert not (server.directory / "pid").exists()
    assert len(server.lines("Starting pyserve")) == 3


def test_preload_reload_of_broken_code(server):
    write_application(server, APPLICATION.format(version="one"))
    server.start(preload_app=True, workers=2)
    old = server.booted(2)
    server.answering(*old)
    write_application(server, "this is no Python")
    server.send(signal.SIGHUP)
    server.said(r"Reload: this would not start \(exit code 4\), the old workers go on: importing module")
    server.said("SyntaxError")
    server.answering(*old)
    assert len(server.lines("Starting pyserve")) == 1
    assert server.stop() == 0


def test_preload_reload_with_workers_that_do_not_boot(server):
    """The application loads and the workers fail all the same: the new life of the master keeps the old ones."""
    write_application(server, APPLICATION.format(version="one"))
    server.start(preload_app=True, workers=2)
    old = server.booted(2)
    server.answering(*old)
    server.mode("fail 3")
    server.send(signal.SIGHUP)
    server.said("Reload: a new worker could not boot, the old ones go on")
    server.answering(*old)
    os.kill(old[0], signal.SIGKILL)
    server.mode("serve")
    server.said(rf"Worker \(pid:{old[0]}\) was sent SIGKILL")
    wait_for(lambda: int(server.ask()[0]) not in old, "it is followed")
    assert server.stop() == 0


def test_preload_reload_still_watches_the_old_workers(server):
    write_application(server, APPLICATION.format(version="one"))
    server.start("stuck", preload_app=True, timeout=2.0)
    (first,) = server.booted(1)
    server.mode("slow")
    server.send(signal.SIGHUP)
    server.said("Starting pyserve", 2)
    server.said(rf"WORKER TIMEOUT \(pid:{first}\): GET /stuck for")
    server.touch("go")
    server.said(rf"Worker \(pid:{first}\) was sent SIGKILL")
    assert server.stop() == 0


def test_preload_reload_keeps_unix_sockets(server):
    write_application(server, APPLICATION.format(version="one"))
    server.start(preload_app=True, bind=["127.0.0.1:0", "unix:s.sock"])
    server.booted(1)
    path = server.directory / "s.sock"
    inode = path.stat().st_ino
    server.send(signal.SIGHUP)
    server.said("Reload: all workers are new")
    assert path.stat().st_ino == inode
    assert server.stop() == 0
    assert not path.exists()


def test_hangup_again_while_the_new_code_is_tried_out(server):
    write_application(server, APPLICATION.format(version="one"))
    server.start(preload_app=True)
    (first,) = server.booted(1)
    hang = "import pathlib, time\npathlib.Path('loading').touch()\ntime.sleep(60)"
    write_application(server, hang)
    server.send(signal.SIGHUP)
    wait_for((server.directory / "loading").exists, "the trial")
    server.answering(first)
    write_application(server, APPLICATION.format(version="two"))
    server.send(signal.SIGHUP)
    server.said("Reload: all workers are new")
    wait_for(lambda: not is_alive(first), "the end of the old worker")
    assert server.ask()[3] == "two"
    assert server.stop() == 0


def test_stop_while_the_new_code_is_tried_out(server):
    write_application(server, APPLICATION.format(version="one"))
    server.start(preload_app=True)
    server.booted(1)
    write_application(
        server, "import pathlib, os, time\npathlib.Path('loading').write_text(str(os.getpid()))\ntime.sleep(60)"
    )
    server.send(signal.SIGHUP)
    trial = int(wait_for(lambda: (p := server.directory / "loading").exists() and p.read_text(), "the trial"))
    assert server.stop() == 0
    wait_for(lambda: not is_alive(trial), "the trial is gone")


# What the next life runs before anything of ours: it waits until it is told to go on.
LATE_START = """
import os, pathlib, time
if '"members"' in os.environ.get("_PYSERVE_LIFE", "") and not pathlib.Path("again").exists():
    pathlib.Path("again").touch()
    while not pathlib.Path("goes on").exists():
        time.sleep(0.01)
"""


@pytest.mark.parametrize(
    ("number", "told"),
    [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "SIGQUIT"), (signal.SIGQUIT, "SIGQUIT")],
)
def test_stop_while_the_master_starts_itself_anew(server, number, told):
    """It comes before the new process image has handlers: nothing is lost, and the old workers are told."""
    write_application(server, APPLICATION.format(version="one"))
    (server.directory / "sitecustomize.py").write_text(LATE_START)
    server.start(preload_app=True, workers=2, pidfile="pid", bind=["127.0.0.1:0", "unix:s.sock"])
    server.booted(2)
    server.send(signal.SIGHUP)
    wait_for((server.directory / "again").exists, "the next life")
    server.send(number)
    server.touch("goes on")
    assert server.end() == 0
    server.said(rf"Handling signal: {signals.short_name(number)}$")
    assert len(server.lines(rf"Worker \(pid:\d+\): {told}, the server stops")) == 2
    assert len(server.lines("Booting worker")) == 2
    assert not (server.directory / "pid").exists()
    assert not (server.directory / "s.sock").exists()


def test_other_signals_while_the_master_starts_itself_anew(server):
    write_application(server, APPLICATION.format(version="one"))
    (server.directory / "sitecustomize.py").write_text(LATE_START)
    server.start(preload_app=True)
    server.booted(1)
    server.send(signal.SIGHUP)
    wait_for((server.directory / "again").exists, "the next life")
    server.send(signal.SIGTTIN)
    server.send(signal.SIGUSR1)
    server.touch("goes on")
    server.said("Handling signal: ttin")
    server.said("Handling signal: usr1")
    server.booted(3)
    assert server.stop() == 0


def test_stop_while_the_next_life_loads_the_application(server):
    """Nobody has to wait for what will not be needed; the old workers are told all the same."""
    write_application(server, APPLICATION.format(version="one"))
    server.start(preload_app=True, workers=2, pidfile="pid")
    server.booted(2)
    write_application(
        server,
        APPLICATION.format(version="two")
        + "import os, pathlib, time\n"
        + "if pathlib.Path('tried').exists():\n pathlib.Path('loading').touch()\n time.sleep(60)\n"
        + "pathlib.Path('tried').touch()",
    )
    server.send(signal.SIGHUP)
    wait_for((server.directory / "loading").exists, "the next life loads")
    assert server.stop() == 0
    assert len(server.lines(r"Worker \(pid:\d+\): SIGTERM, the server stops")) == 2
    assert not (server.directory / "pid").exists()
