"""Status lines (RFC 9112 section 4) with the standard reason phrases (RFC 9110 section 15)."""

from http import HTTPStatus

REASONS = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
STATUS_LINES = {status: b"HTTP/1.1 %d %b\r\n" % (status, REASONS.get(status, b"Unknown")) for status in range(100, 600)}
