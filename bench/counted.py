"""Hello, and how many Python functions its thread has entered since the last hello (`bench/calls.py`).

The profile function is set from inside the application, so any server can be counted as it runs, unchanged. Between
two requests of one connection lies exactly one turn of the server: answering the first, receiving the second. The
application's own call is counted with it; generators and coroutines count once for each time they are resumed.
"""

import sys

_calls = [0]


def _count(frame, event, argument):
    if event == "call":
        _calls[0] += 1


def _since_last() -> bytes:
    body = b"%d" % _calls[0]
    sys.setprofile(_count)  # for this thread; the same again costs nothing
    _calls[0] = 0
    return body


def wsgi(environ, start_response):
    """The count, as WSGI."""
    body = _since_last()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    """The count, as ASGI."""
    assert scope["type"] == "http"
    body = _since_last()
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
