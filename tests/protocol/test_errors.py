"""What the peer did wrong is answered in short, correct HTTP that tells nothing of what it sent."""

import re

import pytest

from pyserve.protocol.errors import ApplicationError, Disconnected, ProtocolError
from pyserve.protocol.limits import Limits
from pyserve.protocol.parsers import Parser
from tests.protocol.conversation import both_parsers, converse, read_responses
from tests.protocol.messages import CHUNKED, fields


def test_the_three_kinds() -> None:
    error = ProtocolError(400, "wrong (RFC 9112 section 3)")
    assert (error.status, error.text, str(error)) == (400, "wrong (RFC 9112 section 3)", "wrong (RFC 9112 section 3)")
    # ASGI 2.4: send() raises an OSError after the peer has gone. The others must not be caught with it.
    assert issubclass(Disconnected, OSError)
    assert not issubclass(ProtocolError, OSError)
    assert not issubclass(ApplicationError, OSError)


ERRORS = [
    (400, b"GET / HTTP/1.1\r\nHost: <script>\r\n\r\n"),
    (400, b"GET /<script>#<script> HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"<script> / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, fields(b"<script>: a")),
    (400, CHUNKED + b"<script>\r\n"),
    (413, CHUNKED + b"a;a=\"<script>\"\r\n"),
    (414, b"GET /<script>" + b"a" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    (417, fields(b"Expect: <script>")),
    (431, fields(b"X: <script>" + b"a" * 9000)),
    (501, fields(b"Transfer-Encoding: <script>, chunked")),
    (505, b"GET /<script> HTTP/3.0\r\nHost: a\r\n\r\n"),
]  # fmt: skip


@both_parsers
@pytest.mark.parametrize(("status", "octets"), ERRORS)
def test_error_responses_are_short_and_say_nothing_of_the_input(parse: Parser, status: int, octets: bytes) -> None:
    conversation = converse([octets], parse, Limits(4094, 100, 8190, 9))
    [response] = read_responses(bytes(conversation.sent))
    assert response.status == status
    assert response.whole
    assert response[b"connection"] == b"close"
    assert response[b"content-length"] == b"%d" % len(response.content)
    assert response[b"date"] == b"today"
    assert response[b"server"] == b"pyserve"
    assert response[b"content-type"] == b"text/plain; charset=utf-8"
    assert re.fullmatch(rb"[ -~]+ \(RFC \d{4} sections? [\d. and]+\)\n", response.content)
    assert b"script" not in conversation.sent
    assert conversation.wire.error is not None
    assert conversation.wire.error.status == status


@both_parsers
@pytest.mark.parametrize(
    "octets",
    [
        b"HEAD / HTTP/1.1\r\n\r\n",
        b"HEAD /\r\n",
        b"HEAD / HTTP/1.1\r\n X: y\r\n",
        b"HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    ],
)
def test_an_error_response_to_head_has_no_content(parse: Parser, octets: bytes) -> None:
    conversation = converse([octets], parse, eof=True)
    [response] = read_responses(bytes(conversation.sent), ["HEAD"])
    assert response.status == 400
    assert response.whole
    assert int(response[b"content-length"] or 0) > 0
