"""Clients that keep count of what becomes of their requests. A process of its own: `python -m tests.lossless.clients`.

They do what RFC 9112 section 9 asks of a client and nothing more: connections are kept, `Connection: close` is obeyed,
a connection that the server has closed during a pause is replaced. Nothing is ever sent a second time. So a request
that meets the end of its connection is lost, however well the server meant: it must not close while one may be on its
way.

Standard output has one JSON object in each line: the figures so far, every `_REPORT` seconds and at the end. At the end
of standard input no further requests begin, and the process ends when those in progress have.
"""

import argparse
import errno
import heapq
import json
import selectors
import socket
import ssl
import sys
from dataclasses import asdict, dataclass, field
from itertools import count
from time import monotonic

PATIENCE = 20.0  # seconds until a request counts as lost though its connection still stands
_REPORT = 0.05
_AGAIN = 0.01  # seconds until the next try of a client whose connection has failed
_DETAILS = 100  # failures that are told in full
_REFUSALS = (errno.ECONNREFUSED, errno.ENOENT)  # nobody listens; nor is there a unix socket

BODY = b"0123456789abcdef" * 64
ONCE = {"once": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"}
REQUESTS = {
    "plain": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "later": b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n",
    "stream": b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
    "upload": b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY),
}


@dataclass
class Failure:
    """What became of one request.

    kind: refused, reset, unanswered (closed without an octet), truncated, wrong, late. worker: who has answered on this
    connection before, 0 if nobody. Times in seconds; received: octets.
    """

    kind: str
    what: str
    request: str
    worker: int
    earlier: int
    received: int
    waited: float
    at: float


