"""The sockets of one master for the settings of another: of the same process in its next life, or of a new master.

An address that stays keeps its sockets, and with them whoever waits there. A new one is opened before anything else
changes, so that one that cannot be had leaves all as it was. One that is named no more is kept as long as old workers
listen there (`Listeners.let_go`).

What Linux allows, and this needs:

* SO_REUSEPORT may be set on a socket that listens already. Then others may join it, which turns `--reuse-port` on
  without a new queue, and lets 0.0.0.0:8000 be opened while 127.0.0.1:8000 is still served.
* Turned off, the sockets that there are stay open, and every worker listens at all of them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from pyserve.server.ownership import Owner
from pyserve.server.sockets import (
    NOBODY,
    BindError,
    Bound,
    Listeners,
    Options,
    compare_backlog,
    ipv4_has_the_port,
    open_patiently,
    resolve,
)
from pyserve.values.addresses import Address, TcpAddress, UnixAddress, parse_address
from pyserve.workers.logs.error_log import ErrorLog


@dataclass(frozen=True, slots=True)
class Binding:
    """Where the settings want to listen, and how. owner: of unix sockets' files."""

    binds: Sequence[str]
    backlog: int
    reuse_port: bool = False
    owner: Owner = NOBODY

    @property
    def addresses(self) -> list[Address]:
        return [parse_address(text) for text in self.binds]


def rebind(
    before: Sequence[Bound], wanted: Binding, log: ErrorLog, pause: Callable[[float], None] | None = None
) -> Listeners:
    """What is wanted, of what is there already as much as possible. pause: between tries of an address that is in use;
    None: one try has to do. BindError: nothing has changed."""
    there = {bound.address: bound for bound in before}
    addresses = wanted.addresses
    compare_backlog(wanted.backlog, log)
    bounds: list[Bound] = []
    opened = Listeners(fresh := [], wanted.backlog)
    try:
        for address in addresses:
            bound = there.pop(address, None)
            if bound is None:
                ipv6_only = ipv4_has_the_port(address, addresses)
                options = Options(wanted.backlog, wanted.reuse_port, ipv6_only, wanted.owner)
                with _neighbours(address, before, options) as options:
                    bound = open_patiently(address, options, log, pause)
                if not wanted.reuse_port:
                    _set_reuse_port(bound, False)
                fresh.append(bound)
            bounds.append(bound)
    except BaseException:
        opened.close()
        raise
    for bound in bounds:
        _adjust(bound, wanted)
    return Listeners(bounds, wanted.backlog, list(there.values()))


def check(present: Sequence[str], wanted: Binding) -> None:
    """In a trial: could the addresses be had that are not `present`? Raises BindError. Nobody is let in."""
    taken = [parse_address(text) for text in present]
    ports = {address.port for address in taken if isinstance(address, TcpAddress)}
    for address in wanted.addresses:
        if address in taken:
            continue
        try:
            match address:
                case TcpAddress(port=port) if port not in ports:
                    _try_tcp(address, wanted.reuse_port)
                case UnixAddress(path) if not address.is_abstract:
                    _try_unix(path)
        except OSError as error:
            raise BindError(f"Can't connect to {address}: {error.strerror or error}") from error


def _adjust(bound: Bound, wanted: Binding) -> None:
    """Bring sockets that were there to what is wanted of them."""
    for listener in bound.sockets.values():
        with contextlib.suppress(OSError):  # else the backlog stays
            listener.listen(wanted.backlog)
    if bound.made is not None:
        with contextlib.suppress(OSError):
            if wanted.owner.mode is not None:
                os.chmod(bound.made[0], wanted.owner.mode)
            wanted.owner.take(bound.made[0])
    per_seat = wanted.reuse_port and isinstance(bound.address, TcpAddress)
    if per_seat and not bound.per_seat:
        _set_reuse_port(bound, True)
    bound.per_seat = per_seat


@contextlib.contextmanager
def _neighbours(address: Address, before: Sequence[Bound], options: Options) -> Iterator[Options]:
    """While this lasts, an address may be opened beside others of ours that have the same port."""
    port = address.port if isinstance(address, TcpAddress) else None
    beside = [bound for bound in before if isinstance(bound.address, TcpAddress) and bound.address.port == port]
    if not beside or not hasattr(socket, "SO_REUSEPORT"):
        yield options
        return
    for bound in beside:
        _set_reuse_port(bound, True)
    try:
        yield replace(options, reuse_port=True)
    finally:
        for bound in beside:
            _set_reuse_port(bound, bound.per_seat)


def _set_reuse_port(bound: Bound, on: bool) -> None:
    for listener in bound.sockets.values():
        with contextlib.suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(on))


def _try_tcp(address: TcpAddress, reuse_port: bool) -> None:
    family, sockaddr = resolve(address)
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        probe.bind(sockaddr)


def _try_unix(path: str) -> None:
    if os.path.exists(path) and not stat.S_ISSOCK(os.stat(path).st_mode):
        raise FileExistsError(None, "the file exists and is no socket")
    directory = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(directory):
        raise FileNotFoundError(None, "No such file or directory")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise PermissionError(None, "Permission denied")
