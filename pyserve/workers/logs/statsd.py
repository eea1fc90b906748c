"""Metrics as statsd and dogstatsd take them, with gunicorn's names: one line each, `name:value|type`, in datagrams.

    gunicorn.request.duration (ms), gunicorn.requests, gunicorn.request.status.200     each request, in one datagram
    gunicorn.workers (gauge), gunicorn.backlog (histogram)                              the master, through its log
    gunicorn.log.critical, .error, .warning, .exception                                 each message of that level

A datagram that cannot go at once is dropped: neither a request nor the master ever waits for a metric. Several lines in
one datagram are part of the protocol, and save two system calls of three.
"""

import re
import socket
from collections.abc import Callable, Mapping
from typing import Any

from pyserve.values.log_addresses import parse_statsd_address


class Statsd:
    """Sends metrics to `address` (see `parse_statsd_address`).

    prefix: put before each name, with a dot between. tags: "a:b,c" in dogstatsd's form, put behind each. report: told
    in one sentence when nothing can be sent, once until it works again. Processes may share it over a fork.
    """

    __slots__ = ("_address", "_failing", "_prefix", "_report", "_socket", "_tags", "_to")

    def __init__(self, address: str, prefix: str, tags: str, report: Callable[[str], object]) -> None:
        self._address = address
        self._prefix = re.sub(r"\.*$", ".", prefix, count=1) if prefix else ""
        self._tags = f"|#{tags}" if tags else ""
        self._report = report
        self._failing = False
        self._socket: socket.socket | None = None
        self._to: Any = None
        self.connect()

    def connect(self) -> None:
        """Find out where to send, if that is not known yet; a name may be found later that was not at first."""
        if self._socket is not None:
            return
        address = parse_statsd_address(self._address)
        if isinstance(address, str):
            family, self._to = socket.AF_UNIX, address
        else:
            try:
                found = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)
            except OSError as error:
                self._fail(error)
                return
            # Receivers of metrics often have IPv4 only, also as `localhost`; UDP does not tell that nobody is there.
            family, *_, self._to = min(found, key=lambda one: one[0] != socket.AF_INET)
        # Not connected: the receiver of a unix socket may be replaced by another one of the same name.
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def close(self) -> None:
        """Send no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def gauge(self, name: str, value: float) -> None:
        """Tell what something is at present."""
        self._send(f"{self._prefix}{name}:{value}|g{self._tags}")

    def increment(self, name: str, value: float, sampling_rate: float = 1.0) -> None:
        """Count."""
        self._send(f"{self._prefix}{name}:{value}|c|@{sampling_rate}{self._tags}")

    def decrement(self, name: str, value: float, sampling_rate: float = 1.0) -> None:
        """Count backwards."""
        self._send(f"{self._prefix}{name}:-{value}|c|@{sampling_rate}{self._tags}")

    def timer(self, name: str, value: float) -> None:
        """Tell how many milliseconds something took."""
        self._send(f"{self._prefix}{name}:{value}|ms{self._tags}")

    def histogram(self, name: str, value: float) -> None:
        """Tell one value of many."""
        self._send(f"{self._prefix}{name}:{value}|h{self._tags}")

    def request(self, status: int, milliseconds: float) -> None:
        """Tell of one request."""
        prefix, tags = self._prefix, self._tags
        self._send(
            f"{prefix}gunicorn.request.duration:{milliseconds:.3f}|ms{tags}\n"
            f"{prefix}gunicorn.requests:1|c|@1.0{tags}\n"
            f"{prefix}gunicorn.request.status.{status}:1|c|@1.0{tags}"
        )

    def measure(self, extra: Mapping[str, Any]) -> None:
        """Send what a log call says in `extra`: `metric`, `value` and `mtype`, which is gauge, counter, histogram or
        timer; nothing where one of them is missing."""
        metric, value, kind = extra.get("metric"), extra.get("value"), extra.get("mtype")
        if not metric or value is None:
            return
        match kind:
            case "gauge":
                self.gauge(metric, value)
            case "counter":
                self.increment(metric, value)
            case "histogram":
                self.histogram(metric, value)
            case "timer":
                self.timer(metric, value)

    def _send(self, lines: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(lines.encode("utf-8", "replace"), self._to)
        except BlockingIOError:
            pass  # the receiver does not keep up; it has said how much it takes
        except OSError as error:
            self._fail(error)
        else:
            self._failing = False

    def _fail(self, error: OSError) -> None:
        if self._failing:
            return
        self._failing = True
        self._report(f"statsd_host {self._address}: {error.strerror or error}; metrics are lost until it is there")
