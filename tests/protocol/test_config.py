"""An error's answer, which needs no exchange."""

import h11
import pytest

from pyserve.protocol.config import WireConfig
from pyserve.protocol.errors import ProtocolError
from pyserve.protocol.limits import Limits
from pyserve.protocol.parsers import parse_httptools

CONFIG = WireConfig(Limits(100, 10, 100, 1000), parse_httptools, b"Server: pyserve\r\n", b"Date: then\r\n")


@pytest.mark.parametrize("with_content", [True, False])
def test_a_refusal_is_a_whole_response_that_closes(with_content: bool) -> None:
    octets = CONFIG.refusal(ProtocolError(431, "too many (RFC 6585 section 5)"), with_content=with_content)
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET" if with_content else "HEAD", target="/", headers=[("host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(octets)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    assert response.status_code == 431
    fields = dict(response.headers)
    assert fields[b"connection"] == b"close"
    assert fields[b"server"] == b"pyserve"
    assert fields[b"date"] == b"then"
    assert fields[b"content-length"] == b"30"
    if with_content:
        data = client.next_event()
        assert isinstance(data, h11.Data)
        assert data.data == b"too many (RFC 6585 section 5)\n"
    assert isinstance(client.next_event(), h11.EndOfMessage)


def test_what_is_not_set_is_not_sent() -> None:
    octets = WireConfig(CONFIG.limits, parse_httptools).refusal(ProtocolError(400, "no"), with_content=True)
    assert b"Server" not in octets
    assert b"Date" not in octets