@dataclass
class Figures:
    """Of all clients. answered: by worker. closed: connections that the server has closed in a pause."""

    answered: dict[int, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    told_to_close: int = 0

    def fail(self, failure: Failure) -> None:
        self.failed[failure.kind] = self.failed.get(failure.kind, 0) + 1
        if len(self.failures) < _DETAILS:
            self.failures.append(failure)


def end_of(received: bytes) -> tuple[int, int] | None:
    """Where a response's head and the whole of it end; None while some is missing. Ours have a length or one coding."""
    head = received.find(b"\r\n\r\n") + 4
    if head < 4:
        return None
    fields = received[:head].lower()
    if b"\r\ntransfer-encoding: chunked\r\n" in fields:
        end = received.find(b"\r\n0\r\n\r\n", head - 2)
        return None if end < 0 else (head, end + 7)
    _, found, rest = fields.partition(b"\r\ncontent-length: ")
    end = head + int(rest.split(b"\r\n")[0]) if found else head
    return (head, end) if len(received) >= end else None


_OCTETS = {**REQUESTS, **ONCE}


def _kind(error: int) -> str:
    return "refused" if error in _REFUSALS else "reset"


class Client:
    """One after the other: a request, its response, a pause. On one connection as long as that lasts."""

    def __init__(self, crowd: "Crowd", number: int) -> None:
        self._crowd = crowd
        self._turn = number
        self._socket: socket.socket | None = None
        self._connected = self._waits = False
        self._received = b""
        self._request = ""
        self._worker = self._earlier = 0
        self._began = 0.0
        self.wakes = 0.0
        self.ended = False

    def due(self, now: float) -> None:
        """The pause is over. What has come in it counts so, also where nobody had the time to look."""
        if self._connected and self._crowd.pause:
            self.ready(now)
            if self.wakes > now:
                return
        if self._connected:
            self._ask(now)
        elif not self.ended:
            self._open(now)

    def ready(self, now: float) -> None:
        """Something has come, or the connection stands."""
        if self._socket is None:  # closed by what came first
            return
        if not self._connected:
            self._connect(self._socket, now)
            return
        try:
            data = self._socket.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError as error:
            self._broken(now, error)
            return
        if data:
            self._hear(data, now)
        elif self._waits:
            self._lose(now, "truncated" if self._received else "unanswered", "the server has closed the connection")
        else:
            self._crowd.figures.closed += 1
            self._close()

    def look(self, now: float) -> None:
        """Give up a request that has waited for too long."""
        if (self._waits or (self._socket is not None and not self._connected)) and now - self._began > PATIENCE:
            self._lose(now, "late", f"no complete response within {PATIENCE:g} s")

    def stop(self) -> None:
        """No further request; what is in progress goes on."""
        if not self._waits:
            self._close()
            self.ended = True

    def _open(self, now: float) -> None:
        if self._crowd.stopped:
            self.stop()
            return
        self._began = now
        self._request = "connect"
        self._worker = self._earlier = 0
        self._received = b""
        self._socket = peer = socket.socket(self._crowd.family)
        peer.setblocking(False)
        error = peer.connect_ex(self._crowd.address)
        if error == errno.EAGAIN:  # a unix socket's queue is full
            self._close()
            self._crowd.later(self, now + 0.001)
        elif error not in (0, errno.EINPROGRESS):
            self._lose(now, _kind(error), errno.errorcode[error])
        else:
            self._crowd.figures.opened += 1
            self._crowd.selector.register(peer, selectors.EVENT_WRITE, self)

    def _connect(self, peer: socket.socket, now: float) -> None:
        """Go on with what comes before the first request: TCP, and then TLS where that is spoken."""
        selector = self._crowd.selector
        if error := peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._lose(now, _kind(error), errno.errorcode[error])
            return
        if self._crowd.context is not None and not isinstance(peer, ssl.SSLSocket):
            selector.unregister(peer)
            peer = self._socket = self._crowd.context.wrap_socket(
                peer, do_handshake_on_connect=False, suppress_ragged_eofs=False
            )
            selector.register(peer, selectors.EVENT_READ, self)
        try:
            if isinstance(peer, ssl.SSLSocket):
                peer.do_handshake()
        except ssl.SSLWantReadError:
            return
        except OSError as error:
            self._broken(now, error)
            return
        self._connected = True
        selector.modify(peer, selectors.EVENT_READ, self)
        self._ask(now)

    def _ask(self, now: float) -> None:
        if self._crowd.stopped:
            self.stop()
            return
        assert self._socket is not None
        self._turn += 1
        self._request = self._crowd.requests[self._turn % len(self._crowd.requests)]
        self._received = b""
        self._began = now
        self._waits = True
        try:
            self._socket.sendall(_OCTETS[self._request])
        except OSError as error:
            self._broken(now, error)

    def _hear(self, data: bytes, now: float) -> None:
        self._received += data
        ends = end_of(self._received) if self._waits else (0, 0)
        if ends is None:
            return
        head, end = ends
        status = self._received.split(b"\r\n")[0]
        if not self._waits or status != b"HTTP/1.1 200 OK" or end != len(self._received):
            self._lose(now, "wrong", repr(self._received[:200]))
            return
        _, _, rest = self._received[:head].lower().partition(b"\r\nx-worker: ")
        self._worker = int(rest.split(b"\r\n")[0])
        figures = self._crowd.figures
        figures.answered[self._worker] = figures.answered.get(self._worker, 0) + 1
        self._waits = False
        self._earlier += 1
        if b"\r\nconnection: close\r\n" in self._received[:head].lower():
            figures.told_to_close += 1
            self._close()
        self._crowd.later(self, now + self._crowd.pause)

    def _broken(self, now: float, error: OSError) -> None:
        """Also without a request: no server may reset a connection on which all was answered."""
        name = str(error) if isinstance(error, ssl.SSLError) else errno.errorcode.get(error.errno or 0, str(error))
        self._lose(now, "reset", name if self._waits or not self._connected else f"{name} in a pause")

    def _lose(self, now: float, kind: str, what: str) -> None:
        self._close()
        self._waits = False
        if kind == "refused" and self._crowd.to_the_end:
            self.ended = True
            return
        waited = now - self._began
        received = len(self._received)
        failure = Failure(kind, what, self._request, self._worker, self._earlier, received, waited, now)
        self._crowd.figures.fail(failure)
        self._crowd.later(self, now + _AGAIN)

    def _close(self) -> None:
        if self._socket is not None:
            if self._socket in self._crowd.selector.get_map():
                self._crowd.selector.unregister(self._socket)
            self._socket.close()
        self._socket = None
        self._connected = False


class Crowd:
    """All clients of one process.

    given: the command line. to_the_end: whose connection is refused has ended, and that is no failure. context: for
    TLS, with which an end is only regular if it is announced, else None.
    """

    def __init__(self, given: argparse.Namespace) -> None:
        self.address: tuple[str, int] | str = given.address
        self.family = socket.AF_UNIX if isinstance(given.address, str) else socket.AF_INET
        self.pause: float = given.pause
        self.requests: list[str] = given.requests
        self.to_the_end: bool = given.to_the_end
        self.context = _context() if given.tls else None
        self.figures = Figures()
        self.selector = selectors.DefaultSelector()
        self.stopped = False
        self._clients = [Client(self, number) for number in range(given.clients)]
        self._number = count()
        self._waiting = [(0.0, next(self._number), client) for client in self._clients]

    def later(self, client: Client, when: float) -> None:
        """Wake a client then, and no earlier."""
        client.wakes = when
        heapq.heappush(self._waiting, (when, next(self._number), client))

    def run(self) -> None:
        self.selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        report = 0.0
        while not all(client.ended for client in self._clients):
            now = monotonic()
            if now >= report:
                report = now + _REPORT
                self._report()
                for client in self._clients:
                    client.look(now)
            wake = min(report, self._waiting[0][0]) if self._waiting else report
            for key, _ in self.selector.select(max(0.0, wake - now)):
                if key.data is None:
                    self._stop()
                else:
                    key.data.ready(monotonic())
            now = monotonic()
            while self._waiting and self._waiting[0][0] <= now:
                when, _, client = heapq.heappop(self._waiting)
                if when == client.wakes:
                    client.due(now)
        self._report()

    def _stop(self) -> None:
        self.selector.unregister(sys.stdin.fileno())
        self.stopped = True
        for client in self._clients:
            client.stop()

    def _report(self) -> None:
        sys.stdout.write(json.dumps(asdict(self.figures)) + "\n")
        sys.stdout.flush()


def _context() -> ssl.SSLContext:
    """Whose certificate it is does not matter here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _address(text: str) -> tuple[str, int] | str:
    host, colon, port = text.rpartition(":")
    return text if "/" in text or not colon else (host, int(port))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address", type=_address)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--pause", type=float, default=0.02)
    parser.add_argument("--requests", nargs="+", default=list(REQUESTS))
    parser.add_argument("--to-the-end", action="store_true")
    parser.add_argument("--tls", action="store_true")
    Crowd(parser.parse_args()).run()


if __name__ == "__main__":
    main()
