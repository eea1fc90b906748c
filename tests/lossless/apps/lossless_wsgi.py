"""Says in each response which process has made it; the same routes as lossless_asgi.py."""

import os
import time

TEXT = ("Content-Type", "text/plain")


def application(environ, start_response):
    path = environ["PATH_INFO"]
    fields = [TEXT, ("X-Worker", str(os.getpid()))]
    if path == "/stream":
        start_response("200 OK", fields)
        return stream()
    if path == "/stuck":
        time.sleep(600)
    if path == "/later":
        time.sleep(0.02)
    content = environ["wsgi.input"].read() or b"hello\n"
    start_response("200 OK", [*fields, ("Content-Length", str(len(content)))])
    return [content]


def stream():
    for _ in range(4):
        time.sleep(0.005)
        yield b"x" * 1000
