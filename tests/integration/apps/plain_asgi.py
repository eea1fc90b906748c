"""The plain ASGI application: the same routes as plain_wsgi.py."""

import asyncio
import contextvars
import hashlib
import json
import os
import sys
import time
from urllib.parse import parse_qs

TEXT = (b"content-type", b"text/plain")
JSON = (b"content-type", b"application/json")
OCTETS = (b"content-type", b"application/octet-stream")

seen = contextvars.ContextVar("seen", default="nothing")


async def begin(send, status, *fields, **more):
    await send({"type": "http.response.start", "status": status, "headers": fields, **more})


async def body(send, data, more=False):
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def content(receive):
    """The request's content, block by block."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client has left")
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


async def hello(scope, receive, send):
    await begin(send, 200, TEXT, (b"content-length", b"6"))
    await body(send, b"hello\n")


async def pid(scope, receive, send):
    await begin(send, 200, TEXT)
    await body(send, b"%d" % os.getpid())


async def describe(scope, receive, send):
    """What came, as JSON."""
    fields = {}
    for name, value in scope["headers"]:
        if name.startswith(b"x-"):
            name, value = name.decode(), value.decode("latin-1")
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
    found = {
        "method": scope["method"],
        "path": scope["path"],
        "raw_path": scope["raw_path"].decode(),
        "query": scope["query_string"].decode(),
        "version": scope["http_version"],
        "mount": scope["root_path"],
        "client": scope["client"][0] if scope["client"] else "",
        "server": scope["server"],
        "fields": fields,
        "asgi": scope["asgi"],
        "state": scope.get("state"),
        "extensions": sorted(scope["extensions"]),
    }
    await begin(send, 200, JSON)
    await body(send, json.dumps(found).encode())


async def echo(scope, receive, send):
    """The content, once all of it is here: clients do not read before they have sent everything."""
    whole = b"".join([block async for block in content(receive)])
    await begin(send, 200, (b"content-type", dict(scope["headers"]).get(b"content-type", b"text/plain")))
    await body(send, whole)


async def digest(scope, receive, send):
    seen, length = hashlib.sha256(), 0
    async for block in content(receive):
        seen.update(block)
        length += len(block)
    await begin(send, 200, JSON)
    await body(send, json.dumps({"length": length, "sha256": seen.hexdigest()}).encode())


async def lines(scope, receive, send):
    count = b"".join([block async for block in content(receive)]).count(b"\n")
    await begin(send, 200, TEXT)
    await body(send, b"%d" % count)


async def stream(scope, receive, send):
    blocks, size = _numbers(scope, blocks=10, size=1000)
    await begin(send, 200, TEXT)
    for _ in range(blocks):
        await body(send, b"x" * size, True)
    await body(send, b"")


async def block(scope, receive, send):
    (size,) = _numbers(scope, size=1000)
    await begin(send, 200, OCTETS)
    await body(send, b"x" * size)


async def steps(scope, receive, send):
    """One block, and a second one when the file named by the query is there."""
    await begin(send, 200, TEXT)
    await body(send, b"first", True)
    await _wait_for(scope["query_string"])
    await body(send, b"second")


async def gate(scope, receive, send):
    """Says in a file that it has been reached, and answers when the file named by the query is there."""
    name = scope["query_string"]
    with open(name + b".reached", "w"):
        pass
    await _wait_for(name)
    await begin(send, 200, TEXT)
    await body(send, b"through")


async def stuck(scope, receive, send):
    """Does not come back, and does not let the loop go."""
    time.sleep(600)


async def child(scope, receive, send):
    """The exit code of a process of the application's own."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "raise SystemExit(7)")
    code = await process.wait()
    await begin(send, 200, TEXT)
    await body(send, b"%d" % code)


async def stay(scope, receive, send):
    """Waits for what never comes; tells in the file `cancelled` that it was cancelled."""
    with open("staying", "w"):
        pass
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        with open("cancelled", "w"):
            pass
        raise


async def repeated(scope, receive, send):
    fields = [(b"set-cookie", b"a=1; Path=/"), (b"set-cookie", b"b=2"), (b"x-own", b"caf\xe9"), (b"server", b"mine")]
    await begin(send, 200, TEXT, *fields)
    await body(send, b"")


async def status(scope, receive, send):
    code = scope["path"].rpartition("/")[2]
    if code in ("204", "304"):
        await begin(send, int(code))
        await body(send, b"")
    else:
        await begin(send, int(code), TEXT)
        await body(send, b"content of " + code.encode())


