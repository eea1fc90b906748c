"""A Starlette application with pure ASGI middleware."""

import asyncio
import contextlib
import os

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse
from starlette.routing import Mount, Route


class ServerTiming:
    """Sets a field on the way out."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def timed(message):
            if message["type"] == "http.response.start":
                message["headers"].append((b"server-timing", b"total;dur=1.5"))
            await send(message)

        await self.app(scope, receive, timed if scope["type"] == "http" else send)


@contextlib.asynccontextmanager
async def lifespan(app):
    app.state.counter = 0
    yield {"started": "at startup", "shared": []}
    with open("shutdown", "w") as file:
        file.write("closed at shutdown")


async def index(request):
    return PlainTextResponse("hello")


async def state(request):
    """What a request adds to a mutable value of the state is shared; what it sets is its own."""
    request.state.shared.append(1)
    own = getattr(request.state, "own", None)
    request.state.own = "set by a request"
    return JSONResponse({"started": request.state.started, "shared": len(request.state.shared), "own": own})


async def login(request):
    request.session["user"] = request.query_params["user"]
    return RedirectResponse("/account", 303)


async def account(request):
    return JSONResponse(dict(request.session))


async def stream(request):
    async def blocks():
        for number in range(int(request.query_params["lines"])):
            yield f"line {number}\n"

    return StreamingResponse(blocks(), media_type="text/plain")


def thread_stream(request):
    """A generator that Starlette runs in threads."""
    return StreamingResponse((f"line {number}\n" for number in range(50)), media_type="text/plain")


async def file(request):
    return FileResponse("payload")


async def background(request):
    name = request.query_params["name"]

    async def work():
        while not os.path.exists(name):
            await asyncio.sleep(0.005)
        with open(f"{name}.done", "w"):
            pass

    return PlainTextResponse("accepted", background=BackgroundTask(work))


async def left(request):
    """Waits for the client to leave."""
    with open("waiting", "w"):
        pass
    while not await request.is_disconnected():
        await asyncio.sleep(0.005)
    with open("left", "w"):
        pass
    return PlainTextResponse("nobody reads this")


async def describe(request):
    return JSONResponse({"url": str(request.url), "root": request.scope["root_path"], "path": request.url.path})


async def fail(request):
    raise LookupError("what becomes a 500")


app = Starlette(
    lifespan=lifespan,
    middleware=[
        Middleware(ServerTiming),
        Middleware(SessionMiddleware, secret_key="only for tests"),
        Middleware(GZipMiddleware, minimum_size=2000),
    ],
    routes=[
        Route("/", index),
        Route("/state", state),
        Route("/login", login, methods=["POST"]),
        Route("/account", account),
        Route("/stream", stream),
        Route("/thread-stream", thread_stream),
        Route("/file", file),
        Route("/background", background),
        Route("/left", left),
        Route("/fail", fail),
        Mount("/mounted", routes=[Route("/describe", describe)]),
    ],
)
