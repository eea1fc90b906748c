"""A Falcon application for WSGI."""

import falcon


class Index:
    def on_get(self, request, response):
        response.media = {"framework": "falcon", "opened": True}


class Echo:
    def on_post(self, request, response):
        response.content_type = "application/octet-stream"
        response.data = request.bounded_stream.read()
        response.set_cookie("seen", "True", secure=False)


class Session:
    def on_get(self, request, response):
        response.media = {"seen": request.cookies.get("seen") == "True"}


class Stream:
    def on_get(self, request, response):
        response.content_type = "text/plain"
        response.stream = (b"line %d\n" % number for number in range(100))


app = falcon.App()
for path, resource in {"/": Index(), "/echo": Echo(), "/session": Session(), "/stream": Stream()}.items():
    app.add_route(path, resource)
