"""Says in each response which process has made it; the same routes as lossless_wsgi.py."""

import asyncio
import os


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    fields = [(b"content-type", b"text/plain"), (b"x-worker", b"%d" % os.getpid())]
    if scope["path"] == "/stream":
        await stream(send, fields)
        return
    if scope["path"] == "/stuck":
        await asyncio.sleep(600)
    if scope["path"] == "/later":
        await asyncio.sleep(0.02)
    content = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        content += message.get("body", b"")
        more = message.get("more_body", False)
    content = content or b"hello\n"
    await send(
        {"type": "http.response.start", "status": 200, "headers": [*fields, (b"content-length", b"%d" % len(content))]}
    )
    await send({"type": "http.response.body", "body": content})


async def stream(send, fields):
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    for _ in range(4):
        await asyncio.sleep(0.005)
        await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
