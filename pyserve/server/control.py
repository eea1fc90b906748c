"""The control socket (`--control-socket`), at which `gunicornc` asks and commands.

It belongs to the master's loop, which must never wait for a client: what is read and written is what can be at once. A
client has one request at a time, and is not read from while it has an answer to take; at most `MOST_CLIENTS` are
connected, and one more takes the place of that which has been silent for longest. So one that sends nothing, a half
message or rubbish, or that takes no answer, costs a descriptor and a few octets until its deadline.

Who can connect commands the server. So the file is the master's own, never the workers', and is made with its
permissions (`--control-socket-mode`); it is removed only by the process that made it, and only while it is the same.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pyserve.server.control_frames import CommandError, Frame, FrameError, Request, answered, refused, request
from pyserve.server.pidfile import SECOND
from pyserve.server.sockets import remove_stale, unlink_own

if TYPE_CHECKING:
    from pyserve.workers.logs.error_log import ErrorLog

MOST_CLIENTS: Final = 8
IDLE_TIME: Final = 300.0
"""Seconds between two requests, as with gunicorn: somebody sits there and types."""
SLOW_TIME: Final = 10.0
"""Seconds for the rest of a request, and to take an answer."""
PAUSE: Final = 1.0
"""Seconds until somebody is accepted again after that could not be done."""
_BACKLOG: Final = 16
_MOST_HANDED_OVER: Final = 4096
"""Octets of a client that go to the next life, so that all of them have room in one variable of the environment."""

Answer = Callable[[Request], Mapping[str, Any]]
"""Does what a request says; CommandError."""


Connected = tuple[int, str, str]
"""A client for the next life: its descriptor, what has come of its request, and what it is still to be sent; in hex."""
HandedOver = tuple[str, int, int, int, list[Connected]]
"""The socket for the next life: path, device, inode, descriptor, and who is connected."""


class Client:
    """One connection. since: monotonic seconds of its last progress. ends: after what is in `unsent`."""

    __slots__ = ("ends", "frame", "since", "socket", "unsent")

    def __init__(self, socket: socket.socket, octets: bytes = b"", unsent: bytes = b"") -> None:
        socket.setblocking(False)
        self.socket = socket
        self.frame = Frame(octets)
        self.unsent = memoryview(unsent)
        self.since = time.monotonic()
        self.ends = False

    @property
    def event(self) -> int:
        """What of its socket is waited for."""
        return selectors.EVENT_WRITE if self.unsent else selectors.EVENT_READ

    @property
    def can_go_on(self) -> bool:
        """Whether the next life has a use for it, and what is told of it is short enough to be handed over."""
        return not self.ends and len(self.frame.octets) + len(self.unsent) <= _MOST_HANDED_OVER

    def hand_over(self) -> Connected:
        return (self.socket.fileno(), self.frame.octets.hex(), self.unsent.hex())

    @classmethod
    def take_over(cls, told: Connected) -> Client:
        return cls(socket.socket(fileno=told[0]), bytes.fromhex(told[1]), bytes.fromhex(told[2]))

    @property
    def deadline(self) -> float:
        return self.since + (SLOW_TIME if self.unsent or self.frame.begun else IDLE_TIME)


class Control:
    """The socket and who is connected to it. All of it is for the master's one thread."""

    def __init__(self, path: str, listener: socket.socket, made: tuple[int, int]) -> None:
        """made: device and inode of the file."""
        self.path = path
        self._listener = listener
        self._made = made
        self._pid = os.getpid()
        self._clients: list[Client] = []
        self._selector: selectors.BaseSelector | None = None
        self._answer: Answer | None = None
        self._deaf_until: float | None = None

    @classmethod
    def open(cls, path: str, mode: int) -> Control:
        """Make the socket, and its directory where that is missing, as gunicorn does. OSError, also when somebody
        listens there."""
        path = os.path.abspath(path)  # the application may change the working directory
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        remove_stale(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        umask = os.umask(0o777 & ~mode)
        try:
            listener.bind(path)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
            status = os.lstat(path)
        except BaseException:
            listener.close()
            raise
        finally:
            os.umask(umask)
        return cls(path, listener, (status.st_dev, status.st_ino))

    # Other lives

    def hand_over(self) -> HandedOver:
        """For the next life of this process, which inherits the descriptors."""
        connected = [client.hand_over() for client in self._clients if client.can_go_on]
        return (self.path, *self._made, self._listener.fileno(), connected)

    @classmethod
    def take_over(cls, told: HandedOver | None) -> Control | None:
        """The socket of the life before, by its `hand_over`."""
        if told is None:
            return None
        path, device, inode, fd, connected = told
        listener = socket.socket(fileno=fd)
        listener.setblocking(False)
        control = cls(path, listener, (device, inode))
        control._clients = [Client.take_over(one) for one in connected]
        return control

    def serves(self, path: str) -> bool:
        """Whether this is the socket at that place, and still there."""
        try:
            status = os.lstat(path)
        except OSError:
            return False
        return self.path == os.path.abspath(path) and self._made == (status.st_dev, status.st_ino)

    def promote(self) -> None:
        """Take the place of the master that is gone. OSError."""
        if self.path.endswith(SECOND):
            path = self.path.removesuffix(SECOND)
            remove_stale(path)
            os.rename(self.path, path)
            self.path = path

    # The loop

    def attend(self, selector: selectors.BaseSelector, answer: Answer) -> None:
        """From here on the loop calls what is registered."""
        self._selector, self._answer = selector, answer
        selector.register(self._listener, selectors.EVENT_READ, self._accept)
        for client in self._clients:
            selector.register(client.socket, client.event, partial(self._go_on, client))

    def look(self, now: float) -> None:
        """Called about once a second: whose time is over?"""
        for client in [client for client in self._clients if now >= client.deadline]:
            self._leave(client)
        if self._deaf_until is not None and now >= self._deaf_until and self._selector is not None:
            self._deaf_until = None
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _accept(self) -> None:
        assert self._selector is not None
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):  # the client has gone
            return
        except OSError:  # there is no descriptor left: who waits would be told of in each turn
            self._selector.unregister(self._listener)
            self._deaf_until = time.monotonic() + PAUSE
            return
        if len(self._clients) >= MOST_CLIENTS:
            self._leave(min(self._clients, key=lambda client: client.since))
        client = Client(connection)
        self._clients.append(client)
        self._selector.register(connection, client.event, partial(self._go_on, client))

    def _go_on(self, client: Client) -> None:
        """The client's socket is ready for what is waited for; or it was, before it was let go."""
        if client not in self._clients:
            return
        if client.unsent:
            self._flush(client)
        else:
            self._read(client)

    def _read(self, client: Client) -> None:
        try:
            octets = client.socket.recv(client.frame.missing)
        except BlockingIOError:
            return
        except OSError:
            octets = b""
        if not octets:
            self._leave(client)
            return
        if not client.frame.begun:
            client.since = time.monotonic()
        if reply := self._reply(client, octets):
            client.since = time.monotonic()
            client.unsent = memoryview(reply)
            self._flush(client)

    def _reply(self, client: Client, octets: bytes) -> bytes | None:
        """What is to be sent, if a request is complete now or nothing sensible can follow."""
        try:
            payload = client.frame.feed(octets)
        except FrameError as error:
            client.ends = True
            return refused(0, f"Invalid message: {error}")
        if payload is None:
            return None
        id: int | str = 0
        try:
            asked = request(payload)
            id = asked.id
            assert self._answer is not None
            return answered(id, self._answer(asked))
        except FrameError as error:
            client.ends = True
            return refused(0, f"Invalid message: {error}")
        except CommandError as error:
            return refused(id, str(error))

    def _flush(self, client: Client) -> None:
        """Send what can be sent now, and wait for what comes next."""
        assert self._selector is not None
        try:
            sent = client.socket.send(client.unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._leave(client)
            return
        client.unsent = client.unsent[sent:]
        if sent:
            client.since = time.monotonic()
        if not client.unsent and client.ends:
            self._leave(client)
            return
        self._selector.modify(client.socket, client.event, partial(self._go_on, client))

    def _leave(self, client: Client) -> None:
        self._clients.remove(client)
        assert self._selector is not None
        self._selector.unregister(client.socket)
        client.socket.close()

    # The end

    def close(self) -> None:
        """Close all, and remove the file if it is still ours and this is the process that made it. Never raises."""
        self.leave_to_child()
        if os.getpid() == self._pid:
            unlink_own(self.path, *self._made)

    def leave_to_child(self) -> None:
        """In a fresh worker: close what is the master's. The selector is closed already, or will be."""
        for client in self._clients:
            client.socket.close()
        self._clients.clear()
        self._listener.close()


def opened(path: str | None, mode: int, last: Control | None, log: ErrorLog) -> Control | None:
    """The control socket at `path`, None for none. last: what the life before has left.

    One that cannot be had is no reason not to serve: as with gunicorn it is an error in the log.
    """
    if last is not None and path is not None and last.serves(path):
        with contextlib.suppress(OSError):
            os.chmod(last.path, mode)
        return last
    control = None
    if path is not None:
        try:
            control = Control.open(path, mode)
        except OSError as error:
            log.error("Can't open the control socket %s: %s", path, error.strerror or error)
            return last
        log.info("Control socket listening at %s", control.path)
    if last is not None:
        last.close()
    return control
