"""The listening sockets: opened once by the master, inherited by every worker.

Facts that shaped this:

* With SO_REUSEPORT the kernel gives every socket a queue of its own, and resets what waits in it when the last
  descriptor is closed. So each seat has its socket, the master keeps it open, and a worker's successor takes over
  the queue with it. One that is open stays open: where there are fewer seats than before, a seat has several.
* TCP_NODELAY, SO_KEEPALIVE and TCP_NOTSENT_LOWAT on the listener are inherited by accepted sockets on Linux.
* Without TCP_NOTSENT_LOWAT the kernel takes megabytes for a client that reads nothing, which costs it 6 ms each: a
  thousand such clients at once kept everybody waiting for seconds, in a kernel that was busy copying.
* A unix socket's file outlives its server. Whether somebody still listens behind it is found out by connecting.
  It is removed only by the process that made it, and only while it is still the same file: a successor may have
  put its own in the same place.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pyserve.server.barring import bar
from pyserve.server.ownership import Owner
from pyserve.values.addresses import Address, InheritedAddress, TcpAddress, UnixAddress, parse_address

if TYPE_CHECKING:
    from pyserve.workers.logs.error_log import ErrorLog

BIND_ATTEMPTS: Final = 5
BIND_PAUSE: Final = 1.0
_SOMAXCONN: Final = "/proc/sys/net/core/somaxconn"
_ANY_IPV4: Final = "0.0.0.0"
NOBODY: Final = Owner()
_UNSENT: Final = 131072  # octets that wait in the kernel for one client, besides those that are under way


class BindError(Exception):
    """An address cannot be listened at. The text names the address and the reason."""


@dataclass(slots=True)
class Bound:
    """One `--bind` and its sockets: one for all seats under key 0, or with `per_seat` one for each seat.

    After `--reuse-port` was taken back all seats share several.
    """

    address: Address
    sockets: dict[int, socket.socket] = field(default_factory=dict)
    per_seat: bool = False
    made: tuple[str, int, int] | None = None
    """The unix socket's file that we made: absolute path, device, inode."""

    def of(self, seat: int, seats: int) -> list[socket.socket]:
        """What the worker on one of so many seats listens at; sockets of seats that are no more are shared out."""
        return [self.sockets[number] for number in sorted(self.sockets) if not self.per_seat or number % seats == seat]


