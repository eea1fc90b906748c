"""Listening sockets: opening, taking over, giving back."""

import errno
import os
import socket
import stat
import sys

import pytest

from bench.servers import reserved_port
from pyserve.server import sockets
from pyserve.server.ownership import Owner
from pyserve.server.rebinding import Binding, rebind
from pyserve.server.sockets import BIND_ATTEMPTS, BindError, Listeners, Options, open_patiently
from pyserve.values.addresses import UnixAddress


@pytest.fixture
def open_at(log, monkeypatch):
    """Listeners with a modest backlog; closes what it opened."""
    opened: list[Listeners] = []

    def open_at(*binds: str, **options) -> Listeners:
        pause = options.pop("pause", lambda seconds: None)
        opened.append(rebind([], Binding(binds, 16, **options), log, pause))
        return opened[-1]

    yield open_at
    for listeners in opened:
        listeners.close()


def connect(listener: socket.socket) -> None:
    """A client gets through to it."""
    client = socket.socket(listener.family)
    try:
        client.settimeout(5)
        client.connect(listener.getsockname())
        listener.settimeout(5)
        accepted, _ = listener.accept()
        accepted.close()
    finally:
        client.close()


needs_ipv6 = pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")


@pytest.mark.parametrize(
    ("bind", "name"),
    [
        ("127.0.0.1:0", "http://127.0.0.1:"),
        ("localhost:0", "http://127.0.0.1:"),
        (":0", "http://0.0.0.0:"),
        pytest.param("[::1]:0", "http://[::1]:", marks=needs_ipv6),
    ],
)
def test_tcp(open_at, bind, name):
    listeners = open_at(bind)
    (listener,) = listeners.of_seat(0, 1)
    assert listeners.names()[0].startswith(name)
    assert listener.getsockname()[1] != 0
    assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert listener.getblocking() is False
    assert not listener.get_inheritable()
    connect(listener)


def test_accepted_sockets_inherit_the_options(open_at):
    (listener,) = open_at("127.0.0.1:0").of_seat(0, 1)
    with socket.create_connection(listener.getsockname()):
        listener.settimeout(5)
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 131072


@needs_ipv6
def test_all_ipv4_and_all_ipv6_at_one_port(open_at):
    with reserved_port() as port:
        four, six = open_at(f"0.0.0.0:{port}", f"[::]:{port}").of_seat(0, 1)
    connect(four)
    assert six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


@needs_ipv6
def test_all_ipv6_alone_takes_ipv4_too(open_at):
    (six,) = open_at("[::]:0").of_seat(0, 1)
    with socket.create_connection(("127.0.0.1", six.getsockname()[1]), timeout=5):
        pass


def test_an_address_in_use_is_tried_again_and_then_refused(open_at, log):
    pauses: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(BindError, match=f"Can't connect to {address}: Address already in use"):
            open_at(address, pause=pauses.append)
    assert pauses == [1.0] * (BIND_ATTEMPTS - 1)
    assert log.said.count(("error", f"Connection in use: {address}")) == BIND_ATTEMPTS
    failed = ("error", f"connection to {address} failed: [Errno 98] Address already in use")
    assert log.said.count(failed) == log.said.count(("info", "Retrying in 1 second.")) == BIND_ATTEMPTS - 1


def test_an_address_that_becomes_free_in_between(open_at):
    other = socket.create_server(("127.0.0.1", 0))
    port = other.getsockname()[1]
    listeners = open_at(f"127.0.0.1:{port}", pause=lambda seconds: other.close())
    assert listeners.names() == [f"http://127.0.0.1:{port}"]


def test_a_directory_that_comes_in_between(open_at, tmp_path):
    path = tmp_path / "run" / "s.sock"
    listeners = open_at(f"unix:{path}", pause=lambda seconds: path.parent.mkdir())
    assert listeners.names() == [f"unix:{path}"]


def test_what_is_no_use_to_be_tried_again(open_at, tmp_path):
    (tmp_path / "file").touch()
    for bind in (f"unix:{tmp_path}/file", "fd://987"):
        with pytest.raises(BindError):
            open_at(bind, pause=lambda seconds: pytest.fail("tried again"))


@pytest.mark.parametrize(
    ("bind", "reason"),
    [
        ("192.0.2.1:8000", "Cannot assign requested address"),  # RFC 5737: documentation only
        ("name.invalid:8000", "not known|resolution|No address"),
        ("a..invalid:8000", "not a host name"),
        (f"{64 * 'a'}.invalid:8000", "not a host name"),
        ("unix:/nonexistent/s.sock", "No such file or directory"),
        ("fd://987", "no such socket was inherited"),
    ],
)
def test_what_cannot_be_had_is_named_with_the_reason(open_at, log, bind, reason):
    with pytest.raises(BindError, match=rf"^Can't connect to {bind}: .*({reason})"):
        open_at(bind)
    invalid = ("error", f"Invalid address: {bind}")
    assert log.said.count(invalid) == (BIND_ATTEMPTS if bind.startswith("192") else 0)


