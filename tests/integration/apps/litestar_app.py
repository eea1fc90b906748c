"""A Litestar application."""

from litestar import Litestar, Request, get, post
from litestar.datastructures import Cookie
from litestar.response import Response, Stream


async def open_something(app):
    app.state.opened = True


@get("/")
async def index(request: Request) -> dict[str, str | bool]:
    return {"framework": "litestar", "opened": request.app.state.opened}


@post("/echo", status_code=200)
async def echo(request: Request) -> Response[bytes]:
    cookies = [Cookie("seen", value="True")]
    return Response(await request.body(), media_type="application/octet-stream", cookies=cookies)


@get("/session")
async def get_session(request: Request) -> dict[str, bool]:
    return {"seen": request.cookies.get("seen") == "True"}


@get("/stream")
async def stream() -> Stream:
    async def lines():
        for number in range(100):
            yield f"line {number}\n"

    return Stream(lines(), media_type="text/plain")


app = Litestar([index, echo, get_session, stream], on_startup=[open_something])
