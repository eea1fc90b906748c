"""One page, a streamed response and an upload echo, written twice: for ASGI (`app`) and for WSGI (`wsgi`).

pyserve examples.hello:app
pyserve examples.hello:wsgi

GET  /         a page
GET  /stream   ten lines, half a second apart
POST /echo     the body, sent back
"""

import asyncio
import html
import os
import platform
import string
import time

PAGE = string.Template("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>pyserve works</title>
<link rel="icon" href="data:,">
<style>
  body { font: 17px/1.6 system-ui, sans-serif; max-width: 42rem; margin: 4rem auto; padding: 0 1rem;
         color: #1d2733; background: #fbfaf7 }
  h1 { font-size: 2.2rem; line-height: 1.2; margin: 0 }
  h2 { font-size: 1.1rem; margin: 2.2rem 0 .4rem }
  dl { display: grid; grid-template-columns: max-content auto; gap: .1rem 1.2rem; margin: 1.4rem 0 }
  dt { color: #667 }
  dd { margin: 0; overflow-wrap: anywhere }
  pre { background: #1d2733; color: #e8eef4; padding: .8rem 1rem; border-radius: 6px; overflow: auto;
        margin: .6rem 0; font-size: .85rem; white-space: pre-wrap; min-height: 1.4em }
  button { font: inherit; padding: .2rem .9rem }
  a { color: #0a5fb4 }
</style>
<h1>It works.</h1>
<p>This page comes from the $interface application in <code>examples/hello.py</code>.</p>
<dl>$facts</dl>

<h2>A streamed response</h2>
<p><a href="/stream">/stream</a> sends ten lines, half a second apart.
   <button onclick="show('stream', '/stream')">Watch it</button></p>
<pre id="stream"></pre>

<h2>An upload echo</h2>
<p><code>POST /echo</code> sends a body back. <input type="file" onchange="echo(this.files[0])"></p>
<pre id="echo">curl --data-binary @file http://$host/echo</pre>

<h2>Next</h2>
<p>Serve your own application: <code>make run APP=module:app</code>, or <code>pyserve module:app</code>.</p>
<script>
  async function show(id, url) {
    const out = document.getElementById(id), text = new TextDecoder();
    out.textContent = "";
    const reader = (await fetch(url)).body.getReader();
    for (let part; !(part = await reader.read()).done;)
      out.textContent += text.decode(part.value, {stream: true});
  }
  async function echo(file) {
    const out = document.getElementById("echo"), began = performance.now();
    const body = await (await fetch("/echo", {method: "POST", body: file})).arrayBuffer();
    const took = Math.round(performance.now() - began);
    out.textContent = `$${file.name}: $${file.size} bytes sent, $${body.byteLength} back, in $${took} ms`;
  }
</script>
""")

LINES = 10
PAUSE = 0.5  # seconds
ROUTES = {"/": {"GET", "HEAD"}, "/stream": {"GET", "HEAD"}, "/echo": {"POST"}}

HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
# Never the upload's own type: a page on another site could post HTML here and have it run as ours.
OCTETS = "application/octet-stream"


def page(interface: str, version: str, client: str, host: str) -> bytes:
    """The page, with what is known about this request."""
    facts = {
        "Interface": interface,
        "Protocol": version,
        "You": client or "a local socket",
        "Worker process": str(os.getpid()),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    rows = "".join(f"<dt>{name}<dd>{html.escape(value)}" for name, value in facts.items())
    return PAGE.substitute(interface=interface, facts=rows, host=html.escape(host)).encode()


def refusal(method: str, path: str) -> tuple[int, str, str] | None:
    """Status, reason and allowed methods for a request that no route takes, or None."""
    if path not in ROUTES:
        return 404, "Not Found", ""
    if method not in ROUTES[path]:
        return 405, "Method Not Allowed", ", ".join(sorted(ROUTES[path]))
    return None


def line(number: int) -> bytes:
    """One line of the stream."""
    return f"line {number} of {LINES}, at {time.strftime('%H:%M:%S')}\n".encode()


# WSGI (PEP 3333)


def wsgi(environ, start_response):
    """The WSGI application."""
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    if refused := refusal(method, path):
        status, reason, allowed = refused
        start_response(f"{status} {reason}", [("Content-Type", TEXT), ("Allow", allowed)])
        return [f"{status} {reason}\n".encode()]
    if path == "/stream":
        start_response("200 OK", [("Content-Type", TEXT), ("Cache-Control", "no-store")])
        return wsgi_stream()
    if path == "/echo":
        # The whole body first: a browser does not read the answer before it has sent everything.
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", OCTETS), ("X-Content-Type-Options", "nosniff")])
        return [body]
    host = environ.get("HTTP_HOST", environ["SERVER_NAME"])
    body = page("WSGI", environ["SERVER_PROTOCOL"], environ.get("REMOTE_ADDR", ""), host)
    start_response("200 OK", [("Content-Type", HTML), ("Content-Length", str(len(body)))])
    return [body]


def wsgi_stream():
    """The lines, each as soon as it is made."""
    for number in range(1, LINES + 1):
        yield line(number)
        time.sleep(PAUSE)


# ASGI 3


async def app(scope, receive, send):
    """The ASGI application."""
    if scope["type"] != "http":
        raise RuntimeError(f"{scope['type']} is not served here")
    method, path = scope["method"], scope["path"]
    if refused := refusal(method, path):
        status, reason, allowed = refused
        await begin(send, status, TEXT, (b"allow", allowed.encode()))
        await send({"type": "http.response.body", "body": f"{status} {reason}\n".encode()})
    elif path == "/stream":
        await begin(send, 200, TEXT, (b"cache-control", b"no-store"))
        await asgi_stream(send)
    elif path == "/echo":
        body = await whole_body(receive)
        await begin(send, 200, OCTETS, (b"x-content-type-options", b"nosniff"))
        await send({"type": "http.response.body", "body": body})
    else:
        host = dict(scope["headers"]).get(b"host", b"localhost").decode("latin-1")
        client = scope["client"][0] if scope["client"] else ""
        body = page("ASGI", f"HTTP/{scope['http_version']}", client, host)
        await begin(send, 200, HTML, (b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.body", "body": body})


async def begin(send, status, content_type, *fields):
    """Send the head of a response."""
    headers = [(b"content-type", content_type.encode()), *fields]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def asgi_stream(send):
    """The lines, each as soon as it is made; a visitor who leaves ends it, since send() raises then."""
    for number in range(1, LINES + 1):
        await send({"type": "http.response.body", "body": line(number), "more_body": True})
        await asyncio.sleep(PAUSE)
    await send({"type": "http.response.body"})


async def whole_body(receive):
    """All of the body: a browser does not read the answer before it has sent everything."""
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)  # absent from http.disconnect, too
    return b"".join(parts)
