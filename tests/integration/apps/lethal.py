"""Applications of which one request ends the process at once, as a crash in a C library does, or the kernel for want of
memory. Others wait for that."""

import asyncio
import os
import signal
import time
from pathlib import Path


def look(path, query):
    """End the process, or return whether the request is to wait."""
    if path == "/poison":
        os.kill(os.getpid(), getattr(signal, query))
    if path == "/hold":
        Path(f"{query}.reached").touch()
    return path == "/hold"


def app(environ, start_response):
    if look(environ["PATH_INFO"], environ["QUERY_STRING"]):
        hold(environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Length", "6")])
    return [b"hello\n"]


def hold(name):
    while not Path(name).exists():
        time.sleep(0.01)
    Path(f"{name}.over").touch()


async def asgi(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
    if scope["type"] != "http":
        raise NotImplementedError
    if look(scope["path"], scope["query_string"].decode()):
        await asyncio.sleep(60)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
    await send({"type": "http.response.body", "body": b"hello\n"})
