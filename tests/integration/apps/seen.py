"""What an application sees of a request, in a response field, said alike by WSGI and ASGI."""

import json
from urllib.parse import unquote_to_bytes


def _say(method, path, query, version, fields, content):
    seen = [method, path.decode("latin-1"), query, version, sorted(fields.items()), content.decode("latin-1")]
    return json.dumps(seen).encode()


def wsgi(environ, start_response):
    fields = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
    }
    seen = _say(
        environ["REQUEST_METHOD"],
        environ["PATH_INFO"].encode("latin-1"),
        environ["QUERY_STRING"],
        environ["SERVER_PROTOCOL"].removeprefix("HTTP/"),
        fields,
        environ["wsgi.input"].read(),
    )
    start_response("200 OK", [("Seen", seen.decode())])
    return [b"seen"]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    content = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        content += message["body"]
        more = message["more_body"]
    fields = {}
    for name, value in scope["headers"]:
        if b"_" not in name:  # which WSGI cannot tell from a hyphen
            joint = "; " if name == b"cookie" else ", "
            key, text = name.decode(), value.decode("latin-1")
            fields[key] = fields[key] + joint + text if key in fields else text
    path, query = unquote_to_bytes(scope["raw_path"]), scope["query_string"].decode()
    seen = _say(scope["method"], path, query, scope["http_version"], fields, content)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"seen", seen)]})
    await send({"type": "http.response.body", "body": b"seen"})
