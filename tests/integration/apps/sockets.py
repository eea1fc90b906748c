"""A plain ASGI application that echoes what comes over a WebSocket, and begins with what its scope says."""

import json


async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})
        return
    assert scope["type"] == "websocket", scope["type"]
    await send({"type": "websocket.accept"})
    about = {name: scope[name] for name in ("scheme", "path", "client")}
    await send({"type": "websocket.send", "text": json.dumps(about)})
    assert (await receive())["type"] == "websocket.connect"
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
