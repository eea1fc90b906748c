"""The forms of uvicorn's formatters."""

import logging

import pytest

from pyserve.workers.logs.uvicorn_formatters import AccessFormatter, DefaultFormatter

ACCESS = '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s'


@pytest.mark.parametrize(("status", "shown"), [(200, "200 OK"), (299, "299")])
def test_access(status: int, shown: str) -> None:
    args = ("1.2.3.4:5", "GET", "/a?b", "1.1", status)
    record = logging.LogRecord("uvicorn.access", 20, "", 0, '%s - "%s %s HTTP/%s" %d', args, None)
    line = AccessFormatter(ACCESS, use_colors=True).format(record)
    assert line == f'INFO:     1.2.3.4:5 - "GET /a?b HTTP/1.1" {shown}'
    assert not hasattr(record, "client_addr")


@pytest.mark.parametrize("level", [10, 20, 30, 40, 50])
def test_default_is_as_uvicorns(level: int) -> None:
    theirs = pytest.importorskip("uvicorn.logging").DefaultFormatter
    record = logging.LogRecord("uvicorn.error", level, "", 0, "text %s", ("a",), None)
    fmt = "%(levelprefix)s %(message)s"
    assert DefaultFormatter(fmt).format(record) == theirs(fmt, use_colors=False).format(record)