class Listeners:
    """All listening sockets of the server.

    leaving: addresses that the settings name no more, at which old workers still listen. shared: another master has the
    same sockets, so nothing is done to them here, and the unix sockets' files stay where they are; those that were
    inherited belong to somebody else anyway.
    """

    def __init__(self, bounds: Sequence[Bound], backlog: int, leaving: Sequence[Bound] = ()) -> None:
        self._bounds = bounds
        self._backlog = backlog
        self._leaving = leaving
        self._pid = os.getpid()
        self.shared = False

    def names(self) -> list[str]:
        """The addresses as a person would type them, with the port that the kernel chose for port 0."""
        return [name_of(bound.sockets[min(bound.sockets)]) for bound in self._bounds if bound.sockets]

    def binds(self) -> list[str]:
        """The same in the form of `--bind`."""
        return [name.removeprefix("http://") for name in self.names()]

    @property
    def per_seat(self) -> bool:
        """Whether seats have sockets of their own."""
        return any(bound.per_seat for bound in self._bounds)

    def addresses(self) -> list[str]:
        """All addresses, as settings name them."""
        return [str(bound.address) for bound in (*self._bounds, *self._leaving) if bound.sockets]

    def of_seat(self, seat: int, seats: int) -> list[socket.socket]:
        """The sockets that the worker on `seat`, one of `seats`, listens at; one that the seat has not yet is made now
        (OSError)."""
        found = []
        for bound in self._bounds:
            if bound.per_seat and seat not in bound.sockets:
                # Port 0 was resolved by the first seat: the others join it there.
                first = bound.sockets[min(bound.sockets)]
                bound.sockets[seat] = listen(first.family, first.getsockname(), self._backlog, reuse_port=True)
            found += bound.of(seat, seats)
        return found

    def bar(self) -> None:
        """Let nobody begin to connect any more, while the workers accept who is connected already."""
        self._bar((*self._bounds, *self._leaving))

    def all(self) -> list[socket.socket]:
        """Every one that is open."""
        return [listener for bound in (*self._bounds, *self._leaving) for listener in bound.sockets.values()]

    def keep_only(self, kept: Sequence[socket.socket]) -> None:
        """In a worker: close all others, whose queues are not ours to keep alive."""
        for bound in (*self._bounds, *self._leaving):
            for number in [number for number, listener in bound.sockets.items() if listener not in kept]:
                bound.sockets.pop(number).close()

    def close(self) -> None:
        """Close all, and remove the unix sockets' files that this process made."""
        self._close(self._bounds)
        self.let_go()

    def let_go(self) -> None:
        """Close those that are leaving: no worker listens there any more, or will after it has taken who waits."""
        self._bar(self._leaving)
        self._close(self._leaving)

    def _bar(self, bounds: Sequence[Bound]) -> None:
        for bound in bounds:
            if not (self.shared or isinstance(bound.address, InheritedAddress)):
                for listener in bound.sockets.values():
                    bar(listener)

    def _close(self, bounds: Sequence[Bound]) -> None:
        for bound in bounds:
            for listener in bound.sockets.values():
                listener.close()
            bound.sockets.clear()
            if bound.made is not None and os.getpid() == self._pid and not self.shared:
                unlink_own(*bound.made)
            bound.made = None

    def hand_over(self) -> tuple[list[dict[str, Any]], list[int]]:
        """For the next life of this process, or another master: what `take_over` needs (plain data), and the
        descriptors to inherit."""
        told: list[dict[str, Any]] = [
            {
                "address": str(bound.address),
                "fds": {str(seat): listener.fileno() for seat, listener in bound.sockets.items()},
                "per_seat": bound.per_seat,
                "made": bound.made,
            }
            for bound in (*self._bounds, *self._leaving)
            if bound.sockets
        ]
        return told, [fd for one in told for fd in one["fds"].values()]

    @staticmethod
    def take_over(told: Iterable[dict[str, Any]]) -> list[Bound]:
        """The sockets of the life before, by its `hand_over`."""
        bounds = []
        for one in told:
            sockets = {int(seat): socket.socket(fileno=fd) for seat, fd in one["fds"].items()}
            for listener in sockets.values():
                listener.set_inheritable(False)
                listener.setblocking(False)
            made = (str(one["made"][0]), int(one["made"][1]), int(one["made"][2])) if one["made"] else None
            bounds.append(Bound(parse_address(one["address"]), sockets, bool(one["per_seat"]), made))
        return bounds


@dataclass(frozen=True, slots=True)
class Options:
    """How to open one address."""

    backlog: int
    reuse_port: bool
    ipv6_only: bool
    owner: Owner


def open_patiently(address: Address, options: Options, log: ErrorLog, pause: Callable[[float], None] | None) -> Bound:
    """A server that just ends may hold the address for a moment longer, and a network, a name or a directory may come a
    moment later: gunicorn's five tries, in its words. pause None: one try."""
    attempt = 1
    while True:
        try:
            return _open(address, options)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                log.error("Connection in use: %s", address)
            elif error.errno == errno.EADDRNOTAVAIL:
                log.error("Invalid address: %s", address)
            if pause is None or attempt == BIND_ATTEMPTS or _is_hopeless(address, error):
                raise BindError(f"Can't connect to {address}: {error.strerror or error}") from error
            log.error("connection to %s failed: %s", address, error)
        log.info("Retrying in %d second.", BIND_PAUSE)
        pause(BIND_PAUSE)
        attempt += 1


def _is_hopeless(address: Address, error: OSError) -> bool:
    """A descriptor that was not inherited, and a file that is no socket, which gunicorn does not try again either."""
    return isinstance(address, InheritedAddress) or error.errno == errno.EEXIST


def _open(address: Address, options: Options) -> Bound:
    match address:
        case TcpAddress():
            return _open_tcp(address, options)
        case UnixAddress():
            return _open_unix(address, options)
        case InheritedAddress():
            return _open_inherited(address, options)


