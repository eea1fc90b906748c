"""The control socket: its file, its clients in the master's loop, and how it comes through other lives."""

import contextlib
import errno
import os
import selectors
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gunicorn.ctl.client import ControlClient
from gunicorn.ctl.protocol import ControlProtocol, make_request

from pyserve.server import control
from pyserve.server.control import MOST_CLIENTS, Control, opened
from pyserve.server.control_frames import MOST, CommandError, Request
from tests.server.journal import Log
from tests.server.masters import Server, wait_for


class Loop:
    """The master's loop, turned by hand."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.selector = selectors.DefaultSelector()
        self.asked: list[Request] = []
        self.data: dict[str, Any] = {}
        self.control = Control.open(self.path, 0o600)
        self.control.attend(self.selector, self.answer)

    def answer(self, asked: Request) -> dict[str, Any]:
        self.asked.append(asked)
        if asked.words == ("bogus",):
            raise CommandError("no such command")
        return self.data

    def turn(self, timeout: float = 0) -> bool:
        """Whether there was something to do."""
        ready = self.selector.select(timeout)
        for key, _ in ready:
            key.data()
        return bool(ready)

    def settle(self) -> None:
        while self.turn():
            pass

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(10)
        client.connect(self.path)
        self.settle()
        return client

    def ask(self, client: socket.socket, command: str) -> dict[str, Any]:
        client.sendall(ControlProtocol.encode_message(make_request(1, command)))
        self.settle()
        return ControlProtocol.read_message(client)


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    loop = Loop(tmp_path / "s")
    yield loop
    loop.control.close()
    loop.selector.close()


def ended(client: socket.socket) -> bool:
    with client:
        try:
            return client.recv(1) == b""
        except ConnectionResetError:
            return True


def test_requests_one_after_the_other(loop: Loop) -> None:
    with loop.connect() as client:
        loop.data = {"a": 1}
        assert loop.ask(client, "show all") == {"id": 1, "status": "ok", "data": {"a": 1}}
        assert loop.ask(client, "bogus") == {"id": 1, "status": "error", "error": "no such command"}
        assert loop.ask(client, "'")["status"] == "error"
        message = ControlProtocol.encode_message(make_request(2, "help"))
        client.sendall(message * 3)
        loop.settle()
        assert [ControlProtocol.read_message(client)["id"] for _ in range(3)] == [2, 2, 2]


def test_one_request_in_a_turn(loop: Loop) -> None:
    """Whatever a client sends at once: the rest of the loop has its turn in between."""
    with loop.connect() as client:
        client.sendall(ControlProtocol.encode_message(make_request(1, "help")) * 50)
        for _ in range(2):  # the length, then the message
            loop.turn()
        assert len(loop.asked) == 1
        loop.settle()
        assert len(loop.asked) == 50


@pytest.mark.parametrize("octets", [b"GET / HTTP/1.1\r\n\r\n", (MOST + 1).to_bytes(4, "big"), b"\0\0\0\2[]"])
def test_rubbish_is_answered_once(loop: Loop, octets: bytes) -> None:
    client = loop.connect()
    client.sendall(octets)
    loop.settle()
    answer = ControlProtocol.read_message(client)
    assert answer["status"] == "error"
    assert answer["error"].startswith("Invalid message: ")
    assert ended(client)
    assert loop.asked == []


def test_a_client_that_reads_nothing_holds_nobody(loop: Loop) -> None:
    loop.data = {"much": "x" * 2_000_000}
    idle = loop.connect()
    for _ in range(3):
        idle.sendall(ControlProtocol.encode_message(make_request(1, "help")))
    loop.settle()
    assert len(loop.asked) == 1, "the next one is read when this answer is gone"
    with loop.connect() as other:
        other.sendall(ControlProtocol.encode_message(make_request(1, "help")))
        answer = bytearray()
        while len(answer) < 2_000_000:
            loop.settle()
            answer += other.recv(65536)
        loop.settle()
        now = max(client.since for client in loop.control._clients)
        loop.control.look(now + control.SLOW_TIME + 0.1)
        assert len(loop.control._clients) == 1, "the other one has five minutes for the next request"
    with idle, contextlib.suppress(ConnectionResetError):
        while idle.recv(1_000_000):
            pass


def test_deadlines(loop: Loop) -> None:
    silent, half = loop.connect(), loop.connect()
    half.sendall(b"\0\0\0")
    loop.settle()
    begun = loop.control._clients[1].since
    half.sendall(b"\1")
    loop.settle()
    assert loop.control._clients[1].since == begun, "slowly is not enough"
    loop.control.look(begun + control.SLOW_TIME)
    assert ended(half)
    assert len(loop.control._clients) == 1
    loop.control.look(begun + control.IDLE_TIME)
    assert ended(silent)


def test_one_more_client_takes_the_place_of_the_most_silent(loop: Loop) -> None:
    clients = [loop.connect() for _ in range(MOST_CLIENTS)]
    assert loop.ask(clients[0], "help")["status"] == "ok"
    late = loop.connect()
    assert ended(clients.pop(1))
    for client in (*clients, late):
        assert loop.ask(client, "help")["status"] == "ok"
        client.close()
    loop.settle()
    assert loop.control._clients == []


def test_a_client_that_goes_in_the_middle(loop: Loop) -> None:
    loop.data = {"much": "x" * 2_000_000}
    client = loop.connect()
    client.sendall(ControlProtocol.encode_message(make_request(1, "help")))
    loop.settle()
    client.close()
    loop.settle()
    loop.connect().close()
    loop.settle()
    assert loop.control._clients == []


def test_without_descriptors_it_waits(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits to be accepted would keep the loop turning."""

    class Listener:
        def fileno(self) -> int:
            return listener.fileno()

        def accept(self) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

    listener = loop.control._listener
    monkeypatch.setattr(loop.control, "_listener", Listener())
    with loop.connect() as client:
        assert not loop.turn()
        monkeypatch.setattr(loop.control, "_listener", listener)
        deaf_until = loop.control._deaf_until
        assert deaf_until is not None
        loop.control.look(deaf_until - 0.1)
        assert not loop.turn()
        loop.control.look(deaf_until)
        loop.control.look(deaf_until)
        assert loop.ask(client, "help")["status"] == "ok"


