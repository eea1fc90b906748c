"""A Falcon application for ASGI."""

import falcon.asgi


class Lifespan:
    opened = False

    async def process_startup(self, scope, event):
        self.opened = True


lifespan = Lifespan()


class Index:
    async def on_get(self, request, response):
        response.media = {"framework": "falcon", "opened": lifespan.opened}


class Echo:
    async def on_post(self, request, response):
        response.content_type = "application/octet-stream"
        response.data = await request.stream.read()
        response.set_cookie("seen", "True", secure=False)


class Session:
    async def on_get(self, request, response):
        response.media = {"seen": request.cookies.get("seen") == "True"}


class Stream:
    async def on_get(self, request, response):
        async def lines():
            for number in range(100):
                yield b"line %d\n" % number

        response.content_type = "text/plain"
        response.stream = lines()


app = falcon.asgi.App(middleware=[lifespan])
for path, resource in {"/": Index(), "/echo": Echo(), "/session": Session(), "/stream": Stream()}.items():
    app.add_route(path, resource)
