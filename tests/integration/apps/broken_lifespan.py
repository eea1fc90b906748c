"""An application that cannot start, and one that cannot stop."""


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "the database is away"})


async def raising(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        raise LookupError("no such database")
