"""Status lines (RFC 9112 section 4) with the standard reason phrases (RFC 9110 section 15)."""

from http import HTTPStatus

REASONS = {status.value: status.phrase.encode("ascii") for status in HTTPStatus} | {
    # Python before 3.13 has the phrases of RFC 7231.
    413: b"Content Too Large",
    414: b"URI Too Long",
    416: b"Range Not Satisfiable",
    422: b"Unprocessable Content",
}
STATUS_LINES = {status: b"HTTP/1.1 %d %b\r\n" % (status, REASONS.get(status, b"Unknown")) for status in range(100, 600)}
