"""Addresses: text to address and back."""

import pytest

from pyserve.values.addresses import Address, InheritedAddress, TcpAddress, UnixAddress, parse_address

# (text, address, normal form)
GOOD: list[tuple[str, Address, str]] = [
    ("127.0.0.1:8000", TcpAddress("127.0.0.1", 8000), "127.0.0.1:8000"),
    ("localhost:80", TcpAddress("localhost", 80), "localhost:80"),
    ("LocalHost:80", TcpAddress("localhost", 80), "localhost:80"),
    ("my_host-1.example.:80", TcpAddress("my_host-1.example.", 80), "my_host-1.example.:80"),
    (":8000", TcpAddress("0.0.0.0", 8000), "0.0.0.0:8000"),
    ("0.0.0.0", TcpAddress("0.0.0.0", 8000), "0.0.0.0:8000"),
    ("localhost", TcpAddress("localhost", 8000), "localhost:8000"),
    ("127.0.0.1:0", TcpAddress("127.0.0.1", 0), "127.0.0.1:0"),
    ("127.0.0.1:65535", TcpAddress("127.0.0.1", 65535), "127.0.0.1:65535"),
    ("[::1]:8000", TcpAddress("::1", 8000), "[::1]:8000"),
    ("[::]", TcpAddress("::", 8000), "[::]:8000"),
    ("[FE80::1%eth0]:1", TcpAddress("fe80::1%eth0", 1), "[fe80::1%eth0]:1"),
    ("tcp://127.0.0.1:9", TcpAddress("127.0.0.1", 9), "127.0.0.1:9"),
    (" :1 ", TcpAddress("0.0.0.0", 1), "0.0.0.0:1"),
    ("unix:/run/a.sock", UnixAddress("/run/a.sock"), "unix:/run/a.sock"),
    ("unix:///run/a.sock", UnixAddress("/run/a.sock"), "unix:/run/a.sock"),
    ("unix://a.sock", UnixAddress("a.sock"), "unix:a.sock"),
    ("unix:a b:c.sock", UnixAddress("a b:c.sock"), "unix:a b:c.sock"),
    ("fd://3", InheritedAddress(3), "fd://3"),
]

# (text, what the hint holds)
BAD = [
    ("", ""),
    ("8000", "':8000'"),
    ("::1", "'[::1]:8000'"),
    ("1:2:3", ""),
    ("::1:8000", "'[::1:8000]:8000'"),
    ("[::1", "'[::1]:8000'"),
    ("[::1]8000", "'[::1]:8000'"),
    ("[localhost]:1", "'[::1]:8000'"),
    ("host:", "'127.0.0.1:8000'"),
    ("host:http", "'127.0.0.1:8000'"),
    ("host:-1", "'127.0.0.1:8000'"),
    ("host:65536", "65535"),
    ("host:٣", "'127.0.0.1:8000'"),
    ("a host:1", ""),
    ("ho\0st:1", ""),
    ("-host:1", ""),
    ("http://localhost:8000/", "'localhost:8000'"),
    ("unix:", "unix:/run/"),
    ("unix:@", "unix:/run/"),
    ("unix:/" + "x" * 107, "107"),
    ("fd://", "fd://3"),
    ("fd://x", "fd://3"),
    ("fd://-1", "fd://3"),
    ("fd:x", "perhaps"),
]


@pytest.mark.parametrize(("text", "address", "normal"), GOOD, ids=[case[0] for case in GOOD])
def test_good(text: str, address: Address, normal: str) -> None:
    assert parse_address(text) == address
    assert str(address) == normal
    assert parse_address(normal) == address


@pytest.mark.parametrize(("text", "hint"), BAD, ids=[repr(case[0])[:20] for case in BAD])
def test_bad(text: str, hint: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_address(text)
    assert hint in str(caught.value)


def test_abstract_unix_addresses() -> None:
    address = parse_address("unix:@name")
    assert isinstance(address, UnixAddress)
    assert (address.is_abstract, address.name, str(address)) == (True, "\0name", "unix:@name")
    plain = parse_address("unix:./@name")
    assert isinstance(plain, UnixAddress)
    assert (plain.is_abstract, plain.name) == (False, "./@name")
