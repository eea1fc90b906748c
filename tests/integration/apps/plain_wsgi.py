"""The plain WSGI application: the same routes as plain_asgi.py. What keeps PEP 3333 runs under `wsgiref.validate`."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from urllib.parse import parse_qs
from wsgiref.validate import validator

TEXT = [("Content-Type", "text/plain")]
BLOCK = 65536


def hello(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "6")])
    return [b"hello\n"]


def pid(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"%d" % os.getpid()]


def describe(environ, start_response):
    """What came, as JSON."""
    found = {
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"].encode("latin-1").decode(),
        "query": environ["QUERY_STRING"],
        "version": environ["SERVER_PROTOCOL"].removeprefix("HTTP/"),
        "mount": environ["SCRIPT_NAME"],
        "client": environ["REMOTE_ADDR"],
        "server": [environ["SERVER_NAME"], environ["SERVER_PORT"]],
        "fields": {
            name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_X_")
        },
        "wsgi": [environ["wsgi.multithread"], environ["wsgi.multiprocess"], environ["wsgi.run_once"]],
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(found).encode()]


def echo(environ, start_response):
    """The content, once all of it is here: clients do not read before they have sent everything."""
    content = b"".join(iter(lambda: environ["wsgi.input"].read(BLOCK), b""))
    start_response("200 OK", [("Content-Type", environ.get("CONTENT_TYPE") or "text/plain")])
    return [content]


def digest(environ, start_response):
    seen, length = hashlib.sha256(), 0
    while block := environ["wsgi.input"].read(BLOCK):
        seen.update(block)
        length += len(block)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"length": length, "sha256": seen.hexdigest()}).encode()]


def lines(environ, start_response):
    """How many lines the content has, by the input's iterator."""
    count = sum(1 for _ in environ["wsgi.input"])
    start_response("200 OK", TEXT)
    return [b"%d" % count]


def stream(environ, start_response):
    blocks, size = _numbers(environ, blocks=10, size=1000)
    start_response("200 OK", TEXT)
    return (b"x" * size for _ in range(blocks))


def block(environ, start_response):
    (size,) = _numbers(environ, size=1000)
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [b"x" * size]


def blocks(environ, start_response):
    """As a list of many blocks."""
    (size,) = _numbers(environ, size=1000)
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [b"x" * 1024] * (size // 1024)


def steps(environ, start_response):
    """One block, and a second one when the file named by the query is there."""
    start_response("200 OK", TEXT)
    yield b"first"
    _wait_for(environ["QUERY_STRING"])
    yield b"second"


def gate(environ, start_response):
    """Says in a file that it has been reached, and answers when the file named by the query is there."""
    name = environ["QUERY_STRING"]
    with open(name + ".reached", "w"):
        pass
    _wait_for(name)
    start_response("200 OK", TEXT)
    return [b"through"]


def stuck(environ, start_response):
    """Does not come back."""
    time.sleep(600)


def child(environ, start_response):
    """The exit code of a process of the application's own."""
    code = subprocess.run([sys.executable, "-c", "raise SystemExit(7)"], check=False).returncode
    start_response("200 OK", TEXT)
    return [b"%d" % code]


def write(environ, start_response):
    send = start_response("200 OK", TEXT)
    send(b"written ")
    send(b"and ")
    return [b"returned"]


def repeated(environ, start_response):
    fields = [("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2"), ("X-Own", "caf\xe9"), ("Server", "mine")]
    start_response("200 OK", TEXT + fields)
    return [b""]


def status(environ, start_response):
    code = environ["PATH_INFO"].rpartition("/")[2]
    start_response(f"{code} Reason", [] if code in ("204", "304") else TEXT)
    return [] if code in ("204", "304") else [b"content of " + code.encode()]


def replaced(environ, start_response):
    start_response("200 OK", TEXT)
    try:
        raise LookupError("changed my mind")
    except LookupError as error:
        start_response("409 Conflict", TEXT, (LookupError, error, error.__traceback__))
    return [b"replaced"]


def file(environ, start_response):
    payload = open("payload", "rb")  # noqa: SIM115 - the server closes it
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return environ["wsgi.file_wrapper"](payload)


def boom(environ, start_response):
    raise ZeroDivisionError("boom")


def late(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"begun"
    raise ZeroDivisionError("late")


def late_with_length(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "100")])
    yield b"begun"
    raise ZeroDivisionError("late")


def short(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "10")])
    return [b"short"]


def long(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "5")])
    return [b"longer than it said"]


def split(environ, start_response):
    start_response("200 OK", [*TEXT, ("X-Evil", "a\r\nX-Injected: b")])
    return [b"never"]


def silent(environ, start_response):
    return [b"without start_response"]


def leave(environ, start_response):
    raise SystemExit("an application must not end the worker")


class Endless:
    """Blocks without end; tells in the file `closed` how often it was closed."""

    def __iter__(self):
        return self

    def __next__(self):
        time.sleep(0.001)
        return b"x" * 1000

    def close(self):
        with open("closed", "a") as closed:
            closed.write("closed\n")


def endless(environ, start_response):
    start_response("200 OK", TEXT)
    return Endless()


def not_found(environ, start_response):
    start_response("404 Not Found", TEXT)
    return [b"not found"]


def _numbers(environ, **defaults):
    query = parse_qs(environ["QUERY_STRING"])
    return [int(query.get(name, [default])[0]) for name, default in defaults.items()]


def _wait_for(name):
    while not os.path.exists(name):
        time.sleep(0.005)


ROUTES = {
    "/": hello,
    "/pid": pid,
    "/describe": describe,
    "/echo": echo,
    "/digest": digest,
    "/lines": lines,
    "/stream": stream,
    "/steps": steps,
    "/gate": gate,
    "/stuck": stuck,
    "/child": child,
    "/write": write,
    "/repeated": repeated,
    "/replaced": replaced,
}
# The validator hides lists and file wrappers from the server, and refuses what breaks PEP 3333.
UNCHECKED = {
    "/block": block,
    "/blocks": blocks,
    "/file": file,
    "/boom": boom,
    "/late": late,
    "/late-with-length": late_with_length,
    "/short": short,
    "/long": long,
    "/split": split,
    "/silent": silent,
    "/leave": leave,
    "/endless": endless,
}


def route(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/status/"):
        return status(environ, start_response)
    if path.startswith("/describe/"):
        return describe(environ, start_response)
    return ROUTES.get(path, not_found)(environ, start_response)


checked = validator(route)


def application(environ, start_response):
    handler = UNCHECKED.get(environ["PATH_INFO"], checked)
    threading.current_thread().name = environ["PATH_INFO"]
    return handler(environ, start_response)
