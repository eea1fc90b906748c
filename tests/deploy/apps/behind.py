"""What an application sees of a request that has come through a proxy, in either interface; and two frameworks'."""

import json
import os

import fastapi
import flask


def _answer(client, scheme, host, mount, path, octets, port=None):
    seen = {"client": client, "scheme": scheme, "host": host, "mount": mount, "path": path, "octets": octets}
    return json.dumps({**seen, "port": port, "pid": os.getpid()}).encode()


def wsgi(environ, start_response):
    octets = 0
    while block := environ["wsgi.input"].read(65536):
        octets += len(block)
    start_response("200 OK", [("Content-Type", "application/json")])
    names = ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST", "SCRIPT_NAME", "PATH_INFO")
    return [_answer(*map(environ.get, names), octets, environ["REMOTE_PORT"])]


async def asgi(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": f"{scope['scheme']} {scope['client'] and scope['client'][0]}"})
        await receive()
        return
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    octets, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        octets += len(message["body"])
        more = message["more_body"]
    client = scope["client"] and scope["client"][0]
    host = dict(scope["headers"]).get(b"host", b"").decode()
    body = _answer(client, scope["scheme"], host, scope["root_path"], scope["path"], octets)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


def _fast(root_path):
    app = fastapi.FastAPI(root_path=root_path)

    @app.get("/items", name="items")
    def items(request: fastapi.Request):
        return {"url": str(request.url_for("items"))}

    return app


fast = _fast("")
fast_kept = _fast("/kept")

flask_app = flask.Flask(__name__)


@flask_app.get("/items")
def items():
    return {"url": flask.url_for("items", _external=True)}
