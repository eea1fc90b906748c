"""The applications under load: as little application as can be, so that what is measured is the server."""

import os
import time

HELLO = b"Hello, World!"
BLOCK = b"x" * 65536

_PLAIN = [("Content-Type", "text/plain"), ("Content-Length", str(len(HELLO)))]
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", str(len(HELLO)).encode())],
}
_BODY = {"type": "http.response.body", "body": HELLO}


def wsgi(environ, start_response):
    """Hello, as WSGI."""
    start_response("200 OK", _PLAIN)
    return [HELLO]


async def asgi(scope, receive, send):
    """Hello, as ASGI."""
    assert scope["type"] == "http"
    await send(_START)
    await send(_BODY)


def wsgi_bulk(environ, start_response):
    """POST counts the body's octets and says how many; GET /N sends N blocks of 64 KiB."""
    if environ["REQUEST_METHOD"] == "POST":
        received, read = 0, environ["wsgi.input"].read
        while part := read(65536):
            received += len(part)
        body = str(received).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
    count = int(environ["PATH_INFO"][1:] or 0)
    start_response("200 OK", [("Content-Length", str(count * len(BLOCK)))])
    return (BLOCK for _ in range(count))


async def asgi_bulk(scope, receive, send):
    """The same as `wsgi_bulk`, as ASGI."""
    assert scope["type"] == "http"
    if scope["method"] == "POST":
        received, more = 0, True
        while more:
            message = await receive()
            received += len(message.get("body", b""))
            more = message.get("more_body", False)
        blocks = [str(received).encode()]
    else:
        blocks = [BLOCK] * int(scope["path"][1:] or 0)
    length = str(sum(map(len, blocks))).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    for block in blocks:
        await send({"type": "http.response.body", "body": block, "more_body": True})
    await send({"type": "http.response.body"})


STREAMED = 200  # blocks, of which each is an object of its own as an application's are


def wsgi_mixed(environ, start_response):
    """Hello at /, a stream from a generator at /stream, and a POST counts."""
    if environ["REQUEST_METHOD"] == "POST":
        return wsgi_bulk(environ, start_response)
    if environ["PATH_INFO"] == "/stream":
        start_response("200 OK", [])
        return (b"x" * len(BLOCK) for _ in range(STREAMED))
    return wsgi(environ, start_response)


async def asgi_mixed(scope, receive, send):
    """The same as `wsgi_mixed`, as ASGI."""
    if scope["type"] != "http":
        raise ValueError("no lifespan")
    if scope["method"] == "POST":
        await asgi_bulk(scope, receive, send)
    elif scope["path"] == "/stream":
        await send({"type": "http.response.start", "status": 200})
        for _ in range(STREAMED):
            await send({"type": "http.response.body", "body": b"x" * len(BLOCK), "more_body": True})
        await send({"type": "http.response.body"})
    else:
        await asgi(scope, receive, send)


def _compute():
    end = time.thread_time() + 0.002
    while time.thread_time() < end:
        pass
    return b"%d" % os.getpid()


def wsgi_worker(environ, start_response):
    """Computes for two milliseconds; the process that did it."""
    body = _compute()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi_worker(scope, receive, send):
    """The same as ASGI."""
    body = _compute()
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