def test_ready_and_let_go_in_the_same_turn(loop: Loop) -> None:
    """One that is closed by what another one brings about is not touched again."""
    first = loop.connect()
    first.sendall(b"\0")
    ready = loop.selector.select(5)
    loop.control._leave(loop.control._clients[0])
    for key, _ in ready:
        key.data()
    first.close()


# The file


def test_its_permissions_and_its_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "s"
    made = Control.open(str(path), 0o640)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with pytest.raises(OSError, match="another server listens there"):
        Control.open(str(path), 0o600)
    made._pid += 1  # as in a child
    made.close()
    assert path.exists()
    Control.open(str(path), 0o600).close()  # what nobody listens behind is replaced
    assert not path.exists()


def test_what_another_has_made_stays(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = Control.open(str(path), 0o600)
    path.rename(tmp_path / "elsewhere")
    second = Control.open(str(path), 0o600)
    first.close()
    assert path.exists()
    second.close()
    assert not path.exists()


def test_one_that_cannot_be_had_is_told(tmp_path: Path, log: Log) -> None:
    (tmp_path / "file").touch()
    assert opened(str(tmp_path / "file"), 0o600, None, log) is None
    assert opened(str(tmp_path / "file" / "s"), 0o600, None, log) is None
    assert log.lines == [
        f"error: Can't open the control socket {tmp_path}/file: the file exists and is no socket",
        f"error: Can't open the control socket {tmp_path}/file/s: File exists",
    ]
    assert (tmp_path / "file").exists()
    assert opened(None, 0o600, None, log) is None


def test_the_next_life_has_the_same_socket(tmp_path: Path, log: Log) -> None:
    path = str(tmp_path / "s")
    first = Control.open(path, 0o600)
    heir = next_life(first)
    assert Control.take_over(None) is None
    assert opened(path, 0o660, heir, log) is heir
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    assert opened(path + "x" * 100, 0o660, heir, log) is heir, "one that cannot be had"
    other = opened(path + "2", 0o600, heir, log)
    assert other is not None
    assert sorted(os.listdir(tmp_path)) == ["s2"]
    assert opened(None, 0o600, other, log) is None
    assert os.listdir(tmp_path) == []
    first.leave_to_child()


def next_life(first: Control) -> Control:
    """With descriptors of its own, as this process lives on."""
    path, device, inode, listener, connected = first.hand_over()
    connected = [(os.dup(fd), *octets) for fd, *octets in connected]
    heir = Control.take_over((path, device, inode, os.dup(listener), connected))
    assert heir is not None
    return heir


def fill(connection: socket.socket) -> int:
    """How many octets its buffer takes until the other side reads."""
    taken = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            taken += connection.send(bytes(4096))
    return taken


def test_who_is_connected_stays_so_in_the_next_life(loop: Loop) -> None:
    idle, half, slow, lengthy, rubbish = (loop.connect() for _ in range(5))
    loop.data = {"much": "x" * 300_000}
    message = ControlProtocol.encode_message(make_request(7, "help"))
    half.sendall(message[:9])
    lengthy.sendall(message)
    loop.settle()
    loop.data = {"much": "x" * 1000}
    taken = fill(loop.control._clients[2].socket)
    slow.sendall(message)
    fill(loop.control._clients[4].socket)
    rubbish.sendall(b"\0\0\0\0")
    loop.settle()
    assert [client.can_go_on for client in loop.control._clients] == [True, True, True, False, False]

    first, loop.control = loop.control, next_life(loop.control)
    loop.selector.close()
    loop.selector = selectors.DefaultSelector()
    loop.control.attend(loop.selector, loop.answer)
    first._listener.close()
    for client in first._clients:
        client.socket.close()
    with idle, half, slow:
        assert loop.ask(idle, "show all")["data"] == loop.data
        half.sendall(message[9:])
        loop.settle()
        assert ControlProtocol.read_message(half)["id"] == 7
        while taken:
            taken -= len(slow.recv(taken))
        loop.settle()
        assert ControlProtocol.read_message(slow)["data"] == loop.data
    for client in (lengthy, rubbish):
        with client:
            while client.recv(1_000_000):
                pass


# A server


def ask(path: Path, command: str) -> dict[str, Any]:
    with ControlClient(str(path), 20) as client:
        answer: dict[str, Any] = client.send_command(command)
        return answer


def holds(pid: int, path: Path) -> bool:
    """Whether a process has the socket, or a connection to it."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    inodes = {line.split()[6] for line in lines if line.endswith(f" {path}")}
    return not inodes.isdisjoint(link[8:-1] for link in links(pid) if link.startswith("socket:["))


def links(pid: int) -> list[str]:
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


def test_a_server_and_its_next_life(server: Server) -> None:
    path = server.directory / "s"
    server.start(workers=1, control_socket="s")
    server.booted(1)
    with ControlClient(str(path), 20) as client:
        assert client.send_command("reload") == {"status": "reloading"}
        server.said("Reload: all workers are new")
        inode = path.stat().st_ino
        stats = client.send_command("show stats")
    assert (stats["reloads"], stats["workers_spawned"], stats["pid"]) == (1, 2, server.pid)
    assert ask(path, "worker add 2")["total"] == 3
    pids = server.booted(4)
    server.said("worker is known to be ready", 4)
    assert holds(server.pid, path)
    assert not any(holds(pid, path) for pid in pids[-3:])
    assert ask(path, f"worker kill {pids[-1]}")["success"]
    server.booted(5)
    assert path.stat().st_ino == inode
    assert ask(path, "shutdown") == {"status": "shutting_down", "mode": "graceful"}
    assert server.end() == 0
    assert not path.exists()


def test_a_second_master_has_its_own_beside_it(server: Server) -> None:
    path = server.directory / "s"
    second = server.directory / "s.2"
    server.start(workers=1, control_socket="s")
    server.ready()
    server.send(signal.SIGUSR2)
    server.said("worker is known to be ready", 2)
    new = ask(second, "show stats")["pid"]
    assert ask(path, "show stats")["pid"] == server.pid
    os.kill(new, signal.SIGHUP)
    wait_for(lambda: ask(second, "show stats")["reloads"] == 1, "its next life")
    assert ask(path, "shutdown quick")["mode"] == "quick"
    server.end()
    wait_for(path.exists, "the socket under its old name")
    assert ask(path, "show stats")["pid"] == new
    assert not second.exists()
    ask(path, "shutdown quick")
    wait_for(lambda: not path.exists(), "its end")


def test_none_is_made_where_none_is_wanted(server: Server) -> None:
    server.start(workers=1, control_socket="s", control_socket_disable=True)
    server.ready()
    assert not (server.directory / "s").exists()
    assert server.stop() == 0
