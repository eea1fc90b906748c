"""From the sockets of one master to those of the next."""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from bench.servers import reserved_port
from pyserve.server.rebinding import Binding, check, rebind
from pyserve.server.sockets import BindError, Bound, Listeners
from tests.server.journal import Log

Bind = Callable[..., Listeners]


@pytest.fixture
def bind() -> Iterator[Bind]:
    """`bind(addresses..., before=listeners)`: the listeners of a first master, or of the next."""
    made: list[Listeners] = []

    def bind(*binds: str, before: Listeners | None = None, **options: object) -> Listeners:
        bounds: Sequence[Bound] = [*before._bounds, *before._leaving] if before is not None else []
        bounds = [bound for bound in bounds if bound.sockets]
        made.append(rebind(bounds, Binding(binds, 16, **options), Log()))  # type: ignore[arg-type]
        return made[-1]

    yield bind
    for listeners in made:
        listeners.close()


@pytest.fixture
def port() -> Iterator[int]:
    with reserved_port() as port:
        yield port


def sockets(listeners: Listeners, seat: int = 0, seats: int = 1) -> list[socket.socket]:
    return listeners.of_seat(seat, seats)


def answers(port: int, listener: socket.socket) -> bool:
    """Whether a client of the port ends up at that listener."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        listener.settimeout(10)
        accepted, peer = listener.accept()
        accepted.close()
        return bool(peer == client.getsockname())


def test_what_stays_keeps_its_socket(bind: Bind, tmp_path: Path) -> None:
    first = bind("127.0.0.1:0", f"unix:{tmp_path}/a", f"unix:{tmp_path}/b")
    kept, other, gone = sockets(first)
    second = bind(f"unix:{tmp_path}/a", "127.0.0.1:0", f"unix:{tmp_path}/c", before=first)
    assert sockets(second)[:2] == [other, kept]
    assert second.addresses() == [f"unix:{tmp_path}/a", "127.0.0.1:0", f"unix:{tmp_path}/c", f"unix:{tmp_path}/b"]
    second.let_go()
    assert gone.fileno() == -1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c"]
    assert second.addresses() == [f"unix:{tmp_path}/a", "127.0.0.1:0", f"unix:{tmp_path}/c"]


def test_what_was_given_up_and_is_wanted_again(bind: Bind, tmp_path: Path) -> None:
    first = bind(f"unix:{tmp_path}/a", f"unix:{tmp_path}/b")
    second = bind(f"unix:{tmp_path}/a", before=first)
    third = bind(f"unix:{tmp_path}/b", f"unix:{tmp_path}/a", before=second)
    assert sockets(third) == sockets(first)[::-1]


def test_an_address_that_cannot_be_had_changes_nothing(bind: Bind, tmp_path: Path) -> None:
    first = bind(f"unix:{tmp_path}/a")
    with pytest.raises(BindError):
        bind(f"unix:{tmp_path}/new", f"unix:{tmp_path}/nothing/here", before=first)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{tmp_path}/a")


def test_what_stays_goes_on_to_listen(bind: Bind, port: int) -> None:
    first = bind(f"127.0.0.1:{port}")
    second = bind(f"127.0.0.1:{port}", before=first)
    assert answers(port, sockets(second)[0])


def test_all_addresses_of_a_port_beside_one_of_them(bind: Bind, port: int) -> None:
    """And back. Whoever waits is queued for the old one until that is let go."""
    one, every = f"127.0.0.1:{port}", f"0.0.0.0:{port}"
    first = bind(one)
    second = bind(every, before=first)
    assert answers(port, first._bounds[0].sockets[0])
    second.let_go()
    assert answers(port, sockets(second)[0])
    third = bind(one, before=second)
    third.let_go()
    assert answers(port, sockets(third)[0])
    with pytest.raises(OSError, match="in use"):
        socket.create_server(("127.0.0.1", port))


def test_sockets_for_each_seat_and_back(bind: Bind, port: int) -> None:
    """None is closed: the kernel would reset who waits there."""
    address = f"127.0.0.1:{port}"
    first = bind(address)
    (shared,) = sockets(first)
    second = bind(address, before=first, reuse_port=True)
    assert sockets(second, 0, 2) == [shared]
    (own,) = sockets(second, 1, 2)
    assert own is not shared
    assert own.getsockname() == shared.getsockname()
    third = bind(address, before=second)
    assert sockets(third, 0, 2) == sockets(third, 1, 2) == [shared, own]


def test_fewer_seats_share_what_there_is(bind: Bind) -> None:
    listeners = bind("127.0.0.1:0", reuse_port=True)
    (one,), (two,), (three,) = (sockets(listeners, seat, 3) for seat in range(3))
    assert sockets(listeners, 0, 2) == [one, three]
    assert sockets(listeners, 1, 2) == [two]


# In a trial


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def test_a_trial_finds_what_cannot_be_had(taken: int, tmp_path: Path) -> None:
    address = f"127.0.0.1:{taken}"
    with pytest.raises(BindError, match=f"Can't connect to {address}: Address already in use"):
        check([], Binding((address,), 16))
    check([address], Binding((address,), 16))
    check([address], Binding((f"0.0.0.0:{taken}", "127.0.0.1:0", f"unix:{tmp_path}/s"), 16))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["nothing/s", "file"])
def test_a_trial_finds_a_place_that_is_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BindError):
        check([], Binding((f"unix:{tmp_path}/{name}",), 16))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_trial_finds_a_directory_that_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(BindError, match="Permission denied"):
        check([], Binding((f"unix:{tmp_path}/s",), 16))
