"""Addresses of syslog and statsd."""

import socket

import pytest

from pyserve.values.log_addresses import parse_statsd_address, parse_syslog_address

DGRAM, STREAM = socket.SOCK_DGRAM, socket.SOCK_STREAM


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("udp://localhost:514", (DGRAM, ("localhost", 514))),
        ("udp://LOGS", (DGRAM, ("logs", 514))),
        ("udp://", (DGRAM, ("localhost", 514))),
        ("tcp://10.0.0.1:601", (STREAM, ("10.0.0.1", 601))),
        ("udp://[::1]:99", (DGRAM, ("::1", 99))),
        ("udp://[::1]", (DGRAM, ("::1", 514))),
        ("unix:///dev/log", (None, "/dev/log")),
        ("unix:///dev/log#dgram", (DGRAM, "/dev/log")),
        ("unix:///dev/log#stream", (STREAM, "/dev/log")),
    ],
)
def test_syslog(text: str, address: object) -> None:
    assert parse_syslog_address(text) == address


def test_gunicorn_reads_them_alike() -> None:
    glogging = pytest.importorskip("gunicorn.glogging")
    for text in ("udp://localhost:514", "udp://[::1]:99", "tcp://a:1", "udp://a", "unix:///dev/log", "unix:///a#dgram"):
        assert parse_syslog_address(text) == glogging.parse_syslog_address(text)


@pytest.mark.parametrize(
    "text", ["", "localhost:514", "/dev/log", "unix://", "unix:///a#b", "udp://a:x", "udp://a:70000", "http://a:1"]
)
def test_no_syslog(text: str) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        parse_syslog_address(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:8125", ("localhost", 8125)),
        ("udp://10.0.0.1:9125", ("10.0.0.1", 9125)),
        ("[::1]:8125", ("::1", 8125)),
        ("statsd", ("statsd", 8125)),
        ("[::1]", ("::1", 8125)),
        ("unix:80", ("unix", 80)),
        ("unix:/run/statsd", "/run/statsd"),
        ("unix:///var/run/datadog/dsd.socket", "/var/run/datadog/dsd.socket"),
    ],
)
def test_statsd(text: str, address: object) -> None:
    assert parse_statsd_address(text) == address


@pytest.mark.parametrize("text", ["", "localhost:", ":8125", "unix://", "a:0", "a:b", "::1:8125", "a/b:1"])
def test_no_statsd(text: str) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        parse_statsd_address(text)
