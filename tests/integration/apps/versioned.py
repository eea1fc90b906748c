"""An application whose code is what the file `version` says when it is loaded, or else the variable `VERSION`; `broken`
cannot be loaded."""

import os
from pathlib import Path

VERSION = os.environ.get("VERSION") or Path("version").read_text()
LOADED_BY = os.getpid()
if VERSION == "broken":
    raise LookupError("this version is broken")


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{VERSION} {LOADED_BY}".encode()]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": f"{VERSION} {LOADED_BY}".encode()})