def test_a_failure_leaves_nothing_behind(open_at, tmp_path):
    path = tmp_path / "s.sock"
    with reserved_port() as port:
        with pytest.raises(BindError):
            open_at(f"127.0.0.1:{port}", f"unix:{path}", "fd://987")
        assert not path.exists()
        open_at(f"127.0.0.1:{port}")


# Unix sockets


def test_unix(open_at, tmp_path):
    path = tmp_path / "s.sock"
    listeners = open_at(f"unix:{path}")
    assert listeners.names() == [f"unix:{path}"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o777, "a proxy is usually another user"
    connect(listeners.of_seat(0, 1)[0])
    listeners.close()
    assert not path.exists()


def test_unix_with_a_relative_path_survives_a_change_of_directory(open_at, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listeners = open_at("unix:s.sock")
    monkeypatch.chdir("/")
    listeners.close()
    assert not (tmp_path / "s.sock").exists()


def test_a_live_unix_socket_is_respected(open_at, tmp_path):
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(BindError, match="another server listens there"):
            open_at(f"unix:{path}")
        connect(other)
    assert path.exists()


def test_a_live_unix_socket_with_a_full_queue_is_respected(open_at, tmp_path):
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(0)
        waiting = []
        try:
            while True:
                client = socket.socket(socket.AF_UNIX)
                waiting.append(client)
                client.setblocking(False)
                client.connect(str(path))
        except BlockingIOError:
            pass
        with pytest.raises(BindError, match="another server listens there"):
            open_at(f"unix:{path}")
        for client in waiting:
            client.close()


def test_a_stale_unix_socket_is_replaced(open_at, tmp_path):
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
    assert path.exists()
    connect(open_at(f"unix:{path}").of_seat(0, 1)[0])


def test_a_file_that_is_no_socket_is_left_alone(open_at, tmp_path):
    path = tmp_path / "s.sock"
    path.write_text("precious")
    with pytest.raises(BindError, match="the file exists and is no socket"):
        open_at(f"unix:{path}")
    assert path.read_text() == "precious"


def test_a_unix_socket_that_a_successor_replaced_is_not_removed(open_at, tmp_path):
    path = tmp_path / "s.sock"
    listeners = open_at(f"unix:{path}")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as successor:
        successor.bind(str(path))
        listeners.close()
        assert path.exists()


def test_a_child_does_not_remove_the_unix_socket(open_at, tmp_path):
    path = tmp_path / "s.sock"
    listeners = open_at(f"unix:{path}")
    pid = os.fork()
    if pid == 0:
        listeners.close()
        os._exit(0)
    os.waitpid(pid, 0)
    assert path.exists()


# Inherited descriptors


def test_inherited(open_at):
    with socket.create_server(("127.0.0.1", 0)) as given:
        given.set_inheritable(True)
        listeners = open_at(f"fd://{given.fileno()}")
        assert listeners.names() == [f"http://127.0.0.1:{given.getsockname()[1]}"]
        assert not given.get_inheritable(), "the application's children do not get it"
        connect(listeners.of_seat(0, 1)[0])


def test_inherited_and_not_listening_yet(open_at):
    with socket.socket() as given:
        given.bind(("127.0.0.1", 0))
        connect(open_at(f"fd://{given.fileno()}").of_seat(0, 1)[0])


def test_inherited_unix(open_at, tmp_path):
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as given:
        given.bind(str(path))
        listeners = open_at(f"fd://{given.fileno()}")
        assert listeners.names() == [f"unix:{path}"]
        listeners.close()
        assert path.exists(), "it belongs to whoever made it"


def test_inherited_datagram_socket(open_at):
    with socket.socket(type=socket.SOCK_DGRAM) as given, pytest.raises(BindError, match="no stream socket"):
        open_at(f"fd://{given.fileno()}")


def test_inherited_file(open_at, tmp_path):
    with open(tmp_path / "file", "w") as file, pytest.raises(BindError, match="no such socket was inherited"):
        open_at(f"fd://{file.fileno()}")


# One socket per seat


def test_reuse_port(open_at, tmp_path):
    listeners = open_at("127.0.0.1:0", f"unix:{tmp_path / 's.sock'}", reuse_port=True)
    first, shared = listeners.of_seat(0, 2)
    second, shared_too = listeners.of_seat(1, 2)
    assert first is not second
    assert shared is shared_too
    assert first.getsockname() == second.getsockname()
    assert listeners.of_seat(1, 2)[0] is second, "a successor gets the same"
    assert len(listeners.names()) == 2
    assert listeners.of_seat(0, 1) == [first, second, shared], "nobody else would come for who waits there"


def test_a_worker_keeps_only_its_own(open_at):
    listeners = open_at("127.0.0.1:0", reuse_port=True)
    first, second, third = (listeners.of_seat(seat, 3)[0] for seat in range(3))
    listeners.keep_only([second])
    assert (first.fileno(), third.fileno()) == (-1, -1)
    assert second.fileno() != -1


def test_without_reuse_port_all_share_one(open_at):
    listeners = open_at("127.0.0.1:0")
    assert listeners.of_seat(0, 6) == listeners.of_seat(5, 6)
    listeners.keep_only(listeners.of_seat(5, 6))
    assert listeners.of_seat(0, 1)[0].fileno() != -1


# The next life of the master


@pytest.mark.parametrize("reuse_port", [False, True])
def test_taken_over(open_at, tmp_path, reuse_port):
    path = tmp_path / "s.sock"
    before = open_at("127.0.0.1:0", f"unix:{path}", reuse_port=reuse_port)
    for seat in range(2):
        before.of_seat(seat, 2)
    told, fds = before.hand_over()
    copies = {fd: os.dup(fd) for fd in fds}  # the life before and the next one are one process in this test
    for one in told:
        one["fds"] = {seat: copies[fd] for seat, fd in one["fds"].items()}
    after = Listeners(Listeners.take_over(told), 16)
    try:
        assert after.names() == before.names()
        assert [listener.getsockname() for listener in after.of_seat(1, 2)] == [
            listener.getsockname() for listener in before.of_seat(1, 2)
        ]
        assert not any(listener.get_inheritable() for listener in after.of_seat(1, 2))
    finally:
        after.close()
    assert not path.exists()


# The backlog


@pytest.mark.parametrize(("most", "warns"), [("15\n", True), ("16\n", False), ("4096\n", False), ("?", False)])
def test_a_backlog_over_the_limit_is_said_once(open_at, log, monkeypatch, tmp_path, most, warns):
    (tmp_path / "somaxconn").write_text(most)
    monkeypatch.setattr(sockets, "_SOMAXCONN", str(tmp_path / "somaxconn"))
    open_at("127.0.0.1:0", "127.0.0.1:0")
    warnings = [text for level, text in log.said if level == "warning"]
    assert len(warnings) == warns
    if warns:
        assert "16 is over net.core.somaxconn: the kernel queues 15" in warnings[0]


def test_a_system_that_does_not_tell_its_limit(open_at, log, monkeypatch):
    monkeypatch.setattr(sockets, "_SOMAXCONN", "/nonexistent")
    open_at("127.0.0.1:0")
    assert log.said == []


def test_errors_without_a_text_of_the_system(open_at, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(sockets, "listen", refuse)
    with pytest.raises(BindError, match=r"Can't connect to 127\.0\.0\.1:80: Permission denied"):
        open_at("127.0.0.1:80")


# Abstract names, permissions


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract names")
def test_abstract_unix(open_at, tmp_path):
    name = f"unix:@{tmp_path.name}-{os.getpid()}"
    listeners = open_at(name)
    assert listeners.names() == listeners.binds() == [name]
    connect(listeners.of_seat(0, 1)[0])
    with pytest.raises(BindError, match="in use"):
        open_at(name)
    told, _ = listeners.hand_over()
    assert told[0]["address"] == name
    assert told[0]["made"] is None
    listeners.close()
    open_at(name)


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o777, 0])
def test_the_permissions_of_a_unix_socket(open_at, tmp_path, mode):
    path = tmp_path / "s.sock"
    umask = os.umask(0o27)
    os.umask(umask)
    open_at(f"unix:{path}", owner=Owner(umask=0o7, mode=mode))
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert os.umask(umask) == umask


def test_other_permissions_after_a_reload(open_at, log, tmp_path):
    path = tmp_path / "s.sock"
    before = open_at(f"unix:{path}")
    rebind(before._bounds, Binding((f"unix:{path}",), 16, owner=Owner(mode=0o640)), log)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_of_a_unix_socket(open_at, log, tmp_path):
    path = tmp_path / "s.sock"
    before = open_at(f"unix:{path}", owner=Owner(uid=12345, mode=0o660))
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 0)
    rebind(before._bounds, Binding((f"unix:{path}",), 16, owner=Owner(gid=54321)), log)
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 54321)


def test_addresses_in_the_form_of_bind(open_at, tmp_path):
    listeners = open_at("127.0.0.1:0", f"unix:{tmp_path}/s.sock")
    port = listeners.of_seat(0, 1)[0].getsockname()[1]
    assert listeners.binds() == [f"127.0.0.1:{port}", f"unix:{tmp_path}/s.sock"]


def test_a_unix_socket_never_has_more_permissions(tmp_path, log):
    path = tmp_path / "s.sock"
    options = Options(16, reuse_port=False, ipv6_only=False, owner=Owner(umask=0o7, mode=0o640))
    bound = open_patiently(UnixAddress(str(path)), options, log, None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    Listeners([bound], 16).close()
    assert Owner(umask=0o27).mask_of_sockets == 0o27