def _open_tcp(address: TcpAddress, options: Options) -> Bound:
    family, sockaddr = resolve(address)
    listener = listen(family, sockaddr, options.backlog, reuse_port=options.reuse_port, ipv6_only=options.ipv6_only)
    return Bound(address, {0: listener}, per_seat=options.reuse_port)


def resolve(address: TcpAddress) -> tuple[socket.AddressFamily, Any]:
    """One address for a name; IPv4 where it has both, as gunicorn does: `localhost` means 127.0.0.1. OSError."""
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except UnicodeError:  # a label that is empty or too long, which IDNA has no form for
        raise OSError(errno.EINVAL, "not a host name") from None
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return found[0][0], found[0][4]


def listen(
    family: socket.AddressFamily | int,
    sockaddr: Any,
    backlog: int,
    *,
    reuse_port: bool = False,
    ipv6_only: bool = False,
) -> socket.socket:
    """A socket that listens there and never waits. OSError."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            if not hasattr(socket, "SO_REUSEPORT"):
                raise OSError("this system has no SO_REUSEPORT, start without --reuse-port")
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if ipv6_only:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)
        listener.bind(sockaddr)
        listener.listen(backlog)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _open_unix(address: UnixAddress, options: Options) -> Bound:
    if address.is_abstract:
        return _open_abstract(address, options)
    path = os.path.abspath(address.path)  # the application may change the working directory
    remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # A proxy in front usually runs as another user: unless told otherwise by --unix-socket-mode or --umask whoever may
    # enter the directory may connect, as with gunicorn.
    umask = os.umask(options.owner.mask_of_sockets)
    try:
        listener.bind(path)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(umask)
    status = os.stat(path)
    try:
        options.owner.take(path)
    except BaseException:
        listener.close()
        unlink_own(path, status.st_dev, status.st_ino)
        raise
    listener.listen(options.backlog)
    listener.setblocking(False)
    return Bound(address, {0: listener}, made=(path, status.st_dev, status.st_ino))


def _open_abstract(address: UnixAddress, options: Options) -> Bound:
    """A name without a file: nothing can be stale, and nothing is left to be removed."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(address.name)
        listener.listen(options.backlog)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return Bound(address, {0: listener})


def remove_stale(path: str) -> None:
    """Remove a socket file that nobody listens behind. OSError for a live one, and for what is no socket."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "the file exists and is no socket", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except FileNotFoundError:
            return
        except BlockingIOError:
            pass  # alive: its queue is full
    raise OSError(errno.EADDRINUSE, "another server listens there", path)


def _open_inherited(address: InheritedAddress, options: Options) -> Bound:
    """A descriptor that we were started with. A copy of it is used, and the original closed to children."""
    try:
        os.set_inheritable(address.fd, False)
        listener = socket.socket(fileno=os.dup(address.fd))
    except OSError as error:
        raise OSError(error.errno, "no such socket was inherited") from error
    try:
        if listener.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) != socket.SOCK_STREAM:
            raise OSError("the inherited socket is no stream socket")
        listener.listen(options.backlog)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return Bound(address, {0: listener})


def ipv4_has_the_port(address: Address, addresses: Sequence[Address]) -> bool:
    """`[::]` takes IPv4 as well unless the same port is asked for there separately."""
    return (
        isinstance(address, TcpAddress)
        and address.host == "::"
        and any(isinstance(a, TcpAddress) and a.host == _ANY_IPV4 and a.port == address.port for a in addresses)
    )


def compare_backlog(backlog: int, log: ErrorLog) -> None:
    """Say when the kernel will not do what `--backlog` asks for."""
    try:
        with open(_SOMAXCONN, encoding="ascii") as file:
            most = int(file.read())
    except (OSError, ValueError):
        return
    if backlog > most:
        log.warning("--backlog %d is over net.core.somaxconn: the kernel queues %d connections", backlog, most)


def name_of(listener: socket.socket) -> str:
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        path = os.fsdecode(name)
        return f"unix:@{path[1:]}" if path.startswith("\0") else f"unix:{path}"
    host, port = name[:2]
    return f"http://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"http://{host}:{port}"


def unlink_own(path: str, device: int, inode: int) -> None:
    with contextlib.suppress(OSError):
        status = os.lstat(path)
        if (status.st_dev, status.st_ino) == (device, inode):
            os.unlink(path)
