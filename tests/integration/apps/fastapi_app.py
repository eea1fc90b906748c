"""A FastAPI application."""

import asyncio
import os
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import BackgroundTasks, Cookie, Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel, Field
from starlette.middleware.base import BaseHTTPMiddleware


@asynccontextmanager
async def lifespan(app):
    app.state.journal = []
    yield {"pool": "opened at startup"}
    with open("shutdown", "w") as file:
        file.write("closed at shutdown")


app = FastAPI(lifespan=lifespan)


async def time_it(request, call_next):
    began = asyncio.get_running_loop().time()
    response = await call_next(request)
    response.headers["Server-Timing"] = f"app;dur={(asyncio.get_running_loop().time() - began) * 1000:.3f}"
    return response


app.add_middleware(BaseHTTPMiddleware, dispatch=time_it)


class Item(BaseModel):
    name: str = Field(min_length=1)
    price: float = Field(gt=0)
    tags: list[str] = []


async def connection(request: Request):
    """A dependency that is given back."""
    journal = request.app.state.journal
    journal.append("opened")
    try:
        yield request.state.pool
    except HTTPException:
        journal.append("failed")
        raise
    finally:
        journal.append("closed")


def thread_connection():
    """One that FastAPI runs in a thread."""
    yield "from a thread"


@app.get("/")
async def index():
    return {"hello": "world"}


@app.post("/items/{number}", status_code=201)
async def make_item(number: int, item: Item, q: str = "", token: Annotated[str, Cookie()] = ""):
    return {"number": number, "item": item, "q": q, "token": token}


@app.get("/depends")
async def depends(pool: Annotated[str, Depends(connection)]):
    return {"pool": pool}


@app.get("/depends/fails")
async def depends_fails(pool: Annotated[str, Depends(connection)]):
    raise HTTPException(418, "no tea")


@app.get("/thread")
def thread(value: Annotated[str, Depends(thread_connection)]):
    return {"value": value, "worker": os.getpid()}


@app.get("/journal")
async def journal(request: Request):
    return request.app.state.journal


@app.post("/background")
async def background(tasks: BackgroundTasks, name: str):
    tasks.add_task(_work, name)
    return {"accepted": name}


async def _work(name):
    """Runs until the file is there, and then says that it is done."""
    while not os.path.exists(name):
        await asyncio.sleep(0.005)
    with open(f"{name}.done", "w"):
        pass


@app.get("/csv")
async def csv(request: Request, lines: int):
    request.app.state.produced = 0

    async def rows():
        yield "number,square,text\n"
        for first in range(0, lines, 250):
            yield "".join(f"{n},{n * n},row {n}\n" for n in range(first, first + 250))
            request.app.state.produced = first + 250

    return StreamingResponse(rows(), media_type="text/csv")


@app.get("/produced")
async def produced(request: Request):
    return getattr(request.app.state, "produced", 0)


@app.get("/file")
async def file():
    return FileResponse("payload")


@app.post("/upload")
async def upload(request: Request):
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return {"size": size}


@app.get("/fail")
async def fail():
    raise LookupError("what becomes a 500")
