"""The reference reads the tables as they say."""

import pytest

from tests.fuzz.reference import read
from tests.protocol.conversation import LIMITS
from tests.protocol.messages import MESSAGES


@pytest.mark.parametrize(("octets", "expected"), [pytest.param(*m[2:], id=f"{m[1]} {m[0]}") for m in MESSAGES])
def test_the_table_of_messages(octets: bytes, expected: str) -> None:
    reading = read(octets, LIMITS)
    statuses = [status for status in expected.split() if status.isdigit()]
    answered = [status for status in statuses if status == "200"]
    refused = [int(status) for status in statuses if status != "200"]
    assert len(reading.requests) == len(answered)
    if refused and not reading.faults:
        # Refused before its end: whatever follows must not make it good.
        assert all(len(read(octets + end, LIMITS).requests) == len(answered) for end in (b"\r\n\r\n", b"a\r\n\r\n"))
    else:
        assert bool(refused) == bool(reading.faults)
        assert set(refused) <= reading.faults
        assert reading.closed == expected.endswith("close")


def test_what_is_not_whole() -> None:
    reading = read(
        b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n\r\nPOST /b HTTP/1.1\r\nHost:a\r\nContent-Length: 3\r\n\r\nab", LIMITS
    )
    assert [request.target for request in reading.requests] == [b"/a"]
    assert reading.begun is not None
    assert (reading.begun.target, reading.begun.content) == (b"/b", b"ab")
    assert not reading.closed
