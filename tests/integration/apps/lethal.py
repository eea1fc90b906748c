"""Applications of which one request ends the process at once, as a crash in a C library does."""

import os
import signal


def app(environ, start_response):
    if environ["PATH_INFO"] == "/poison":
        os.kill(os.getpid(), signal.SIGSEGV)
    start_response("200 OK", [("Content-Length", "6")])
    return [b"hello\n"]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    if scope["path"] == "/poison":
        os.kill(os.getpid(), signal.SIGSEGV)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
    await send({"type": "http.response.body", "body": b"hello\n"})
