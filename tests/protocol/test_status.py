"""Status lines (RFC 9112 section 4, RFC 9110 section 15)."""

import pytest

from pyserve.protocol.status import REASONS, STATUS_LINES


def test_a_line_for_every_status() -> None:
    assert list(STATUS_LINES) == list(range(100, 600))
    for status, line in STATUS_LINES.items():
        version, code, reason = line.split(b" ", 2)
        assert version == b"HTTP/1.1"
        assert int(code) == status
        assert reason.endswith(b"\r\n")
        assert reason[:-2].isascii()
        assert reason[:-2].decode().isprintable()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (100, b"Continue"),
        (200, b"OK"),
        (205, b"Reset Content"),
        (404, b"Not Found"),
        (408, b"Request Timeout"),
        (413, b"Content Too Large"),  # phrases that RFC 9110 has changed
        (414, b"URI Too Long"),
        (416, b"Range Not Satisfiable"),
        (422, b"Unprocessable Content"),
        (431, b"Request Header Fields Too Large"),
        (505, b"HTTP Version Not Supported"),
    ],
)
def test_standard_phrases(status: int, reason: bytes) -> None:
    assert REASONS[status] == reason
    assert STATUS_LINES[status] == b"HTTP/1.1 %d %b\r\n" % (status, reason)


def test_others_have_a_phrase_too() -> None:
    assert STATUS_LINES[299] == b"HTTP/1.1 299 Unknown\r\n"
