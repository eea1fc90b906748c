"""An exchange and a connection as the access log sees them."""

from typing import Any


class Exchange:
    method = "GET"
    target = b"/a%20b?x=1"
    path = b"/a%20b"
    query = b"x=1"
    version = "1.1"
    status = 200
    body_sent = 13
    client = ""

    def __init__(self, **changes: Any) -> None:
        self.index = {b"host": b"example.org", b"user-agent": b"curl/8"}
        self.fields = list(self.index.items())
        self.response_fields = [(b"Content-Type", b"text/plain")]
        for name, value in changes.items():
            setattr(self, name, value)
        if "index" in changes:
            self.fields = list(self.index.items())


class Transport:
    def get_extra_info(self, name: str) -> tuple[str, int]:
        return "192.0.2.7", 50000


class Connection:
    remote = "192.0.2.7"
    transport = Transport()


class WsgiConnection:
    """One that has the environ of its exchange."""

    remote = "192.0.2.7"

    def __init__(self, **environ: Any) -> None:
        self.environ = {
            "REMOTE_ADDR": "192.0.2.7",
            "REMOTE_PORT": "50001",
            "REQUEST_METHOD": "GET",
            "RAW_URI": "/a%20b?x=1",
            "PATH_INFO": "/a b",
            "QUERY_STRING": "x=1",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_USER_AGENT": "curl/8",
            **environ,
        }
