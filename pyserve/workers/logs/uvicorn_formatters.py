"""uvicorn's formatters, for log configurations that name them where uvicorn is not installed: in their form, without
colours."""

import logging
from copy import copy
from http import HTTPStatus
from typing import Any, Literal


class DefaultFormatter(logging.Formatter):
    """Knows `%(levelprefix)s`: `INFO:     `."""

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: Literal["%", "{", "$"] = "%",
        use_colors: bool | None = None,
    ) -> None:
        super().__init__(fmt, datefmt, style)

    def formatMessage(self, record: logging.LogRecord) -> str:
        record = copy(record)
        record.levelprefix = f"{record.levelname}:".ljust(9)
        return super().formatMessage(record)


ColourizedFormatter = DefaultFormatter


class AccessFormatter(DefaultFormatter):
    """Knows `%(client_addr)s`, `%(request_line)s` and `%(status_code)s` besides, for records of `uvicorn.access`."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        args: Any = record.args
        record = copy(record)
        client, method, path, version, status = args
        record.client_addr = client
        record.request_line = f"{method} {path} HTTP/{version}"
        record.status_code = f"{status} {_phrase(int(status))}".rstrip()
        return super().formatMessage(record)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
