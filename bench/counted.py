"""Hello, and which Python functions its thread has entered since the last hello (`bench/calls.py`).

GET / answers with their number, GET /names with their names, one on a line. The profile function is set from inside
the application, so any server can be counted as it runs, unchanged. Between two requests of one connection lies
exactly one turn of the server: answering the first, receiving the second. The application's own call is counted with
it; generators and coroutines count once for each time they are resumed.
"""

import sys
from types import CodeType

_entered: list[CodeType] = []


def _note(frame, event, argument):
    if event == "call":
        _entered.append(frame.f_code)


def _since_last(path: str) -> bytes:
    sys.setprofile(None)
    del _entered[-1:]  # this function
    if path == "/names":
        body = "\n".join(f"{code.co_filename}:{code.co_firstlineno} {code.co_qualname}" for code in _entered).encode()
    else:
        body = b"%d" % len(_entered)
    _entered.clear()
    sys.setprofile(_note)  # for this thread
    return body


def wsgi(environ, start_response):
    """The count, as WSGI."""
    body = _since_last(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    """The count, as ASGI."""
    assert scope["type"] == "http"
    body = _since_last(scope["path"])
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