async def file(scope, receive, send):
    await begin(send, 200, OCTETS)
    await send({"type": "http.response.pathsend", "path": os.path.abspath("payload")})


async def hints(scope, receive, send):
    await send({"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]})
    await begin(send, 200, TEXT)
    await body(send, b"hinted")


async def trailers(scope, receive, send):
    await begin(send, 200, TEXT, (b"trailer", b"x-sum"), trailers=True)
    await body(send, b"content")
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"42")]})


async def context(scope, receive, send):
    """What the context variable is, which each request sets to its query."""
    before = seen.get()
    seen.set(scope["query_string"].decode())
    await asyncio.sleep(0)
    await begin(send, 200, TEXT)
    await body(send, f"{before} {seen.get()}".encode())


async def boom(scope, receive, send):
    raise ZeroDivisionError("boom")


async def late(scope, receive, send):
    await begin(send, 200, TEXT)
    await body(send, b"begun", True)
    raise ZeroDivisionError("late")


async def late_with_length(scope, receive, send):
    await begin(send, 200, TEXT, (b"content-length", b"100"))
    await body(send, b"begun", True)
    raise ZeroDivisionError("late")


async def short(scope, receive, send):
    await begin(send, 200, TEXT, (b"content-length", b"10"))
    await body(send, b"short")


async def long(scope, receive, send):
    await begin(send, 200, TEXT, (b"content-length", b"5"))
    await body(send, b"longer than it said")


async def split(scope, receive, send):
    await begin(send, 200, TEXT, (b"x-evil", b"a\r\nX-Injected: b"))
    await body(send, b"never")


async def silent(scope, receive, send):
    pass


async def leave(scope, receive, send):
    raise SystemExit("an application must not end the worker")


async def cancelled(scope, receive, send):
    raise asyncio.CancelledError("on its own account")


async def endless(scope, receive, send):
    """Blocks without end; tells in the file `closed` how it ended."""
    await begin(send, 200, TEXT)
    try:
        while True:
            await body(send, b"x" * 1000, True)
            await asyncio.sleep(0.001)
    except OSError:
        with open("closed", "a") as closed:
            closed.write("closed\n")
        raise


async def watch(scope, receive, send):
    """Waits for the client to leave, and tells in the file `left` what it was told."""
    with open("watching", "w"):
        pass
    async for _ in content(receive):
        pass
    message = await receive()
    with open("left", "w") as left:
        left.write(message["type"])


async def stay_on(scope, receive, send):
    """A stream that goes on until the client is said to have left, and ends then."""
    await begin(send, 200, TEXT)
    await body(send, b"first ", True)
    while (await receive())["type"] != "http.disconnect":
        pass
    await body(send, b"last")


async def not_found(scope, receive, send):
    await begin(send, 404, TEXT)
    await body(send, b"not found")


def _numbers(scope, **defaults):
    query = parse_qs(scope["query_string"].decode())
    return [int(query.get(name, [default])[0]) for name, default in defaults.items()]


async def _wait_for(name):
    while not os.path.exists(name):
        await asyncio.sleep(0.005)


ROUTES = {
    "/": hello,
    "/pid": pid,
    "/describe": describe,
    "/echo": echo,
    "/digest": digest,
    "/lines": lines,
    "/stream": stream,
    "/block": block,
    "/steps": steps,
    "/gate": gate,
    "/stuck": stuck,
    "/child": child,
    "/stay": stay,
    "/repeated": repeated,
    "/file": file,
    "/hints": hints,
    "/trailers": trailers,
    "/context": context,
    "/boom": boom,
    "/late": late,
    "/late-with-length": late_with_length,
    "/short": short,
    "/long": long,
    "/split": split,
    "/silent": silent,
    "/leave": leave,
    "/cancelled": cancelled,
    "/endless": endless,
    "/watch": watch,
    "/stay-on": stay_on,
}


async def lifespan(scope, receive, send):
    await receive()
    scope["state"]["started"] = "yes"
    await send({"type": "lifespan.startup.complete"})
    await receive()
    with open("shutdown", "a") as file:
        file.write("shut down\n")
    await send({"type": "lifespan.shutdown.complete"})


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(scope, receive, send)
    path = scope["path"]
    handler = ROUTES.get(path, not_found)
    if path.startswith("/status/"):
        handler = status
    elif path.startswith("/describe/"):
        handler = describe
    await handler(scope, receive, send)
