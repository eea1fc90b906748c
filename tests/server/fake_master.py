"""A master with workers that only pretend: `python fake_master.py SETTINGS_AS_JSON`; the file `settings.json` overrules
them. Used by test_arbiter.py and test_lives.py.

A worker does what the file named by `MODE` says when it boots:

    serve        accept connections, answer each with the worker's pid, and drain when told to
    fail CODE    say that it cannot boot, with that code
    raise        let an exception out while booting; `exit` the same with SystemExit
    broken       be ready, then let an exception out
    die N        be ready, then exit with N
    stuck        be ready, then never beat again, deaf to SIGABRT
    retire       be ready, then retire by itself once the file `retire` is there
    wear         serve, and ask to be replaced once the file `wear` is there
    grow         serve, and hold 64 MiB more once the file `grow` is there
    linger       be ready, deaf to TERM
    grandchild   be ready, leave a process behind that holds the pipe, and exit 7
    slow         boot until the file `go` is there, then serve
"""

import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import termios
import time
from pathlib import Path

from pyserve.server.master import serve
from pyserve.settings import Settings
from pyserve.workers.scoreboard import State
from pyserve.workers.worker import WorkerContext

HERE = Path(os.environ["FAKE_DIRECTORY"])


def until(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


def taken(name: str) -> bool:
    """Whether a file was there, for the first who asks."""
    try:
        (HERE / name).unlink()
    except FileNotFoundError:
        return False
    return True


def be_ready(context: WorkerContext) -> None:
    """Returns when the master has heard it, and says so: whatever it is told from then on, it is told to a master that
    knows."""
    context.slot.heartbeat = context.slot.booted_at = time.monotonic_ns()
    context.slot.state = State.READY
    os.write(context.ready_fd, b"R")
    while struct.unpack("i", fcntl.ioctl(context.ready_fd, termios.FIONREAD, bytes(4)))[0]:
        time.sleep(0.001)
    context.log.info("worker is known to be ready")


def serve_connections(context: WorkerContext, retire: bool = False, wear: bool = False, grow: bool = False) -> int:
    ballast = b""
    reader, writer = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda number, frame: os.write(writer, bytes([number])))
    signal.signal(signal.SIGUSR1, lambda number, frame: (context.log.reopen(), context.log.info("worker reopens")))
    be_ready(context)
    while True:
        ready = select.select([reader, context.master_fd, *context.listeners], [], [], 0.05)[0]
        context.slot.heartbeat = time.monotonic_ns()
        if reader in ready:
            context.log.info("worker was told %s", signal.Signals(os.read(reader, 1)[0]).name)
            return 0
        if context.master_fd in ready:
            context.log.info("worker is an orphan")
            return 0
        if wear and taken("wear"):
            os.write(context.ready_fd, b"W")
        if grow and taken("grow"):
            ballast = os.urandom(64 * 1024 * 1024)
            context.log.info("worker holds %s more", len(ballast))
        if retire and (HERE / "retire").exists():
            (HERE / "retire").unlink()
            context.slot.state = State.DRAINING
            os.write(context.ready_fd, b"D")
            until(HERE / "retired")
            return 0
        for listener in ready:
            with contextlib.suppress(BlockingIOError):
                connection, _ = listener.accept()
                answer = f"{os.getpid()} {context.index} {len(context.listeners)} "
                answer += context.application.callable.version if context.application else "-"
                connection.sendall(answer.encode())
                connection.shutdown(socket.SHUT_RDWR)
                connection.close()


def worker(context: WorkerContext) -> int:
    mode, *rest = (HERE / "MODE").read_text().split()
    context.log.info("worker does %s", mode)
    match mode:
        case "serve":
            return serve_connections(context)
        case "slow":
            until(HERE / "go")
            return serve_connections(context)
        case "wear":
            return serve_connections(context, wear=True)
        case "grow":
            return serve_connections(context, grow=True)
        case "retire":
            return serve_connections(context, retire=True)
        case "fail":
            os.write(context.ready_fd, b"F" + bytes([int(rest[0])]) + b"the reason, " * 9000 + "\u00fcbrigens".encode())
            return int(rest[0])
        case "raise":
            raise RuntimeError("unexpected")
        case "exit":
            sys.exit("told to")
        case "broken":
            be_ready(context)
            raise RuntimeError("unexpected")
        case "die":
            be_ready(context)
            return int(rest[0])
        case "stuck":
            signal.signal(signal.SIGABRT, signal.SIG_IGN)
            context.slot.publish("GET /stuck", time.monotonic_ns())
            be_ready(context)
            time.sleep(60)
        case "linger":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGQUIT, signal.SIG_IGN)
            be_ready(context)
            while True:
                context.slot.heartbeat = time.monotonic_ns()
                time.sleep(0.05)
        case "grandchild":
            be_ready(context)
            if os.fork() == 0:
                until(HERE / "go")
                os._exit(0)
            return 7
    return 99


if __name__ == "__main__":
    if "FAKE_SUBREAPER" in os.environ:
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER, prctl(2): orphans become ours
    settings = json.loads(sys.argv[1])
    if (HERE / "settings.json").exists():
        settings |= json.loads((HERE / "settings.json").read_text())
    settings["bind"] = tuple(settings.get("bind", ["127.0.0.1:0"]))
    sys.exit(serve(Settings(**settings), entry=worker))
