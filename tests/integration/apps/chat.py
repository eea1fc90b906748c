"""A FastAPI application with WebSockets: an echo, a room, and doors that stay closed."""

from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, WebSocket, WebSocketDisconnect, WebSocketException
from starlette.responses import PlainTextResponse

app = FastAPI()
room: set[WebSocket] = set()


@app.get("/")
def index() -> dict[str, list[int]]:
    return {"codes": codes}


codes: list[int] = []


@app.websocket("/echo")
async def echo(socket: WebSocket) -> None:
    await socket.accept(subprotocol=next(iter(socket.scope["subprotocols"]), None), headers=[(b"x-a", b"1")])
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message["code"])
            await socket.send({**message, "type": "websocket.send"})
    except WebSocketDisconnect as end:
        codes.append(end.code)


@app.websocket("/room/{name}")
async def enter(socket: WebSocket, name: str) -> None:
    await socket.accept()
    room.add(socket)
    try:
        async for text in socket.iter_text():
            for each in room:
                await each.send_json({name: text})
    finally:
        room.discard(socket)


async def member(token: Annotated[str | None, Header()] = None) -> str:
    if token is None:
        raise WebSocketException(1008, "who is it?")
    return token


@app.websocket("/member")
async def only_members(socket: WebSocket, token: Annotated[str, Depends(member)]) -> None:
    await socket.send_denial_response(PlainTextResponse(f"not {token}", 401, {"www-authenticate": "Token"}))


@app.websocket("/gone")
async def gone(socket: WebSocket) -> None:
    raise HTTPException(410, "closed for good")


@app.websocket("/broken")
async def broken(socket: WebSocket) -> None:
    await socket.accept()
    raise LookupError("on purpose")
